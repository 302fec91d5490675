using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Serialization;
using Federation.Protocol.Machine;

namespace Federation.NodeAgent.Configuration;

/// <summary>
/// Reads and writes <see cref="AgentConfig"/> as JSON with comments and trailing commas allowed. The file is readable by its owner
/// only, since it may hold keys of engines.
/// </summary>
public static class AgentConfigFile
{
    private const int MaxBytes = 1 << 20;

    private static readonly JsonDocumentOptions _leniently = new()
    {
        CommentHandling = JsonCommentHandling.Skip,
        AllowTrailingCommas = true,
        AllowDuplicateProperties = false,
    };

    /// <summary>For people: letters as they are, and nothing that has no value.</summary>
    private static readonly AgentConfigJson _forPeople = new(new JsonSerializerOptions(AgentConfigJson.Default.Options)
    {
        Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping,
    });

    /// <summary>For comparison: every setting is there.</summary>
    private static readonly AgentConfigJson _complete = new(new JsonSerializerOptions(AgentConfigJson.Default.Options)
    {
        Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping,
        DefaultIgnoreCondition = JsonIgnoreCondition.Never,
    });

    /// <summary>Reads the settings; a missing file gives the defaults.</summary>
    /// <exception cref="AgentConfigException">Something in the file is wrong; the exception names all of it.</exception>
    /// <exception cref="IOException">The file could not be read.</exception>
    /// <exception cref="UnauthorizedAccessException">This user may not read the file.</exception>
    public static AgentConfig Load(string path)
    {
        return TryRead(path) is { } json ? Parse(json, path) : new AgentConfig();
    }

    /// <summary>Reads the settings from the text of a file.</summary>
    /// <param name="json">UTF-8.</param>
    /// <param name="source">How messages call the file.</param>
    /// <exception cref="AgentConfigException">Something in it is wrong; the exception names all of it.</exception>
    public static AgentConfig Parse(ReadOnlyMemory<byte> json, string source)
    {
        try
        {
            using var document = JsonDocument.Parse(WithoutByteOrderMark(json), _leniently);
            return Read(document.RootElement, source);
        }
        catch (Exception exception) when (exception is InvalidOperationException or JsonException { InnerException: InvalidOperationException })
        {
            throw new AgentConfigException(source, [new ConfigProblem("", "a text holds half of a surrogate pair (\\ud800 to \\udfff)")]);
        }
        catch (JsonException exception)
        {
            throw new AgentConfigException(source, [SyntaxProblem(exception)]);
        }
    }

    private static AgentConfig Read(JsonElement root, string source)
    {
        IReadOnlyList<ConfigProblem> problems = ConfigShape.Check(root, AgentConfigJson.Default.AgentConfig);
        if (problems.Count > 0)
        {
            throw new AgentConfigException(source, problems);
        }

        AgentConfig config = root.Deserialize(AgentConfigJson.Default.AgentConfig)!;
        problems = AgentConfigRules.Check(config);
        return problems.Count == 0 ? config : throw new AgentConfigException(source, problems);
    }

    /// <summary>
    /// Checks the settings, then replaces the file in one step. What did not change stays as its owner wrote it, comments too. Makes the
    /// file and its directory if they are not there.
    /// </summary>
    /// <exception cref="AgentConfigException">The settings are wrong, or the file's were; nothing was written.</exception>
    /// <exception cref="IOException">The file could not be written; the old one is untouched.</exception>
    /// <exception cref="UnauthorizedAccessException">This user may not write there.</exception>
    public static void Save(string path, AgentConfig config)
    {
        ArgumentNullException.ThrowIfNull(config);
        IReadOnlyList<ConfigProblem> problems = AgentConfigRules.Check(config);
        if (problems.Count > 0)
        {
            throw new AgentConfigException(path, problems);
        }

        // People keep such files in a repository and link to them; the link should survive.
        var file = new FileInfo(path);
        string target = file.LinkTarget is null ? file.FullName : file.ResolveLinkTarget(returnFinalTarget: true)!.FullName;
        PrivateFile.EnsureDirectory(Path.GetDirectoryName(target)!);
        PrivateFile.Replace(target, TryRead(target) is { } existing ? Update(existing, config, path) : Render(config));
    }

    private static byte[] Render(AgentConfig config) =>
        [.. JsonSerializer.SerializeToUtf8Bytes(config, _forPeople.AgentConfig), (byte)'\n'];

    private static byte[] Update(byte[] text, AgentConfig config, string source)
    {
        JsonElement before = JsonSerializer.SerializeToElement(Parse(text, source), _complete.AgentConfig);
        JsonElement after = JsonSerializer.SerializeToElement(config, _complete.AgentConfig);
        return ConfigText.Update(WithoutByteOrderMark(text).ToArray(), before, after);
    }

    /// <summary>Null if there is no file.</summary>
    private static byte[]? TryRead(string path)
    {
        try
        {
            using FileStream file = File.OpenRead(path);
            return PrivateFile.Read(file, MaxBytes);
        }
        catch (Exception exception) when (exception is FileNotFoundException or DirectoryNotFoundException)
        {
            return null;
        }
        catch (InvalidDataException)
        {
            throw new AgentConfigException(path, [new ConfigProblem("", $"the file is larger than {MaxBytes >> 20} MiB")]);
        }
    }

    private static ReadOnlyMemory<byte> WithoutByteOrderMark(ReadOnlyMemory<byte> json) =>
        json.Span.StartsWith("\uFEFF"u8) ? json["\uFEFF"u8.Length..] : json;

    private static ConfigProblem SyntaxProblem(JsonException exception)
    {
        // The library appends the place in its own, zero-based words.
        string reason = exception.Message.Split(" LineNumber:")[0];
        return new ConfigProblem("", exception.LineNumber is { } line
            ? $"line {line + 1}, column {exception.BytePositionInLine + 1} is not valid JSON: {reason}"
            : $"not valid JSON: {reason}");
    }
}
