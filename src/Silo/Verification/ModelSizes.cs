using System.Collections.Frozen;
using System.Collections.Immutable;
using Federation.Contracts.Nodes;
using Federation.Silo.Accounts;
using Federation.Silo.Hubs;
using Microsoft.Extensions.Options;

namespace Federation.Silo.Verification;

/// <summary>
/// How large a model counts for pay. Pay grows with the bytes of the weights, and those are what nodes say of themselves: a node's own word raises its pay only as far as the operator, or enough
/// others who have earned trust, say the same, or up to <see cref="HardwareClassOptions.UnvouchedModelBytes"/>.
/// </summary>
internal sealed class ModelSizes(HubDirectoryView directory, IOptions<HardwareClassOptions> options, TimeProvider time)
{
    private volatile Known? _known;

    /// <summary>The bytes that count, 0 when nobody tells any; see <see cref="VouchedSizes.Counted"/>.</summary>
    /// <param name="weights">The model, see <see cref="Benchmarks.SpeedStore.WeightsOf"/>.</param>
    /// <param name="claimed">What the payee's node says; 0 when it does not.</param>
    /// <param name="payee">Whose pay it sets.</param>
    /// <param name="cancellationToken">Stops the wait.</param>
    public async ValueTask<long> CountedAsync(string weights, long claimed, string payee, CancellationToken cancellationToken)
    {
        var known = _known;
        if (known is null || time.GetElapsedTime(known.ReadAt) >= options.Value.VouchedSizesAge)
        {
            var nodes = (await directory.GetAsync(cancellationToken)).Nodes;
            _known = known = new Known(VouchedSizes.Of(nodes, options.Value.ModelBytes), time.GetTimestamp());
        }
        return known.Sizes.Counted(weights, claimed, payee, options.Value);
    }

    private sealed record Known(VouchedSizes Sizes, long ReadAt);
}

/// <summary>What the operator's catalog, his nodes, and trusted ones say of the size of models. Pure.</summary>
internal sealed class VouchedSizes
{
    /// <summary>As far apart as honest words on one name are: weights of eight bits and of four.</summary>
    private const int LoneVoiceDivisor = 2;

    private readonly FrozenDictionary<string, ImmutableArray<(string Account, long Bytes)>> _voices;
    private readonly IReadOnlyDictionary<string, long> _catalog;

    private VouchedSizes(Dictionary<string, Dictionary<string, long>> voices, IReadOnlyDictionary<string, long> catalog)
    {
        // The smallest first.
        _voices = voices.ToFrozenDictionary(model => model.Key, model => model.Value.Select(voice => (voice.Key, voice.Value)).OrderBy(voice => voice.Value).ToImmutableArray(), StringComparer.Ordinal);
        _catalog = catalog;
    }

    /// <summary>Of these nodes. A model counts under its digest and under its name, so that leaving out the digest hides from nobody. An account has one voice, the least that its nodes say.</summary>
    public static VouchedSizes Of(IEnumerable<NodeView> nodes, IReadOnlyDictionary<string, long> catalog)
    {
        var voices = new Dictionary<string, Dictionary<string, long>>(StringComparer.Ordinal);
        foreach (var node in nodes.Where(MayVouch))
        {
            foreach (var model in node.Report!.Engines.SelectMany(engine => engine.Models).Where(model => model.SizeBytes > 0))
            {
                Add(model.Name, node.AccountId, model.SizeBytes);
                if (model.Digest.Length > 0 && model.Digest != model.Name) Add(model.Digest, node.AccountId, model.SizeBytes);
            }
        }
        return new VouchedSizes(voices, catalog);

        void Add(string weights, string account, long bytes)
        {
            if (!voices.TryGetValue(weights, out var said)) voices[weights] = said = new(StringComparer.Ordinal);
            said[account] = said.TryGetValue(account, out var least) ? Math.Min(least, bytes) : bytes;
        }
    }

    /// <summary>
    /// The bytes that count for a payee, never more than he claims: the operator's word, by catalog or by his nodes, where there is one; else the median of what enough other accounts say, so that
    /// few can neither raise nor lower it; else at most a bound, and at most the middle of what others say, of two the larger so that one of them alone lowers nothing. A single other has no witness
    /// either: he at most halves what counts by the payee's own word.
    /// </summary>
    /// <param name="weights">The model.</param>
    /// <param name="claimed">The payee's own word; 0 when he tells nothing, and then the others' counts.</param>
    /// <param name="payee">His account, which vouches for nothing of its own.</param>
    /// <param name="options">How many are enough, and the bound.</param>
    public long Counted(string weights, long claimed, string payee, HardwareClassOptions options)
    {
        var others = _voices.TryGetValue(weights, out var voices) ? voices.Where(voice => voice.Account != payee).ToArray() : [];
        var unwitnessed = Math.Min(claimed, options.UnvouchedModelBytes);
        long? vouched = _catalog.TryGetValue(weights, out var listed) ? listed
            : others.FirstOrDefault(voice => voice.Account == OperatorAccount.AccountId) is { Account: not null } own ? own.Bytes
            : others.Length >= options.VouchingAccounts ? others[(others.Length - 1) / 2].Bytes
            : others is [var lone] ? Math.Min(Math.Max(lone.Bytes, unwitnessed / LoneVoiceDivisor), options.UnvouchedModelBytes)
            : others.Length > 0 ? Math.Min(others[others.Length / 2].Bytes, options.UnvouchedModelBytes)
            : null;
        return claimed > 0 ? Math.Min(claimed, vouched ?? options.UnvouchedModelBytes) : vouched ?? 0;
    }

    private static bool MayVouch(NodeView node) => node is { Connected: true, Report: not null }
        && (node.Standing is Standing.Trusted || (node.Standing is Standing.Probation && node.AccountId == OperatorAccount.AccountId));
}
