namespace Federation.Silo.Storage;

/// <summary>What a failure of the database means for the caller.</summary>
public enum StorageFailure
{
    /// <summary>The database is away or overloaded. Nothing was written; the same work may succeed later.</summary>
    Unavailable = 1,

    /// <summary>The database undid the work because of other work at the same time. Nothing was written; try again at once.</summary>
    Conflict = 2,

    /// <summary>
    /// The commit was sent and its answer was lost: the work may be on disk or not. The one right move is to do it again with
    /// the same ids, never to guess.
    /// </summary>
    OutcomeUnknown = 3,

    /// <summary>The database refused the work itself (a constraint, a malformed statement). Nothing was written; trying again is no use.</summary>
    Rejected = 4,
}

/// <summary>
/// The database did not do what was asked. It crosses grain calls, so that the edge of the hub can tell 503 from 500; what the
/// driver said stays in the silo where it happened, for its log.
/// </summary>
[GenerateSerializer]
public sealed class StorageException : Exception
{
    // Not the inner exception: Orleans would try to serialize it, and knows no driver's exceptions.
    [NonSerialized]
    private readonly Exception? _cause;

    /// <summary>Creates the exception.</summary>
    /// <param name="failure">What it means for the caller.</param>
    /// <param name="message">For the operator's log; never for a client.</param>
    /// <param name="cause">What the driver said, where it said something.</param>
    public StorageException(StorageFailure failure, string message, Exception? cause = null)
        : base(message)
    {
        Failure = failure;
        _cause = cause;
    }

    /// <summary>What the failure means for the caller.</summary>
    [Id(0)]
    public StorageFailure Failure { get; private set; }

    /// <summary>Whether the same work, done again with the same ids, may succeed: at an HTTP edge, 503 rather than 500.</summary>
    public bool IsTransient => Failure switch
    {
        StorageFailure.Unavailable or StorageFailure.Conflict or StorageFailure.OutcomeUnknown => true,
        StorageFailure.Rejected => false,
        _ => throw new InvalidOperationException($"Unknown storage failure {Failure}."),
    };

    /// <summary>Everything, the driver's exception included where it happened in this process.</summary>
    public override string ToString() => _cause is null ? base.ToString() : $"{base.ToString()}{Environment.NewLine} ---> {_cause}";
}
