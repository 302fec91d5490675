using Federation.Protocol.Verification;

namespace Federation.NodeAgent.Engines;

/// <summary>An engine that can say how likely its model finds an answer that somebody else gave; what a verifier asks it.</summary>
public interface IScoringEngine : IEngine
{
    /// <summary>Scores an answer, all of it or at some positions. Nothing of it is kept.</summary>
    /// <param name="request">Within the bounds of <see cref="ScoreCodec"/>.</param>
    /// <param name="cancellationToken">Stops the engine's work at once.</param>
    /// <exception cref="ScoringException">The engine cannot score this: the message says why.</exception>
    /// <exception cref="EngineUnavailableException">The engine is not there, or went away.</exception>
    Task<ScoreAnswer> ScoreAsync(ScoreRequest request, CancellationToken cancellationToken);
}
