using System.Runtime.InteropServices;
using System.Text;

namespace Federation.NodeAgent.Compute.Cuda;

/// <summary>
/// NVIDIA's driver API, as little of it as challenges need. It comes with the driver and is therefore found at run time or not at all. Its functions may be called from several
/// threads. See https://docs.nvidia.com/cuda/cuda-driver-api.
/// </summary>
internal sealed unsafe class CudaLibrary
{
    private const int Success = 0;
    private const int NameBytes = 256;
    private const int LogBytes = 4096;
    private const int CapabilityMajor = 75;
    private const int CapabilityMinor = 76;
    private const int JitErrorLog = 5;
    private const int JitErrorLogBytes = 6;

    private readonly Func<string, nint> _export;

    private CudaLibrary(Func<string, nint> export) => _export = export;

    /// <summary>The library of the installed driver, ready for use; null without one, or with one too old.</summary>
    public static CudaLibrary? TryOpen()
    {
        foreach (string path in Candidates())
        {
            if (!NativeLibrary.TryLoad(path, out nint library)) continue;
            if (TryInitialize(name => NativeLibrary.TryGetExport(library, name, out nint address) ? address : 0) is { } cuda) return cuda;
            NativeLibrary.Free(library);
        }

        return null;
    }

    /// <param name="export">The address of a function, or zero if the library has none of that name.</param>
    internal static CudaLibrary? TryInitialize(Func<string, nint> export)
    {
        string[] needed =
        [
            "cuInit", "cuDeviceGetCount", "cuDeviceGet", "cuDeviceGetName", "cuDeviceGetAttribute", "cuDeviceTotalMem_v2", "cuDevicePrimaryCtxRetain", "cuDevicePrimaryCtxRelease_v2",
            "cuCtxSetCurrent", "cuModuleLoadDataEx", "cuModuleUnload", "cuModuleGetFunction", "cuMemAlloc_v2", "cuMemFree_v2", "cuMemsetD8_v2", "cuMemcpyDtoH_v2", "cuLaunchKernel",
            "cuCtxSynchronize", "cuGetErrorName",
        ];
        if (!needed.All(name => export(name) != 0)) return null;
        return ((delegate* unmanaged[Cdecl]<uint, int>)export("cuInit"))(0) == Success ? new CudaLibrary(export) : null;
    }

    /// <summary>Devices; 0 where the driver does not tell.</summary>
    public int DeviceCount()
    {
        int count;
        return ((delegate* unmanaged[Cdecl]<int*, int>)_export("cuDeviceGetCount"))(&count) == Success ? count : 0;
    }

    /// <summary>A device's handle, valid as long as the process; null: it is gone.</summary>
    public int? Device(int index)
    {
        int device;
        return ((delegate* unmanaged[Cdecl]<int*, int, int>)_export("cuDeviceGet"))(&device, index) == Success ? device : null;
    }

    /// <summary>What the device calls itself; null where it does not.</summary>
    public string? Name(int device)
    {
        byte* text = stackalloc byte[NameBytes];
        return ((delegate* unmanaged[Cdecl]<byte*, int, int, int>)_export("cuDeviceGetName"))(text, NameBytes, device) == Success
            ? Text(new ReadOnlySpan<byte>(text, NameBytes))
            : null;
    }

    /// <summary>Major and minor number of what it can do; null where it does not tell.</summary>
    public (int Major, int Minor)? Capability(int device)
    {
        var get = (delegate* unmanaged[Cdecl]<int*, int, int, int>)_export("cuDeviceGetAttribute");
        int major, minor;
        return get(&major, CapabilityMajor, device) == Success && get(&minor, CapabilityMinor, device) == Success ? (major, minor) : null;
    }

    /// <summary>Its memory, bytes; 0 where it does not tell.</summary>
    public long TotalMemory(int device)
    {
        nuint bytes;
        return ((delegate* unmanaged[Cdecl]<nuint*, int, int>)_export("cuDeviceTotalMem_v2"))(&bytes, device) == Success ? (long)bytes : 0;
    }

    /// <summary>Takes the process's context of a device; other users of it in this process have the same.</summary>
    /// <exception cref="ChallengeException">The driver refused.</exception>
    public nint Retain(int device)
    {
        nint context;
        Check(((delegate* unmanaged[Cdecl]<nint*, int, int>)_export("cuDevicePrimaryCtxRetain"))(&context, device), "opening the device");
        return context;
    }

    /// <summary>Gives the context back.</summary>
    public void Release(int device) => ((delegate* unmanaged[Cdecl]<int, int>)_export("cuDevicePrimaryCtxRelease_v2"))(device);

    /// <summary>Makes a context that of the calling thread, which all of the following need.</summary>
    /// <exception cref="ChallengeException">The driver refused.</exception>
    public void SetCurrent(nint context) => Check(((delegate* unmanaged[Cdecl]<nint, int>)_export("cuCtxSetCurrent"))(context), "switching to the device");

