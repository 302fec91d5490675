using System.Globalization;
using System.Runtime.InteropServices;

namespace Federation.NodeAgent.Hardware.Nvidia;

/// <summary>
/// NVIDIA's management library, which comes with the driver and is therefore found at run time or not at all. Functions that this
/// version of it does not have, and errors of those it has, are null. Its functions may be called from several threads.
/// See https://docs.nvidia.com/deploy/nvml-api.
/// </summary>
internal sealed unsafe class NvmlLibrary : INvml
{
    private const int Success = 0;

    /// <summary>The longest text it returns is a name of 96 characters.</summary>
    private const int TextBytes = 128;

    private readonly Func<string, nint> _export;

    /// <param name="export">The address of a function, or zero if the library has none of that name.</param>
    internal NvmlLibrary(Func<string, nint> export)
    {
        _export = export;
    }

    /// <summary>The library of the installed driver, ready for use; null without a driver.</summary>
    /// <remarks>It is never unloaded: loading it takes the driver a moment, and the agent asks it until it ends.</remarks>
    public static NvmlLibrary? TryOpen()
    {
        foreach (string path in Candidates())
        {
            if (NativeLibrary.TryLoad(path, out nint library))
            {
                var nvml = new NvmlLibrary(name => NativeLibrary.TryGetExport(library, name, out nint address) ? address : 0);
                if (nvml.TryInitialize())
                {
                    return nvml;
                }

                NativeLibrary.Free(library);
            }
        }

        return null;
    }

    internal bool TryInitialize()
    {
        var initialize = (delegate* unmanaged[Cdecl]<int>)Export("nvmlInit_v2", "nvmlInit");
        return initialize is not null && initialize() == Success;
    }

    public string? DriverVersion()
    {
        var get = (delegate* unmanaged[Cdecl]<byte*, uint, int>)Export("nvmlSystemGetDriverVersion");
        byte* text = stackalloc byte[TextBytes];
        return get is not null && get(text, TextBytes) == Success ? Readings.Text(new ReadOnlySpan<byte>(text, TextBytes)) : null;
    }

    public string? CudaVersion()
    {
        var get = (delegate* unmanaged[Cdecl]<int*, int>)Export("nvmlSystemGetCudaDriverVersion_v2", "nvmlSystemGetCudaDriverVersion");
        int version;
        return get is not null && get(&version) == Success && version is >= 1000 and < 1_000_000
            ? string.Create(CultureInfo.InvariantCulture, $"{version / 1000}.{version % 1000 / 10}")
            : null;
    }

    public int DeviceCount()
    {
        var get = (delegate* unmanaged[Cdecl]<uint*, int>)Export("nvmlDeviceGetCount_v2", "nvmlDeviceGetCount");
        uint count;
        return get is not null && get(&count) == Success ? (int)Math.Min(count, Readings.MaxDevices) : 0;
    }

    public nint? Device(int index)
    {
        var get = (delegate* unmanaged[Cdecl]<uint, nint*, int>)Export("nvmlDeviceGetHandleByIndex_v2", "nvmlDeviceGetHandleByIndex");
        nint device;
        return get is not null && get((uint)index, &device) == Success ? device : null;
    }

    public string? Name(nint device) => DeviceText("nvmlDeviceGetName", device);

    public string? Uuid(nint device) => DeviceText("nvmlDeviceGetUUID", device);

    public string? PciAddress(nint device)
    {
        var get = (delegate* unmanaged[Cdecl]<nint, PciInfo*, int>)Export("nvmlDeviceGetPciInfo_v3", "nvmlDeviceGetPciInfo_v2", "nvmlDeviceGetPciInfo");
        PciInfo info;
        return get is not null && get(device, &info) == Success ? Readings.PciAddress(info.Domain, info.Bus, info.Device, function: 0) : null;
    }

    public (long? Total, long? Used) Memory(nint device)
    {
        // The second version tells apart what the driver keeps for itself; the first counts it as used.
        var getNew = (delegate* unmanaged[Cdecl]<nint, MemoryInfo2*, int>)Export("nvmlDeviceGetMemoryInfo_v2");
        var memory2 = new MemoryInfo2 { Version = (uint)sizeof(MemoryInfo2) | (2u << 24) };
        if (getNew is not null && getNew(device, &memory2) == Success)
        {
            return (ToBytes(memory2.Total), ToBytes(memory2.Used));
        }

        var getOld = (delegate* unmanaged[Cdecl]<nint, MemoryInfo1*, int>)Export("nvmlDeviceGetMemoryInfo");
        MemoryInfo1 memory1;
        return getOld is not null && getOld(device, &memory1) == Success ? (ToBytes(memory1.Total), ToBytes(memory1.Used)) : (null, null);
    }

