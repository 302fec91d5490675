using System.Security.Cryptography;
using System.Text;

namespace Federation.Silo.Verification.Audits;

/// <summary>What everything that is drawn in one audit is drawn from: unpredictable to the worker, the same for whoever repeats the audit.</summary>
/// <param name="Bytes">32 bytes.</param>
internal readonly record struct AuditSeed(ReadOnlyMemory<byte> Bytes)
{
    /// <summary>Of the audit of a receipt: from its epoch's beacon, which nobody knew when the answer was given.</summary>
    public static AuditSeed Of(DrawnAudit audit) => new(HMACSHA256.HashData(audit.Beacon.AsSpan(), Encoding.UTF8.GetBytes($"cf1/audit-seed\0{audit.ReceiptId}")));

    /// <summary>Of a canary that no receipt stands behind.</summary>
    public static AuditSeed Fresh() => new(RandomNumberGenerator.GetBytes(SHA256.HashSizeInBytes));

    /// <summary>Begins anew with each call.</summary>
    public Random ToRandom() => new(BitConverter.ToInt32(Bytes.Span));

    /// <summary>One number of it.</summary>
    public uint ToDraw() => BitConverter.ToUInt32(Bytes.Span[sizeof(int)..]);
}
