using System.Globalization;
using System.Text;
using Federation.Contracts.Jobs;
using Federation.Contracts.Nodes;
using Federation.Protocol.OpenAi;
using Federation.Silo.Gateway;
using Federation.Silo.Nodes;
using Federation.Silo.Storage;
using Federation.Silo.Verification.Audits;
using Federation.Silo.Verification.Challenges;
using Microsoft.Extensions.Options;

namespace Federation.Silo.Verification.Benchmarks;

/// <summary>What a benchmark found.</summary>
/// <param name="Model">With which model.</param>
/// <param name="Times">How fast the node was.</param>
/// <param name="HardwareClass">The best class whose reference it reaches; never above the one by matrix and memory challenges.</param>
/// <param name="Sentence">The measurement, in words.</param>
/// <param name="Answer">The last answer, to be audited.</param>
internal sealed record BenchmarkResult(ModelReport Model, TokenTimes Times, string HardwareClass, string Sentence, KeptAnswer Answer)
{
    /// <summary>As it is recorded.</summary>
    public SpeedReport Report => new(
        Model.Name, SpeedStore.WeightsOf(Model.Digest, Model.Name), Math.Max(1, (long)(Times.PromptMicroseconds * 1e3)), Math.Max(1, (long)(Times.TokenMicroseconds * 1e3)));
}

/// <summary>Why a benchmark has no result.</summary>
internal enum BenchmarkLack
{
    /// <summary>It has one.</summary>
    None,

    /// <summary>Nothing is asked: benchmarks are off, or the node has no chat model to ask, or none in whose context anything could be measured.</summary>
    NothingToAsk,

    /// <summary>The node was asked, and work came, or the answers decided nothing. Nobody's fault.</summary>
    Undecided,

    /// <summary>The node did not answer, though nothing but the benchmark was asked of it, or it paused in the midst of it.</summary>
    Refused,
}

