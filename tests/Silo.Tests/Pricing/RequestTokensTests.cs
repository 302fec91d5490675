using System.Text;
using Federation.Protocol.OpenAi;
using Federation.Silo.Pricing;

namespace Federation.Silo.Tests.Pricing;

public sealed class RequestTokensTests
{
    private static readonly PricingOptions Options = new();
    private static readonly string Data = new('A', 100_000);

    [Fact]
    public void A_prompt_is_counted_in_bytes_more_of_them_to_a_token_in_an_estimate_than_in_a_hold()
    {
        var body = $$"""{"model":"m","messages":[{"role":"user","content":"{{new string('x', 4_000)}}"}]}""";
        var tokens = Read(body);
        Assert.Equal((body.Length + 3) / 4, tokens.EstimatedPrompt(Options));
        Assert.Equal((body.Length + 1) / 2, tokens.MaxPrompt(Options));
        Assert.Equal(Options.DefaultCompletionTokens, tokens.MaxCompletion(Options));
        Assert.Equal(Options.UsualCompletionTokens, tokens.EstimatedCompletion(Options));
    }

    [Theory]
    [InlineData("""{"model":"m","max_tokens":100}""", 100)]
    [InlineData("""{"model":"m","max_completion_tokens":100}""", 100)]
    [InlineData("""{"model":"m","max_tokens":100.0}""", 100)]
    [InlineData("""{"model":"m","max_tokens":1e5}""", 100_000)]
    [InlineData("""{"model":"m","max_tokens":100,"max_completion_tokens":7}""", 100)]
    [InlineData("""{"model":"m","max_tokens":null,"max_completion_tokens":7,"n":3}""", 21)]
    [InlineData("""{"model":"m","max_tokens":1000000000,"n":1024}""", Price.TokensMax)]
    [InlineData("""{"model":"m","metadata":{"max_tokens":5}}""", 4_096)]
    public void Every_choice_is_held_for_up_to_the_limit_that_the_client_names(string body, long expected) => Assert.Equal(expected, Read(body).MaxCompletion(Options));

    [Theory]
    [InlineData("""{"prompt":["a","b","c"],"n":2,"best_of":4,"max_tokens":10}""", 120)]
    [InlineData("""{"prompt":[[1,2],[3]],"max_tokens":10}""", 20)]
    [InlineData("""{"prompt":[1,2,3],"max_tokens":10}""", 10)]
    [InlineData("""{"prompt":"a","max_tokens":10}""", 10)]
    [InlineData("""{"prompt":[],"max_tokens":10}""", 10)]
    [InlineData("""{"prompt":"a","max_completion_tokens":1}""", 4_096)]
    public void Each_prompt_of_a_completion_is_answered_and_the_best_of_many_is_paid_as_many(string body, long expected)
        => Assert.Equal(expected, Read(body, JobKind.Completion).MaxCompletion(Options));

    [Theory]
    [InlineData("""{"messages":[{"content":[{"\ud800":"x"}]}]}""")]
    [InlineData("""{"messages":[{"content":[{"type":"file","file":{"\udfff":"x"}}]}]}""")]
    [InlineData("""{"tools":[{"\ud800":"function"}]}""")]
    [InlineData("""{"tools":[{"type":"\ud800"}]}""")]
    [InlineData("""{"service_tier":"\ud800"}""")]
    public void Half_a_character_in_a_name_is_the_requests_mistake(string body)
    {
        Assert.False(RequestTokens.TryRead(Encoding.UTF8.GetBytes(body), JobKind.Chat, out var tokens, out var error));
        Assert.Null(tokens);
        Assert.Equal((400, "invalid_request_error"), (error.Status, error.Type));
    }

    [Fact]
    public void Vectors_have_no_tokens() => Assert.Equal(0, Read("""{"input":["a","b"],"max_tokens":5}""", JobKind.Embedding).MaxCompletion(Options));

    [Fact]
    public void An_image_costs_the_same_whatever_its_size_and_a_file_what_is_in_it()
    {
        var image = Read("""{"messages":[{"content":[{"type":"image_url","image_url":{"url":"data:image/png;base64,DATA"}}]}]}""".Replace("DATA", Data, StringComparison.Ordinal));
        Assert.InRange(image.MaxPrompt(Options), Options.ImageTokens, Options.ImageTokens + 100);
        var file = Read("""{"messages":[{"content":[{"type":"file","file":{"file_data":"DATA"}}]}]}""".Replace("DATA", Data, StringComparison.Ordinal));
        Assert.InRange(file.MaxPrompt(Options), 25_000, 25_100);
        // Text that only calls itself an image is text.
        var text = Read("""{"messages":[{"content":"data:image/png;base64,DATA"}]}""".Replace("DATA", Data, StringComparison.Ordinal));
        Assert.True(text.MaxPrompt(Options) > 50_000);
        foreach (var elsewhere in new[] { """{"metadata":{"url":"data:image/png;base64,DATA"}}""", """{"messages":[{"content":"x","tool_calls":[{"url":"data:image/DATA"}]}]}""", """{"messages":[{"data":"DATA","content":[{"type":"text","image":{"url":"data:image/DATA"}}]}]}""" })
            Assert.True(Read(elsewhere.Replace("DATA", Data, StringComparison.Ordinal)).MaxPrompt(Options) >= 50_000, elsewhere);
    }

