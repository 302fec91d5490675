using System.ComponentModel;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Versioning;

namespace Federation.NodeAgent.Service;

/// <summary>
/// The service control manager's own functions. Windows calls back without a context, so there can be one service in a process, and
/// what belongs to it is static.
/// </summary>
[SupportedOSPlatform("windows")]
internal sealed unsafe partial class WindowsServiceControl : IWindowsServiceControl
{
    private const int NotStartedByTheManager = 1063; // ERROR_FAILED_SERVICE_CONTROLLER_CONNECT
    private const int ServiceSpecificError = 1066; // ERROR_SERVICE_SPECIFIC_ERROR
    private const int NoError = 0;
    private const int NotImplemented = 120; // ERROR_CALL_NOT_IMPLEMENTED
    private const uint OwnProcess = 0x10; // SERVICE_WIN32_OWN_PROCESS
    private const uint AcceptStop = 0x1;
    private const uint AcceptShutdown = 0x4;
    private const uint ControlStop = 1;
    private const uint ControlInterrogate = 4;
    private const uint ControlShutdown = 5;

    private static Action? _main;
    private static Action? _stop;

    private nint _status;

    public bool TryDispatch(string name, Action serviceMain)
    {
        _main = serviceMain;
        fixed (char* serviceName = name)
        {
            // Ends with an entry of zeros.
            ServiceTableEntry* table = stackalloc ServiceTableEntry[2];
            table[0] = new ServiceTableEntry { Name = serviceName, Main = &ServiceMain };
            table[1] = default;
            if (StartServiceCtrlDispatcher(table))
            {
                return true;
            }
        }

        int error = Marshal.GetLastPInvokeError();
        return error == NotStartedByTheManager ? false : throw new Win32Exception(error);
    }

    public void Register(string name, Action stop)
    {
        _stop = stop;
        _status = RegisterServiceCtrlHandlerEx(name, &HandleControl, 0);
        if (_status == 0)
        {
            throw new Win32Exception(Marshal.GetLastPInvokeError());
        }
    }

    public void Report(WindowsServiceState state, int exitCode, TimeSpan patience)
    {
        var status = new ServiceStatusBlock
        {
            ServiceType = OwnProcess,
            CurrentState = (uint)state,
            ControlsAccepted = state == WindowsServiceState.Running ? AcceptStop | AcceptShutdown : 0,
            Win32ExitCode = (uint)(exitCode == 0 ? NoError : ServiceSpecificError),
            ServiceSpecificExitCode = (uint)exitCode,
            WaitHint = (uint)patience.TotalMilliseconds,
        };
        if (!SetServiceStatus(_status, &status))
        {
            throw new Win32Exception(Marshal.GetLastPInvokeError());
        }
    }

    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvStdcall)])]
    private static void ServiceMain(uint count, char** arguments) => _main?.Invoke();

    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvStdcall)])]
    private static uint HandleControl(uint control, uint eventType, nint eventData, nint context)
    {
        switch (control)
        {
            case ControlStop or ControlShutdown:
                _stop?.Invoke();
                return NoError;
            case ControlInterrogate:
                return NoError;
            default:
                return NotImplemented;
        }
    }

    [LibraryImport("advapi32.dll", EntryPoint = "StartServiceCtrlDispatcherW", SetLastError = true)]
    [DefaultDllImportSearchPaths(DllImportSearchPath.System32)]
    [return: MarshalAs(UnmanagedType.Bool)]
    private static partial bool StartServiceCtrlDispatcher(ServiceTableEntry* table);

    [LibraryImport("advapi32.dll", EntryPoint = "RegisterServiceCtrlHandlerExW", SetLastError = true, StringMarshalling = StringMarshalling.Utf16)]
    [DefaultDllImportSearchPaths(DllImportSearchPath.System32)]
    private static partial nint RegisterServiceCtrlHandlerEx(
        string name, delegate* unmanaged[Stdcall]<uint, uint, nint, nint, uint> handler, nint context);

    [LibraryImport("advapi32.dll", SetLastError = true)]
    [DefaultDllImportSearchPaths(DllImportSearchPath.System32)]
    [return: MarshalAs(UnmanagedType.Bool)]
    private static partial bool SetServiceStatus(nint handle, ServiceStatusBlock* status);

    /// <summary>SERVICE_TABLE_ENTRYW.</summary>
    private struct ServiceTableEntry
    {
        public char* Name;
        public delegate* unmanaged[Stdcall]<uint, char**, void> Main;
    }

    /// <summary>SERVICE_STATUS.</summary>
    private struct ServiceStatusBlock
    {
        public uint ServiceType;
        public uint CurrentState;
        public uint ControlsAccepted;
        public uint Win32ExitCode;
        public uint ServiceSpecificExitCode;
        public uint CheckPoint;
        public uint WaitHint;
    }
}
