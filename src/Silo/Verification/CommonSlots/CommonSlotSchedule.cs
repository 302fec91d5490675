using System.Buffers.Binary;
using System.Collections.Immutable;
using System.Security.Cryptography;
using System.Text;

namespace Federation.Silo.Verification.CommonSlots;

/// <summary>
/// At which slots of an epoch all nodes of a group are challenged together. They follow from the epoch's secret, so that all silos know them without a word to each other, no node foresees them, and
/// anybody can work them out again once the secret is revealed. Pure.
/// </summary>
internal static class CommonSlotSchedule
{
    /// <summary>All nodes of an account.</summary>
    public static string AccountGroup(string accountId) => $"account:{accountId}";

    /// <summary>All nodes of a network.</summary>
    public static string NetworkGroup(string network) => $"network:{network}";

    /// <summary>
    /// The beginnings of a group's slots in an epoch, ascending: a Poisson process from the epoch's beginning, each moment moved to the beginning of the slot it lies in. Its n-th wait is drawn from
    /// <c>HMAC-SHA256(secret, "cf1/common-slot" ‖ 0 ‖ n ‖ group)</c>, n as 4 bytes big-endian, of which the first 53 bits are the uniform number.
    /// </summary>
    /// <param name="secret">The epoch's.</param>
    /// <param name="begin">The epoch's beginning.</param>
    /// <param name="end">Its end.</param>
    /// <param name="group">Which group.</param>
    /// <param name="mean">Mean time between two.</param>
    /// <param name="slot">Length of a slot.</param>
    public static ImmutableArray<DateTimeOffset> SlotsOf(ReadOnlySpan<byte> secret, DateTimeOffset begin, DateTimeOffset end, string group, TimeSpan mean, TimeSpan slot)
    {
        var slots = ImmutableArray.CreateBuilder<DateTimeOffset>();
        var most = (end - begin) / slot;
        var at = begin;
        for (var draw = 0; draw < most; draw++)
        {
            at += PoissonProcess.Wait(Uniform(secret, draw, group), mean);
            if (at >= end) break;
            var begins = new DateTimeOffset(at.UtcTicks - (at.UtcTicks % slot.Ticks), TimeSpan.Zero);
            if (begins > begin && (slots.Count == 0 || slots[^1] < begins)) slots.Add(begins);
        }
        return slots.ToImmutable();
    }

    private static double Uniform(ReadOnlySpan<byte> secret, int draw, string group)
    {
        Span<byte> number = stackalloc byte[sizeof(int)];
        BinaryPrimitives.WriteInt32BigEndian(number, draw);
        Span<byte> hash = stackalloc byte[HMACSHA256.HashSizeInBytes];
        HMACSHA256.HashData(secret, [.. "cf1/common-slot\0"u8, .. number, .. Encoding.UTF8.GetBytes(group)], hash);
        return (BinaryPrimitives.ReadUInt64BigEndian(hash) >> 11) * (1.0 / (1UL << 53));
    }
}
