using System.Buffers;

namespace Grpc.Wire;

/// <summary>A growing buffer on arrays of the shared pool.</summary>
internal sealed class PooledBufferWriter : IBufferWriter<byte>, IDisposable
{
    private const int SmallestArray = 256;

    private byte[] _array = [];
    private int _written;

    public ReadOnlyMemory<byte> Written => _array.AsMemory(0, _written);

    public void Advance(int count)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(count);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(count, _array.Length - _written);
        _written += count;
    }

    public Memory<byte> GetMemory(int sizeHint = 0)
    {
        Reserve(Math.Max(1, sizeHint));
        return _array.AsMemory(_written);
    }

    public Span<byte> GetSpan(int sizeHint = 0) => GetMemory(sizeHint).Span;

    /// <summary>Makes room for this many bytes more.</summary>
    public void Reserve(int count)
    {
        var needed = checked(_written + count);
        if (needed <= _array.Length)
            return;

        var doubled = (int)Math.Min(2L * _array.Length, Array.MaxLength);
        var larger = ArrayPool<byte>.Shared.Rent(Math.Max(SmallestArray, Math.Max(needed, doubled)));
        Written.CopyTo(larger);
        Return();
        _array = larger;
    }

    public void Dispose()
    {
        Return();
        _array = [];
        _written = 0;
    }

    private void Return()
    {
        if (_array.Length > 0)
            ArrayPool<byte>.Shared.Return(_array);
    }
}
