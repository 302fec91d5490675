using System.Runtime.InteropServices;

namespace Federation.Protocol.Machine;

/// <summary>A thread for work that nobody waits for: it gets a core when nobody else on the machine wants it.</summary>
public static class IdleThread
{
    // The weakest claims to a core that Linux knows: of threads that run when nothing else does, and, should a libc not let us be one, of ordinary ones.
    private const int ScheduleIdle = 5;
    private const int LeastNice = 19;
    private const int PriorityOfProcess = 0;

    /// <summary>Starts one; it does not keep the process alive.</summary>
    /// <param name="name">For debuggers.</param>
    /// <param name="work">What it does.</param>
    public static void Start(string name, Action work) => new Thread(() =>
    {
        // .NET leaves priorities to the system, and Linux knows them by thread under this name only. Without it the work is done all the same.
        if (OperatingSystem.IsLinux())
        {
            var noPriority = 0;
            _ = SetPriority(PriorityOfProcess, 0, LeastNice);
            _ = SetScheduler(0, ScheduleIdle, ref noPriority);
        }
        work();
    })
    {
        IsBackground = true,
        Name = name,
        Priority = ThreadPriority.Lowest,
    }.Start();

    [DllImport("libc", EntryPoint = "sched_setscheduler")]
    [DefaultDllImportSearchPaths(DllImportSearchPath.SafeDirectories)]
    private static extern int SetScheduler(int thread, int policy, ref int priority);

    [DllImport("libc", EntryPoint = "setpriority")]
    [DefaultDllImportSearchPaths(DllImportSearchPath.SafeDirectories)]
    private static extern int SetPriority(int which, uint who, int nice);
}
