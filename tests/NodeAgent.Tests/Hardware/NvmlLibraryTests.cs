using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Text;
using Federation.NodeAgent.Hardware.Nvidia;

namespace Federation.NodeAgent.Tests.Hardware;

/// <summary>The real binding against a library of functions with NVML's own signatures and layouts.</summary>
public sealed unsafe class NvmlLibraryTests
{
    private const nint Card = 0x1000;
    private const int NotSupported = 3;

    [Fact]
    public void Values_pass_through_the_binding()
    {
        NvmlLibrary nvml = Open(Driver());

        Assert.True(nvml.TryInitialize());
        Assert.Equal("550.54.14", nvml.DriverVersion());
        Assert.Equal("12.4", nvml.CudaVersion());
        Assert.Equal(2, nvml.DeviceCount());
        Assert.Equal(Card, nvml.Device(0));
        Assert.Null(nvml.Device(1)); // fallen off the bus
        Assert.Equal("NVIDIA GeForce RTX 4090", nvml.Name(Card));
        Assert.Equal("GPU-5c8e2b90-4d17-63fa-b8c5-91e0a7d3f624", nvml.Uuid(Card));
        Assert.Equal("0001:4e:00.0", nvml.PciAddress(Card));
        Assert.Equal((24564L << 20, 402L << 20), nvml.Memory(Card));
        Assert.Equal(67, nvml.TemperatureCelsius(Card));
        Assert.Equal(398.75, nvml.PowerWatts(Card));
        Assert.Equal(450, nvml.PowerLimitWatts(Card));
        Assert.Equal(99, nvml.UtilisationPercent(Card));
        Assert.Equal("8.9", nvml.ComputeCapability(Card));
    }

    [Fact]
    public void An_older_driver_is_asked_through_the_functions_that_it_has()
    {
        Dictionary<string, nint> driver = Driver();
        driver.Remove("nvmlDeviceGetMemoryInfo_v2");
        driver.Remove("nvmlDeviceGetPciInfo_v3");
        driver.Remove("nvmlDeviceGetEnforcedPowerLimit");
        NvmlLibrary nvml = Open(driver);

        Assert.Equal((24564L << 20, 802L << 20), nvml.Memory(Card)); // with what the driver keeps for itself
        Assert.Equal("0001:4e:00.0", nvml.PciAddress(Card));
        Assert.Equal(480, nvml.PowerLimitWatts(Card));
    }

    [Fact]
    public void Every_error_is_an_unknown_value()
    {
        delegate* unmanaged[Cdecl]<nint, nint, nint, nint, int> fail = &Fail;
        NvmlLibrary nvml = Open(Driver().ToDictionary(function => function.Key, _ => (nint)fail));
        AssertTellsNothing(nvml);
    }

    [Fact]
    public void Every_missing_function_is_an_unknown_value() => AssertTellsNothing(Open([]));

    private static void AssertTellsNothing(NvmlLibrary nvml)
    {
        Assert.False(nvml.TryInitialize());
        Assert.Null(nvml.DriverVersion());
        Assert.Null(nvml.CudaVersion());
        Assert.Equal(0, nvml.DeviceCount());
        Assert.Null(nvml.Device(0));
        Assert.Null(nvml.Name(Card));
        Assert.Null(nvml.Uuid(Card));
        Assert.Null(nvml.PciAddress(Card));
        Assert.Equal((null, null), nvml.Memory(Card));
        Assert.Null(nvml.TemperatureCelsius(Card));
        Assert.Null(nvml.PowerWatts(Card));
        Assert.Null(nvml.PowerLimitWatts(Card));
        Assert.Null(nvml.UtilisationPercent(Card));
        Assert.Null(nvml.ComputeCapability(Card));
    }

    private static NvmlLibrary Open(Dictionary<string, nint> exports) => new(name => exports.GetValueOrDefault(name));

