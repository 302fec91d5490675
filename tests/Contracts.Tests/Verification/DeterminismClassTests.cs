using Federation.Protocol.OpenAi;
using Federation.Protocol.Verification;

namespace Federation.Contracts.Tests.Verification;

public sealed class DeterminismClassTests
{
    [Fact]
    public void The_canonical_text_names_all_and_reads_back()
    {
        var dc = new DeterminismClass("sha256:0af1", "ollama", "0.33.0 (b/1)", "cuda", "sm_89", 1);
        Assert.Equal("sha256:0af1/ollama/0.33.0%20%28b%2F1%29/cuda/sm_89/np1", dc.ToCanonical());
        Assert.Equal(dc, DeterminismClass.TryParse(dc.ToCanonical()));
        Assert.Equal(new DeterminismClass("", "builtin", "ü", "cpu", "x64", 8), DeterminismClass.TryParse("/builtin/%C3%BC/cpu/x64/np8"));
    }

    [Theory]
    [InlineData("sha256:0af1", "sha256:0af1/ollama/0.33.0/cuda/sm_89/np4")]
    [InlineData("sha256:0af1", "sha256:0af1")]
    [InlineData("", "")]
    [InlineData("name:hf.co%2Fqwen", "name:hf.co%2Fqwen/builtin/1/cpu/x64/np1")]
    public void The_weights_of_a_class_are_its_first_field(string weights, string text) => Assert.Equal(weights, DeterminismClass.WeightsOf(text));

    [Theory]
    [InlineData("sha256:0af1/ollama/0.33.0/cuda/sm_89/np4", JobKind.Embedding, "sha256:0af1+embedding/ollama/0.33.0/cuda/sm_89/np4")]
    [InlineData("sha256:0af1", JobKind.Embedding, "sha256:0af1+embedding")]
    [InlineData("", JobKind.Embedding, "")]
    [InlineData("sha256:0af1/ollama/0.33.0/cuda/sm_89/np4", JobKind.Chat, "sha256:0af1/ollama/0.33.0/cuda/sm_89/np4")]
    [InlineData("sha256:0af1/ollama/0.33.0/cuda/sm_89/np4", JobKind.Completion, "sha256:0af1/ollama/0.33.0/cuda/sm_89/np4")]
    public void Vectors_have_a_class_of_their_own(string model, JobKind kind, string expected) => Assert.Equal(expected, DeterminismClass.ForKind(model, kind));

    [Theory]
    [InlineData(null)]
    [InlineData("")]
    [InlineData("a/b/c/d/e")]
    [InlineData("a/b/c/d/e/np0")]
    [InlineData("a/b/c/d/e/np01")]
    [InlineData("a/b/c/d/e/np-1")]
    [InlineData("a/b/c/d/e/1")]
    [InlineData("a b/b/c/d/e/np1")]
    [InlineData("%61/b/c/d/e/np1")]
    [InlineData("a/b/c/d/e/np1/f")]
    public void Another_spelling_is_none(string? text) => Assert.Null(DeterminismClass.TryParse(text));
}
