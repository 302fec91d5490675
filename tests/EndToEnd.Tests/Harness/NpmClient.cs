using System.Text.Json.Nodes;

namespace Federation.EndToEnd.Tests.Harness;

/// <summary>A script in <c>clients/</c> that uses an official npm package as its users do.</summary>
/// <param name="package">What it needs.</param>
/// <param name="script">Its file.</param>
internal sealed class NpmClient(string package, string script)
{
    /// <summary>Runs one scenario and gives what its user saw.</summary>
    /// <param name="scenario">Its name in the script.</param>
    /// <param name="environment">Where, as whom and what to ask.</param>
    /// <param name="outcome">"result", or "error" where the package is to throw.</param>
    public async Task<JsonNode> RunAsync(string scenario, IReadOnlyDictionary<string, string> environment, string outcome = "result")
    {
        Assert.True(Directory.Exists(Path.Combine([Places.Clients, "node_modules", .. package.Split('/')])), $"The {package} package is missing. Run: npm ci --prefix {Places.Clients}");
        await using var node = ChildProcess.Start("node", "node", [script, scenario], environment, Places.Clients);
        var code = await node.ExitAsync();
        Assert.True(code == 0, node.Tail());
        var seen = JsonNode.Parse(node.Lines[^1])![outcome];
        Assert.True(seen is not null, node.Tail());
        return seen;
    }
}
