using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Text;

namespace Federation.NodeAgent.Tests.Compute.Cuda;

/// <summary>
/// Functions with the signatures of CUDA's driver API. They compute nothing: they write down what they were asked, and hand out ordinary memory. One test at a time uses it.
/// </summary>
internal static unsafe class FakeDriver
{
    public const int OutOfMemory = 2;

    private static readonly string[] KernelNames = new string[16];
    private static readonly byte[] ErrorName = Encoding.ASCII.GetBytes("CUDA_ERROR_OUT_OF_MEMORY\0");
    private static GCHandle _errorName;

    /// <summary>What was done, in order: launches with their grids and arguments.</summary>
    public static List<string> Calls { get; } = [];

    /// <summary>Memory and contexts that were taken and not given back.</summary>
    public static int Held { get; private set; }

    /// <summary>The call that fails, if any.</summary>
    public static string? Failing { get; set; }

    public static int Minor { get; set; }

    /// <summary>What every word of memory reads as.</summary>
    public static ulong Word { get; set; }

    public static Dictionary<string, nint> Exports()
    {
        Calls.Clear();
        (Held, Failing, Minor, Word) = (0, null, 1, 42);
        if (!_errorName.IsAllocated) _errorName = GCHandle.Alloc(ErrorName, GCHandleType.Pinned);
        return new()
        {
            ["cuInit"] = (nint)(delegate* unmanaged[Cdecl]<uint, int>)&Init,
            ["cuDeviceGetCount"] = (nint)(delegate* unmanaged[Cdecl]<int*, int>)&DeviceGetCount,
            ["cuDeviceGet"] = (nint)(delegate* unmanaged[Cdecl]<int*, int, int>)&DeviceGet,
            ["cuDeviceGetName"] = (nint)(delegate* unmanaged[Cdecl]<byte*, int, int, int>)&DeviceGetName,
            ["cuDeviceGetAttribute"] = (nint)(delegate* unmanaged[Cdecl]<int*, int, int, int>)&DeviceGetAttribute,
            ["cuDeviceTotalMem_v2"] = (nint)(delegate* unmanaged[Cdecl]<nuint*, int, int>)&DeviceTotalMem,
            ["cuDevicePrimaryCtxRetain"] = (nint)(delegate* unmanaged[Cdecl]<nint*, int, int>)&Retain,
            ["cuDevicePrimaryCtxRelease_v2"] = (nint)(delegate* unmanaged[Cdecl]<int, int>)&Release,
            ["cuCtxSetCurrent"] = (nint)(delegate* unmanaged[Cdecl]<nint, int>)&SetCurrent,
            ["cuModuleLoadDataEx"] = (nint)(delegate* unmanaged[Cdecl]<nint*, byte*, uint, int*, nint*, int>)&Load,
            ["cuModuleUnload"] = (nint)(delegate* unmanaged[Cdecl]<nint, int>)&Unload,
            ["cuModuleGetFunction"] = (nint)(delegate* unmanaged[Cdecl]<nint*, nint, byte*, int>)&GetFunction,
            ["cuMemAlloc_v2"] = (nint)(delegate* unmanaged[Cdecl]<ulong*, nuint, int>)&Allocate,
            ["cuMemFree_v2"] = (nint)(delegate* unmanaged[Cdecl]<ulong, int>)&Free,
            ["cuMemsetD8_v2"] = (nint)(delegate* unmanaged[Cdecl]<ulong, byte, nuint, int>)&Set,
            ["cuMemcpyDtoH_v2"] = (nint)(delegate* unmanaged[Cdecl]<ulong*, ulong, nuint, int>)&Read,
            ["cuLaunchKernel"] = (nint)(delegate* unmanaged[Cdecl]<nint, uint, uint, uint, uint, uint, uint, uint, nint, void**, void**, int>)&Launch,
            ["cuCtxSynchronize"] = (nint)(delegate* unmanaged[Cdecl]<int>)&Synchronize,
            ["cuGetErrorName"] = (nint)(delegate* unmanaged[Cdecl]<int, byte**, int>)&GetErrorName,
        };
    }

