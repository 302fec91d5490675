using System.Collections.Concurrent;
using System.Collections.Immutable;
using Dapper;
using Federation.Contracts.Nodes;
using Federation.Silo.Storage;
using Microsoft.Extensions.Options;
using static Federation.Silo.Storage.UnixTime;

namespace Federation.Silo.Verification.Benchmarks;

/// <summary>What benchmarks measured, on record: of each node and model the last.</summary>
internal sealed class SpeedStore(HubDatabase database)
{
    private const int NodesMax = 10_000;

    /// <summary>What a model is compared by: the digest of its weights, or its name where the engine does not tell it.</summary>
    public static string WeightsOf(string digest, string name) => digest.Length > 0 ? digest : name;

    /// <summary>Writes a node's speed.</summary>
    public static SqlStatement Write(string nodeId, string hardwareClass, SpeedReport speed, DateTimeOffset now) => new(
        """
        INSERT INTO node_speeds (node_id, weights, model, hardware_class, prompt_ns, token_ns, measured_at)
        VALUES (@NodeId, @Weights, @Model, @HardwareClass, @PromptNanoseconds, @TokenNanoseconds, @Now)
        ON CONFLICT (node_id, weights) DO UPDATE SET model = excluded.model, hardware_class = excluded.hardware_class, prompt_ns = excluded.prompt_ns, token_ns = excluded.token_ns,
          measured_at = excluded.measured_at
        """,
        new { NodeId = nodeId, speed.Weights, speed.Model, HardwareClass = hardwareClass, speed.PromptNanoseconds, speed.TokenNanoseconds, Now = Ms(now) });

    /// <summary>Of trusted nodes of a class with a model, those measured since then.</summary>
    public Task<ImmutableArray<MeasuredSpeed>> ListAsync(string hardwareClass, string weights, DateTimeOffset since, CancellationToken cancellationToken) => database.ReadAsync(
        async connection => (await connection.QueryAsync<(string AccountId, long Prompt, long Token)>(
            """
            SELECT n.account_id, s.prompt_ns, s.token_ns FROM node_speeds s JOIN nodes n ON n.id = s.node_id
            WHERE s.hardware_class = @hardwareClass AND s.weights = @weights AND s.measured_at >= @since AND n.standing = 'trusted' ORDER BY s.measured_at DESC LIMIT @NodesMax
            """,
            new { hardwareClass, weights, since = Ms(since), NodesMax })).Select(row => new MeasuredSpeed(row.AccountId, TimesOf(row.Prompt, row.Token))).ToImmutableArray(),
        cancellationToken);

    /// <summary>What a node was measured at, by model.</summary>
    public Task<ImmutableArray<(string Model, string Weights, string HardwareClass, TokenTimes Times, DateTimeOffset At)>> ListOfAsync(string nodeId, int limit, CancellationToken cancellationToken)
        => database.ReadAsync(
            async connection => (await connection.QueryAsync<(string Model, string Weights, string HardwareClass, long Prompt, long Token, long At)>(
                "SELECT model, weights, hardware_class, prompt_ns, token_ns, measured_at FROM node_speeds WHERE node_id = @nodeId ORDER BY measured_at DESC, weights LIMIT @limit", new { nodeId, limit }))
                .Select(row => (row.Model, row.Weights, row.HardwareClass, TimesOf(row.Prompt, row.Token), At(row.At))).ToImmutableArray(),
            cancellationToken);

    private static TokenTimes TimesOf(long promptNanoseconds, long tokenNanoseconds) => new(promptNanoseconds / 1e3, tokenNanoseconds / 1e3);
}

/// <summary>The speeds that work is paid by: medians of verified nodes where there are enough of them, configured figures elsewhere.</summary>
internal sealed class ReferenceSpeeds(SpeedStore store, HardwareClasses classes, ModelSizes sizes, IOptions<BenchmarkOptions> options, TimeProvider time)
{
    private const int KnownMax = 8_192;

