namespace Federation.EndToEnd.Tests.Harness;

/// <summary>A directory that is gone afterwards.</summary>
internal sealed class TemporaryDirectory : IDisposable
{
    public string Path { get; } = Directory.CreateTempSubdirectory("federation-e2e-").FullName;

    public void Dispose() => Directory.Delete(Path, recursive: true);
}