    private static int Outcome([CallerMemberName] string call = "") => Failing == call ? OutOfMemory : 0;

    private static int Taken(int count, [CallerMemberName] string call = "")
    {
        int outcome = Outcome(call);
        if (outcome == 0) Held += count;
        return outcome;
    }

    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    private static int Init(uint flags) => Outcome();

    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    private static int DeviceGetCount(int* count)
    {
        *count = 2;
        return Outcome();
    }

    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    private static int DeviceGet(int* device, int index)
    {
        *device = 10 + index;
        return index == 0 ? Outcome() : OutOfMemory; // the second has fallen off the bus
    }

    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    private static int DeviceGetName(byte* text, int length, int device)
    {
        "GPU of the test\0"u8.CopyTo(new Span<byte>(text, length));
        return Outcome();
    }

    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    private static int DeviceGetAttribute(int* value, int attribute, int device)
    {
        *value = attribute switch { 75 => 6, 76 => Minor, _ => -1 };
        return Outcome();
    }

    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    private static int DeviceTotalMem(nuint* bytes, int device)
    {
        *bytes = (nuint)8 << 30;
        return Outcome();
    }

    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    private static int Retain(nint* context, int device)
    {
        *context = 0x77;
        return Taken(1);
    }

    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    private static int Release(int device) => Taken(-1);

    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    private static int SetCurrent(nint context) => context == 0x77 ? Outcome() : OutOfMemory;

    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    private static int Load(nint* module, byte* source, uint options, int* names, nint* values)
    {
        *module = 0x88;
        Calls.Add($"load {Encoding.UTF8.GetByteCount(Marshal.PtrToStringUTF8((nint)source)!)}");
        if (Failing == nameof(Load)) "line 7: no such thing\0"u8.CopyTo(new Span<byte>((byte*)values[0], (int)values[1]));
        return Taken(1);
    }

    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    private static int Unload(nint module) => Taken(-1);

    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    private static int GetFunction(nint* kernel, nint module, byte* name)
    {
        string text = Marshal.PtrToStringUTF8((nint)name)!;
        int index = Array.IndexOf(KernelNames, text) is var known and >= 0 ? known : Array.IndexOf(KernelNames, null);
        KernelNames[index] = text;
        *kernel = index + 1;
        return Outcome();
    }

    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    private static int Allocate(ulong* address, nuint bytes)
    {
        *address = (ulong)bytes; // so that a test can tell whose it is
        return Taken(1);
    }

    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    private static int Free(ulong address) => Taken(-1);

    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    private static int Set(ulong address, byte value, nuint bytes)
    {
        Calls.Add($"set {address} to {value}, {bytes}");
        return Outcome();
    }

    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    private static int Read(ulong* target, ulong address, nuint bytes)
    {
        Calls.Add($"read {address}, {bytes}");
        new Span<ulong>(target, (int)bytes / sizeof(ulong)).Fill(Word);
        return Outcome();
    }

    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    private static int Launch(nint kernel, uint gridX, uint gridY, uint gridZ, uint blockX, uint blockY, uint blockZ, uint shared, nint stream, void** parameters, void** extra)
    {
        string name = KernelNames[kernel - 1];
        // What the kernels of challenges.ptx declare: 8 bytes an address or key, 4 a number.
        bool[] wide = name switch
        {
            "matrix_first" or "matrix_second" => [true, true, false],
            "matrix_multiply" => [true, true, true, false],
            "memory_fill" => [true, true, false, false, false],
            _ => [true, true, true],
        };
        var arguments = wide.Select((isWide, i) => isWide ? *(ulong*)parameters[i] : *(uint*)parameters[i]);
        Calls.Add($"{name} {gridX}x{gridY}x{gridZ} of {blockX}x{blockY}x{blockZ}: {string.Join(", ", arguments)}");
        return Outcome();
    }

    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    private static int Synchronize() => Outcome();

    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    private static int GetErrorName(int error, byte** name)
    {
        *name = (byte*)_errorName.AddrOfPinnedObject();
        return 0;
    }
}
