using System.Collections.Immutable;
using Federation.NodeAgent.Engines.Builtin.Llama;
using Federation.NodeAgent.Engines.Builtin.Requests;
using Federation.NodeAgent.Engines.Builtin.Sampling;
using Federation.Protocol.Verification;

namespace Federation.NodeAgent.Engines.Builtin;

/// <summary>
/// Scores a whole answer in one reading: the model reads prompt and answer as it would have when writing it, and its logits before each token
/// judge that token. Far cheaper than writing, and no cut of the text into tokens has to be guessed.
/// </summary>
internal sealed class TextScorer
{
    /// <summary>What stands in a text for bytes that were no characters. Nobody can tell which tokens they were, or what followed from them.</summary>
    private const char Replacement = '\uFFFD';

    private readonly LoadedModel _model;
    private readonly GenerationRequest _asked;
    private readonly ScoreRequest _request;
    private readonly int[] _prompt;
    private readonly List<int> _answer;
    private readonly bool _isWhole;
    private readonly bool _hasEnd;
    private readonly Sampler _sampler;
    private readonly ImmutableArray<ScorePosition>.Builder _positions = ImmutableArray.CreateBuilder<ScorePosition>();
    private int _offset;
    private int _place;

    /// <exception cref="ScoringException">Prompt and answer do not fit into the model's context.</exception>
    public TextScorer(LoadedModel model, GenerationRequest asked, ScoreRequest request, int[] prompt)
    {
        (_model, _asked, _request, _prompt) = (model, asked, request, prompt);
        var known = request.AnswerText.IndexOf(Replacement, StringComparison.Ordinal);
        _isWhole = known < 0;
        _hasEnd = _isWhole && request.FinishReason == "stop";
        _answer = model.Tokenizer.EncodeText(_isWhole ? request.AnswerText : request.AnswerText[..known]);
        _sampler = new Sampler(asked.Sampling, seed: 0, model.Tokenizer.Silent);
        _sampler.Resume(Prompts.Said(model, asked));
        var tokens = prompt.Length + Places;
        if (tokens > model.Card.ContextTokens)
        {
            throw new ScoringException($"Prompt and answer have {tokens} tokens; the model's context has {model.Card.ContextTokens}.");
        }
    }

    /// <summary>Places to judge: the answer's tokens, and its end.</summary>
    private int Places => _answer.Count + (_hasEnd ? 1 : 0);

    /// <exception cref="BrokenModelException">The model's weights are damaged.</exception>
    public async Task<ScoreAnswer> RunAsync(LlamaSession session, ComputeThreads threads, CancellationToken cancellationToken)
    {
        // Logits after the last token of the prompt judge the answer's first, and so on; what comes last need not be read.
        int[] read = [.. _prompt, .. _answer.Take(Places - 1)];
        for (var start = 0; start < read.Length && Places > 0; start += LlamaSession.BatchMax)
        {
            var batch = read.AsMemory(start, Math.Min(LlamaSession.BatchMax, read.Length - start));
            var first = start;
            await threads.RunAsync(() => Read(session, batch.Span, first), cancellationToken).ConfigureAwait(false);
        }

        return new ScoreAnswer
        {
            Method = "whole",
            ModelDigest = _model.Card.Digest,
            PromptTokens = _prompt.Length,

            // A stop text's tokens are not in the answer, and those behind a replaced character are not known.
            AnswerTokens = _isWhole && _asked.Stops.IsEmpty ? Places : null,
            ContextTokens = _model.Card.ContextTokens,
            Positions = _positions.ToImmutable(),
        };
    }

    private bool Read(LlamaSession session, ReadOnlySpan<int> batch, int start)
    {
        if (start + batch.Length < _prompt.Length)
        {
            // Nothing here is judged; logits of the whole prompt would cost more than reading it.
            session.Read(batch);
            return true;
        }

        session.ReadAll(batch);
        var vocabulary = session.Logits.Length / batch.Length;
        for (var i = Math.Max(0, _prompt.Length - 1 - start); i < batch.Length; i++)
        {
            Judge(session.Logits.Slice(i * vocabulary, vocabulary));
        }

        return true;
    }

    private void Judge(ReadOnlySpan<float> logits)
    {
        var isEnd = _place == _answer.Count;
        var token = isEnd ? LikeliestEnd(logits) : _answer[_place];
        var weighed = _sampler.Weigh(logits, token, _model.Tokenizer.IsEnd);
        if (_request.Offsets is not { IsDefaultOrEmpty: false } wanted || wanted.BinarySearch(_offset) >= 0)
        {
            var score = Logits.Score(logits, token, _request.Top);
            var likeliest = Logits.Greatest(logits);
            _positions.Add(new ScorePosition
            {
                Offset = _offset,
                Token = isEnd ? default : _model.Tokenizer.Bytes(token).ToArray(),
                IsEnd = isEnd,
                Logprob = Rounded(score.Logprob),
                Rank = Logits.Rank(logits, token),
                LikeliestLogprob = Rounded(score.Logprob + logits[likeliest] - logits[token]),
                LikeliestIsEnd = isEnd ? Ends(weighed.Choice) : _model.Tokenizer.IsEnd(weighed.Choice),
                Margin = Rounded(weighed.Margin),
                Below = Rounded(weighed.Below),
                Mass = Rounded(weighed.Mass),
                EndMass = Rounded(weighed.EndMass),
                Top = [.. score.Top.Select(top => new ScoreAlternative(_model.Tokenizer.Bytes(top.Token).ToArray(), Rounded(top.Logprob)!.Value))],
            });
        }

        _offset += isEnd ? 0 : _model.Tokenizer.Bytes(token).Length;
        _place++;
    }

    /// <summary>The likeliest token that could have ended the answer: an end token, or one that begins a stop text.</summary>
    private int LikeliestEnd(ReadOnlySpan<float> logits)
    {
        var best = _model.Tokenizer.LikeliestEnd(logits);
        for (var token = 0; token < logits.Length; token++)
        {
            if (logits[token] > logits[best] && Ends(token)) best = token;
        }

        return best;
    }

    private bool Ends(int token)
    {
        if (_model.Tokenizer.IsEnd(token)) return true;
        var bytes = _model.Tokenizer.Bytes(token);
        foreach (var stop in _asked.Stops)
        {
            var shared = Math.Min(stop.Length, bytes.Length);
            if (shared > 0 && bytes[..shared].SequenceEqual(stop.AsSpan(0, shared))) return true;
        }

        return false;
    }

    /// <summary>Millionths are far below any threshold, and a third of the digits.</summary>
    private static double? Rounded(double? value) => value is { } number ? Math.Round(number, 6) : null;
}
