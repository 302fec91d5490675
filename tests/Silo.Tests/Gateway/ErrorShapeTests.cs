using System.Text;
using Federation.Silo.Gateway;

namespace Federation.Silo.Tests.Gateway;

public sealed class ErrorShapeTests
{
    [Theory]
    [InlineData("/v1/messages", """{"type":"error","error":{"type":"not_found_error","message":"The model 'x' does not exist on this hub."},"request_id":"job_1"}""")]
    [InlineData("/v1/messages/count_tokens", """{"type":"error","error":{"type":"not_found_error","message":"The model 'x' does not exist on this hub."},"request_id":"job_1"}""")]
    [InlineData("/api/chat", """{"error":"The model 'x' does not exist on this hub."}""")]
    [InlineData("/v1/responses", """{"error":{"message":"The model 'x' does not exist on this hub.","type":"invalid_request_error","param":"model","code":"model_not_found"}}""")]
    [InlineData("/v1/messagesque", """{"error":{"message":"The model 'x' does not exist on this hub.","type":"invalid_request_error","param":"model","code":"model_not_found"}}""")]
    [InlineData("/elsewhere", """{"type":"urn:federation:model_not_found","title":"The model 'x' does not exist on this hub.","status":404}""")]
    public void Each_api_gets_errors_in_its_own_shape(string path, string json)
        => Assert.Equal(json, Encoding.UTF8.GetString(ErrorShapes.Of(path).Write(OpenAiError.UnknownModel("x"), "job_1")));

    [Theory]
    [InlineData(400, "invalid_request_error")]
    [InlineData(401, "authentication_error")]
    [InlineData(403, "permission_error")]
    [InlineData(413, "request_too_large")]
    [InlineData(429, "rate_limit_error")]
    [InlineData(500, "api_error")]
    [InlineData(502, "api_error")]
    [InlineData(503, "overloaded_error")]
    public void Anthropics_clients_are_told_by_type(int status, string type)
        => Assert.Contains($"\"type\":\"{type}\"", Encoding.UTF8.GetString(ErrorShape.Anthropic.Write(new OpenAiError(status, "t", null, "no"), "job_1")), StringComparison.Ordinal);
}
