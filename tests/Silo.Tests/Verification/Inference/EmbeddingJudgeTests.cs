using System.Buffers.Binary;
using System.Globalization;
using System.Text;
using Federation.Silo.Verification.Inference;

namespace Federation.Silo.Tests.Verification.Inference;

/// <summary>Vectors beside another node's of the same texts.</summary>
public sealed class EmbeddingJudgeTests
{
    private const int Dimensions = 384;

    private static readonly InferenceCheckOptions Options = new();

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void Honest_noise_passes_in_either_encoding_and_whatever_the_vectors_length(bool isBase64)
    {
        var random = new Random(3);
        var honest = Vectors(random, 8);
        // Half precision, another order of sums, and an engine that makes no unit vectors.
        var worker = honest.Select(vector => vector.Select(value => (float)(7 * (value + (0.003 * Gauss(random))))).ToArray()).ToArray();
        var verdict = EmbeddingJudge.Judge(Read(worker, isBase64), 100, 0, Read(honest, !isBase64), Options);
        Assert.Equal(InferenceOutcome.Ok, verdict.Outcome);
        Assert.Equal((8, Dimensions, 100), (verdict.Vectors, verdict.Dimensions, verdict.PromptTokensCounted));
        Assert.InRange(verdict.CosineMin!.Value, 0.99, 1);
    }

    [Fact]
    public void One_vector_of_many_that_another_text_or_chance_has_made_is_found()
    {
        var random = new Random(4);
        for (var trial = 0; trial < 200; trial++)
        {
            var honest = Vectors(random, 8);
            var worker = honest.ToArray();
            worker[random.Next(8)] = trial % 2 == 0 ? Vectors(random, 1)[0] : new float[Dimensions];
            Assert.Contains("1 of 8 vectors point elsewhere", Assert.Single(EmbeddingJudge.Judge(Read(worker), 100, 0, Read(honest), Options).Reasons), StringComparison.Ordinal);
        }
    }

    [Fact]
    public void Too_few_vectors_other_dimensions_and_more_tokens_than_there_are_are_found()
    {
        var honest = Vectors(new Random(5), 4);
        Assert.Contains("3 vectors; the request has 4 texts", Why(honest[1..]), StringComparison.Ordinal);
        Assert.Contains("other dimensions", Why([.. honest.Select(vector => vector[1..])]), StringComparison.Ordinal);
        Assert.Contains("no vectors that can be read", string.Join(' ', EmbeddingJudge.Judge(null, 100, 0, Read(honest), Options).Reasons), StringComparison.Ordinal);
        Assert.Contains("claims 1000 tokens of prompt; it has 100", Why(honest, prompt: 1_000), StringComparison.Ordinal);
        Assert.Contains("claims 16 tokens of an answer", Why(honest, completion: 16), StringComparison.Ordinal);
        Assert.Empty(Why(honest, prompt: 110));

        string Why(float[][] worker, long prompt = 100, long completion = 0) => string.Join(' ', EmbeddingJudge.Judge(Read(worker), prompt, completion, Read(honest), Options).Reasons);
    }

    [Theory]
    [InlineData("")]
    [InlineData("[]")]
    [InlineData("not an answer")]
    [InlineData("""{"error":{"message":"no"}}""")]
    [InlineData("""{"data":[]}""")]
    [InlineData("""{"data":[{"embedding":[]}]}""")]
    [InlineData("""{"data":[{"embedding":["a"]}]}""")]
    [InlineData("""{"data":[{"embedding":[1e300]}]}""")]
    [InlineData("""{"data":[{"embedding":"AAAA"}]}""")]
    [InlineData("""{"data":[{"embedding":"AADAfw=="}]}""")]
    [InlineData("""{"data":[{"embedding":"\ud83d"}]}""")]
    [InlineData("""{"data":[{"index":1,"embedding":[1]}]}""")]
    [InlineData("""{"data":[{"index":0,"embedding":[1]},{"index":0,"embedding":[1]}]}""")]
    [InlineData("""{"data":[{"index":0.5,"embedding":[1]}]}""")]
    [InlineData("data: {\"data\":[{\"embedding\":[1]}]}\n\n")]
    public void What_clients_would_find_no_vectors_in_has_none(string answer) => Assert.Null(EmbeddingAnswer.Read(Encoding.UTF8.GetBytes(answer)));

    [Fact]
    public void Vectors_stand_where_their_index_says()
    {
        var answer = EmbeddingAnswer.Read("""{"data":[{"index":1,"embedding":[2,2]},{"index":0,"embedding":"AACAPwAAgD8="}]}"""u8.ToArray())!;
        Assert.Equal(["1 1", "2 2"], answer.Vectors.Select(vector => string.Join(' ', vector)));
        Assert.Null(answer.PromptTokens);
    }

    private static float[][] Vectors(Random random, int count) => [.. Enumerable.Range(0, count).Select(_ => Enumerable.Range(0, Dimensions).Select(_ => (float)(Gauss(random) / Math.Sqrt(Dimensions))).ToArray())];

    private static double Gauss(Random random) => Math.Sqrt(-2 * Math.Log(1 - random.NextDouble())) * Math.Cos(2 * Math.PI * random.NextDouble());

    private static EmbeddingAnswer Read(float[][] vectors, bool isBase64 = false)
    {
        var items = vectors.Select((vector, index) => string.Create(CultureInfo.InvariantCulture, $"{{\"object\":\"embedding\",\"index\":{index},\"embedding\":{(isBase64 ? Base64(vector) : $"[{string.Join(',', vector.Select(value => value.ToString("R", CultureInfo.InvariantCulture)))}]")}}}"));
        return EmbeddingAnswer.Read(Encoding.UTF8.GetBytes($"{{\"object\":\"list\",\"data\":[{string.Join(',', items)}],\"model\":\"m\",\"usage\":{{\"prompt_tokens\":100,\"total_tokens\":100}}}}"))!;
    }

    private static string Base64(float[] vector)
    {
        var bytes = new byte[vector.Length * sizeof(float)];
        for (var i = 0; i < vector.Length; i++) BinaryPrimitives.WriteSingleLittleEndian(bytes.AsSpan(i * sizeof(float)), vector[i]);
        return $"\"{Convert.ToBase64String(bytes)}\"";
    }
}
