using System.Collections.Immutable;

namespace Federation.NodeAgent.Engines.Builtin;

/// <summary>How likely a model finds a given answer, token by token.</summary>
/// <param name="ModelDigest">Of the weights that judged.</param>
/// <param name="PromptTokens">Tokens read before the answer.</param>
/// <param name="Tokens">The answer's tokens, and the end token where the answer was said to be whole.</param>
public sealed record TextScore(string ModelDigest, int PromptTokens, ImmutableArray<ScoredToken> Tokens);

/// <summary>One token of a scored answer.</summary>
/// <param name="Bytes">What it adds to the text; empty for the end token.</param>
/// <param name="Logprob">Natural logarithm of its probability, given all before it.</param>
/// <param name="Top">The likeliest tokens at its place, best first; as many as were asked for.</param>
public sealed record ScoredToken(ImmutableArray<byte> Bytes, double Logprob, ImmutableArray<TokenAlternative> Top);

/// <summary>A token that could have stood at a place.</summary>
/// <param name="Bytes">What it adds to the text; empty for a control token.</param>
/// <param name="Logprob">Natural logarithm of its probability.</param>
public sealed record TokenAlternative(ImmutableArray<byte> Bytes, double Logprob);

/// <summary>An answer cannot be scored: the request is not valid, the model is not there, or both together are too long for it.</summary>
public sealed class ScoringException(string message, Exception? innerException = null) : Exception(message, innerException);
