namespace Grpc.Core;

/// <summary>The outcome of a call, by the numbers of the gRPC protocol.</summary>
public enum StatusCode
{
    /// <summary>Not an error.</summary>
    OK = 0,

    /// <summary>The call was cancelled, typically by the caller.</summary>
    Cancelled = 1,

    /// <summary>An error the peer did not describe, such as an exception thrown by a handler.</summary>
    Unknown = 2,

    /// <summary>The caller's argument is wrong whatever the state of the system.</summary>
    InvalidArgument = 3,

    /// <summary>The deadline expired; the operation may still have happened.</summary>
    DeadlineExceeded = 4,

    /// <summary>Something the caller named does not exist.</summary>
    NotFound = 5,

    /// <summary>Something the caller wanted to create exists.</summary>
    AlreadyExists = 6,

    /// <summary>The caller is known and may not do this.</summary>
    PermissionDenied = 7,

    /// <summary>A quota or a size limit is exhausted.</summary>
    ResourceExhausted = 8,

    /// <summary>The system is not in the state the operation needs; a retry will not help before that changes.</summary>
    FailedPrecondition = 9,

    /// <summary>The operation lost to a concurrent one; the caller may retry the whole sequence.</summary>
    Aborted = 10,

    /// <summary>The operation went past the valid range.</summary>
    OutOfRange = 11,

    /// <summary>The method does not exist or is not supported.</summary>
    Unimplemented = 12,

    /// <summary>An invariant of the system, or of the protocol, is broken.</summary>
    Internal = 13,

    /// <summary>The service is not reachable now; a retry may help.</summary>
    Unavailable = 14,

    /// <summary>Data was lost beyond recovery.</summary>
    DataLoss = 15,

    /// <summary>The caller did not prove who it is.</summary>
    Unauthenticated = 16,
}
