using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using Federation.Silo.Accounts;
using Federation.Silo.Accounts.Ledger;
using Federation.Silo.Accounts.Limits;
using Federation.Silo.Apis;
using Federation.Silo.Apis.Anthropic;
using Federation.Silo.Apis.Ollama;
using Federation.Silo.Apis.Responses;
using Federation.Silo.Batches;
using Federation.Silo.Files;
using Federation.Silo.Gateway;
using Federation.Silo.Gateway.Rescue;
using Federation.Silo.Gateway.Routing;
using Federation.Silo.Hubs;
using Federation.Silo.Idempotency;
using Federation.Silo.Jobs;
using Federation.Silo.Mcp;
using Federation.Silo.Models;
using Federation.Silo.Nodes;
using Federation.Silo.Pricing;
using Federation.Silo.Providers;
using Federation.Silo.Storage;
using Federation.Silo.Telemetry;
using Federation.Silo.Verification;
using Federation.Silo.Verification.Accrual;
using Federation.Silo.Verification.Audits;
using Federation.Silo.Verification.Benchmarks;
using Federation.Silo.Verification.Challenges;
using Federation.Silo.Verification.CommonSlots;
using Federation.Silo.Verification.Epochs;
using Federation.Silo.Verification.Inference;
using Federation.Silo.Verification.Probes;
using Federation.Silo.Verification.Standings;
using Federation.Silo.Webhooks;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.AspNetCore.Server.Kestrel.Https;
using Microsoft.Extensions.DependencyInjection.Extensions;
using Microsoft.Extensions.Options;

namespace Federation.Silo.Hosting;

/// <summary>Puts the hub together: what it is made of, in the order in which it matters.</summary>
internal static class HubHost
{
    /// <param name="builder">With all settings.</param>
    /// <param name="listen">Where.</param>
    /// <param name="file">The operator's file of settings by itself; null when there is none.</param>
    /// <exception cref="OptionsValidationException">Settings are wrong; it names all of them.</exception>
    public static WebApplication Build(WebApplicationBuilder builder, ListenSettings listen, IConfiguration? file)
    {
        var storage = builder.Read<StorageOptions>(StorageOptions.SectionName);
        var clustering = builder.Read<ClusteringOptions>(ClusteringOptions.SectionName);

        builder.Services.TryAddSingleton(TimeProvider.System);
        builder.AddStorage();
        builder.Services.AddSingleton(SettingsSection.Of<StorageOptions, StorageOptionsValidator>(StorageOptions.SectionName));
        builder.Services.AddSqlGrainStorage();
        builder.AddLedger();
        builder.Services.AddSingleton(SettingsSection.Of<LedgerOptions, LedgerOptionsValidator>(LedgerOptions.SectionName));
        builder.AddHub(storage.DataDirectory, listen);
        builder.AddAccounts();
        builder.AddNodes();
        builder.AddModels();
        builder.AddGateway();
        builder.Services.AddValidated<PricingOptions, PricingOptionsValidator>(PricingOptions.SectionName);
        builder.Services.AddPricing();
        builder.Services.AddValidated<CloudOptions, CloudOptionsValidator>(CloudOptions.SectionName);
        builder.Services.AddSingleton<CloudRoutes>();
        builder.Services.AddSingleton<Clouds>();
        builder.Services.AddSingleton<Quotes>();
        builder.AddVerificationSettings();
        builder.AddBackgroundSettings();
        builder.RequireGoodSettings(file);
        builder.AddGrainEngine(storage, clustering);
        // After the grains, which their background work calls.
        builder.AddVerification();
        builder.AddBackground();
        builder.Services.AddSingleton<Reservations>();
        builder.Services.AddHostedService(services => services.GetRequiredService<Reservations>());
        builder.Services.AddOpenApi();
        builder.ListenOn(listen);

        var app = builder.Build();
        app.UseRequestIds();
        app.UseMiddleware<ErrorHandling>();
        app.UseWebSockets(new WebSocketOptions { KeepAliveInterval = TimeSpan.FromSeconds(15), KeepAliveTimeout = TimeSpan.FromSeconds(15) });
        app.UseScopes();
        app.MapInference();
        app.MapRequests();
        app.MapAsyncJobs();
        app.MapFiles();
        app.MapBatches();
        app.MapWebhooks();
        app.MapMcp();
        app.MapMetrics();
        app.MapModels();
        app.MapOllama();
        app.MapAnthropic();
        app.MapResponses();
        app.MapAccounts();
        app.MapKeys();
        app.MapUsage();
        app.MapPricing();
        app.MapNodes();
        app.MapVerification();
        app.MapEpochs();
        app.MapHub();
        app.MapOpenApi("/openapi.json");
        app.MapGrpcService<NodeLinkService>();
        return app;
    }