    private static Dictionary<string, nint> Driver()
    {
        delegate* unmanaged[Cdecl]<int> initialize = &Initialize;
        delegate* unmanaged[Cdecl]<byte*, uint, int> driverVersion = &DriverVersion;
        delegate* unmanaged[Cdecl]<int*, int> cudaVersion = &CudaVersion;
        delegate* unmanaged[Cdecl]<uint*, int> count = &Count;
        delegate* unmanaged[Cdecl]<uint, nint*, int> handle = &Handle;
        delegate* unmanaged[Cdecl]<nint, byte*, uint, int> name = &Name;
        delegate* unmanaged[Cdecl]<nint, byte*, uint, int> uuid = &Uuid;
        delegate* unmanaged[Cdecl]<nint, byte*, int> pci = &PciInfo;
        delegate* unmanaged[Cdecl]<nint, ulong*, int> memory1 = &Memory1;
        delegate* unmanaged[Cdecl]<nint, byte*, int> memory2 = &Memory2;
        delegate* unmanaged[Cdecl]<nint, uint, uint*, int> temperature = &Temperature;
        delegate* unmanaged[Cdecl]<nint, uint*, int> power = &Power;
        delegate* unmanaged[Cdecl]<nint, uint*, int> enforced = &EnforcedLimit;
        delegate* unmanaged[Cdecl]<nint, uint*, int> limit = &ManagementLimit;
        delegate* unmanaged[Cdecl]<nint, uint*, int> utilization = &Utilization;
        delegate* unmanaged[Cdecl]<nint, int*, int*, int> capability = &Capability;
        return new Dictionary<string, nint>
        {
            ["nvmlInit_v2"] = (nint)initialize,
            ["nvmlSystemGetDriverVersion"] = (nint)driverVersion,
            ["nvmlSystemGetCudaDriverVersion_v2"] = (nint)cudaVersion,
            ["nvmlDeviceGetCount_v2"] = (nint)count,
            ["nvmlDeviceGetHandleByIndex_v2"] = (nint)handle,
            ["nvmlDeviceGetName"] = (nint)name,
            ["nvmlDeviceGetUUID"] = (nint)uuid,
            ["nvmlDeviceGetPciInfo_v3"] = (nint)pci,
            ["nvmlDeviceGetPciInfo_v2"] = (nint)pci,
            ["nvmlDeviceGetMemoryInfo"] = (nint)memory1,
            ["nvmlDeviceGetMemoryInfo_v2"] = (nint)memory2,
            ["nvmlDeviceGetTemperature"] = (nint)temperature,
            ["nvmlDeviceGetPowerUsage"] = (nint)power,
            ["nvmlDeviceGetEnforcedPowerLimit"] = (nint)enforced,
            ["nvmlDeviceGetPowerManagementLimit"] = (nint)limit,
            ["nvmlDeviceGetUtilizationRates"] = (nint)utilization,
            ["nvmlDeviceGetCudaComputeCapability"] = (nint)capability,
        };
    }

    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    private static int Fail(nint first, nint second, nint third, nint fourth) => NotSupported;

    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    private static int Initialize() => 0;

    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    private static int DriverVersion(byte* text, uint length) => Write("550.54.14", text, length);

    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    private static int CudaVersion(int* version)
    {
        *version = 12040;
        return 0;
    }

    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    private static int Count(uint* count)
    {
        *count = 2;
        return 0;
    }

    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    private static int Handle(uint index, nint* device)
    {
        *device = Card;
        return index == 0 ? 0 : 15; // NVML_ERROR_GPU_IS_LOST
    }

    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    private static int Name(nint device, byte* text, uint length) => Write("NVIDIA GeForce RTX 4090", text, length);

    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    private static int Uuid(nint device, byte* text, uint length) => Write("GPU-5c8e2b90-4d17-63fa-b8c5-91e0a7d3f624", text, length);

    /// <summary>char legacy[16]; u32 domain, bus, device, pciDeviceId, pciSubSystemId; char busId[32].</summary>
    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    private static int PciInfo(nint device, byte* info)
    {
        Write("0001:4E:00.0", info, 16);
        uint* numbers = (uint*)(info + 16);
        numbers[0] = 1;
        numbers[1] = 0x4E;
        numbers[2] = 0;
        numbers[3] = 0x268410DE;
        numbers[4] = 0;
        return Write("00000001:4E:00.0", info + 36, 32);
    }

    /// <summary>u64 total, free, used.</summary>
    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    private static int Memory1(nint device, ulong* memory)
    {
        memory[0] = 24564ul << 20;
        memory[1] = 23762ul << 20;
        memory[2] = 802ul << 20;
        return 0;
    }

    /// <summary>u32 version, padding; u64 total, reserved, free, used. The driver refuses a version it does not know.</summary>
    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    private static int Memory2(nint device, byte* memory)
    {
        if (*(uint*)memory != 0x02000028)
        {
            return 25; // NVML_ERROR_ARGUMENT_VERSION_MISMATCH
        }

        ulong* numbers = (ulong*)(memory + 8);
        numbers[0] = 24564ul << 20;
        numbers[1] = 400ul << 20;
        numbers[2] = 23762ul << 20;
        numbers[3] = 402ul << 20;
        return 0;
    }

    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    private static int Temperature(nint device, uint sensor, uint* degrees)
    {
        *degrees = 67;
        return sensor == 0 ? 0 : 2; // NVML_ERROR_INVALID_ARGUMENT
    }

    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    private static int Power(nint device, uint* milliwatts)
    {
        *milliwatts = 398_750;
        return 0;
    }

    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    private static int EnforcedLimit(nint device, uint* milliwatts)
    {
        *milliwatts = 450_000;
        return 0;
    }

    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    private static int ManagementLimit(nint device, uint* milliwatts)
    {
        *milliwatts = 480_000;
        return 0;
    }

    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    private static int Utilization(nint device, uint* rates)
    {
        rates[0] = 99;
        rates[1] = 41;
        return 0;
    }

    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    private static int Capability(nint device, int* major, int* minor)
    {
        *major = 8;
        *minor = 9;
        return 0;
    }

    private static int Write(string value, byte* text, uint length)
    {
        int written = Encoding.ASCII.GetBytes(value, new Span<byte>(text, (int)length));
        text[written] = 0;
        return 0;
    }
}
