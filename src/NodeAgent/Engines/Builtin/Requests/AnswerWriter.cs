using System.Buffers;
using System.IO.Pipelines;
using System.Text;
using System.Text.Encodings.Web;
using System.Text.Json;
using Federation.NodeAgent.Engines.Builtin.Sampling;
using Federation.NodeAgent.Engines.Builtin.Text;
using Federation.Protocol.OpenAi;

namespace Federation.NodeAgent.Engines.Builtin.Requests;

/// <summary>What stands at the head of each chunk of an answer.</summary>
internal sealed record AnswerHead(string Id, long CreatedUnixSeconds, string Model, string Fingerprint);

/// <summary>
/// Writes an answer in OpenAI's JSON: a stream of chunks as the text comes, or one object at its end. It only fills the pipe; when to
/// flush is the caller's business.
/// </summary>
internal sealed class AnswerWriter : IDisposable
{
    private readonly GenerationRequest request;
    private readonly AnswerHead head;
    private readonly Tokenizer tokenizer;
    private readonly PipeWriter pipe;
    private readonly ArrayBufferWriter<byte> buffer = new();
    private readonly Utf8JsonWriter json;
    private readonly Choice[] choices;

    public AnswerWriter(GenerationRequest request, AnswerHead head, Tokenizer tokenizer, PipeWriter pipe, int choiceCount)
    {
        (this.request, this.head, this.tokenizer, this.pipe) = (request, head, tokenizer, pipe);
        json = new Utf8JsonWriter(buffer, new JsonWriterOptions { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping });
        choices = new Choice[choiceCount];
        for (var i = 0; i < choiceCount; i++)
        {
            choices[i] = new Choice();
        }
    }

    public void Dispose() => json.Dispose();

    private bool IsChat => request.Kind == JobKind.Chat;

    /// <summary>A choice begins.</summary>
    public void Begin(int choice)
    {
        if (request.Stream && IsChat)
        {
            Chunk(choice, "", [], finishReason: null, isFirst: true);
        }
    }

    /// <summary>A choice goes on: text that is final, and the scores of the tokens it came from.</summary>
    public void Add(int choice, string text, IReadOnlyList<TokenScore> scores)
    {
        if (request.Stream)
        {
            Chunk(choice, text, scores, finishReason: null, isFirst: false);
            return;
        }

        choices[choice].Text.Append(text);
        choices[choice].Scores.AddRange(scores);
    }

    /// <summary>A choice ends, with what had been held back.</summary>
    public void Finish(int choice, string text, IReadOnlyList<TokenScore> scores, string reason)
    {
        if (!request.Stream)
        {
            Add(choice, text, scores);
            choices[choice].FinishReason = reason;
            return;
        }

        // Text and finish reason come in chunks of their own, as from OpenAI; scores without text (the end token's) go with the reason.
        var hasText = text.Length > 0;
        if (hasText)
        {
            Chunk(choice, text, scores, finishReason: null, isFirst: false);
        }

        Chunk(choice, "", hasText ? [] : scores, reason, isFirst: false);
    }

    /// <summary>The answer ends.</summary>
    public void End(TokenUsage usage)
    {
        if (!request.Stream)
        {
            Whole(usage);
            pipe.Write(buffer.WrittenSpan);
            return;
        }

        if (request.IncludeUsage)
        {
            BeginObject();
            json.WriteStartArray("choices"u8);
            json.WriteEndArray();
            Usage(usage);
            EndEvent();
        }

        pipe.Write("data: [DONE]\n\n"u8);
    }

    private void Chunk(int choice, string text, IReadOnlyList<TokenScore> scores, string? finishReason, bool isFirst)
    {
        BeginObject();
        json.WriteStartArray("choices"u8);
        json.WriteStartObject();
        json.WriteNumber("index"u8, choice);
        if (IsChat)
        {
            json.WriteStartObject("delta"u8);
            if (isFirst)
            {
                json.WriteString("role"u8, "assistant"u8);
            }

            if (finishReason is null)
            {
                json.WriteString("content"u8, text);
            }

            json.WriteEndObject();
        }
        else
        {
            json.WriteString("text"u8, text);
        }

        Logprobs(scores, choices[choice]);
        json.WriteString("finish_reason"u8, finishReason);
        json.WriteEndObject();
        json.WriteEndArray();
        if (request.IncludeUsage)
        {
            json.WriteNull("usage"u8);
        }

        EndEvent();
    }

