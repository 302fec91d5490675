using System.Collections.Immutable;

namespace Federation.NodeAgent.Engines.Builtin;

/// <summary>How the builtin engine works.</summary>
public sealed record BuiltinOptions
{
    /// <summary>Folders whose <c>*.gguf</c> files are the engine's models, named after the files. Of two with one name, the first folder's counts.</summary>
    public required ImmutableArray<string> Directories { get; init; }

    /// <summary>Answers generated at once, 1 to 4096. Default: one per processor; more take turns on them.</summary>
    public int Slots { get; init; } = Environment.ProcessorCount;

    /// <summary>Requests that wait for a slot, first come first served; one more is answered with 429. Default 256, 0 or more.</summary>
    public int QueueMax { get; init; } = 256;

    /// <summary>Threads that calculate, 1 or more. Default: one per processor.</summary>
    public int Threads { get; init; } = Environment.ProcessorCount;

    /// <summary>Largest model file, bytes; a larger one is not a model of this engine. Default 4 GiB.</summary>
    public long ModelBytesMax { get; init; } = 4L << 30;

    /// <summary>Models in memory at once; an idle one makes room for the next. Default 2, 1 or more.</summary>
    public int LoadedModelsMax { get; init; } = 2;

    /// <summary>How long an idle model stays in memory. Default 5 minutes.</summary>
    public TimeSpan KeepLoaded { get; init; } = TimeSpan.FromMinutes(5);

    /// <summary>Tokens of context at most, whatever the model was made for: bounds an answer's memory. Default 8192, 2 or more.</summary>
    public int ContextTokensMax { get; init; } = 8192;

    /// <summary>Answers one request may ask for (<c>n</c> times its prompts). Default 8, 1 or more.</summary>
    public int ChoicesMax { get; init; } = 8;

    /// <summary>Bytes of an answer that wait to be read before the generation pauses. Default 64 KiB, 1 or more.</summary>
    public int BufferBytes { get; init; } = 64 << 10;

    /// <exception cref="ArgumentException">A value is out of its range.</exception>
    internal void Validate()
    {
        Require(!Directories.IsDefault, nameof(Directories));
        Require(Slots is >= 1 and <= 4096, nameof(Slots));
        Require(QueueMax >= 0, nameof(QueueMax));
        Require(Threads >= 1, nameof(Threads));
        Require(ModelBytesMax >= 1, nameof(ModelBytesMax));
        Require(LoadedModelsMax >= 1, nameof(LoadedModelsMax));
        Require(KeepLoaded > TimeSpan.Zero, nameof(KeepLoaded));
        Require(ContextTokensMax >= 2, nameof(ContextTokensMax));
        Require(ChoicesMax >= 1, nameof(ChoicesMax));
        Require(BufferBytes >= 1, nameof(BufferBytes));
    }

    private static void Require(bool holds, string name)
    {
        if (!holds)
        {
            throw new ArgumentException($"BuiltinOptions.{name} is out of its range.");
        }
    }
}
