// SPDX-License-Identifier: Apache-2.0
using System.Collections.Concurrent;
using System.Threading.Channels;

namespace Federation.Standins.Orleans.Tests.Cluster;

/// <summary>What grains did, by topic, in order; and gates that tests open. Shared by grains and tests of one silo.</summary>
public sealed class Journal
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(20);

    private readonly ConcurrentDictionary<string, Channel<string>> _topics = new();
    private readonly ConcurrentDictionary<string, TaskCompletionSource> _gates = new();

    public void Write(string topic, string entry) => Topic(topic).Writer.TryWrite(entry);

    /// <summary>Waits for the next entry.</summary>
    public async Task<string> ReadAsync(string topic)
    {
        using var timeout = new CancellationTokenSource(Patience);
        try
        {
            return await Topic(topic).Reader.ReadAsync(timeout.Token);
        }
        catch (OperationCanceledException)
        {
            throw new TimeoutException($"Nothing was written on \"{topic}\" within {Patience}.");
        }
    }

    /// <summary>The entries that are there.</summary>
    public IReadOnlyList<string> ReadAll(string topic)
    {
        var entries = new List<string>();
        while (Topic(topic).Reader.TryRead(out var entry))
        {
            entries.Add(entry);
        }

        return entries;
    }

    /// <summary>Ends when the gate has been opened.</summary>
    public Task PassAsync(string gate) => Gate(gate).Task;

    public void Open(string gate) => Gate(gate).TrySetResult();

    private Channel<string> Topic(string topic) => _topics.GetOrAdd(topic, static _ => Channel.CreateUnbounded<string>());

    private TaskCompletionSource Gate(string gate) =>
        _gates.GetOrAdd(gate, static _ => new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously));
}