    private void Whole(TokenUsage usage)
    {
        BeginObject();
        json.WriteStartArray("choices"u8);
        for (var i = 0; i < choices.Length; i++)
        {
            var choice = choices[i];
            json.WriteStartObject();
            json.WriteNumber("index"u8, i);
            if (IsChat)
            {
                json.WriteStartObject("message"u8);
                json.WriteString("role"u8, "assistant"u8);
                json.WriteString("content"u8, choice.Text.ToString());
                json.WriteNull("refusal"u8);
                json.WriteEndObject();
            }
            else
            {
                json.WriteString("text"u8, choice.Text.ToString());
            }

            Logprobs(choice.Scores, choice);
            json.WriteString("finish_reason"u8, choice.FinishReason);
            json.WriteEndObject();
        }

        json.WriteEndArray();
        Usage(usage);
        json.WriteEndObject();
        json.Flush();
    }

    private void BeginObject()
    {
        buffer.ResetWrittenCount();
        json.Reset();
        json.WriteStartObject();
        json.WriteString("id"u8, head.Id);
        json.WriteString("object"u8, (IsChat, request.Stream) switch
        {
            (true, true) => "chat.completion.chunk"u8,
            (true, false) => "chat.completion"u8,
            _ => "text_completion"u8,
        });
        json.WriteNumber("created"u8, head.CreatedUnixSeconds);
        json.WriteString("model"u8, head.Model);
        json.WriteString("system_fingerprint"u8, head.Fingerprint);
    }

    private void EndEvent()
    {
        json.WriteEndObject();
        json.Flush();
        pipe.Write("data: "u8);
        pipe.Write(buffer.WrittenSpan);
        pipe.Write("\n\n"u8);
    }

    private void Usage(TokenUsage usage)
    {
        json.WriteStartObject("usage"u8);
        json.WriteNumber("prompt_tokens"u8, usage.PromptTokens);
        json.WriteNumber("completion_tokens"u8, usage.CompletionTokens);
        json.WriteNumber("total_tokens"u8, usage.TotalTokens);
        json.WriteEndObject();
    }

    private void Logprobs(IReadOnlyList<TokenScore> scores, Choice choice)
    {
        if (!request.WantsLogprobs || (request.Stream && scores.Count == 0))
        {
            json.WriteNull("logprobs"u8);
            return;
        }

        json.WriteStartObject("logprobs"u8);
        if (IsChat)
        {
            ChatLogprobs(scores);
        }
        else
        {
            CompletionLogprobs(scores, choice);
        }

        json.WriteEndObject();
    }

    private void ChatLogprobs(IReadOnlyList<TokenScore> scores)
    {
        json.WriteStartArray("content"u8);
        foreach (var score in scores)
        {
            json.WriteStartObject();
            Chance(score.Token, score.Logprob);
            json.WriteStartArray("top_logprobs"u8);
            foreach (var top in score.Top)
            {
                json.WriteStartObject();
                Chance(top.Token, top.Logprob);
                json.WriteEndObject();
            }

            json.WriteEndArray();
            json.WriteEndObject();
        }

        json.WriteEndArray();
        json.WriteNull("refusal"u8);
    }

    private void Chance(int token, double logprob)
    {
        json.WriteString("token"u8, Text(token));
        json.WriteNumber("logprob"u8, logprob);
        json.WriteStartArray("bytes"u8);
        foreach (var value in tokenizer.Bytes(token))
        {
            json.WriteNumberValue(value);
        }

        json.WriteEndArray();
    }

    /// <summary>The older shape: four lists side by side.</summary>
    private void CompletionLogprobs(IReadOnlyList<TokenScore> scores, Choice choice)
    {
        json.WriteStartArray("tokens"u8);
        foreach (var score in scores)
        {
            json.WriteStringValue(Text(score.Token));
        }

        json.WriteEndArray();
        json.WriteStartArray("token_logprobs"u8);
        foreach (var score in scores)
        {
            json.WriteNumberValue(score.Logprob);
        }

        json.WriteEndArray();
        json.WriteStartArray("top_logprobs"u8);
        foreach (var score in scores)
        {
            json.WriteStartObject();
            // Tokens that are parts of characters look alike as text; the likeliest of them stays.
            foreach (var (text, logprob) in score.Top.Select(top => (Text: Text(top.Token), top.Logprob)).DistinctBy(top => top.Text))
            {
                json.WriteNumber(text, logprob);
            }

            json.WriteEndObject();
        }

        json.WriteEndArray();
        json.WriteStartArray("text_offset"u8);
        foreach (var score in scores)
        {
            json.WriteNumberValue(choice.TextOffset);
            choice.TextOffset += Text(score.Token).Length;
        }

        json.WriteEndArray();
    }

    private string Text(int token) => Encoding.UTF8.GetString(tokenizer.Bytes(token));

    /// <summary>What is kept of a choice until the end, where nothing is streamed.</summary>
    private sealed class Choice
    {
        public StringBuilder Text { get; } = new();

        public List<TokenScore> Scores { get; } = [];

        public string? FinishReason { get; set; }

        /// <summary>Where the next token stands in the completion's text, in characters.</summary>
        public int TextOffset { get; set; }
    }
}