    [Theory]
    [InlineData("max_tokens", "0")]
    [InlineData("max_tokens", "-1")]
    [InlineData("max_tokens", "1.5")]
    [InlineData("max_tokens", "1e-3")]
    [InlineData("max_tokens", "9223372036854775808")]
    [InlineData("max_tokens", "1000000001")]
    [InlineData("max_completion_tokens", "\"5\"")]
    [InlineData("max_completion_tokens", "-9223372036854775808")]
    [InlineData("n", "0")]
    [InlineData("n", "1025")]
    [InlineData("best_of", "99999999999999999999999999")]
    [InlineData("n", "[1]")]
    public void A_number_that_cannot_be_priced_is_named(string field, string value)
    {
        Assert.False(RequestTokens.TryRead(Encoding.UTF8.GetBytes($$"""{"model":"m","{{field}}":{{value}}}"""), JobKind.Chat, out _, out var error));
        Assert.Equal((400, field, "invalid_value"), (error.Status, error.Param, error.Code));
    }

    [Theory]
    [InlineData("""{"type":"file","file":{"file_id":"file-1"}}""", "file_id")]
    [InlineData("""{"type":"file","file":{"file_data":"https://example.com/a.pdf"}}""", "file_data")]
    [InlineData("""{"type":"file","file":{"file_data":"http\u003a//example.com/a.pdf"}}""", "file_data")]
    [InlineData("""{"type":"file","file":{"url":"https://example.com/a.pdf"}}""", "url")]
    [InlineData("""{"type":"video_url","video_url":{"url":"https://example.com/a.mp4"}}""", "url")]
    [InlineData("""{"type":"document_url","document_url":"https://example.com/a.pdf"}""", "document_url")]
    public void What_a_request_only_names_cannot_be_priced(string part, string field)
    {
        Assert.False(RequestTokens.TryRead(Encoding.UTF8.GetBytes($$"""{"messages":[{"content":"a"},{"content":[{"type":"text","text":"http://a"},{{part}}]}]}"""), JobKind.Chat, out _, out var error));
        Assert.Equal((400, $"messages[1].content[1].{field}", "unsupported_parameter"), (error.Status, error.Param, error.Code));
    }

    [Fact]
    public void More_answers_than_can_be_held_for_are_refused()
        => Assert.False(RequestTokens.TryRead(Encoding.UTF8.GetBytes($$"""{"prompt":[{{string.Join(',', Enumerable.Repeat("\"a\"", 513))}}],"n":2,"max_tokens":10}"""), JobKind.Completion, out _, out _));

    [Theory]
    [InlineData("tools", "[{\"type\":\"function\",\"function\":{\"name\":\"f\"}},{\"type\":\"web_search\"}]")]
    [InlineData("modalities", "[\"text\",\"audio\"]")]
    [InlineData("audio", "{\"voice\":\"alloy\"}")]
    [InlineData("service_tier", "\"priority\"")]
    [InlineData("web_search_options", "{}")]
    [InlineData("plugins", "[{\"id\":\"web\"}]")]
    [InlineData("models", "[\"anthropic/claude-opus-4\"]")]
    [InlineData("mod\\u0065ls", "[\"anthropic/claude-opus-4\"]")]
    [InlineData("route", "\"fallback\"")]
    [InlineData("provider", "{\"order\":[]}")]
    public void What_a_provider_bills_beside_tokens_or_at_another_models_price_is_refused(string field, string value)
    {
        Assert.False(RequestTokens.TryRead(Encoding.UTF8.GetBytes($$"""{"model":"m","{{field}}":{{value}}}"""), JobKind.Chat, out _, out var error));
        Assert.Equal((400, "unsupported_parameter"), (error.Status, error.Code));
    }

    [Theory]
    [InlineData("""{"service_tier":"auto"}""")]
    [InlineData("""{"tools":[{"type":"function","function":{"name":"f","parameters":{"type":"object"}}}],"audio":null}""")]
    [InlineData("""{"messages":[{"content":[{"type":"image_url","image_url":{"url":"https://example.com/a.png"}},{"type":"input_audio","input_audio":{"data":"AAAA","format":"wav"}}]}]}""")]
    [InlineData("""{"service_tier":null,"plugins":null}""")]
    [InlineData("""{"metadata":{"provider":"x","models":[]},"max_tokens":5}""")]
    public void What_costs_nothing_more_is_not(string body) => Read(body);

    private static RequestTokens Read(string body, JobKind kind = JobKind.Chat)
    {
        Assert.True(RequestTokens.TryRead(Encoding.UTF8.GetBytes(body), kind, out var tokens, out var error), error?.Message);
        return tokens;
    }
}
