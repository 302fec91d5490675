using System.IO.Pipelines;
using Federation.NodeAgent.Engines.Builtin.Llama;
using Federation.NodeAgent.Engines.Builtin.Requests;
using Federation.NodeAgent.Engines.Builtin.Sampling;
using Federation.NodeAgent.Engines.Builtin.Text;
using Federation.Protocol.OpenAi;

namespace Federation.NodeAgent.Engines.Builtin;

/// <summary>
/// Generates the answers to one request, on the compute threads in turns of a few tokens, so that many requests on few threads all move on.
/// Pauses, off those threads, while the reader of the pipe is behind.
/// </summary>
internal sealed class Generation
{
    /// <summary>Long enough that changing threads costs nothing beside it, short enough that others hardly wait.</summary>
    private const int TurnTokens = 16;

    private readonly LoadedModel model;
    private readonly GenerationRequest request;
    private readonly LlamaSession session;
    private readonly AnswerWriter writer;
    private readonly PipeWriter pipe;
    private readonly ComputeThreads threads;
    private readonly ulong seed;
    private readonly CancellationToken cancellationToken;
    private int completionTokens;

    public Generation(
        LoadedModel model,
        GenerationRequest request,
        LlamaSession session,
        AnswerWriter writer,
        PipeWriter pipe,
        ComputeThreads threads,
        ulong seed,
        CancellationToken cancellationToken)
    {
        (this.model, this.request, this.session, this.writer, this.pipe, this.threads, this.seed, this.cancellationToken) =
            (model, request, session, writer, pipe, threads, seed, cancellationToken);
    }

    /// <summary>Of the last choice that ended.</summary>
    public string? FinishReason { get; private set; }

    /// <summary>Answers all prompts, as often as was asked, into the pipe.</summary>
    /// <exception cref="OperationCanceledException">Cancelled, or the reader of the pipe is gone.</exception>
    /// <exception cref="BrokenModelException">The model's weights are damaged.</exception>
    public async Task<TokenUsage> RunAsync(IReadOnlyList<int[]> prompts)
    {
        for (var i = 0; i < prompts.Count; i++)
        {
            var prompt = prompts[i];
            session.Rewind(0);
            await ReadAsync(prompt).ConfigureAwait(false);
            var first = session.Logits.ToArray();
            for (var j = 0; j < request.Choices; j++)
            {
                // The next answer goes on from the same prompt, whose memory is still there.
                session.Rewind(prompt.Length);
                await AnswerAsync(new Choice((i * request.Choices) + j, request, prompt.Length, first, seed)).ConfigureAwait(false);
            }
        }

        var usage = new TokenUsage(prompts.Sum(prompt => prompt.Length), completionTokens);
        writer.End(usage);
        await FlushAsync(pipe.FlushAsync(cancellationToken)).ConfigureAwait(false);
        return usage;
    }

    private async Task ReadAsync(int[] prompt)
    {
        for (var start = 0; start < prompt.Length; start += LlamaSession.BatchMax)
        {
            var batch = prompt.AsMemory(start, Math.Min(LlamaSession.BatchMax, prompt.Length - start));
            await threads.RunAsync(
                () =>
                {
                    session.Read(batch.Span);
                    return true;
                },
                cancellationToken).ConfigureAwait(false);
        }
    }

    private async Task AnswerAsync(Choice choice)
    {
        writer.Begin(choice.Index);
        var isFinished = false;
        while (!isFinished)
        {
            ValueTask<FlushResult> flush = default;
            isFinished = await threads.RunAsync(() => Turn(choice, out flush), cancellationToken).ConfigureAwait(false);
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
            cancellationToken.ThrowIfCancellationRequested();
            var logits = choice.Tokens == 0 ? choice.FirstLogits : session.Logits;
            var token = choice.Sampler.Next(logits);
            completionTokens++;
            var text = choice.Take(token, model.Tokenizer, request.WantsLogprobs ? Logits.Score(logits, token, request.TopLogprobs) : null);
            if (choice.FinishReason is null && choice.Tokens == (request.TokensMax ?? int.MaxValue))
            {
                choice.FinishReason = "length";
            }

            if (choice.FinishReason is null && choice.PromptTokens + choice.Tokens >= model.Card.ContextTokens)
            {
                choice.FinishReason = "length";
            }

            if (choice.FinishReason is { } reason)
            {
                text += choice.Text.End();
                writer.Finish(choice.Index, text, choice.Scores(isLast: true), reason);
                flush = request.Stream ? pipe.FlushAsync(cancellationToken) : default;
                return true;
            }

            if (text.Length > 0)
            {
                writer.Add(choice.Index, text, choice.Scores(isLast: false));
                flush = request.Stream ? pipe.FlushAsync(cancellationToken) : default;
            }

            session.Read([token]);
            if (!flush.IsCompletedSuccessfully)
            {
                return false;
            }

            ThrowIfReaderIsGone(flush.Result);
            flush = default;
        }

        return false;
    }

    private static async ValueTask FlushAsync(ValueTask<FlushResult> flush) => ThrowIfReaderIsGone(await flush.ConfigureAwait(false));

    private static void ThrowIfReaderIsGone(FlushResult flushed)
    {
        if (flushed.IsCompleted)
        {
            throw new OperationCanceledException("the reader of the answer is gone");
        }
    }

    /// <summary>One answer to a prompt, as far as it has come.</summary>
    private sealed class Choice(int index, GenerationRequest request, int promptTokens, float[] firstLogits, ulong seed)
    {
        private readonly List<(TokenScore Score, long Start)> scores = [];

        public int Index { get; } = index;

        public int PromptTokens { get; } = promptTokens;

        public float[] FirstLogits { get; } = firstLogits;

        /// <summary>Each choice of a request draws on its own, and the same way whatever the others do.</summary>
        public Sampler Sampler { get; } = new(request.Sampling, seed + ((ulong)index * 0xD1342543DE82EF95));

        public TextAssembly Text { get; } = new(request.Stops);

        /// <summary>Tokens generated, the end token with them.</summary>
        public int Tokens { get; private set; }

        public string? FinishReason { get; set; }

        /// <summary>Takes a token and gives the text that became final through it.</summary>
        public string Take(int token, Tokenizer tokenizer, TokenScore? score)
        {
            Tokens++;
            if (score is not null)
            {
                scores.Add((score, Text.TakenBytes));
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

        /// <summary>Scores of the tokens whose text has been given; at the end all others too, but for those a stop text cut off.</summary>
        public List<TokenScore> Scores(bool isLast)
        {
            var count = isLast && !Text.IsStopped
                ? scores.Count
                : scores.TakeWhile(entry => entry.Start < Text.ReleasedBytes).Count();
            var given = scores.Take(count).Select(entry => entry.Score).ToList();
            scores.RemoveRange(0, count);
            return given;
        }
    }
}