    private static void AddHub(this WebApplicationBuilder builder, string dataDirectory, ListenSettings listen)
    {
        builder.Services.AddValidated<HubOptions, HubOptionsValidator>(HubOptions.SectionName);
        builder.Services.AddValidated<ClusteringOptions, ClusteringOptionsValidator>(ClusteringOptions.SectionName);
        builder.Services.AddSingleton(_ => HubIdentity.LoadOrCreate(dataDirectory));
        builder.Services.AddSingleton(listen);
        builder.Services.AddSingleton<HubAddress>();
        builder.Services.AddSingleton<HubDirectoryView>();
        builder.Services.AddSingleton<HubDrain>();
        builder.Services.AddHostedService(services => services.GetRequiredService<HubDrain>());
        // Draining is the slow part of a stop; the host must not cut it short.
        builder.Services.AddOptions<HostOptions>().Configure<IOptions<HubOptions>>((host, hub) => host.ShutdownTimeout = hub.Value.DrainTimeout + TimeSpan.FromSeconds(15));
    }

    private static void AddAccounts(this WebApplicationBuilder builder)
    {
        builder.Services.AddValidated<TierOptions, TierOptionsValidator>(TierOptions.SectionName);
        builder.Services.AddValidated<ApiKeyOptions, ApiKeyOptionsValidator>(ApiKeyOptions.SectionName);
        builder.Services.AddValidated<LimitOptions, LimitOptionsValidator>(LimitOptions.SectionName);
        builder.Services.AddSingleton<AccountStore>();
        builder.Services.AddSingleton<UsageStore>();
        builder.Services.AddSingleton<ApiKeys>();
        builder.Services.AddHostedService<KeyUseService>();
        builder.Services.AddSingleton<OperatorAccount>();
    }

    private static void AddNodes(this WebApplicationBuilder builder)
    {
        builder.Services.AddValidated<NodeLinkOptions, NodeLinkOptionsValidator>(NodeLinkOptions.SectionName);
        builder.Services.AddValidated<JoinTokenOptions, JoinTokenOptionsValidator>(JoinTokenOptions.SectionName);
        builder.Services.AddSingleton<NodeStore>();
        builder.Services.AddSingleton<JoinTokens>();
        builder.Services.AddSingleton<NodeSessions>();
        builder.Services.AddHostedService<LineWatcher>();
        builder.Services.AddSingleton<EndedSessions>();
        builder.Services.AddSingleton<SessionGrains>();
        var link = builder.Read<NodeLinkOptions>(NodeLinkOptions.SectionName);
        builder.Services.AddGrpc(options =>
        {
            options.MaxReceiveMessageSize = link.MaxMessageBytes;
            options.MaxSendMessageSize = null;
            // Its routes for services nobody has would take the place of our own answers to a wrong method or content type.
            options.IgnoreUnknownServices = true;
        });
    }

