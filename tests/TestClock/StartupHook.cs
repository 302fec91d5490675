/// <summary>That this assembly has one is what makes the runtime load it (<c>DOTNET_STARTUP_HOOKS</c>).</summary>
internal static class StartupHook
{
    public static void Initialize()
    {
        // Loaded is all it has to be.
    }
}
