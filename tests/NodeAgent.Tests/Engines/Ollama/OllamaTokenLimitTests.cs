using System.Text;
using Federation.NodeAgent.Engines.Ollama;

namespace Federation.NodeAgent.Tests.Engines.Ollama;

public sealed class OllamaTokenLimitTests
{
    [Theory]
    [InlineData("""{"model":"m","max_completion_tokens":5}""", """{"max_tokens":5,"model":"m","max_completion_tokens":5}""")]
    [InlineData("""{"max_completion_tokens": 5 , "messages":[{"max_tokens":1}]}""", """{"max_tokens":5,"max_completion_tokens": 5 , "messages":[{"max_tokens":1}]}""")]
    [InlineData("""{"max_tokens":7,"max_completion_tokens":5}""", null)]
    [InlineData("""{"max_completion_tokens":5,"max_tokens":null}""", null)]
    [InlineData("""{"max_completion_tokens":null}""", null)]
    [InlineData("""{"model":"m"}""", null)]
    [InlineData("{}", null)]
    [InlineData("[]", null)]
    [InlineData("""{"max_completion_tokens":5""", null)]
    [InlineData("", null)]
    public void A_limit_under_its_newer_name_is_said_under_the_older_too(string body, string? said)
        => Assert.Equal(said ?? body, Encoding.UTF8.GetString(OllamaTokenLimit.Say(Encoding.UTF8.GetBytes(body)).Span));
}