    private static void AddVerificationSettings(this WebApplicationBuilder builder)
    {
        builder.Services.AddValidated<HardwareClassOptions, HardwareClassOptionsValidator>(HardwareClassOptions.SectionName);
        builder.Services.AddValidated<StandingOptions, StandingOptionsValidator>(StandingOptions.SectionName);
        builder.Services.AddValidated<AccrualOptions, AccrualOptionsValidator>(AccrualOptions.SectionName);
        builder.Services.AddValidated<EpochOptions, EpochOptionsValidator>(EpochOptions.SectionName);
        builder.Services.AddValidated<ChallengeOptions, ChallengeOptionsValidator>(ChallengeOptions.SectionName);
        builder.Services.AddValidated<ChallengeScheduleOptions, ChallengeScheduleOptionsValidator>(ChallengeScheduleOptions.SectionName);
        builder.Services.AddValidated<CommonSlotOptions, CommonSlotOptionsValidator>(CommonSlotOptions.SectionName);
        builder.Services.AddValidated<ProbeOptions, ProbeOptionsValidator>(ProbeOptions.SectionName);
        builder.Services.AddValidated<AuditOptions, AuditOptionsValidator>(AuditOptions.SectionName);
        builder.Services.AddValidated<CanaryOptions, CanaryOptionsValidator>(CanaryOptions.SectionName);
        builder.Services.AddValidated<InferenceCheckOptions, InferenceCheckOptionsValidator>(InferenceCheckOptions.SectionName);
        builder.Services.AddValidated<BenchmarkOptions, BenchmarkOptionsValidator>(BenchmarkOptions.SectionName);
    }

    private static void AddVerification(this WebApplicationBuilder builder)
    {
        builder.Services.AddSingleton<HardwareClasses>();
        builder.Services.AddSingleton<ReceiptStore>();
        builder.Services.AddSingleton<VerificationStore>();
        builder.Services.AddSingleton<EarningStore>();
        builder.Services.AddSingleton<NodeVerifications>();
        builder.Services.AddSingleton<VerificationThread>();
        builder.Services.AddSingleton<ChallengeRoom>();
        builder.Services.AddSingleton<SlotResultStore>();
        builder.Services.AddSingleton<Neighbourhood>();
        builder.Services.AddSingleton<SlotRoom>();
        builder.Services.AddSingleton(services => ActivatorUtilities.CreateInstance<ProbeRoom>(services, new UnforeseeableRandom()));
        builder.Services.AddSingleton(services => new InferenceJudge(services.GetRequiredService<IOptions<InferenceCheckOptions>>().Value));
        builder.Services.AddSingleton(services => ActivatorUtilities.CreateInstance<AnswerBuffer>(services, new UnforeseeableRandom()));
        builder.Services.AddSingleton<AuditTrail>();
        builder.Services.AddSingleton<AuditQueue>();
        builder.Services.AddSingleton<InferenceHistories>();
        builder.Services.AddSingleton<Verifiers>();
        builder.Services.AddSingleton<Reveals>();
        builder.Services.AddSingleton<AuditMemory>();
        builder.Services.AddSingleton<EmbeddingAuditor>();
        builder.Services.AddSingleton<UnscoredAuditor>();
        builder.Services.AddSingleton<Auditor>();
        builder.Services.AddSingleton<OwnJobs>();
        builder.Services.AddSingleton<CanaryPrompts>();
        builder.Services.AddSingleton<CanaryRunner>();
        builder.Services.AddSingleton<SpeedStore>();
        builder.Services.AddSingleton<ModelSizes>();
        builder.Services.AddSingleton<ReferenceSpeeds>();
        builder.Services.AddSingleton(services => ActivatorUtilities.CreateInstance<InferenceBenchmark>(services, new UnforeseeableRandom()));
        builder.Services.AddHostedService(services => ActivatorUtilities.CreateInstance<AuditService>(services, new UnforeseeableRandom()));
        builder.Services.AddSingleton<EpochStore>();
        builder.Services.AddSingleton<EpochClosing>();
        builder.Services.AddHostedService<EpochService>();
        builder.Services.AddHostedService<MaturityService>();
    }

    private static void AddBackgroundSettings(this WebApplicationBuilder builder)
    {
        builder.Services.AddValidated<AsyncJobOptions, AsyncJobOptionsValidator>(AsyncJobOptions.SectionName);
        builder.Services.AddValidated<ClientFileOptions, ClientFileOptionsValidator>(ClientFileOptions.SectionName);
        builder.Services.AddValidated<BatchOptions, BatchOptionsValidator>(BatchOptions.SectionName);
        builder.Services.AddValidated<TelemetryOptions, TelemetryOptionsValidator>(TelemetryOptions.SectionName);
        builder.Services.AddSingleton<GatewayInstruments>();
        builder.Services.AddSingleton<RequestLog>();
        builder.Services.AddValidated<WebhookOptions, WebhookOptionsValidator>(WebhookOptions.SectionName);
    }

