using System.Text.Json;
using Federation.Protocol.OpenAi;
using Federation.Silo.Gateway;
using Federation.Silo.Verification.Audits;
using Federation.Silo.Verification.Inference;

namespace Federation.Silo.Tests.Verification.Audits;

public sealed class CanaryTests
{
    [Fact]
    public void A_canary_is_a_request_the_gateway_would_take_and_no_two_begin_alike()
    {
        var random = new Random(7);
        var prompts = new HashSet<string>();
        for (var i = 0; i < 500; i++)
        {
            var canary = Canary.Draw("m", new CanaryOptions(), random);
            Assert.True(RequestHead.TryRead(canary.Body.Span, canary.Kind, out var head, out _));
            Assert.Equal("m", head.Model);
            using var body = JsonDocument.Parse(canary.Body);
            var prompt = body.RootElement.GetProperty("messages")[0].GetProperty("content").GetString()!;
            Assert.DoesNotContain("{", prompt, StringComparison.Ordinal);
            Assert.InRange(body.RootElement.GetProperty("max_tokens").GetInt32(), 64, 256);
            prompts.Add(prompt);
        }
        Assert.True(prompts.Count > 490, $"{prompts.Count} of 500 prompts differ.");
    }

    [Theory]
    [InlineData("""{"temperature":0,"max_tokens":5}""", nameof(Drawing.Greedy), 5L, false)]
    [InlineData("""{"max_completion_tokens":9,"stop":["x"]}""", nameof(Drawing.Sampled), 9L, true)]
    [InlineData("""{"stop":[],"response_format":{"type":"text"},"tools":null}""", nameof(Drawing.Sampled), null, false)]
    [InlineData("""{"temperature":0,"response_format":{"type":"json_object"}}""", nameof(Drawing.Constrained), null, false)]
    [InlineData("""{"temperature":0,"tools":[{"type":"function"}]}""", nameof(Drawing.Constrained), null, false)]
    public void How_tokens_were_to_be_chosen_is_read_from_the_request(string json, string drawing, long? max, bool hasStop)
    {
        using var body = JsonDocument.Parse(json);
        Assert.Equal(new RequestedSampling(Enum.Parse<Drawing>(drawing), max, hasStop), RequestedSampling.Of(JobKind.Chat, body.RootElement));
    }
}
