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
    private readonly GenerationRequest _request;
    private readonly AnswerHead _head;
    private readonly Tokenizer _tokenizer;
    private readonly PipeWriter _pipe;
    private readonly ArrayBufferWriter<byte> _buffer = new();
    private readonly Utf8JsonWriter _json;
    private readonly Choice[] _choices;

    public AnswerWriter(GenerationRequest request, AnswerHead head, Tokenizer tokenizer, PipeWriter pipe, int choiceCount)
    {
        (_request, _head, _tokenizer, _pipe) = (request, head, tokenizer, pipe);
        _json = new Utf8JsonWriter(_buffer, new JsonWriterOptions { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping });
        _choices = new Choice[choiceCount];
        for (var i = 0; i < choiceCount; i++)
        {
            _choices[i] = new Choice();
        }
    }

    public void Dispose() => _json.Dispose();

    private bool IsChat => _request.Kind == JobKind.Chat;

    /// <summary>A choice begins.</summary>
    public void Begin(int choice)
    {
        if (_request.Stream && IsChat)
        {
            Chunk(choice, "", [], finishReason: null, isFirst: true);
        }
    }

    /// <summary>A choice goes on: text that is final, and the scores of the tokens it came from.</summary>
    public void Add(int choice, string text, IReadOnlyList<TokenScore> scores)
    {
        if (_request.Stream)
        {
            Chunk(choice, text, scores, finishReason: null, isFirst: false);
            return;
        }

        _choices[choice].Text.Append(text);
        _choices[choice].Scores.AddRange(scores);
    }

    /// <summary>A choice ends, with what had been held back.</summary>
    public void Finish(int choice, string text, IReadOnlyList<TokenScore> scores, string reason)
    {
        if (!_request.Stream)
        {
            Add(choice, text, scores);
            _choices[choice].FinishReason = reason;
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
        if (!_request.Stream)
        {
            Whole(usage);
            _pipe.Write(_buffer.WrittenSpan);
            return;
        }

        if (_request.IncludeUsage)
        {
            BeginObject();
            _json.WriteStartArray("choices"u8);
            _json.WriteEndArray();
            Usage(usage);
            EndEvent();
        }

        _pipe.Write("data: [DONE]\n\n"u8);
    }

    private void Chunk(int choice, string text, IReadOnlyList<TokenScore> scores, string? finishReason, bool isFirst)
    {
        BeginObject();
        _json.WriteStartArray("choices"u8);
        _json.WriteStartObject();
        _json.WriteNumber("index"u8, choice);
        if (IsChat)
        {
            _json.WriteStartObject("delta"u8);
            if (isFirst)
            {
                _json.WriteString("role"u8, "assistant"u8);
            }

            if (finishReason is null)
            {
                _json.WriteString("content"u8, text);
            }

            _json.WriteEndObject();
        }
        else
        {
            _json.WriteString("text"u8, text);
        }

        Logprobs(scores, _choices[choice]);
        _json.WriteString("finish_reason"u8, finishReason);
        _json.WriteEndObject();
        _json.WriteEndArray();
        if (_request.IncludeUsage)
        {
            _json.WriteNull("usage"u8);
        }

        EndEvent();
    }

    private void Whole(TokenUsage usage)
    {
        BeginObject();
        _json.WriteStartArray("choices"u8);
        for (var i = 0; i < _choices.Length; i++)
        {
            var choice = _choices[i];
            _json.WriteStartObject();
            _json.WriteNumber("index"u8, i);
            if (IsChat)
            {
                _json.WriteStartObject("message"u8);
                _json.WriteString("role"u8, "assistant"u8);
                _json.WriteString("content"u8, choice.Text.ToString());
                _json.WriteNull("refusal"u8);
                _json.WriteEndObject();
            }
            else
            {
                _json.WriteString("text"u8, choice.Text.ToString());
            }

            Logprobs(choice.Scores, choice);
            _json.WriteString("finish_reason"u8, choice.FinishReason);
            _json.WriteEndObject();
        }

        _json.WriteEndArray();
        Usage(usage);
        _json.WriteEndObject();
        _json.Flush();
    }

    private void BeginObject()
    {
        _buffer.ResetWrittenCount();
        _json.Reset();
        _json.WriteStartObject();
        _json.WriteString("id"u8, _head.Id);
        _json.WriteString("object"u8, (IsChat, _request.Stream) switch
        {
            (true, true) => "chat.completion.chunk"u8,
            (true, false) => "chat.completion"u8,
            _ => "text_completion"u8,
        });
        _json.WriteNumber("created"u8, _head.CreatedUnixSeconds);
        _json.WriteString("model"u8, _head.Model);
        _json.WriteString("system_fingerprint"u8, _head.Fingerprint);
    }

    private void EndEvent()
    {
        _json.WriteEndObject();
        _json.Flush();
        _pipe.Write("data: "u8);
        _pipe.Write(_buffer.WrittenSpan);
        _pipe.Write("\n\n"u8);
    }

    private void Usage(TokenUsage usage)
    {
        _json.WriteStartObject("usage"u8);
        _json.WriteNumber("prompt_tokens"u8, usage.PromptTokens);
        _json.WriteNumber("completion_tokens"u8, usage.CompletionTokens);
        _json.WriteNumber("total_tokens"u8, usage.TotalTokens);
        _json.WriteEndObject();
    }

    private void Logprobs(IReadOnlyList<TokenScore> scores, Choice choice)
    {
        if (!_request.WantsLogprobs || (_request.Stream && scores.Count == 0))
        {
            _json.WriteNull("logprobs"u8);
            return;
        }

        _json.WriteStartObject("logprobs"u8);
        if (IsChat)
        {
            ChatLogprobs(scores);
        }
        else
        {
            CompletionLogprobs(scores, choice);
        }

        _json.WriteEndObject();
    }

    private void ChatLogprobs(IReadOnlyList<TokenScore> scores)
    {
        _json.WriteStartArray("content"u8);
        foreach (var score in scores)
        {
            _json.WriteStartObject();
            Chance(score.Token, score.Logprob);
            _json.WriteStartArray("top_logprobs"u8);
            foreach (var top in score.Top)
            {
                _json.WriteStartObject();
                Chance(top.Token, top.Logprob);
                _json.WriteEndObject();
            }

            _json.WriteEndArray();
            _json.WriteEndObject();
        }

        _json.WriteEndArray();
        _json.WriteNull("refusal"u8);
    }

    private void Chance(int token, double logprob)
    {
        _json.WriteString("token"u8, Text(token));
        _json.WriteNumber("logprob"u8, logprob);
        _json.WriteStartArray("bytes"u8);
        foreach (var value in _tokenizer.Bytes(token))
        {
            _json.WriteNumberValue(value);
        }

        _json.WriteEndArray();
    }

    /// <summary>The older shape: four lists side by side.</summary>
    private void CompletionLogprobs(IReadOnlyList<TokenScore> scores, Choice choice)
    {
        _json.WriteStartArray("tokens"u8);
        foreach (var score in scores)
        {
            _json.WriteStringValue(Text(score.Token));
        }

        _json.WriteEndArray();
        _json.WriteStartArray("token_logprobs"u8);
        foreach (var score in scores)
        {
            _json.WriteNumberValue(score.Logprob);
        }

        _json.WriteEndArray();
        _json.WriteStartArray("top_logprobs"u8);
        foreach (var score in scores)
        {
            _json.WriteStartObject();
            // Tokens that are parts of characters look alike as text; the likeliest of them stays.
            foreach (var (text, logprob) in score.Top.Select(top => (Text: Text(top.Token), top.Logprob)).DistinctBy(top => top.Text))
            {
                _json.WriteNumber(text, logprob);
            }

            _json.WriteEndObject();
        }

        _json.WriteEndArray();
        _json.WriteStartArray("text_offset"u8);
        foreach (var score in scores)
        {
            _json.WriteNumberValue(choice.TextOffset);
            choice.TextOffset += Text(score.Token).Length;
        }

        _json.WriteEndArray();
    }

    private string Text(int token) => Encoding.UTF8.GetString(_tokenizer.Bytes(token));

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