    public double? TemperatureCelsius(nint device)
    {
        const uint GpuSensor = 0;
        var get = (delegate* unmanaged[Cdecl]<nint, uint, uint*, int>)Export("nvmlDeviceGetTemperature");
        uint degrees;
        return get is not null && get(device, GpuSensor, &degrees) == Success ? degrees : null;
    }

    public double? PowerWatts(nint device) => Milliwatts(device, Export("nvmlDeviceGetPowerUsage"));

    public double? PowerLimitWatts(nint device) =>
        Milliwatts(device, Export("nvmlDeviceGetEnforcedPowerLimit", "nvmlDeviceGetPowerManagementLimit"));

    public double? UtilisationPercent(nint device)
    {
        var get = (delegate* unmanaged[Cdecl]<nint, Utilization*, int>)Export("nvmlDeviceGetUtilizationRates");
        Utilization utilization;
        return get is not null && get(device, &utilization) == Success ? utilization.Gpu : null;
    }

    public string? ComputeCapability(nint device)
    {
        var get = (delegate* unmanaged[Cdecl]<nint, int*, int*, int>)Export("nvmlDeviceGetCudaComputeCapability");
        int major;
        int minor;
        return get is not null && get(device, &major, &minor) == Success && major is > 0 and < 1000 && minor is >= 0 and < 1000
            ? string.Create(CultureInfo.InvariantCulture, $"{major}.{minor}")
            : null;
    }

    /// <summary>Full paths on Windows, where a bare name would also be looked for beside the program.</summary>
    private static IEnumerable<string> Candidates() => OperatingSystem.IsWindows()
        ?
        [
            Path.Combine(Environment.SystemDirectory, "nvml.dll"),
            Path.Combine(Environment.GetFolderPath(Environment.SpecialFolder.ProgramFiles), "NVIDIA Corporation", "NVSMI", "nvml.dll"),
        ]
        : ["libnvidia-ml.so.1", "/usr/lib/wsl/lib/libnvidia-ml.so.1"];

    private static long? ToBytes(ulong bytes) => bytes <= long.MaxValue ? Readings.Bytes((long?)bytes) : null;

    private static double? Milliwatts(nint device, nint export)
    {
        var get = (delegate* unmanaged[Cdecl]<nint, uint*, int>)export;
        uint milliwatts;
        return get is not null && get(device, &milliwatts) == Success ? milliwatts / 1000.0 : null;
    }

    private string? DeviceText(string function, nint device)
    {
        var get = (delegate* unmanaged[Cdecl]<nint, byte*, uint, int>)Export(function);
        byte* text = stackalloc byte[TextBytes];
        return get is not null && get(device, text, TextBytes) == Success ? Readings.Text(new ReadOnlySpan<byte>(text, TextBytes)) : null;
    }

    /// <summary>The first of these names that the library has, newest first.</summary>
    private nint Export(params ReadOnlySpan<string> names)
    {
        foreach (string name in names)
        {
            if (_export(name) is not 0 and var address)
            {
                return address;
            }
        }

        return 0;
    }

    /// <summary>nvmlPciInfo_t. Its versions agree on these fields and differ in what follows, for which there is room.</summary>
    private struct PciInfo
    {
        public fixed byte LegacyBusId[16];
        public uint Domain;
        public uint Bus;
        public uint Device;
        public fixed byte Rest[100];
    }

    /// <summary>nvmlMemory_t.</summary>
    private struct MemoryInfo1
    {
        public ulong Total;
        public ulong Free;
        public ulong Used;
    }

    /// <summary>nvmlMemory_v2_t.</summary>
    private struct MemoryInfo2
    {
        public uint Version;
        public ulong Total;
        public ulong Reserved;
        public ulong Free;
        public ulong Used;
    }

    /// <summary>nvmlUtilization_t.</summary>
    private struct Utilization
    {
        public uint Gpu;
        public uint Memory;
    }
}