    private readonly ConcurrentDictionary<(string HardwareClass, string Weights), Reading> _known = new();

    /// <summary>The reference speed of a class with a model, for a payee; see <see cref="SpeedRules"/>.</summary>
    /// <param name="hardwareClass">A class; an unknown one counts as the fallback.</param>
    /// <param name="weights">The model, see <see cref="SpeedStore.WeightsOf"/>.</param>
    /// <param name="claimedBytes">Size of its weights as the payee's node tells it; 0 when it does not. What of that counts is <see cref="ModelSizes"/>'s to say.</param>
    /// <param name="payee">Whose pay it sets.</param>
    /// <param name="cancellationToken">Stops the wait.</param>
    public async ValueTask<ReferenceSpeed> FindAsync(string hardwareClass, string weights, long claimedBytes, string payee, CancellationToken cancellationToken)
    {
        var bytes = await sizes.CountedAsync(weights, claimedBytes, payee, cancellationToken);
        return await ReferenceAsync(hardwareClass, weights, bytes, payee, cancellationToken);
    }

    /// <summary>What work with a model is paid by, for a payee: by the references of his class and of every better one.</summary>
    /// <inheritdoc cref="FindAsync"/>
    public async ValueTask<PayRate> PayRateAsync(string hardwareClass, string weights, long claimedBytes, string payee, CancellationToken cancellationToken)
    {
        var bytes = await sizes.CountedAsync(weights, claimedBytes, payee, cancellationToken);
        var own = await ReferenceAsync(hardwareClass, weights, bytes, payee, cancellationToken);
        var better = new List<(HardwareClass, TokenTimes)>();
        foreach (var other in classes.NotBelow(hardwareClass)) better.Add((other, (await ReferenceAsync(other.Name, weights, bytes, payee, cancellationToken)).Times));
        return PayRate.Of(classes.Find(hardwareClass), own.Times, better) with { ModelBytes = bytes };
    }

    private async ValueTask<ReferenceSpeed> ReferenceAsync(string hardwareClass, string weights, long bytes, string payee, CancellationToken cancellationToken)
    {
        var measured = await Measured(hardwareClass, weights).WaitAsync(cancellationToken);
        return SpeedRules.Reference(measured, payee, classes.TimesOf(hardwareClass, bytes), options.Value) with { ModelBytes = bytes };
    }

    /// <summary>What was read a while ago at most; whoever is the first to want it anew reads for all who come meanwhile.</summary>
    private Task<AccountSpeeds> Measured(string hardwareClass, string weights)
    {
        while (true)
        {
            if (_known.TryGetValue((hardwareClass, weights), out var known) && !known.HasFailed && time.GetElapsedTime(known.BeganAt) < options.Value.MedianAge) return known.Speeds.Value;
            // Names of models are the nodes' own: nobody fills this silo's memory with them.
            if (_known.Count >= KnownMax) _known.Clear();
            // Away from the grain that happens to ask: others wait for it too.
            var next = new Reading(new Lazy<Task<AccountSpeeds>>(() => Task.Run(() => ReadAsync(hardwareClass, weights))), time.GetTimestamp());
            if (known is null ? _known.TryAdd((hardwareClass, weights), next) : _known.TryUpdate((hardwareClass, weights), next, known)) return next.Speeds.Value;
        }
    }

    private async Task<AccountSpeeds> ReadAsync(string hardwareClass, string weights)
        => AccountSpeeds.Of(await store.ListAsync(hardwareClass, weights, time.GetUtcNow() - options.Value.MeasurementAge, CancellationToken.None));

    private sealed record Reading(Lazy<Task<AccountSpeeds>> Speeds, long BeganAt)
    {
        /// <summary>It is no answer for anybody who did not wait for it.</summary>
        public bool HasFailed => Speeds is { IsValueCreated: true, Value: { IsCompleted: true, IsCompletedSuccessfully: false } };
    }
}
