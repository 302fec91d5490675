using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace Federation.NodeAgent.Compute;

/// <summary>
/// Memory outside the garbage-collected heap: given back at once, larger than arrays can be, and aligned to cache lines, without which every load of 64 bytes takes two.
/// </summary>
internal sealed unsafe class NativeBuffer : IDisposable
{
    private const int CacheLine = 64;

    private readonly long _bytes;
    private void* _memory;

    /// <exception cref="ChallengeException">The memory is not to be had.</exception>
    public NativeBuffer(long bytes)
    {
        _bytes = bytes;
        try
        {
            _memory = NativeMemory.AlignedAlloc(checked((nuint)bytes), CacheLine);
        }
        catch (OutOfMemoryException exception)
        {
            throw new ChallengeException($"The machine has no {bytes >> 20} MiB of memory to give.", exception);
        }
    }

    ~NativeBuffer() => Free();

    /// <summary>A stretch of it. Contents are undefined until written.</summary>
    /// <param name="from">Its first element.</param>
    /// <param name="count">Its elements.</param>
    public Span<T> Slice<T>(long from, int count)
        where T : unmanaged
    {
        ObjectDisposedException.ThrowIf(_memory == null, this);
        ArgumentOutOfRangeException.ThrowIfNegative(from);
        ArgumentOutOfRangeException.ThrowIfGreaterThan((from + count) * Unsafe.SizeOf<T>(), _bytes, nameof(count));
        return new Span<T>((T*)_memory + from, count);
    }

    /// <summary>Gives it back. Spans of it must not be used any more.</summary>
    public void Dispose()
    {
        Free();
        GC.SuppressFinalize(this);
    }

    private void Free()
    {
        NativeMemory.AlignedFree(_memory);
        _memory = null;
    }
}
