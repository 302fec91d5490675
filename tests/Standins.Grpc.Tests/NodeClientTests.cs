using System.Text.Json;

namespace Federation.Standins.Grpc.Tests;

/// <summary>A grpc-js client calls our server: interop/client.mjs.</summary>
public sealed class NodeClientTests(NodeClientTests.Run run) : IClassFixture<NodeClientTests.Run>
{
    private static readonly string[] _scenarios =
    [
        "unary", "empty message", "client stream", "client stream refused in the middle",
        "server stream", "server stream refused after messages",
        "duplex stream", "duplex stream pipelined", "duplex stream ended by the server", "duplex stream refused by the server",
        "status details and message", "metadata", "deadline known to the server", "deadline exceeded", "unary cancelled",
        "server stream cancelled", "duplex stream cancelled", "big answer", "request beyond the limit", "compressed request",
        "unknown method", "a hundred streams at once",
    ];

    public static TheoryData<string> Scenarios() => [.. _scenarios];

    [Theory]
    [MemberData(nameof(Scenarios))]
    public void A_node_client_is_served(string scenario)
    {
        Assert.True(run.Results.TryGetValue(scenario, out var error), $"'{scenario}' did not run.\n{run.Said}");
        Assert.True(error is null, error);
    }

    [Fact]
    public void Every_scenario_of_the_node_client_is_looked_at() => Assert.Equal(_scenarios.Order(), run.Results.Keys.Order());

    /// <summary>Runs the client once, all scenarios one after the other.</summary>
    public sealed class Run : IAsyncLifetime
    {
        /// <summary>The error of each scenario that ran; null if it went well.</summary>
        public IReadOnlyDictionary<string, string?> Results { get; private set; } = new Dictionary<string, string?>();

        public string Said { get; private set; } = "";

        public async Task InitializeAsync()
        {
            await NodeProject.EnsureInstalledAsync();
            await using var server = await ProbeServer.StartAsync(new InteropProbe().Script);
            using var client = NodeProject.StartScript("client.mjs", new Uri(server.Address).Authority);
            client.StandardInput.Close();
            var output = client.StandardOutput.ReadToEndAsync();
            var errors = client.StandardError.ReadToEndAsync();
            await client.WaitForExitAsync().WaitAsync(TimeSpan.FromMinutes(3));
            Said = await errors;
            Results = (await output).Split('\n', StringSplitOptions.RemoveEmptyEntries)
                .Select(line => JsonDocument.Parse(line).RootElement)
                .ToDictionary(result => result.GetProperty("name").GetString()!, result => result.GetProperty("error").GetString());
        }

        public Task DisposeAsync() => Task.CompletedTask;
    }
}
