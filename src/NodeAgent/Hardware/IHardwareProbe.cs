namespace Federation.NodeAgent.Hardware;

/// <summary>Looks at the machine the agent runs on. Safe for use by several callers at once.</summary>
public interface IHardwareProbe
{
    /// <summary>
    /// Looks at everything; may start helper programs of the vendors, so it takes from milliseconds to a few seconds. Never throws for
    /// what the machine does not tell: that is null in the report.
    /// </summary>
    /// <exception cref="OperationCanceledException"><paramref name="cancellationToken"/> was cancelled.</exception>
    Task<HardwareReport> DetectAsync(CancellationToken cancellationToken);

    /// <summary>Reads only what changes, cheaply enough for every heartbeat. Devices carry the ids of <see cref="DetectAsync"/>.</summary>
    /// <exception cref="OperationCanceledException"><paramref name="cancellationToken"/> was cancelled.</exception>
    Task<LoadReport> DetectLoadAsync(CancellationToken cancellationToken);
}
