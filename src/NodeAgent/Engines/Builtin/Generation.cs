using System.IO.Pipelines;
using Federation.NodeAgent.Engines.Builtin.Llama;
using Federation.NodeAgent.Engines.Builtin.Requests;
using Federation.NodeAgent.Engines.Builtin.Sampling;
using Federation.NodeAgent.Engines.Builtin.Text;
using Federation.Protocol.OpenAi;
using Federation.Protocol.Verification;

namespace Federation.NodeAgent.Engines.Builtin;

/// <summary>
/// Generates the answers to one request, on the compute threads in turns of a few tokens, so that many requests on few threads all move on.
/// Pauses, off those threads, while the reader of the pipe is behind.
/// </summary>
internal sealed class Generation
{
    /// <summary>Long enough that changing threads costs nothing beside it, short enough that others hardly wait.</summary>
    private const int TurnTokens = 16;

    private readonly LoadedModel _model;
    private readonly GenerationRequest _request;
    private readonly LlamaSession _session;
    private readonly AnswerWriter _writer;
    private readonly PipeWriter _pipe;
    private readonly ComputeThreads _threads;
    private readonly ulong _seed;
    private readonly List<CommittedToken> _committed;
    private readonly CancellationToken _cancellationToken;
    private int _completionTokens;

    public Generation(
        LoadedModel model,
        GenerationRequest request,
        LlamaSession session,
        AnswerWriter writer,
        PipeWriter pipe,
        ComputeThreads threads,
        ulong seed,
        List<CommittedToken> committed,
        CancellationToken cancellationToken)
    {
        (_model, _request, _session, _writer, _pipe, _threads, _seed, _committed, _cancellationToken) =
            (model, request, session, writer, pipe, threads, seed, committed, cancellationToken);
    }

    /// <summary>Of the last choice that ended.</summary>
    public string? FinishReason { get; private set; }

    /// <summary>Answers all prompts, as often as was asked, into the pipe.</summary>
    /// <exception cref="OperationCanceledException">Cancelled, or the reader of the pipe is gone.</exception>
    /// <exception cref="BrokenModelException">The model's weights are damaged.</exception>
    public async Task<TokenUsage> RunAsync(IReadOnlyList<int[]> prompts)
    {
        var isOne = prompts.Count == 1 && _request.Choices == 1;
        for (var i = 0; i < prompts.Count; i++)
        {
            var prompt = prompts[i];
            _session.Rewind(0);
            await ReadAsync(prompt).ConfigureAwait(false);
            var first = _session.Logits.ToArray();
            for (var j = 0; j < _request.Choices; j++)
            {
                // The next answer goes on from the same prompt, whose memory is still there.
                _session.Rewind(prompt.Length);
                var choice = new Choice((i * _request.Choices) + j, _request, _model.Tokenizer, prompt.Length, first, _seed, isOne ? _committed : null);
                choice.Sampler.Resume(Prompts.Said(_model, _request));
                await AnswerAsync(choice).ConfigureAwait(false);
            }
        }

        var usage = new TokenUsage(prompts.Sum(prompt => prompt.Length), _completionTokens);
        _writer.End(usage);
        await FlushAsync(_pipe.FlushAsync(_cancellationToken)).ConfigureAwait(false);
        return usage;
    }

    private async Task ReadAsync(int[] prompt)
    {
        for (var start = 0; start < prompt.Length; start += LlamaSession.BatchMax)
        {
            var batch = prompt.AsMemory(start, Math.Min(LlamaSession.BatchMax, prompt.Length - start));
            await _threads.RunAsync(
                () =>
                {
                    _session.Read(batch.Span);
                    return true;
                },
                _cancellationToken).ConfigureAwait(false);
        }
    }

    private async Task AnswerAsync(Choice choice)
    {
        _writer.Begin(choice.Index);
        var isFinished = false;
        while (!isFinished)
        {
            ValueTask<FlushResult> flush = default;
            isFinished = await _threads.RunAsync(() => Turn(choice, out flush), _cancellationToken).ConfigureAwait(false);
            await FlushAsync(flush).ConfigureAwait(false);
        }

        FinishReason = choice.FinishReason;
    }

