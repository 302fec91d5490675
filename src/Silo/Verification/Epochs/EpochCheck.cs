using System.Collections.Immutable;
using System.Globalization;
using System.Text.Json;
using Federation.Protocol.Identity;
using Federation.Protocol.Receipts;
using Federation.Silo.Gateway;
using Federation.Silo.Verification.Sampling;

namespace Federation.Silo.Verification.Epochs;

/// <summary>An epoch with all its receipts: what it takes to recompute root and draw offline.</summary>
internal sealed record EpochFile(EpochJson Epoch, ImmutableArray<EpochReceiptJson> Receipts)
{
    /// <summary>Longest file that is read, bytes: some four million receipts.</summary>
    public const long MaxBytes = 512L * 1024 * 1024;

    /// <summary>Reads the file.</summary>
    /// <exception cref="FormatException">It is no such file.</exception>
    public static EpochFile Read(ReadOnlySpan<byte> file)
    {
        try
        {
            return JsonSerializer.Deserialize<EpochFile>(file, Answers.Options) is { Epoch: { Commitment: not null, HubId: not null, HubPublicKey: not null }, Receipts.IsDefault: false } read
                && read.Receipts.All(receipt => receipt?.Id is not null)
                    ? read
                    : throw new FormatException("The file lacks the epoch, its commitment, its hub, or its receipts.");
        }
        catch (JsonException exception)
        {
            throw new FormatException($"The file is no epoch in JSON: {exception.Message}", exception);
        }
    }
}

/// <summary>Recomputes what a hub says of an epoch. Pure.</summary>
internal static class EpochCheck
{
    /// <summary>What is wrong, a sentence each; empty when nothing is.</summary>
    public static ImmutableArray<string> Problems(EpochFile file)
    {
        var problems = ImmutableArray.CreateBuilder<string>();
        var (epoch, commitment) = (file.Epoch, Bytes(file.Epoch.Commitment));
        if (commitment is not { Length: EpochSecret.Bytes }) problems.Add("The commitment is not 32 bytes in hexadecimal.");
        if (epoch.Root is null) return [.. problems, "The epoch is not closed: it has no root yet."];
        if (Leaves(file.Receipts, problems) is { } leaves) CheckRoot(epoch, leaves, commitment ?? [], problems);
        if (epoch.Secret is null || epoch.Beacon is null) problems.Add("The beacon is not revealed yet, so nothing can be said of the draw.");
        else CheckDraw(file, Bytes(epoch.Secret) ?? [], Bytes(epoch.Beacon) ?? [], commitment ?? [], problems);
        return problems.ToImmutable();
    }

    private static void CheckRoot(EpochJson epoch, List<EpochLeaf> leaves, byte[] commitment, ImmutableArray<string>.Builder problems)
    {
        if (epoch.Receipts != leaves.Count) problems.Add(Format($"The hub says that the root covers {epoch.Receipts} receipts; there are {leaves.Count}."));
        var root = EpochTree.Root(leaves);
        if (!root.AsSpan().SequenceEqual(Bytes(epoch.Root!))) problems.Add($"The receipts' root is {Convert.ToHexStringLower(root)}, not {epoch.Root}.");
        var (key, signature) = (Base64(epoch.HubPublicKey), Base64(epoch.Signature ?? string.Empty));
        if (!PublicKeys.IsValid(key)) problems.Add("The hub's public key is no ECDSA P-256 key.");
        else if (HubId.FromPublicKey(key).ToString() != epoch.HubId) problems.Add($"The hub's public key is that of {HubId.FromPublicKey(key)}, not of {epoch.HubId}.");
        else if (!PublicKeys.Verify(key, EpochTree.SigningBytes(epoch.Epoch, epoch.Receipts ?? 0, commitment, Bytes(epoch.Root!) ?? []), signature))
            problems.Add("The hub's signature is not that key's over this epoch, its commitment, its root and its number of receipts.");
    }

    private static void CheckDraw(EpochFile file, byte[] secret, byte[] beacon, byte[] commitment, ImmutableArray<string>.Builder problems)
    {
        if (!EpochSecret.Commitment(file.Epoch.Epoch, secret).AsSpan().SequenceEqual(commitment)) problems.Add("The secret is not the one that was committed to.");
        if (!EpochSecret.Beacon(file.Epoch.Epoch, secret).AsSpan().SequenceEqual(beacon)) problems.Add("The beacon is not made from the secret.");
        foreach (var receipt in file.Receipts)
        {
            if (Bytes(receipt.Id) is not { Length: 32 } id || receipt.RateMillionths is < 0 or > AuditRate.One) continue;
            var isDrawn = AuditDraw.IsDrawn(beacon, id, new AuditRate(receipt.RateMillionths));
            if (receipt.Audited != isDrawn) problems.Add($"Receipt {receipt.Id} is {(isDrawn ? "drawn" : "not drawn")} by the beacon; the hub says {(receipt.Audited is null ? "nothing" : "otherwise")}.");
        }
    }

    private static List<EpochLeaf>? Leaves(ImmutableArray<EpochReceiptJson> receipts, ImmutableArray<string>.Builder problems)
    {
        var leaves = new List<EpochLeaf>(receipts.Length);
        var before = string.Empty;
        foreach (var receipt in receipts)
        {
            var id = Bytes(receipt.Id);
            if (id is not { Length: 32 })
            {
                problems.Add($"'{receipt.Id}' is no receipt's id.");
                continue;
            }
            if (string.CompareOrdinal(before, receipt.Id) >= 0) problems.Add($"Receipt {receipt.Id} stands out of order, or twice.");
            else if (receipt.RateMillionths is < 0 or > AuditRate.One) problems.Add(Format($"Receipt {receipt.Id} has the rate {receipt.RateMillionths}, which is not 0 to {AuditRate.One}."));
            else leaves.Add(new EpochLeaf([.. id], receipt.RateMillionths));
            before = receipt.Id;
        }
        return leaves.Count == receipts.Length ? leaves : null;
    }

    private static byte[]? Bytes(string hexadecimal) => hexadecimal.Length % 2 == 0 && hexadecimal.All(static c => char.IsAsciiHexDigitLower(c)) ? Convert.FromHexString(hexadecimal) : null;

    private static byte[] Base64(string text)
    {
        var bytes = new byte[text.Length];
        return Convert.TryFromBase64String(text, bytes, out var length) ? bytes[..length] : [];
    }

    private static string Format(FormattableString text) => text.ToString(CultureInfo.InvariantCulture);
}
