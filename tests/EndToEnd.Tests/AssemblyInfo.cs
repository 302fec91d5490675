using System.Runtime.Versioning;

// Every test starts processes of its own; one test at a time keeps a small machine's timing honest.
[assembly: CollectionBehavior(DisableTestParallelization = true)]

// Signals and file modes.
[assembly: SupportedOSPlatform("linux")]
[assembly: SupportedOSPlatform("macos")]