    /// <summary>Has the driver compile PTX for the device.</summary>
    /// <param name="source">PTX, ending in a zero byte.</param>
    /// <exception cref="ChallengeException">The driver refused; the message has its reasons.</exception>
    public nint Load(ReadOnlySpan<byte> source)
    {
        byte* log = stackalloc byte[LogBytes];
        log[0] = 0;
        int* options = stackalloc int[] { JitErrorLog, JitErrorLogBytes };
        nint* values = stackalloc nint[] { (nint)log, LogBytes };
        nint module;
        fixed (byte* text = source)
        {
            int result = ((delegate* unmanaged[Cdecl]<nint*, byte*, uint, int*, nint*, int>)_export("cuModuleLoadDataEx"))(&module, text, 2, options, values);
            Check(result, $"compiling the kernels {Text(new ReadOnlySpan<byte>(log, LogBytes))}".TrimEnd());
        }

        return module;
    }

    /// <summary>Forgets what was compiled.</summary>
    public void Unload(nint module) => ((delegate* unmanaged[Cdecl]<nint, int>)_export("cuModuleUnload"))(module);

    /// <summary>A kernel of a module.</summary>
    /// <exception cref="ChallengeException">It has none of that name.</exception>
    public nint Kernel(nint module, string name)
    {
        nint kernel;
        fixed (byte* text = Encoding.ASCII.GetBytes(name + "\0"))
        {
            Check(((delegate* unmanaged[Cdecl]<nint*, nint, byte*, int>)_export("cuModuleGetFunction"))(&kernel, module, text), $"finding kernel {name}");
        }

        return kernel;
    }

    /// <summary>Takes memory of the device.</summary>
    /// <exception cref="ChallengeException">It has not as much.</exception>
    public ulong Allocate(long bytes)
    {
        ulong address;
        Check(((delegate* unmanaged[Cdecl]<ulong*, nuint, int>)_export("cuMemAlloc_v2"))(&address, (nuint)bytes), $"taking {bytes >> 20} MiB of its memory");
        return address;
    }

    /// <summary>Gives memory back.</summary>
    public void Free(ulong address) => ((delegate* unmanaged[Cdecl]<ulong, int>)_export("cuMemFree_v2"))(address);

    /// <summary>Sets memory to zero, after what was launched before.</summary>
    /// <exception cref="ChallengeException">The device failed.</exception>
    public void Clear(ulong address, long bytes)
        => Check(((delegate* unmanaged[Cdecl]<ulong, byte, nuint, int>)_export("cuMemsetD8_v2"))(address, 0, (nuint)bytes), "clearing memory");

    /// <summary>Reads from the device, after all that was launched before has ended.</summary>
    /// <exception cref="ChallengeException">The device failed, now or in what was launched.</exception>
    public void Read(ulong address, Span<ulong> words)
    {
        fixed (ulong* target = words)
        {
            Check(((delegate* unmanaged[Cdecl]<void*, ulong, nuint, int>)_export("cuMemcpyDtoH_v2"))(target, address, (nuint)words.Length * sizeof(ulong)), "reading the hashes");
        }
    }

    /// <summary>Starts a kernel, after what was launched before.</summary>
    /// <param name="kernel">From <see cref="Kernel"/>.</param>
    /// <param name="launch">How many threads.</param>
    /// <param name="arguments">Its arguments; of those of 32 bits the lower half is taken, on the little-endian machines that CUDA knows.</param>
    /// <exception cref="ChallengeException">The driver refused.</exception>
    public void Launch(nint kernel, CudaLaunch launch, params ReadOnlySpan<ulong> arguments)
    {
        void** pointers = stackalloc void*[arguments.Length];
        fixed (ulong* values = arguments)
        {
            for (int i = 0; i < arguments.Length; i++) pointers[i] = values + i;
            int result = ((delegate* unmanaged[Cdecl]<nint, uint, uint, uint, uint, uint, uint, uint, nint, void**, void**, int>)_export("cuLaunchKernel"))(
                kernel, launch.GridX, launch.GridY, 1, launch.Block, 1, 1, 0, 0, pointers, null);
            Check(result, $"starting kernel {launch.Kernel}");
        }
    }

    /// <summary>Waits until all that was launched has ended.</summary>
    /// <exception cref="ChallengeException">Some of it failed.</exception>
    public void Synchronize() => Check(((delegate* unmanaged[Cdecl]<int>)_export("cuCtxSynchronize"))(), "computing");

    /// <summary>A full path on Windows, where a bare name would also be looked for beside the program.</summary>
    private static string[] Candidates() => OperatingSystem.IsWindows()
        ? [Path.Combine(Environment.SystemDirectory, "nvcuda.dll")]
        : ["libcuda.so.1", "/usr/lib/wsl/lib/libcuda.so.1"];

    private static string Text(ReadOnlySpan<byte> bytes)
    {
        int end = bytes.IndexOf((byte)0);
        return Encoding.UTF8.GetString(end < 0 ? bytes : bytes[..end]).Trim();
    }

    private void Check(int result, string what)
    {
        if (result == Success) return;
        byte* name;
        string error = ((delegate* unmanaged[Cdecl]<int, byte**, int>)_export("cuGetErrorName"))(result, &name) == Success && name != null
            ? Marshal.PtrToStringUTF8((nint)name)!
            : $"error {result}";
        throw new ChallengeException($"The GPU failed at {what}: {error}.");
    }
}
