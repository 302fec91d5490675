namespace Federation.Standins.Grpc.Tests;

/// <summary>Something that happened once; its waiters go on elsewhere.</summary>
internal sealed class Signal
{
    private readonly TaskCompletionSource _happened = new(TaskCreationOptions.RunContinuationsAsynchronously);

    public Task Happened => _happened.Task.Soon();

    public bool HasHappened => _happened.Task.IsCompleted;

    public void Set() => _happened.TrySetResult();

    /// <summary>Completes when the token is cancelled, and sets the signal.</summary>
    public async Task SetWhenCancelledAsync(CancellationToken cancellationToken)
    {
        await using var registration = cancellationToken.Register(Set);
        await _happened.Task;
    }
}
