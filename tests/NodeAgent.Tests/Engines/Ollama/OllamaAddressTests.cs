using Federation.NodeAgent.Engines.Ollama;

namespace Federation.NodeAgent.Tests.Engines.Ollama;

public sealed class OllamaAddressTests
{
    [Theory]
    [InlineData(null, "http://127.0.0.1:11434/")]
    [InlineData("", "http://127.0.0.1:11434/")]
    [InlineData("  ", "http://127.0.0.1:11434/")]
    [InlineData("gpu-box", "http://gpu-box:11434/")]
    [InlineData("gpu-box:8080", "http://gpu-box:8080/")]
    [InlineData("1.2.3.4", "http://1.2.3.4:11434/")]
    [InlineData("1.2.3.4:80", "http://1.2.3.4:80/")]
    [InlineData(":8080", "http://127.0.0.1:8080/")]
    [InlineData("0.0.0.0", "http://127.0.0.1:11434/")]
    [InlineData("0.0.0.0:8080", "http://127.0.0.1:8080/")]
    [InlineData("::", "http://[::1]:11434/")]
    [InlineData("[::]:8080", "http://[::1]:8080/")]
    [InlineData("::1", "http://[::1]:11434/")]
    [InlineData("[::1]", "http://[::1]:11434/")]
    [InlineData("[fe80::2]:8080", "http://[fe80::2]:8080/")]
    [InlineData("http://gpu-box", "http://gpu-box:80/")]
    [InlineData("https://gpu-box", "https://gpu-box:443/")]
    [InlineData("https://gpu-box:8443/", "https://gpu-box:8443/")]
    [InlineData("https://gpu-box/ollama/", "https://gpu-box/ollama")]
    [InlineData("gpu-box:8080/ollama", "http://gpu-box:8080/ollama")]
    [InlineData("gpu-box:", "http://gpu-box:11434/")]
    [InlineData("gpu-box:http", "http://gpu-box:11434/")]
    [InlineData("gpu-box:70000", "http://gpu-box:11434/")]
    [InlineData("\"gpu-box:8080\"", "http://gpu-box:8080/")]
    [InlineData(" 'gpu-box' ", "http://gpu-box:11434/")]
    public void OLLAMA_HOST_is_read_as_Ollama_reads_it(string? host, string expected) =>
        Assert.Equal(new Uri(expected), OllamaAddress.Parse(host));

    [Fact]
    public void What_is_no_address_is_refused() =>
        Assert.Throws<FormatException>(() => OllamaAddress.Parse("not a host"));

    [Fact]
    public void The_environment_says_where_and_how_many()
    {
        var variables = new Dictionary<string, string> { ["OLLAMA_HOST"] = "gpu-box", ["OLLAMA_NUM_PARALLEL"] = "4" };

        var options = OllamaOptions.FromEnvironment(variables.GetValueOrDefault);

        Assert.Equal((new Uri("http://gpu-box:11434"), 4), (options.Address, options.Slots));
        Assert.Equal((OllamaAddress.Default, 1), (OllamaOptions.FromEnvironment(_ => null).Address, OllamaOptions.FromEnvironment(_ => "").Slots));
    }
}
