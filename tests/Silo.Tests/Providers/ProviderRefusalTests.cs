using System.Text;
using Federation.Silo.Providers;

namespace Federation.Silo.Tests.Providers;

public sealed class ProviderRefusalTests
{
    [Theory]
    [InlineData("""{"error":{"message":"'temperature' is too high","type":"invalid_request_error","param":"temperature","code":null}}""", nameof(RefusalOf.Request))]
    [InlineData("""{"error":{"message":"Use 'max_completion_tokens' with gpt-4o-mini-2024-07-18.","type":"invalid_request_error","param":"max_tokens","code":"unsupported_parameter"}}""", nameof(RefusalOf.Request))]
    [InlineData("""{"error":{"message":"This model's maximum context length is 8192 tokens.","type":"invalid_request_error","param":null,"code":"context_length_exceeded"}}""", nameof(RefusalOf.Request))]
    [InlineData("""{"error":{"message":"Invalid 'tools[0].function.name': 'billing account'.","type":"invalid_request_error","param":"tools[0].function.name","code":"invalid_value"}}""", nameof(RefusalOf.Request))]
    [InlineData("""{"type":"error","error":{"type":"invalid_request_error","message":"Your credit balance is too low to access the Anthropic API. Please go to Plans & Billing to upgrade or purchase credits."}}""", nameof(RefusalOf.PerhapsOperator))]
    [InlineData("""{"error":{"message":"Your organization must be verified to stream this model.","type":"invalid_request_error","param":"stream","code":"unsupported_value"}}""", nameof(RefusalOf.PerhapsOperator))]
    [InlineData("""{"error":{"message":"You don't have enough credits, so you can't do this.","type":"invalid_request_error","param":"model"}}""", nameof(RefusalOf.PerhapsOperator))]
    [InlineData("""{"error":{"message":"API key not valid. Please pass a valid API key.","code":400,"status":"INVALID_ARGUMENT"}}""", nameof(RefusalOf.PerhapsOperator))]
    [InlineData("""{"error":{"message":"Billing hard limit has been reached","type":"invalid_request_error","param":null,"code":"billing_hard_limit_reached"}}""", nameof(RefusalOf.Operator))]
    [InlineData("""{"error":{"message":"x","type":"insufficient_quota","param":"model"}}""", nameof(RefusalOf.Operator))]
    [InlineData("""{"error":{"message":"x","type":"invalid_request_error","param":"model","code":"account_deactivated"}}""", nameof(RefusalOf.Operator))]
    [InlineData("""{"error":{"message":"Something is wrong.","type":"invalid_request_error"}}""", nameof(RefusalOf.Unknown))]
    [InlineData("""{"error":{"message":"Something is wrong.","param":"temperature"}}""", nameof(RefusalOf.Unknown))]
    [InlineData("""{"detail":[{"loc":["body","temperature"],"msg":"too high"}]}""", nameof(RefusalOf.Unknown))]
    [InlineData("""{"error":"x"}""", nameof(RefusalOf.Unknown))]
    [InlineData("""[{"error":{}}]""", nameof(RefusalOf.Unknown))]
    [InlineData("""{"error":{"message":"\ud800","type":"invalid_request_error","param":"x"}}""", nameof(RefusalOf.Unknown))]
    [InlineData("<html>", nameof(RefusalOf.Unknown))]
    [InlineData("", nameof(RefusalOf.Unknown))]
    public void A_refusal_is_the_clients_where_it_names_what_is_wrong_with_the_request_and_the_operators_where_it_is_about_the_account(string body, string of)
    {
        var refusal = ProviderRefusal.Read(Encoding.UTF8.GetBytes(body));
        Assert.Equal((of, of is not nameof(RefusalOf.Request)), (refusal.Of.ToString(), refusal.Body.IsEmpty));
        Assert.NotEmpty(refusal.Words);
    }

    [Fact]
    public void A_client_reads_type_parameter_code_and_message_and_nothing_else_that_the_provider_said()
    {
        const string said = """{"request_id":"req_1","error":{"message":"too\u2028 high","type":"invalid_request_error","internal":"db-7","param":"temperature","code":"c"},"org":"org-1"}""";
        Assert.Equal("""{"error":{"message":"too· high","type":"invalid_request_error","param":"temperature","code":"c"}}""", Encoding.UTF8.GetString(ProviderRefusal.Read(Encoding.UTF8.GetBytes(said)).Body.Span));
    }

    [Theory]
    [InlineData("sk-proj-AbCdEf")]
    [InlineData("sk-very-secret")]
    [InlineData("gsk_abc")]
    [InlineData("org-Ab12Cd34Ef")]
    [InlineData("req_0123456789ab")]
    [InlineData("ops@example.org")]
    [InlineData("AIzaSyA0123456789abcdefghijklmnopqrstuv")]
    [InlineData("123e4567-e89b-12d3-a456-426614174000")]
    public void Keys_ids_and_addresses_are_left_out_for_client_and_log_alike(string secret)
    {
        var refusal = ProviderRefusal.Read(Encoding.UTF8.GetBytes($$$"""{"error":{"message":"Bad value ({{{secret}}}) for gpt-4o-mini-2024-07-18.","type":"invalid_request_error","param":"user"}}"""));
        foreach (var words in new[] { refusal.Words, Encoding.UTF8.GetString(refusal.Body.Span) })
        {
            Assert.DoesNotContain(secret, words, StringComparison.Ordinal);
            Assert.Contains("for gpt-4o-mini-2024-07-18.", words, StringComparison.Ordinal);
        }
    }
}
