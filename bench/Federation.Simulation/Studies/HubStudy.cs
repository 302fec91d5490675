using System.Buffers.Binary;
using Federation.Silo.Verification.Sampling;

namespace Federation.Simulation;

/// <summary>A hub that invents receipts (T12), and its peers who audit what the beacon draws: the hub's own draw, over real beacons and ids.</summary>
/// <param name="CaughtInADay">Share of days on which an invented receipt is drawn.</param>
/// <param name="DaysUntilCaught">Mean.</param>
/// <param name="SettledShare">Invented receipts that are settled before the hub is caught, share of those of one day.</param>
internal readonly record struct HubStudy(double CaughtInADay, double DaysUntilCaught, double SettledShare)
{
    private const int EpochsPerDay = 24;

    /// <summary>Lets hubs invent until they are caught.</summary>
    /// <param name="rate">p_h: share of a hub's receipts that its peers audit.</param>
    /// <param name="invented">Invented receipts a day.</param>
    /// <param name="hubs">How many hubs.</param>
    /// <param name="draws">Chance.</param>
    public static HubStudy Run(double rate, int invented, int hubs, Draws draws)
    {
        var (days, caughtAtOnce, settled) = (0, 0, 0);
        for (var hub = 0; hub < hubs; hub++)
        {
            var day = 1;
            for (; !IsCaught(rate, invented, draws); day++) settled += invented;
            days += day;
            if (day == 1) caughtAtOnce++;
        }

        return new HubStudy((double)caughtAtOnce / hubs, (double)days / hubs, (double)settled / hubs / invented);
    }

    private static bool IsCaught(double rate, int invented, Draws draws)
    {
        var auditRate = AuditRate.Of(rate);
        Span<byte> secret = stackalloc byte[EpochSecret.Bytes];
        Span<byte> id = stackalloc byte[EpochSecret.Bytes];
        for (var epoch = 0; epoch < EpochsPerDay; epoch++)
        {
            Fill(secret, draws);
            var beacon = EpochSecret.Beacon(epoch, secret);
            // As even as whole receipts allow.
            for (var i = invented * epoch / EpochsPerDay; i < invented * (epoch + 1) / EpochsPerDay; i++)
            {
                Fill(id, draws);
                if (AuditDraw.IsDrawn(beacon, id, auditRate)) return true;
            }
        }

        return false;
    }

    private static void Fill(Span<byte> bytes, Draws draws)
    {
        for (var i = 0; i < bytes.Length; i += sizeof(ulong)) BinaryPrimitives.WriteUInt64LittleEndian(bytes[i..], draws.Bits());
    }
}
