using Federation.Protocol.Machine;

namespace Federation.Silo.Providers;

/// <summary>A provider's API key: out of the settings, the environment or a file, and into requests, and nowhere else.</summary>
internal sealed class ProviderKey
{
    private const int LengthMax = 4_096;

    private readonly string _value;

    private ProviderKey(string value) => _value = value;

    /// <summary>The key of the settings; <see langword="null"/> where there is none.</summary>
    /// <exception cref="InvalidDataException">There is one that cannot be read, in words without it.</exception>
    public static ProviderKey? Of(ProviderOptions settings)
    {
        if (WhyUnreadable(settings) is { } problem) throw new InvalidDataException(problem);
        return Read(settings) is { Length: > 0 } value ? new ProviderKey(value) : null;
    }

    /// <summary>What is wrong with a key that is set; <see langword="null"/> when nothing is, or none is set.</summary>
    public static string? WhyUnreadable(ProviderOptions settings)
    {
        try
        {
            var key = Read(settings);
            if (settings.KeyFile is { Length: > 0 } file && string.IsNullOrEmpty(key)) return $"there is no key in {file}.";
            // Beyond these, a header would not take it, and say it in its complaint.
            return key is null || (key.Length <= LengthMax && key.All(static c => c is > ' ' and <= '~')) ? null : "the key has characters that no key has, or is too long.";
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException or InvalidDataException)
        {
            return $"the key's file cannot be read: {exception.Message}";
        }
    }

    /// <summary>Signs a request with it.</summary>
    public void Authorize(HttpRequestMessage request) => request.Headers.TryAddWithoutValidation("Authorization", $"Bearer {_value}");

    /// <summary>Never the key.</summary>
    public override string ToString() => "(a key)";

    private static string? Read(ProviderOptions settings)
        => settings.Key is { Length: > 0 } key ? key.Trim()
            : settings.KeyFile is { Length: > 0 } file ? PrivateFile.TryReadSecret(file, LengthMax)?.Trim()
            : settings.KeyVariable is { Length: > 0 } variable ? Environment.GetEnvironmentVariable(variable)?.Trim()
            : null;
}
