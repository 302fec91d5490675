using System.Buffers;
using System.Collections.Concurrent;
using System.Runtime.InteropServices;
using Microsoft.AspNetCore.Connections;

namespace Federation.Silo.Hosting;

/// <summary>
/// Memory that sockets read into and write from, in blocks of 16 KiB: a long prompt, or what a node is sent of it, takes a quarter of the calls to the kernel that Kestrel's own blocks of 4 KiB take. A connection that waits holds none.
/// </summary>
internal sealed class SocketMemory : MemoryPool<byte>
{
    private const int BlockBytes = 16 * 1024;

    // 16 MiB; of more than are in use at once the rest goes back to the collector.
    private const int BlocksKept = 1_024;

    private readonly ConcurrentQueue<Block> _free = new();
    private int _kept;

    public override int MaxBufferSize => BlockBytes;

    public override IMemoryOwner<byte> Rent(int minBufferSize = -1)
    {
        ArgumentOutOfRangeException.ThrowIfGreaterThan(minBufferSize, BlockBytes);
        if (!_free.TryDequeue(out var block)) return new Block(this);
        Interlocked.Decrement(ref _kept);
        return block;
    }

    protected override void Dispose(bool disposing) => _free.Clear();

    private void Return(Block block)
    {
        if (Interlocked.Increment(ref _kept) <= BlocksKept) _free.Enqueue(block);
        else Interlocked.Decrement(ref _kept);
    }

    /// <summary>Makes the pools of Kestrel's sockets.</summary>
    public sealed class Factory : IMemoryPoolFactory<byte>
    {
        public MemoryPool<byte> Create(MemoryPoolOptions? options = null) => new SocketMemory();
    }

    /// <summary>Pinned once and for all: the kernel writes into it.</summary>
    private sealed class Block(SocketMemory pool) : IMemoryOwner<byte>
    {
        public Memory<byte> Memory { get; } = MemoryMarshal.CreateFromPinnedArray(GC.AllocateUninitializedArray<byte>(BlockBytes, pinned: true), 0, BlockBytes);

        public void Dispose() => pool.Return(this);
    }
}
