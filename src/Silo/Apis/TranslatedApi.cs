using Federation.Silo.Gateway;
using Microsoft.Extensions.Options;

namespace Federation.Silo.Apis;

/// <summary>What the translated APIs have in common: how a body is read, and the gate that their requests pass like everybody else's.</summary>
internal sealed class TranslatedApi(InferenceGate gate, IOptions<GatewayOptions> options)
{
    /// <summary>Largest answer that is kept until it is whole, bytes.</summary>
    public int MaxAnswerBytes => options.Value.MaxAnswerBytes;

    /// <summary>Begins the ids of tool calls to which an engine gives none.</summary>
    public static string CallPrefix(HttpContext http) => $"call_{http.RequestId()["job_".Length..]}_";

    /// <summary>Reads a request and has it answered; what cannot be translated is refused in the words of the client's API.</summary>
    /// <param name="http">The client.</param>
    /// <param name="answer">Translates and answers.</param>
    public async Task HandleAsync(HttpContext http, Func<RequestField, Task> answer)
    {
        try
        {
            if (await RequestBody.ReadAsync(http, options.Value.MaxBodyBytes) is not { } body) throw new RefusedException(OpenAiError.BodyTooLarge(options.Value.MaxBodyBytes));
            using var document = RequestField.Parse(body);
            await answer(new RequestField(document.RootElement, string.Empty));
        }
        catch (RefusedException refused) when (!http.Response.HasStarted)
        {
            await refused.Error.WriteAsync(http);
        }
    }

    /// <summary>Has a translated request answered, or says why not.</summary>
    public Task RunAsync(HttpContext http, Protocol.OpenAi.JobKind kind, ReadOnlyMemory<byte> body, AnswerSink sink) => gate.RunAsync(http, kind, body, sink);
}