    private static void AddBackground(this WebApplicationBuilder builder)
    {
        builder.Services.AddSingleton<BackgroundInference>();
        builder.Services.AddSingleton<IBackgroundInference>(services => services.GetRequiredService<BackgroundInference>());
        builder.Services.AddSingleton<AsyncJobStore>();
        builder.Services.AddSingleton<AsyncJobSignals>();
        builder.Services.AddSingleton<AsyncJobFollowers>();
        builder.Services.AddSingleton<AsyncJobs>();
        builder.Services.AddSingleton<AsyncJobRunner>();
        builder.Services.AddHostedService(services => services.GetRequiredService<AsyncJobRunner>());
        builder.Services.AddSingleton<HubInstruments>();
        builder.Services.AddSingleton<PrometheusText>();
        builder.Services.AddHostedService<OtlpExport>();
        builder.Services.AddSingleton<McpTools>();
        builder.Services.AddSingleton<WebhookStore>();
        builder.Services.AddSingleton<WebhookSender>();
        builder.Services.AddSingleton(services => ActivatorUtilities.CreateInstance<WebhookRunner>(services, new UnforeseeableRandom()));
        builder.Services.AddHostedService(services => services.GetRequiredService<WebhookRunner>());
        builder.Services.AddSingleton<FileStore>();
        builder.Services.AddSingleton<FileUpload>();
        builder.Services.AddHostedService<FileSweep>();
        builder.Services.AddSingleton<BatchStore>();
        builder.Services.AddSingleton<BatchRunner>();
        builder.Services.AddHostedService(services => services.GetRequiredService<BatchRunner>());
    }

    private static void AddModels(this WebApplicationBuilder builder)
        => builder.Services.AddValidated<PoolOptions, PoolOptionsValidator>(PoolOptions.SectionName);

    private static void AddGateway(this WebApplicationBuilder builder)
    {
        builder.Services.AddValidated<GatewayOptions, GatewayOptionsValidator>(GatewayOptions.SectionName);
        builder.Services.AddSingleton<IValidateOptions<GatewayOptions>, GrantsWithinWindow>();
        builder.Services.AddValidated<RoutingOptions, RoutingOptionsValidator>(RoutingOptions.SectionName);
        builder.Services.AddValidated<RequestTraceOptions, RequestTraceOptionsValidator>(RequestTraceOptions.SectionName);
        builder.Services.AddSingleton<SourceOrders>();
        builder.Services.AddSingleton<ModelList>();
        builder.Services.AddSingleton<RequestTraces>();
        builder.Services.AddSingleton<PieceRoom>();
        builder.Services.AddSingleton<LeaseDispatcher>();
        builder.Services.AddSingleton<DirectLeases>();
        builder.Services.AddSingleton<Abandonments>();
        builder.Services.AddSingleton<InferenceGate>();
        builder.Services.AddValidated<IdempotencyOptions, IdempotencyOptionsValidator>(IdempotencyOptions.SectionName);
        builder.Services.AddSingleton<GivenAnswers>();
        builder.Services.AddHostedService<PurgeService>();
        builder.Services.AddSingleton<TranslatedApi>();
        builder.Services.AddValidated<ResponsesOptions, ResponsesOptionsValidator>(ResponsesOptions.SectionName);
        builder.Services.AddSingleton<ResponseStore>();
        builder.Services.AddHostedService<ResponseSweep>();
        builder.Services.AddSingleton<Settlements>();
        builder.Services.AddHostedService(services => services.GetRequiredService<Settlements>());
    }

