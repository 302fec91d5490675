using Federation.Protocol.Challenges;

namespace Federation.NodeAgent.Compute.Cuda;

/// <summary>What both kinds of rounds need of a GPU: its context, the compiled kernels, memory; given back together.</summary>
internal abstract class CudaProver : IChallengeProver
{
    private readonly CudaLibrary _cuda;
    private readonly int _device;
    private readonly nint _context;
    private readonly List<ulong> _memory = [];
    private nint _module;
    private bool _disposed;

    /// <exception cref="ChallengeException">The driver refused.</exception>
    protected CudaProver(CudaLibrary cuda, int device, ReadOnlySpan<byte> kernels)
    {
        (_cuda, _device) = (cuda, device);
        _context = cuda.Retain(device);
        try
        {
            Enter();
            _module = cuda.Load(kernels);
        }
        catch
        {
            Dispose();
            throw;
        }
    }

    /// <inheritdoc />
    public abstract void Prepare(ulong key, CancellationToken cancellationToken);

    /// <inheritdoc />
    public abstract void Round(ulong key, ulong[] leaves, CancellationToken cancellationToken);

    /// <inheritdoc />
    public void Dispose()
    {
        if (_disposed) return;
        _disposed = true;
        // A driver that fails here has nothing left to give back.
        foreach (ulong address in _memory) _cuda.Free(address);
        if (_module != 0) _cuda.Unload(_module);
        _cuda.Release(_device);
    }

    /// <summary>The driver, the device's context being the calling thread's.</summary>
    protected CudaLibrary Enter()
    {
        ObjectDisposedException.ThrowIf(_disposed, this);
        _cuda.SetCurrent(_context);
        return _cuda;
    }

    /// <summary>Memory of the device until disposed.</summary>
    protected ulong Allocate(long bytes)
    {
        ulong address = _cuda.Allocate(bytes);
        _memory.Add(address);
        return address;
    }

    /// <summary>A kernel by its launch.</summary>
    protected nint Kernel(CudaLaunch launch) => _cuda.Kernel(_module, launch.Kernel);
}

/// <summary>The rounds of an MM challenge on a GPU. Only the row hashes leave it.</summary>
internal sealed class CudaMatrixProver : CudaProver
{
    private readonly ulong _size;
    private readonly ulong _a;
    private readonly ulong _b;
    private readonly ulong _hashes;
    private readonly CudaLaunch _makeFirst;
    private readonly CudaLaunch _makeSecond;
    private readonly CudaLaunch _multiply;
    private readonly nint _firstKernel;
    private readonly nint _secondKernel;
    private readonly nint _multiplyKernel;

    /// <exception cref="ChallengeException">The driver refused.</exception>
    public CudaMatrixProver(CudaLibrary cuda, int device, ReadOnlySpan<byte> kernels, int size)
        : base(cuda, device, kernels)
    {
        _size = (ulong)size;
        (_makeFirst, _makeSecond, _multiply) = (CudaLaunch.First(size), CudaLaunch.Second(size), CudaLaunch.Multiply(size));
        try
        {
            (_firstKernel, _secondKernel, _multiplyKernel) = (Kernel(_makeFirst), Kernel(_makeSecond), Kernel(_multiply));
            _a = Allocate((long)size * size);
            _b = Allocate((long)size * size);
            _hashes = Allocate((long)size * sizeof(ulong));
        }
        catch
        {
            Dispose();
            throw;
        }
    }

    public override void Prepare(ulong key, CancellationToken cancellationToken)
    {
        cancellationToken.ThrowIfCancellationRequested();
        CudaLibrary cuda = Enter();
        cuda.Launch(_firstKernel, _makeFirst, _a, key, _size);
        cuda.Synchronize();
    }

    public override void Round(ulong key, ulong[] leaves, CancellationToken cancellationToken)
    {
        cancellationToken.ThrowIfCancellationRequested();
        CudaLibrary cuda = Enter();
        cuda.Clear(_hashes, (long)_size * sizeof(ulong));
        cuda.Launch(_secondKernel, _makeSecond, _b, key, _size);
        cuda.Launch(_multiplyKernel, _multiply, _a, _b, _hashes, _size);
        cuda.Read(_hashes, leaves);
    }
}

/// <summary>The passes of a MEM challenge over a GPU's memory.</summary>
internal sealed class CudaMemoryProver : CudaProver
{
    private readonly int _segments;
    private readonly ulong _depth;
    private readonly ulong _words;
    private readonly ulong _hashes;
    private readonly CudaLaunch _pass;
    private readonly nint _fillKernel;
    private readonly nint _passKernel;

    /// <exception cref="ChallengeException">The driver refused.</exception>
    public CudaMemoryProver(CudaLibrary cuda, int device, ReadOnlySpan<byte> kernels, ChallengeParameters parameters)
        : base(cuda, device, kernels)
    {
        (_segments, _depth) = (parameters.LeavesPerRound, (ulong)parameters.FillDepth);
        _pass = CudaLaunch.Pass(_segments);
        try
        {
            (_fillKernel, _passKernel) = (Kernel(CudaLaunch.Fill(1)), Kernel(_pass));
            _words = Allocate(parameters.Size);
            _hashes = Allocate((long)_segments * sizeof(ulong));
        }
        catch
        {
            Dispose();
            throw;
        }
    }

    public override void Prepare(ulong key, CancellationToken cancellationToken)
    {
        CudaLibrary cuda = Enter();
        for (int first = 0; first < _segments; first += CudaLaunch.SegmentsPerFill)
        {
            cancellationToken.ThrowIfCancellationRequested();
            int count = Math.Min(CudaLaunch.SegmentsPerFill, _segments - first);
            cuda.Launch(_fillKernel, CudaLaunch.Fill(count), _words, key, (ulong)first, (ulong)count, _depth);
            cuda.Synchronize();
        }
    }

    public override void Round(ulong key, ulong[] leaves, CancellationToken cancellationToken)
    {
        cancellationToken.ThrowIfCancellationRequested();
        CudaLibrary cuda = Enter();
        cuda.Launch(_passKernel, _pass, _words, key, _hashes);
        cuda.Read(_hashes, leaves);
    }
}
