using System.Text;
using System.Text.Json.Nodes;
using Federation.Silo.Gateway;
using Microsoft.AspNetCore.Http;

namespace Federation.Silo.Tests.Gateway;

public sealed class OpenAiErrorTests
{
    [Fact]
    public void The_json_is_the_shape_that_openai_clients_parse() => Assert.Equal(
        """{"error":{"message":"Missing required parameter: 'messages'.","type":"invalid_request_error","param":"messages","code":"missing_required_parameter"}}""",
        Encoding.UTF8.GetString(OpenAiError.BadRequest("Missing required parameter: 'messages'.", "messages", "missing_required_parameter").ToJson()));

    [Fact]
    public void What_there_is_not_is_null() => Assert.Equal(
        """{"error":{"message":"no","type":"invalid_request_error","param":null,"code":null}}""", Encoding.UTF8.GetString(OpenAiError.BadRequest("no").ToJson()));

    [Theory]
    [InlineData("quote \" backslash \\ newline \n nul \0")]
    [InlineData("</script><b>&'")]
    [InlineData("模型 🦙 \u2028")]
    public void Any_words_survive_their_json(string words)
        => Assert.Equal(words, (string?)JsonNode.Parse(OpenAiError.UnknownModel(words).ToJson())!["error"]!["message"]!.ToString()["The model '".Length..^"' does not exist on this hub.".Length]);

    public static TheoryData<object, int, string?, string?> Errors() => new()
    {
        { OpenAiError.MissingKey(), 401, null, "Bearer" },
        { OpenAiError.InvalidKey(), 401, null, "Bearer" },
        { OpenAiError.Forbidden("no"), 403, null, null },
        { OpenAiError.UnknownModel("x"), 404, null, null },
        { OpenAiError.BodyTooLarge(10), 413, null, null },
        { OpenAiError.Internal(), 500, null, null },
        { OpenAiError.NoAnswer(), 502, "1", null },
        { OpenAiError.Busy("later", TimeSpan.FromSeconds(2.1)), 503, "3", null },
        { OpenAiError.Busy("later", TimeSpan.Zero), 503, "1", null },
    };

    [Theory]
    [MemberData(nameof(Errors))]
    public async Task An_answer_has_its_status_and_the_headers_that_help(object error, int status, string? retryAfter, string? challenge)
    {
        var http = new DefaultHttpContext { Request = { Path = "/v1/chat/completions" }, Response = { Body = new MemoryStream() } };
        await ((OpenAiError)error).WriteAsync(http);
        Assert.Equal((status, "application/json", http.Response.Body.Length), (http.Response.StatusCode, http.Response.ContentType, http.Response.ContentLength));
        Assert.Equal(retryAfter, http.Response.Headers.RetryAfter.SingleOrDefault());
        Assert.Equal(challenge, http.Response.Headers.WWWAuthenticate.SingleOrDefault());
    }

    [Theory]
    [InlineData("/chat/completions")]
    [InlineData("/models")]
    [InlineData("/models/llama3:8b")]
    public async Task A_client_whose_base_URL_lacks_its_v1_can_read_what_is_wrong(string path)
    {
        var http = new DefaultHttpContext { Request = { Path = path }, Response = { Body = new MemoryStream() } };
        await OpenAiError.NotFound("no").WriteAsync(http);
        http.Response.Body.Position = 0;
        Assert.Equal("application/json", http.Response.ContentType);
        Assert.Equal("no", (string?)JsonNode.Parse(http.Response.Body)!["error"]!["message"]);
        Assert.True(OpenAiError.LacksVersion(path));
        Assert.False(OpenAiError.LacksVersion("/v1" + path));
    }

    [Theory]
    [InlineData("/somewhere")]
    [InlineData("/chatter")]
    public async Task Outside_of_openais_paths_it_is_problem_details(string path)
    {
        var http = new DefaultHttpContext { Request = { Path = path }, Response = { Body = new MemoryStream() } };
        await OpenAiError.InvalidKey().WriteAsync(http);
        http.Response.Body.Position = 0;
        var problem = JsonNode.Parse(http.Response.Body)!;
        Assert.Equal("application/problem+json", http.Response.ContentType);
        Assert.Equal(("urn:federation:invalid_api_key", 401), ((string?)problem["type"], (int)problem["status"]!));
    }
}
