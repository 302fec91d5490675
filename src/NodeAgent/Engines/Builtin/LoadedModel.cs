using System.Collections.Concurrent;
using Federation.NodeAgent.Engines.Builtin.Gguf;
using Federation.NodeAgent.Engines.Builtin.Llama;
using Federation.NodeAgent.Engines.Builtin.Text;

namespace Federation.NodeAgent.Engines.Builtin;

/// <summary>A model in memory, with sessions that are used again: their memory has grown to what answers need.</summary>
internal sealed class LoadedModel
{
    private readonly ConcurrentBag<LlamaSession> _idle = [];
    private readonly int _idleMax;
    private readonly LlamaModel _weights;

    private LoadedModel(ModelCard card, LlamaModel weights, Tokenizer tokenizer, ChatTemplate? template, int idleMax) =>
        (Card, _weights, Tokenizer, Template, _idleMax) = (card, weights, tokenizer, template, idleMax);

    public ModelCard Card { get; }

    public Tokenizer Tokenizer { get; }

    /// <summary>Null: the model completes texts and does not chat.</summary>
    public ChatTemplate? Template { get; }

    /// <exception cref="GgufFormatException">The file is not a model this engine can run.</exception>
    /// <exception cref="IOException">The file cannot be read, or is no longer the card's.</exception>
    public static LoadedModel Load(ModelCard card, int idleSessionsMax, CancellationToken cancellationToken)
    {
        using var file = card.File.Open();
        var gguf = GgufFile.Read(file);
        var weights = LlamaModel.Load(gguf, file, cancellationToken);
        var tokenizer = Tokenizer.Of(gguf.Metadata, weights.Shape.Vocabulary);
        return new LoadedModel(card, weights, tokenizer, ModelCard.TryReadTemplate(gguf.Metadata, tokenizer), idleSessionsMax);
    }

    public LlamaSession RentSession() => _idle.TryTake(out var session) ? session : new LlamaSession(_weights, Card.ContextTokens);

    public void ReturnSession(LlamaSession session)
    {
        session.Rewind(0);
        if (_idle.Count < _idleMax)
        {
            _idle.Add(session);
        }
    }
}