    /// <summary>Generates some tokens; true when the choice has ended. Ends early when the reader is behind, with the flush to wait for.</summary>
    private bool Turn(Choice choice, out ValueTask<FlushResult> flush)
    {
        flush = default;
        for (var i = 0; i < TurnTokens; i++)
        {
            _cancellationToken.ThrowIfCancellationRequested();
            var logits = choice.Tokens == 0 ? choice.FirstLogits : _session.Logits;
            var token = choice.Sampler.Next(logits);
            _completionTokens++;
            var text = choice.Take(token, Score(choice, logits, token), logits);
            if (choice.FinishReason is null && choice.Tokens == (_request.TokensMax ?? int.MaxValue))
            {
                choice.FinishReason = "length";
            }

            if (choice.FinishReason is null && choice.PromptTokens + choice.Tokens >= _model.Card.ContextTokens)
            {
                choice.FinishReason = "length";
            }

            if (choice.FinishReason is { } reason)
            {
                text += choice.Text.End();
                _writer.Finish(choice.Index, text, choice.Scores(isLast: true), reason);
                flush = _request.Stream ? _pipe.FlushAsync(_cancellationToken) : default;
                return true;
            }

            if (text.Length > 0)
            {
                _writer.Add(choice.Index, text, choice.Scores(isLast: false));
                flush = _request.Stream ? _pipe.FlushAsync(_cancellationToken) : default;
            }

            _session.Read([token]);
            if (!flush.IsCompletedSuccessfully)
            {
                return false;
            }

            ThrowIfReaderIsGone(flush.Result);
            flush = default;
        }

        return false;
    }

    /// <summary>What the client asked for, or what a commitment needs, whichever is more; null where nobody wants it.</summary>
    private TokenScore? Score(Choice choice, ReadOnlySpan<float> logits, int token) =>
        choice.IsCommitted ? Logits.Score(logits, token, Math.Max(_request.WantsLogprobs ? _request.TopLogprobs : 0, LogprobCommitment.TopMax))
        : _request.WantsLogprobs ? Logits.Score(logits, token, _request.TopLogprobs)
        : null;

    private static async ValueTask FlushAsync(ValueTask<FlushResult> flush) => ThrowIfReaderIsGone(await flush.ConfigureAwait(false));

    private static void ThrowIfReaderIsGone(FlushResult flushed)
    {
        if (flushed.IsCompleted)
        {
            throw new OperationCanceledException("the reader of the answer is gone");
        }
    }

    /// <summary>One answer to a prompt, as far as it has come.</summary>
    private sealed class Choice(int index, GenerationRequest request, Tokenizer tokenizer, int promptTokens, float[] firstLogits, ulong seed, List<CommittedToken>? committed)
    {
        private readonly List<(TokenScore Score, long Start)> _scores = [];

        public int Index { get; } = index;

        /// <summary>The node will bind itself to what it says about each token.</summary>
        public bool IsCommitted => committed is not null;

        public int PromptTokens { get; } = promptTokens;

        public float[] FirstLogits { get; } = firstLogits;

        /// <summary>Each choice of a request draws on its own, and the same way whatever the others do.</summary>
        public Sampler Sampler { get; } = new(request.Sampling, seed + ((ulong)index * 0xD1342543DE82EF95), tokenizer.Silent);

        public TextAssembly Text { get; } = new(request.Stops);

        /// <summary>Tokens generated, the end token with them.</summary>
        public int Tokens { get; private set; }

        public string? FinishReason { get; set; }

        /// <summary>Takes a token and gives the text that became final through it.</summary>
        public string Take(int token, TokenScore? score, ReadOnlySpan<float> logits)
        {
            Tokens++;
            if (score is not null)
            {
                committed?.Add(Committed(token, score, logits));
                if (request.WantsLogprobs)
                {
                    _scores.Add((score with { Top = score.Top.Length > request.TopLogprobs ? score.Top[..request.TopLogprobs] : score.Top }, Text.TakenBytes));
                }
            }

            if (tokenizer.IsEnd(token))
            {
                FinishReason = "stop";
                return "";
            }

            var text = Text.Add(tokenizer.Bytes(token));
            FinishReason = Text.IsStopped ? "stop" : null;
            return text;
        }

        /// <summary>An end counts as the likeliest one: a verifier cannot see which it was.</summary>
        private CommittedToken Committed(int token, TokenScore score, ReadOnlySpan<float> logits) => new(
            Bytes(token),
            LogprobCommitment.ToMilliNats(tokenizer.IsEnd(token) ? score.Logprob + logits[tokenizer.LikeliestEnd(logits)] - logits[token] : score.Logprob),
            [.. score.Top.Take(LogprobCommitment.TopMax).Select(top => new CommittedAlternative(Bytes(top.Token), LogprobCommitment.ToMilliNats(top.Logprob)))],
            (int)Text.TakenBytes);

        /// <summary>What a token adds to the text: an end token nothing.</summary>
        private byte[] Bytes(int token) => tokenizer.IsEnd(token) ? [] : tokenizer.Bytes(token).ToArray();

        /// <summary>Scores of the tokens whose text has been given; at the end all others too, but for those a stop text cut off.</summary>
        public List<TokenScore> Scores(bool isLast)
        {
            var count = isLast && !Text.IsStopped
                ? _scores.Count
                : _scores.TakeWhile(entry => entry.Start < Text.ReleasedBytes).Count();
            var given = _scores.Take(count).Select(entry => entry.Score).ToList();
            _scores.RemoveRange(0, count);
            return given;
        }
    }
}
