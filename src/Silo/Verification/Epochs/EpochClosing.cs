using System.Security.Cryptography;
using Federation.Silo.Hubs;
using Federation.Silo.Verification.Sampling;
using Microsoft.Extensions.Options;

namespace Federation.Silo.Verification.Epochs;

/// <summary>
/// Takes epochs through their life: committed to before they begin, rooted after they end, revealed after they are rooted. Every silo may do it at any time; each
/// step happens once.
/// </summary>
/// <remarks>
/// An epoch's root covers the receipts that both had signed before its end and that are in no earlier root. That is nearly always the epoch the receipt itself names,
/// the hour its work ended in; a receipt that a node signs a day later is rooted a day later.
/// </remarks>
internal sealed partial class EpochClosing(EpochStore store, HubIdentity hub, IOptions<EpochOptions> options, TimeProvider time, ILogger<EpochClosing> logger)
{
    /// <summary>Milliseconds of an epoch.</summary>
    public const long EpochMs = 3_600_000;

    // A hub that was away finds a few at once; the others come at the next looks.
    private const int EpochsPerLook = 100;

    /// <summary>The epoch of a moment.</summary>
    public static long EpochOf(DateTimeOffset at) => at.ToUnixTimeMilliseconds() / EpochMs;

    /// <summary>When an epoch begins, and the one before it ends.</summary>
    public static DateTimeOffset BeginOf(long epoch) => DateTimeOffset.FromUnixTimeMilliseconds(epoch * EpochMs);

    /// <summary>Does what is due.</summary>
    public async Task LookAsync(CancellationToken cancellationToken)
    {
        var now = time.GetUtcNow();
        var current = EpochOf(now);
        // Before it begins: a secret that is chosen late could be chosen to suit.
        for (var epoch = current; epoch <= current + 1; epoch++)
        {
            if (!await store.ExistsAsync(epoch, cancellationToken)) await store.EnsureAsync(epoch, RandomNumberGenerator.GetBytes(EpochSecret.Bytes), now, cancellationToken);
        }
        foreach (var epoch in await store.ListDueAsync(EpochState.Open, EpochOf(now - options.Value.Grace), now, EpochsPerLook, cancellationToken))
        {
            while (await store.GatherAsync(epoch, options.Value.BatchMax, cancellationToken) > 0)
            {
            }
            if (await store.RootAsync(epoch, bytes => hub.Sign(bytes), now, cancellationToken) is { } count) LogRooted(epoch, count);
        }
        foreach (var epoch in await store.ListDueAsync(EpochState.Rooted, long.MaxValue, now - options.Value.RevealDelay, EpochsPerLook, cancellationToken))
        {
            if (await store.RevealAsync(epoch, now, cancellationToken) is { } drawn) LogRevealed(epoch, drawn);
        }
    }

    [LoggerMessage(3260, LogLevel.Information, "Epoch {Epoch} is closed: its root covers {Count} receipts")]
    private partial void LogRooted(long epoch, int count);

    [LoggerMessage(3261, LogLevel.Information, "Epoch {Epoch}: the beacon is revealed, {Count} receipts are drawn for an audit")]
    private partial void LogRevealed(long epoch, int count);
}
