using System.Collections.Immutable;
using Federation.NodeAgent.Engines;
using Federation.Protocol.OpenAi;

namespace Federation.NodeAgent.Tests.Engines;

/// <summary>An engine whose inventory the test sets.</summary>
internal sealed class ManualEngine(string name) : IEngine
{
    public string Name => name;

    public string Kind { get; init; } = "openai";

    public int Slots => 1;

    public ImmutableArray<JobKind> Continues => [];

    /// <summary>What it answers when asked what it has.</summary>
    public Func<CancellationToken, Task<EngineInventory?>> Inventory { get; set; } = _ => Task.FromResult<EngineInventory?>(null);

    public Task<EngineInventory?> GetInventoryAsync(CancellationToken cancellationToken) => Inventory(cancellationToken);

    public Task<EngineResponse> SendAsync(EngineRequest request, CancellationToken cancellationToken) => throw new NotSupportedException();

    public IAsyncEnumerable<PullStep> PullAsync(string model, CancellationToken cancellationToken) => throw new NotSupportedException();

    public ValueTask DisposeAsync() => ValueTask.CompletedTask;
}
