using System.Reflection;

namespace Federation.EndToEnd.Tests.Harness;

/// <summary>Where the things under test lie; the build wrote it into this assembly.</summary>
internal static class Places
{
    public static string Hub { get; } = Read(nameof(Hub));

    public static string Agent { get; } = Read(nameof(Agent));

    public static string Repository { get; } = Read(nameof(Repository));

    public static string Models => Path.Combine(Repository, "models");

    /// <summary>A worse-trained model that is as large as the demo model.</summary>
    public static string Impostor => Path.Combine(Repository, "tests", "NodeAgent.Tests", "Engines", "Builtin", "Data", "impostor.gguf");

    public static string Clients => Path.Combine(Repository, "tests", "EndToEnd.Tests", "clients");

    private static string Read(string key)
        => typeof(Places).Assembly.GetCustomAttributes<AssemblyMetadataAttribute>().Single(attribute => attribute.Key == key).Value!;
}
