using System.Collections.Frozen;
using Federation.Contracts.Nodes;
using Federation.Silo.Accounts;
using Federation.Silo.Hubs;
using Microsoft.Extensions.Options;

namespace Federation.Silo.Verification;

/// <summary>
/// How large a model counts for pay. Pay grows with the bytes of the weights, and those are what nodes say of themselves: a node's own word raises its pay only as far as others who have earned
/// trust say the same, or up to <see cref="HardwareClassOptions.UnvouchedModelBytes"/>.
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
            _known = known = new Known(VouchedSizes.Of(nodes), time.GetTimestamp());
        }
        return known.Sizes.Counted(weights, claimed, payee, options.Value.UnvouchedModelBytes);
    }

    private sealed record Known(VouchedSizes Sizes, long ReadAt);
}

/// <summary>What trusted nodes, and the operator's own, say of the size of models. Pure.</summary>
internal sealed class VouchedSizes
{
    private readonly FrozenDictionary<string, Least> _least;

    private VouchedSizes(IEnumerable<KeyValuePair<string, Least>> least) => _least = least.ToFrozenDictionary(StringComparer.Ordinal);

    /// <summary>Of these nodes. A model counts under its digest and under its name, so that leaving out the digest hides from nobody.</summary>
    public static VouchedSizes Of(IEnumerable<NodeView> nodes)
    {
        var least = new Dictionary<string, Least>(StringComparer.Ordinal);
        foreach (var node in nodes.Where(MayVouch))
        {
            foreach (var model in node.Report!.Engines.SelectMany(engine => engine.Models).Where(model => model.SizeBytes > 0))
            {
                Add(model.Name, node.AccountId, model.SizeBytes);
                if (model.Digest.Length > 0 && model.Digest != model.Name) Add(model.Digest, node.AccountId, model.SizeBytes);
            }
        }
        return new VouchedSizes(least);

        void Add(string weights, string account, long bytes) => least[weights] = least.TryGetValue(weights, out var known) ? known.With(account, bytes) : new Least(account, bytes, null);
    }

    /// <summary>The bytes that count for a payee: never more than he claims, and never more than the least that another account vouches for; where none does, at most a bound.</summary>
    /// <param name="weights">The model.</param>
    /// <param name="claimed">The payee's own word; 0 when he tells nothing, and then the others' counts.</param>
    /// <param name="payee">His account, which vouches for nothing of its own.</param>
    /// <param name="unvouchedMax">The bound.</param>
    public long Counted(string weights, long claimed, string payee, long unvouchedMax)
    {
        var vouched = _least.TryGetValue(weights, out var least) ? least.Without(payee) : null;
        return claimed > 0 ? Math.Min(claimed, vouched ?? unvouchedMax) : vouched ?? 0;
    }

    private static bool MayVouch(NodeView node) => node is { Connected: true, Report: not null }
        && (node.Standing is Standing.Trusted || (node.Standing is Standing.Probation && node.AccountId == OperatorAccount.AccountId));

    /// <summary>The least, who says so, and the least that anybody else says: enough to leave out any one account.</summary>
    private readonly record struct Least(string Account, long Bytes, long? Others)
    {
        public Least With(string account, long bytes) => bytes < Bytes
            ? new Least(account, bytes, account == Account ? Others : Bytes)
            : account == Account ? this : this with { Others = Math.Min(bytes, Others ?? long.MaxValue) };

        public long? Without(string account) => account == Account ? Others : Bytes;
    }
}
