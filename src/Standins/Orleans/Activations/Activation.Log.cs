// SPDX-License-Identifier: Apache-2.0
using Microsoft.Extensions.Logging;

namespace Orleans.Activations;

internal sealed partial class Activation
{
    [LoggerMessage(101, LogLevel.Warning, "One-way call {Method} of {Activation} failed. Nobody waits for it.")]
    private static partial void LogOneWayFailed(ILogger logger, Exception failure, string method, Activation activation);

    [LoggerMessage(102, LogLevel.Warning, "State of {Activation} was changed by someone else. It is deactivated, so that the next call reads it anew.")]
    private static partial void LogInconsistentState(ILogger logger, Exception conflict, Activation activation);

    [LoggerMessage(103, LogLevel.Error, "{Activation} could not be activated. The calls that wait for it fail.")]
    private static partial void LogActivationFailed(ILogger logger, Exception failure, Activation activation);

    [LoggerMessage(104, LogLevel.Error, "A step of deactivating {Activation} failed. Deactivation goes on.")]
    private static partial void LogEndFailed(ILogger logger, Exception failure, Activation activation);

    [LoggerMessage(105, LogLevel.Debug, "{Activation} is told to deactivate while it activates: {Reason}")]
    private static partial void LogDeactivatingWhileActivating(ILogger logger, Activation activation, DeactivationReason reason);

    [LoggerMessage(106, LogLevel.Critical, "{Activation} is broken and serves nobody any more.")]
    private static partial void LogBroken(ILogger logger, Exception failure, Activation activation);

    [LoggerMessage(107, LogLevel.Error, "The predicate of {Activation} that says which calls may interleave failed. The call {Method} is refused.")]
    private static partial void LogMayInterleaveFailed(ILogger logger, Exception failure, Activation activation, string method);
}
