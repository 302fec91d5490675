using System.Security.Cryptography;
using Federation.NodeAgent.Engines.Builtin.Gguf;
using Federation.NodeAgent.Engines.Builtin.Llama;
using Federation.NodeAgent.Engines.Builtin.Text;
using Federation.Protocol.OpenAi;

namespace Federation.NodeAgent.Engines.Builtin;

/// <summary>A version of a file: when one of these changes, it is another file.</summary>
internal readonly record struct FileVersion(string Path, long SizeBytes, DateTime ModifiedUtc)
{
    public static FileVersion Of(FileInfo file) => new(file.FullName, file.Length, file.LastWriteTimeUtc);

    /// <summary>Opens the file, if it is still this version of it.</summary>
    /// <exception cref="IOException">It is gone, cannot be read, or has changed.</exception>
    public FileStream Open()
    {
        var stream = new FileStream(Path, FileMode.Open, FileAccess.Read, FileShare.Read | FileShare.Delete, 64 << 10);
        if (Of(new FileInfo(Path)) == this && stream.Length == SizeBytes)
        {
            return stream;
        }

        stream.Dispose();
        throw new IOException($"{Path} has changed");
    }
}

/// <summary>What is known of a model from its file's header.</summary>
/// <param name="File">Which file, and which version of it.</param>
/// <param name="Name">What a client asks for: the file's name without its extension.</param>
/// <param name="Digest">"sha256:…" of the file.</param>
/// <param name="ContextTokens">What the engine gives it: what it was made for, within the engine's bound.</param>
/// <param name="CanChat">Its chat template is one that this engine understands.</param>
/// <param name="Quantization">As the file says; null where it does not.</param>
internal sealed record ModelCard(FileVersion File, string Name, string Digest, int ContextTokens, bool CanChat, string? Quantization)
{
    /// <summary>What <see cref="Requests.RequestReader"/> refuses: a hub that knows says so before it asks.</summary>
    private static readonly string[] Lacks = ["no_tools", "no_vision", "no_audio", "no_json"];

    /// <summary>Ten digits of the digest, told to clients as the backend they spoke to.</summary>
    public string Fingerprint => $"fp_{Digest.AsSpan("sha256:".Length, 10)}";

    /// <summary>Reads the header and digests the file.</summary>
    /// <exception cref="GgufFormatException">The file is not a model this engine can run.</exception>
    /// <exception cref="IOException">The file cannot be read, or changed meanwhile.</exception>
    public static async Task<ModelCard> ReadAsync(FileVersion file, BuiltinOptions options, CancellationToken cancellationToken)
    {
        if (file.SizeBytes > options.ModelBytesMax)
        {
            throw new GgufFormatException($"the file has {file.SizeBytes} bytes; ModelBytesMax is {options.ModelBytesMax}");
        }

        var stream = file.Open();
        await using (stream.ConfigureAwait(false))
        {
            var gguf = GgufFile.Read(stream);
            var shape = LlamaShape.Of(gguf.Metadata);
            var canChat = TryReadTemplate(gguf.Metadata, Tokenizer.Of(gguf.Metadata, shape.Vocabulary)) is not null;
            stream.Position = 0;
            var hash = await SHA256.HashDataAsync(stream, cancellationToken).ConfigureAwait(false);
            return new ModelCard(
                file,
                Path.GetFileNameWithoutExtension(file.Path),
                "sha256:" + Convert.ToHexStringLower(hash),
                Math.Min(shape.Context, options.ContextTokensMax),
                canChat,
                Quantised(gguf.Metadata));
        }
    }

    /// <summary>Null where the file has none, or one beyond this engine: the model then completes texts only.</summary>
    public static ChatTemplate? TryReadTemplate(GgufMetadata metadata, Tokenizer tokenizer)
    {
        if (metadata.TextOrNull("tokenizer.chat_template") is not { } source)
        {
            return null;
        }

        try
        {
            return ChatTemplate.Parse(source, tokenizer.Written(tokenizer.Begin), tokenizer.Written(tokenizer.End));
        }
        catch (ChatTemplateException)
        {
            return null;
        }
    }

    public EngineModel ToEngineModel(bool isLoaded) => new(
        Name,
        Digest,
        File.SizeBytes,
        isLoaded,
        ContextTokens,
        CanChat ? [JobKind.Chat.Word(), JobKind.Completion.Word(), .. Lacks] : [JobKind.Completion.Word(), .. Lacks],
        Quantization);

    /// <summary>Of the format's many file types, those whose tensors this engine reads.</summary>
    private static string? Quantised(GgufMetadata metadata) => metadata.CountOrNull("general.file_type", 0, int.MaxValue) switch
    {
        0 => "F32",
        1 => "F16",
        7 => "Q8_0",
        _ => null,
    };
}
