namespace Federation.NodeAgent.Engines;

/// <summary>The engine gave no answer at all; another node, or this one later, may.</summary>
public sealed class EngineUnavailableException(string message, Exception? innerException = null) : Exception(message, innerException);

/// <summary>The engine could not fetch a model. The message is the engine's own.</summary>
public sealed class PullFailedException(string message) : Exception(message);

/// <summary>An answer cannot be scored: the request is not valid, the model is not there, or the engine cannot read such a text.</summary>
public sealed class ScoringException(string message, Exception? innerException = null) : Exception(message, innerException);
