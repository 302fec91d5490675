using System.Collections.Immutable;
using Federation.Protocol.Receipts;
using Federation.Silo.Gateway;
using Federation.Silo.Hubs;
using Federation.Silo.Verification.Sampling;

namespace Federation.Silo.Verification.Epochs;

/// <summary>What anybody needs to recompute an epoch's root and its draw. Public: it names receipts by their hashes alone.</summary>
internal static class EpochEndpoints
{
    private const int EpochsMax = 1_000;

    public static void MapEpochs(this IEndpointRouteBuilder app)
    {
        var epochs = app.MapGroup("/v1/epochs").WithTags("verification");
        epochs.MapGet("", ListAsync)
            .WithName("list_epochs").WithSummary("The epochs, the newest first: each hour's root over its receipts, and its beacon.").Produces<ListJson<EpochJson>>();
        epochs.MapGet("/{epoch:long}", GetAsync)
            .WithName("get_epoch").WithSummary("One epoch, as the hub has signed it.").Produces<EpochJson>();
        epochs.MapGet("/{epoch:long}/receipts", ListReceiptsAsync)
            .WithName("list_epoch_receipts").WithSummary("The receipts under an epoch's root, with their audit rates.").Produces<ListJson<EpochReceiptJson>>();
        epochs.MapGet("/{epoch:long}/receipts/{id}", GetReceiptAsync)
            .WithName("get_epoch_receipt").WithSummary("One receipt's place under its epoch's root, with its path.").Produces<MerklePathJson>();
    }

    private static async Task<IResult> ListAsync(HttpContext http, EpochStore store, HubIdentity hub, long? before, int? limit)
    {
        if (limit is < 1 or > EpochsMax) return Answers.Error(OpenAiError.BadRequest($"'limit' must be 1 to {EpochsMax}.", "limit"));
        var rows = await store.ListAsync(before ?? long.MaxValue, limit ?? 48, http.RequestAborted);
        return Answers.Json(new ListJson<EpochJson>([.. rows.Select(row => EpochJson.Of(row, hub))]));
    }

    private static async Task<IResult> GetAsync(HttpContext http, EpochStore store, HubIdentity hub, long epoch)
        => await store.FindAsync(epoch, http.RequestAborted) is { } row ? Answers.Json(EpochJson.Of(row, hub)) : NoEpoch(epoch);

    private static async Task<IResult> ListReceiptsAsync(HttpContext http, EpochStore store, long epoch, string? after, int? limit)
    {
        if (limit is < 1 or > EpochStore.ListMax) return Answers.Error(OpenAiError.BadRequest($"'limit' must be 1 to {EpochStore.ListMax}.", "limit"));
        if (await store.FindAsync(epoch, http.RequestAborted) is not { } row) return NoEpoch(epoch);
        if (row.State is EpochState.Open) return NotClosed(epoch);
        var leaves = await store.ListLeavesAsync(epoch, after ?? string.Empty, limit ?? 1_000, http.RequestAborted);
        return Answers.Json(new ListJson<EpochReceiptJson>([.. leaves.Select(leaf => EpochReceiptJson.Of(leaf, row))]));
    }

    private static async Task<IResult> GetReceiptAsync(HttpContext http, EpochStore store, long epoch, string id)
    {
        if (await store.FindAsync(epoch, http.RequestAborted) is not { } row) return NoEpoch(epoch);
        if (row.State is EpochState.Open) return NotClosed(epoch);
        if (await store.FindEpochOfAsync(id, http.RequestAborted) != epoch) return Answers.Error(OpenAiError.NotFound($"Epoch {epoch} has no receipt '{id}'."));
        var leaves = await store.ListLeavesAsync(epoch, string.Empty, int.MaxValue, http.RequestAborted);
        var index = leaves.Select(leaf => EarningStore.Name(leaf.Id)).ToImmutableArray().BinarySearch(id, StringComparer.Ordinal);
        return Answers.Json(new MerklePathJson(
            epoch, Convert.ToHexStringLower(row.Root), leaves.Length, index, EpochReceiptJson.Of(leaves[index], row), [.. EpochTree.Path(leaves, index).Select(Convert.ToHexStringLower)]));
    }

    private static IResult NoEpoch(long epoch) => Answers.Error(OpenAiError.NotFound($"There is no epoch {epoch}."));

    private static IResult NotClosed(long epoch) => Answers.Error(new OpenAiError(409, "invalid_request_error", "epoch_open", $"Epoch {epoch} is not closed yet; its root will cover what it has then."));
}

/// <summary>One epoch as anybody sees it. Bytes are hexadecimal; the public key and the signature are base64.</summary>
internal sealed record EpochJson(
    long Epoch, DateTimeOffset Begins, string State, string Commitment, DateTimeOffset CommittedAt, string? Root, long? Receipts, DateTimeOffset? RootedAt, string? Secret, string? Beacon,
    DateTimeOffset? RevealedAt, string HubId, string HubPublicKey, string? Signature)
{
    public static EpochJson Of(EpochRow row, HubIdentity hub)
    {
        var (isRooted, isRevealed) = (row.State is not EpochState.Open, row.State is EpochState.Revealed);
        return new EpochJson(
            row.Epoch,
            EpochClosing.BeginOf(row.Epoch),
            row.State.ToString().ToLowerInvariant(),
            Convert.ToHexStringLower(row.Commitment),
            row.CommittedAt,
            isRooted ? Convert.ToHexStringLower(row.Root) : null,
            isRooted ? row.Receipts : null,
            row.RootedAt,
            isRevealed ? Convert.ToHexStringLower(row.Secret) : null,
            isRevealed ? Convert.ToHexStringLower(row.Beacon) : null,
            row.RevealedAt,
            hub.Id.ToString(),
            Convert.ToBase64String(hub.PublicKey.Span),
            isRooted ? Convert.ToBase64String(row.Signature) : null);
    }
}

/// <summary>One receipt of an epoch; whether it is audited is known once the beacon is.</summary>
internal sealed record EpochReceiptJson(string Id, int RateMillionths, bool? Audited)
{
    public static EpochReceiptJson Of(EpochLeaf leaf, EpochRow epoch) => new(
        EarningStore.Name(leaf.Id),
        leaf.RateMillionths,
        epoch.State is EpochState.Revealed ? AuditDraw.IsDrawn(epoch.Beacon, leaf.Id.AsSpan(), new AuditRate(leaf.RateMillionths)) : null);
}

/// <summary>The proof that a receipt is in an epoch's root: siblings from the lowest up.</summary>
internal sealed record MerklePathJson(long Epoch, string Root, int Receipts, int Index, EpochReceiptJson Receipt, ImmutableArray<string> Path);