/// <summary>
/// The inference benchmark (IB): a long prompt that nobody has seen and a greedy answer, timed by the hub. The time to the first token gives PP, the rest TG. It works wherever models run, without
/// a kernel of ours, and says what the other challenges cannot: whether the engine makes of the hardware what its class is paid for.
/// </summary>
/// <remarks>
/// It yields to work and then says nothing. The node is paid for it as for any job, and the answer is audited like one, so that a small model's speed is no way to a big one's. A slower class than the
/// hardware's takes two of three attempts, and a reference that was measured: configured figures are [uncalibrated], shown, and take no class.
/// </remarks>
internal sealed partial class InferenceBenchmark(
    OwnJobs jobs,
    Auditor auditor,
    SpeedStore store,
    ReferenceSpeeds speeds,
    HardwareClasses classes,
    IGrainFactory grains,
    IOptions<BenchmarkOptions> options,
    Random random,
    ILogger<InferenceBenchmark> logger)
{
    private const int AttemptsMax = 3;

    // Of a chat's template, and of what an engine keeps for itself.
    private const int ContextReserve = 64;

    // More characters a token than random words have, so that a long prompt is at least about as long as asked for.
    private const int CharactersPerToken = 3;

    /// <summary>
    /// Measures, or says why not. A node that was never measured is asked whether or not a model of its is in memory: its pay waits for it, and "not loaded" is no way around. Later a model that is not
    /// in memory is left where it is, which is the owner's.
    /// </summary>
    /// <param name="session">Its connection.</param>
    /// <param name="accountId">Its owner.</param>
    /// <param name="computeClass">Its class by matrix and memory challenges.</param>
    /// <param name="roundTrip">Taken off the time to the first token.</param>
    /// <param name="cancellationToken">Stops it.</param>
    public async Task<(BenchmarkResult? Result, BenchmarkLack Lack)> MeasureAsync(NodeSession session, string accountId, string computeClass, TimeSpan roundTrip, CancellationToken cancellationToken)
    {
        if (!options.Value.Enabled) return (null, BenchmarkLack.NothingToAsk);
        var mayLoad = (await store.ListOfAsync(session.NodeId, 1, cancellationToken)).IsEmpty;
        if (Choose(session.Report, mayLoad) is not { } chosen) return (null, BenchmarkLack.NothingToAsk);
        var attempts = new List<BenchmarkResult>();
        var (begun, asked, refused) = (session.LeasesBegun, 0, false);
        while (attempts.Count < AttemptsMax)
        {
            if (JobOf(session.NodeId, chosen.Engine, chosen.Model) is not { } job) return (null, BenchmarkLack.NothingToAsk);
            asked++;
            if (await jobs.AskAsync(job, cancellationToken) is not { } answer)
            {
                refused = session.LeasesBegun - begun == asked || !session.Report.AcceptsWork;
                break;
            }
            LogAsked(session.NodeId, answer.Outcome.PromptTokens, answer.Outcome.CompletionTokens);
            if (TimesOf(answer.Outcome, roundTrip, options.Value) is not { } times) break;
            var (hardwareClass, sentence) = await PlaceAsync(chosen.Model, times, accountId, computeClass, cancellationToken);
            attempts.Add(new BenchmarkResult(chosen.Model, times, hardwareClass, sentence, answer));
            if (IsDecided(attempts, computeClass)) break;
        }
        LogMeasured(session.NodeId, attempts.Count, attempts.Count > 0 ? attempts[^1].Sentence : "nothing was measured");
        return attempts.Count == AttemptsMax || IsDecided(attempts, computeClass)
            ? (attempts.OrderByDescending(attempt => classes.CreditsPerHour(attempt.HardwareClass)).ElementAt(Math.Min(1, attempts.Count - 1)), BenchmarkLack.None)
            : (null, refused ? BenchmarkLack.Refused : BenchmarkLack.Undecided);
    }

    /// <summary>Has the answer audited, as far as anybody can judge it now.</summary>
    public async Task AuditAsync(string nodeId, BenchmarkResult result, CancellationToken cancellationToken)
    {
        try
        {
            var grain = grains.GetGrain<INodeGrain>(nodeId);
            if (await grain.GetView() is not { } worker
                || await auditor.AuditAsync(result.Answer, worker, AuditSeed.Fresh(), cancellationToken, options.Value.AuditPositions) is not { } verdict) return;
            // Its prompt is like no client's. Whoever cheats clients alone answers it well, so it speaks against a node and never for one.
            var outcome = verdict.Outcome is AuditOutcome.Passed ? AuditOutcome.Inconclusive : verdict.Outcome;
            var report = new AuditReport($"benchmark:{result.Answer.Outcome.JobId}", "benchmark", outcome, string.Empty, result.Answer.Outcome.DeterminismClass, verdict.Finding, verdict.Evidence);
            await auditor.RecordAsync(grain, report, outcome is AuditOutcome.Inconclusive ? null : verdict.Judged, CancellationToken.None);
        }
        catch (Exception exception) when (exception is OrleansException or TimeoutException or StorageException)
        {
            // There are others.
            LogNotAudited(nodeId, exception);
        }
    }

    /// <summary>Whoever reaches its class needs no second attempt; a lesser class needs two that agree.</summary>
    internal static bool IsDecided(IReadOnlyList<BenchmarkResult> attempts, string computeClass)
        => attempts.Count == 1 ? attempts[0].HardwareClass == computeClass : attempts.DistinctBy(attempt => attempt.HardwareClass).Count() < attempts.Count;

    /// <summary>The best class that such times reach, and why.</summary>
    private async Task<(string HardwareClass, string Sentence)> PlaceAsync(ModelReport model, TokenTimes times, string accountId, string computeClass, CancellationToken cancellationToken)
    {
        var expected = await ReferenceAsync(computeClass);
        var (prompt, generation) = times.PerSecond;
        var (promptExpected, generationExpected) = expected.Times.PerSecond;
        var sentence = string.Create(
            CultureInfo.InvariantCulture,
            $"With {model.Name} it reads {prompt:0.#} and writes {generation:0.#} tokens a second; {computeClass} {promptExpected:0.#} and {generationExpected:0.#}");
        if (SpeedRules.Reaches(times, expected.Times, options.Value)) return (computeClass, $"{sentence}{Source(expected)}.");
        if (!expected.IsMeasured) return (computeClass, $"{sentence} by configured figures, which are not calibrated and take no class.");
        foreach (var candidate in classes.NotAbove(computeClass))
        {
            if (candidate.Name == classes.Fallback || SpeedRules.Reaches(times, (await ReferenceAsync(candidate.Name)).Times, options.Value)) return (candidate.Name, $"{sentence}{Source(expected)}.");
        }
        throw new InvalidOperationException("The fallback is among the classes.");

        ValueTask<ReferenceSpeed> ReferenceAsync(string name) => speeds.FindAsync(name, SpeedStore.WeightsOf(model.Digest, model.Name), model.SizeBytes, accountId, cancellationToken);

        static string Source(ReferenceSpeed reference) => reference.IsMeasured ? string.Create(CultureInfo.InvariantCulture, $", the median of {reference.Accounts} accounts' nodes") : " by configured figures";
    }

    /// <summary>What is asked; <see langword="null"/> when the model's context is too small to measure anything in it.</summary>
    private DirectLease? JobOf(string nodeId, EngineReport engine, ModelReport model)
    {
        var (_, completionTokens, characters) = Size(model.ContextLength, options.Value);
        if (completionTokens < options.Value.MinCompletionTokens) return null;
        var body = ChatBody.Greedy(model.Name, Text(characters), completionTokens);
        return new DirectLease(nodeId, engine, model, $"job_{Guid.CreateVersion7():N}", JobKind.Chat, body, Stream: true, options.Value.TimeLimit) { Yields = true };
    }

    /// <summary>Times a token by the hub's clock; <see langword="null"/> when the answer is too short to tell.</summary>
    internal static TokenTimes? TimesOf(JobOutcome outcome, TimeSpan roundTrip, BenchmarkOptions options)
    {
        if (outcome.PromptTokens < 1 || outcome.CompletionTokens < Math.Max(2, options.MinCompletionTokens)) return null;
        // A millisecond is what the hub's records tell apart.
        var first = TimeSpan.FromMilliseconds(Math.Max(1, outcome.FirstMs - outcome.DispatchMs));
        var reading = (first - RoundTrip.TakenOff(first, roundTrip, roundTrip)).TotalMilliseconds;
        var writing = Math.Max(1, outcome.LastMs - outcome.FirstMs);
        return new TokenTimes(reading * 1e3 / outcome.PromptTokens, writing * 1e3 / (outcome.CompletionTokens - 1));
    }

    /// <summary>How much is asked of a model with such a context: the whole where it fits, else both parts in proportion.</summary>
    /// <param name="context">The model's, tokens; 0 when unknown.</param>
    /// <param name="options">The whole.</param>
    internal static (int PromptTokens, int CompletionTokens, int Characters) Size(int context, BenchmarkOptions options)
    {
        var whole = options.PromptTokens + options.CompletionTokens;
        var room = context > 0 ? Math.Max(0, context - ContextReserve) : whole;
        var scale = Math.Min(1.0, room / (double)whole);
        var (prompt, completion) = ((int)(options.PromptTokens * scale), (int)(options.CompletionTokens * scale));
        // Whatever the tokenizer, a letter is at most one token: in that many the prompt fits.
        var fits = context > 0 ? Math.Max(prompt, room - completion) : int.MaxValue;
        return (prompt, completion, (int)Math.Min((long)prompt * CharactersPerToken, fits));
    }

    /// <summary>The pinned model, or one that the node holds in memory, or, if it may load one, any.</summary>
    private (EngineReport Engine, ModelReport Model)? Choose(NodeReport report, bool mayLoad)
    {
        var models = report.Engines.SelectMany(engine => engine.Models.Where(Chats).Select(model => (Engine: engine, Model: model))).ToArray();
        foreach (var name in options.Value.Models)
        {
            if (models.FirstOrDefault(candidate => candidate.Model.Name == name) is { Model: not null } pinned) return pinned;
        }
        var resident = models.Where(candidate => candidate.Model.Loaded).ToArray();
        var candidates = resident.Length == 0 && mayLoad ? models : resident;
        return options.Value.Models.Count > 0 || candidates.Length == 0 ? null : candidates[random.Next(candidates.Length)];
    }

    private static bool Chats(ModelReport model) => model.Capabilities.IsEmpty || model.Capabilities.Contains(JobKind.Chat.Word());

    /// <summary>Words that are none, fresh from their beginning.</summary>
    private string Text(int characters)
    {
        const string consonants = "bcdfghklmnprstvz";
        const string vowels = "aeiou";
        var text = new StringBuilder(characters);
        while (text.Length < characters)
        {
            if (text.Length > 0) text.Append(' ');
            for (var letters = random.Next(2, 8); letters > 0; letters--) text.Append(letters % 2 == 0 ? consonants[random.Next(consonants.Length)] : vowels[random.Next(vowels.Length)]);
        }
        text.Length = characters;
        return text.ToString();
    }

    [LoggerMessage(7310, LogLevel.Debug, "Node {NodeId}: a benchmark was {PromptTokens} tokens and gave {CompletionTokens}")]
    private partial void LogAsked(string nodeId, long promptTokens, long completionTokens);

    [LoggerMessage(7311, LogLevel.Information, "Node {NodeId}: inference benchmark in {Attempts} attempts: {Sentence}")]
    private partial void LogMeasured(string nodeId, int attempts, string sentence);

    [LoggerMessage(7312, LogLevel.Warning, "Node {NodeId}: the answer of a benchmark could not be audited")]
    private partial void LogNotAudited(string nodeId, Exception exception);
}
