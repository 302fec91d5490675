namespace Federation.NodeAgent.Hardware.Windows;

/// <summary>GPUs as WMI lists them: what they are, not how they do. NVIDIA's own library, asked before, knows more of its cards.</summary>
internal sealed class WindowsGpuProbe(WindowsInventory inventory) : IGpuProbe
{
    public async Task<IReadOnlyList<GpuDevice>> DetectAsync(CancellationToken cancellationToken) =>
        (await inventory.ReadAsync(cancellationToken).ConfigureAwait(false)).Devices;

    public Task<IReadOnlyList<GpuLoad>> DetectLoadAsync(CancellationToken cancellationToken) =>
        Task.FromResult<IReadOnlyList<GpuLoad>>([]);
}
