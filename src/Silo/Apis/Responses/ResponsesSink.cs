using System.Text;
using Federation.Silo.Gateway;
using Federation.Silo.Storage;

namespace Federation.Silo.Apis.Responses;

/// <summary>A client of the Responses API: where it asked for it, its answer is on disk before it is told the end.</summary>
internal sealed partial class ResponsesSink(HttpContext http, ResponsesWriter writer, ResponsesCall call, string id, ResponseStore store, int maxAnswerBytes, ILogger logger)
    : TranslatingSink(http, new ChatReader(TranslatedApi.CallPrefix(http)), writer, call.Stream, maxAnswerBytes)
{
    private readonly HttpContext _http = http;

    protected override async ValueTask KeepAsync(ChatAnswer answer)
    {
        if (!call.Store) return;
        var whole = call.Stream ? writer.Answer : answer;
        try
        {
            var kept = new KeptResponse(Encoding.UTF8.GetString(writer.Response(whole).Span), ResponsesRequests.Extend(call.Conversation, whole));
            writer.IsKept = await store.KeepAsync(id, _http.Caller().AccountId, kept, Gone);
        }
        catch (StorageException exception)
        {
            // The answer is given all the same, and says that it is not kept.
            writer.IsKept = false;
            LogNotKept(id, exception);
        }
    }

    [LoggerMessage(4870, LogLevel.Warning, "Response {Id} could not be kept; its client is told so")]
    private partial void LogNotKept(string id, Exception exception);
}