    private static void ListenOn(this WebApplicationBuilder builder, ListenSettings listen)
    {
        var gateway = builder.Read<GatewayOptions>(GatewayOptions.SectionName);
        var https = listen.HasTls ? ReadCertificate(listen) : null;
        // Kestrel would hand each read and write to another thread first. What runs here never blocks, and a change of thread costs more than most of it.
        builder.WebHost.UseSockets(sockets => sockets.UnsafePreferInlineScheduling = true);
        builder.Services.AddSingleton<IMemoryPoolFactory<byte>>(new SocketMemory.Factory());
        builder.WebHost.ConfigureKestrel(kestrel =>
        {
            kestrel.AddServerHeader = false;
            kestrel.Limits.MaxRequestBodySize = gateway.MaxBodyBytes;
            kestrel.Limits.RequestHeadersTimeout = gateway.HeadTimeout;
            kestrel.Limits.MinRequestBodyDataRate = gateway.MinBodyBytesPerSecond > 0 ? new MinDataRate(gateway.MinBodyBytesPerSecond, gateway.BodyGrace) : null;
            // A connection that went dead is noticed without waiting for TCP. The server looks once a second and adds another to each, so a node's line that owes an answer is watched more closely (LineWatch).
            kestrel.Limits.Http2.KeepAlivePingDelay = TimeSpan.FromSeconds(1);
            kestrel.Limits.Http2.KeepAlivePingTimeout = TimeSpan.FromSeconds(2.5);
            kestrel.Listen(listen.Api, endpoint =>
            {
                endpoint.Protocols = listen.HasTls ? HttpProtocols.Http1AndHttp2 : HttpProtocols.Http1;
                // Before it is decrypted: half a record says nothing behind that.
                if (listen.NodeLink is null) endpoint.Use(HearBytes);
                if (https is not null) endpoint.UseHttps(https);
            });
            if (listen.NodeLink is null) return;
            kestrel.Listen(listen.NodeLink, endpoint =>
            {
                endpoint.Protocols = HttpProtocols.Http2;
                endpoint.Use(HearBytes);
            });

            ConnectionDelegate HearBytes(ConnectionDelegate next) => connection =>
            {
                HeardBytes.Attach(connection, kestrel.ApplicationServices.GetRequiredService<TimeProvider>());
                return next(connection);
            };
        });
    }

    /// <exception cref="InvalidDataException">The files are not what they should be.</exception>
    private static HttpsConnectionAdapterOptions ReadCertificate(ListenSettings listen)
    {
        try
        {
            // The whole chain is sent: clients know the authority at its end, seldom what lies between.
            var chain = new X509Certificate2Collection();
            chain.ImportFromPemFile(listen.Certificate!);
            return new HttpsConnectionAdapterOptions { ServerCertificate = X509Certificate2.CreateFromPemFile(listen.Certificate!, listen.CertificateKey), ServerCertificateChain = chain };
        }
        catch (CryptographicException exception)
        {
            throw new InvalidDataException($"{listen.Certificate} and {listen.CertificateKey} are not a certificate chain and its key in PEM: {exception.Message}", exception);
        }
    }

    /// <summary>Options that are needed before there are services. What cannot be read counts as absent: <see cref="RequireGoodSettings"/> names it.</summary>
    private static TOptions Read<TOptions>(this WebApplicationBuilder builder, string section)
        where TOptions : class, new()
    {
        try
        {
            var options = new TOptions();
            Settings.Bind(builder.Configuration.GetSection(section), options);
            return options;
        }
        catch (InvalidOperationException)
        {
            return new TOptions();
        }
    }

    /// <exception cref="OptionsValidationException">Some are wrong; it names all of them.</exception>
    private static void RequireGoodSettings(this WebApplicationBuilder builder, IConfiguration? file)
    {
        var sections = builder.Services.Select(service => service.ImplementationInstance).OfType<SettingsSection>().ToList();
        var unknown = file is null ? [] : Settings.UnknownSections(sections, file);
        if (unknown.Concat(Settings.Problems(sections, builder.Configuration)).ToList() is { Count: > 0 } problems) throw new OptionsValidationException("settings", typeof(Settings), problems);
    }

    private static void AddValidated<TOptions, TValidator>(this IServiceCollection services, string section)
        where TOptions : class, new()
        where TValidator : class, IValidateOptions<TOptions>, new()
    {
        services.AddSingleton(SettingsSection.Of<TOptions, TValidator>(section));
        services.AddSingleton<IValidateOptions<TOptions>, TValidator>();
        services.AddOptions<TOptions>().Configure<IConfiguration>((options, configuration) => Settings.Bind(configuration.GetSection(section), options)).ValidateOnStart();
    }
}
