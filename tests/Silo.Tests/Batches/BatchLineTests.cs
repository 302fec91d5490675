using System.Text;
using System.Text.Json;
using Federation.Protocol.OpenAi;
using Federation.Silo.Batches;
using Federation.Silo.Jobs;

namespace Federation.Silo.Tests.Batches;

public sealed class BatchLineTests
{
    private const string Body = """{"model":"llama","messages":[{"role":"user","content":"hi"}],"seed": 1.50}""";

    [Fact]
    public void A_line_s_body_goes_on_in_the_client_s_own_bytes()
    {
        var (line, problem) = Read($$"""{"custom_id":"ärger-😀-1","method":"POST","url":"/v1/chat/completions","body":{{Body}}}""");
        Assert.Null(problem);
        Assert.Equal(("ärger-😀-1", "llama", Body), (line!.CustomId, line.Model, Encoding.UTF8.GetString(line.Body.Span)));
    }

    [Theory]
    [InlineData("{", "invalid_json_line")]
    [InlineData("[]", "invalid_json_line")]
    [InlineData("7", "invalid_json_line")]
    [InlineData("\u0000", "invalid_json_line")]
    [InlineData("""{"custom_id":"a","custom_id":"b","method":"POST","url":"/v1/chat/completions","body":{}}""", "invalid_json_line")]
    [InlineData("""{"custom_id":"\ud800","method":"POST","url":"/v1/chat/completions","body":{}}""", "invalid_json_line")]
    [InlineData("""{"method":"POST","url":"/v1/chat/completions","body":{}}""", "missing_required_parameter")]
    [InlineData("""{"custom_id":"","method":"POST","url":"/v1/chat/completions","body":{}}""", "missing_required_parameter")]
    [InlineData("""{"custom_id":7,"method":"POST","url":"/v1/chat/completions","body":{}}""", "missing_required_parameter")]
    [InlineData("""{"custom_id":"a","method":"GET","url":"/v1/chat/completions","body":{}}""", "invalid_method")]
    [InlineData("""{"custom_id":"a","method":"POST","url":"/v1/embeddings","body":{}}""", "invalid_url")]
    [InlineData("""{"custom_id":"a","method":"POST","url":"http://evil/v1/chat/completions","body":{}}""", "invalid_url")]
    [InlineData("""{"custom_id":"a","method":"POST","url":"/v1/chat/completions"}""", "missing_required_parameter")]
    [InlineData("""{"custom_id":"a","method":"POST","url":"/v1/chat/completions","body":[]}""", "missing_required_parameter")]
    public void What_is_wrong_with_a_line_has_a_code_and_its_number(string text, string code)
    {
        var (line, problem) = Read(text, 12);
        Assert.Null(line);
        Assert.Equal((code, 12L), (problem!.Code, problem.Line));
    }

    [Fact]
    public void An_answer_s_line_is_one_line_whatever_the_engine_wrote()
    {
        var answer = new BackgroundAnswer("job_1", AttemptVerdict.Answered, 200, "{\n  \"a\" : 1.50,\r\n \"b\":\"x\\ny\"}"u8.ToArray(), "node", null);
        var output = Encoding.UTF8.GetString(BatchLine.Output("a\nb", answer));
        Assert.DoesNotContain('\n', output);
        var json = JsonElement.Parse(output);
        Assert.StartsWith("batch_req_", json.GetProperty("id").GetString(), StringComparison.Ordinal);
        Assert.Equal("a\nb", json.GetProperty("custom_id").GetString());
        Assert.Equal((200, "job_1"), (json.GetProperty("response").GetProperty("status_code").GetInt32(), json.GetProperty("response").GetProperty("request_id").GetString()));
        Assert.Equal("1.50", json.GetProperty("response").GetProperty("body").GetProperty("a").GetRawText());
        Assert.Equal("x\ny", json.GetProperty("response").GetProperty("body").GetProperty("b").GetString());
        Assert.Equal(JsonValueKind.Null, json.GetProperty("error").ValueKind);
    }

    [Fact]
    public void A_line_without_an_answer_says_why()
    {
        var json = JsonElement.Parse(Encoding.UTF8.GetString(BatchLine.Output("a", "batch_expired", "Too late.")));
        Assert.Equal(JsonValueKind.Null, json.GetProperty("response").ValueKind);
        Assert.Equal(("batch_expired", "Too late."), (json.GetProperty("error").GetProperty("code").GetString(), json.GetProperty("error").GetProperty("message").GetString()));
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    [InlineData(7)]
    [InlineData(1_000)]
    public async Task Lines_are_the_same_however_the_file_is_cut(int pieceBytes)
    {
        var file = "\ufeffone\r\n\n  \ntwo\n" + new string('x', 50) + "\nthree";
        var lines = await LinesAsync(file, pieceBytes, maxBytes: 20);
        Assert.Equal([(1L, "one\r", false), (4L, "two", false), (5L, "", true), (6L, "three", false)], lines);
    }

    private static async Task<List<(long, string, bool)>> LinesAsync(string text, int pieceBytes, int maxBytes)
    {
        var lines = new List<(long, string, bool)>();
        var pieces = Encoding.UTF8.GetBytes(text).Chunk(pieceBytes).ToAsyncEnumerable();
        await foreach (var line in FileLines.ReadAsync(pieces, maxBytes)) lines.Add((line.Number, Encoding.UTF8.GetString(line.Bytes.Span), line.IsTooLong));
        return lines;
    }

    private static (BatchLine? Line, BatchError? Problem) Read(string line, long number = 1) => BatchLine.Read(Encoding.UTF8.GetBytes(line), number, JobKind.Chat);
}
