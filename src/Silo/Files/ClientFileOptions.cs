using System.ComponentModel.DataAnnotations;
using Microsoft.Extensions.Options;

namespace Federation.Silo.Files;

/// <summary>The bounds of clients' files.</summary>
internal sealed class ClientFileOptions
{
    public const string SectionName = "Files";

    /// <summary>Largest file, bytes. Default 100 MiB.</summary>
    [Range(1024, 1L << 32)]
    public long MaxBytes { get; set; } = 100 * 1024 * 1024;

    /// <summary>What the files of one account may have together, bytes. Default 1 GiB.</summary>
    [Range(1024, 1L << 40)]
    public long MaxAccountBytes { get; set; } = 1L << 30;

    /// <summary>Files of one account, those being written among them. Default 1 000.</summary>
    [Range(1, 1_000_000)]
    public int MaxAccountFiles { get; set; } = 1_000;

    /// <summary>How long an upload may take. Default 30 min.</summary>
    [Range(typeof(TimeSpan), "00:00:01", "24:00:00", ParseLimitsInInvariantCulture = true)]
    public TimeSpan UploadTimeout { get; set; } = TimeSpan.FromMinutes(30);

    /// <summary>How long a file is kept unless its account asks for less or deletes it. Default 30 days.</summary>
    [Range(typeof(TimeSpan), "01:00:00", "3650.00:00:00", ParseLimitsInInvariantCulture = true)]
    public TimeSpan Retention { get; set; } = TimeSpan.FromDays(30);

    /// <summary>How often files whose time is up are looked for, and what silos left half written that are gone. Default 1 min.</summary>
    [Range(typeof(TimeSpan), "00:00:01", "24:00:00", ParseLimitsInInvariantCulture = true)]
    public TimeSpan SweepPeriod { get; set; } = TimeSpan.FromMinutes(1);
}

[OptionsValidator]
internal sealed partial class ClientFileOptionsValidator : IValidateOptions<ClientFileOptions>;
