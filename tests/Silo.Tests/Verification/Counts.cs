namespace Federation.Silo.Tests.Verification;

/// <summary>How often a property is tried: as the protocol asks with <c>FEDERATION_TESTS_FULL=1</c>, and a part of it otherwise.</summary>
internal static class Counts
{
    public static bool IsFull { get; } = Environment.GetEnvironmentVariable("FEDERATION_TESTS_FULL") == "1";

    public static int Of(int full, int quick) => IsFull ? full : quick;
}
