namespace Federation.NodeAgent.Hardware.Nvidia;

/// <summary>What the agent asks of NVML. Null: the device or the driver does not tell. Values are as the driver gives them.</summary>
internal interface INvml
{
    string? DriverVersion();

    string? CudaVersion();

    int DeviceCount();

    /// <summary>A handle for the other calls, valid until the driver loses the device.</summary>
    nint? Device(int index);

    string? Name(nint device);

    string? Uuid(nint device);

    string? PciAddress(nint device);

    (long? Total, long? Used) Memory(nint device);

    double? TemperatureCelsius(nint device);

    double? PowerWatts(nint device);

    double? PowerLimitWatts(nint device);

    double? UtilisationPercent(nint device);

    string? ComputeCapability(nint device);
}
