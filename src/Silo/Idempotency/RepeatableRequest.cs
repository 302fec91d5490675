using System.Collections.Immutable;
using System.Security.Cryptography;
using System.Text;
using Federation.Silo.Gateway;
using Microsoft.Extensions.Primitives;

namespace Federation.Silo.Idempotency;

/// <summary>A request that its client may send again and have answered once, as its <c>Idempotency-Key</c> says.</summary>
/// <param name="AccountId">Whose; keys of different accounts have nothing to do with each other.</param>
/// <param name="KeyHash">SHA-256 of the key.</param>
/// <param name="RequestHash">SHA-256 of the endpoint and the body: all that is kept of the request.</param>
internal sealed record RepeatableRequest(string AccountId, ImmutableArray<byte> KeyHash, ImmutableArray<byte> RequestHash)
{
    public const string Header = "Idempotency-Key";

    private const int KeyLengthMax = 255;

    /// <summary>Of which one at a time runs in its account.</summary>
    public string Claim => Convert.ToHexString(KeyHash.AsSpan());

    /// <summary>Reads the header; what is wrong with it, or <see langword="null"/>.</summary>
    /// <param name="header">Of the request.</param>
    /// <param name="key">The client's key; <see langword="null"/> where it sent none.</param>
    public static OpenAiError? TryReadKey(StringValues header, out string? key)
    {
        key = null;
        if (header.Count == 0) return null;
        if (header.Count > 1 || header[0] is not { Length: > 0 and <= KeyLengthMax } text || text.Any(character => character is < ' ' or > '~'))
            return OpenAiError.BadRequest($"'{Header}' must be one text of 1 to {KeyLengthMax} printable ASCII characters.", Header, "invalid_idempotency_key");
        key = text;
        return null;
    }

    /// <summary>The call as one that may be repeated; <see langword="null"/> where its client sent no key.</summary>
    public static RepeatableRequest? Of(InferenceCall call)
    {
        if (call.IdempotencyKey is not { } key) return null;
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        hash.AppendData([(byte)call.Kind]);
        hash.AppendData(call.Body.Span);
        return new RepeatableRequest(call.Caller.AccountId, [.. SHA256.HashData(Encoding.ASCII.GetBytes(key))], [.. hash.GetHashAndReset()]);
    }
}

/// <summary>An answer that was given.</summary>
/// <param name="RequestHash">To what.</param>
/// <param name="JobId">Of the request that was answered.</param>
/// <param name="Head">Who answered.</param>
/// <param name="Status">HTTP.</param>
/// <param name="ContentType">Of an answer that is no stream.</param>
/// <param name="IsStream">Whether it was streamed.</param>
/// <param name="Bytes">The engine's; <see langword="null"/> where they were too many to keep.</param>
internal sealed record GivenAnswer(ImmutableArray<byte> RequestHash, string JobId, AnswerHead Head, int Status, string ContentType, bool IsStream, ReadOnlyMemory<byte>? Bytes);
