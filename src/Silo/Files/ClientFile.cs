namespace Federation.Silo.Files;

/// <summary>A file's row. Times are unix milliseconds.</summary>
internal sealed record ClientFile
{
    public const string Columns = "id AS Id, account_id AS AccountId, purpose AS Purpose, filename AS Filename, bytes AS Bytes, created_at AS CreatedAt, expires_at AS ExpiresAt";

    /// <summary><c>file-…</c>; later files have greater ids.</summary>
    public required string Id { get; init; }

    public required string AccountId { get; init; }

    public required string Purpose { get; init; }

    public required string Filename { get; init; }

    public long Bytes { get; init; }

    public long CreatedAt { get; init; }

    public long? ExpiresAt { get; init; }
}

/// <summary>What a file is for.</summary>
internal static class FilePurposes
{
    /// <summary>The lines of a batch.</summary>
    public const string Batch = "batch";

    /// <summary>What a batch came to.</summary>
    public const string BatchOutput = "batch_output";
}
