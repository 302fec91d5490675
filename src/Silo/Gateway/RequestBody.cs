using System.Buffers;
using Microsoft.AspNetCore.Http.Features;

namespace Federation.Silo.Gateway;

/// <summary>Reads a request's body whole, within a bound.</summary>
internal static class RequestBody
{
    private const int FirstGuessBytes = 4 * 1024;

    // What a client only says that it will send takes no memory yet; up to here most requests are what they say.
    private const int TrustedBytes = 256 * 1024;

    // A client reads its answer when it has sent its body. Hung up on before, it sees a broken connection instead of the reason; so
    // what is too large is read to its end and thrown away. What is larger than this is not worth the line.
    private const long DrainMaxBytes = 64 * 1024 * 1024;

    /// <summary>The body; <see langword="null"/> when it is larger than <paramref name="maxBytes"/>.</summary>
    public static async ValueTask<ReadOnlyMemory<byte>?> ReadAsync(HttpContext http, long maxBytes)
    {
        // The bounds below are ours; the server's own would end the request without a word.
        if (http.Features.Get<IHttpMaxRequestBodySizeFeature>() is { IsReadOnly: false } serverLimit) serverLimit.MaxRequestBodySize = null;
        if (http.Request.ContentLength > maxBytes)
        {
            await DrainAsync(http, http.Request.ContentLength.Value);
            return null;
        }
        // One byte more than allowed is enough to know that there is more.
        var mostBytes = http.Request.ContentLength ?? (maxBytes + 1);
        var buffer = GC.AllocateUninitializedArray<byte>((int)Math.Min(http.Request.ContentLength is null ? FirstGuessBytes : TrustedBytes, mostBytes));
        var filled = 0;
        while (true)
        {
            if (filled == buffer.Length)
            {
                if (filled == http.Request.ContentLength) return buffer;
                if (filled > maxBytes)
                {
                    await DrainAsync(http, filled);
                    return null;
                }
                Array.Resize(ref buffer, (int)Math.Min(mostBytes, buffer.Length * 2L));
            }
            var read = await http.Request.Body.ReadAsync(buffer.AsMemory(filled), http.RequestAborted);
            if (read == 0) return buffer.AsMemory(0, filled);
            filled += read;
        }
    }

    /// <summary>Reads on and throws away, unless the rest is hopelessly long or its sender waits for our word before it sends.</summary>
    /// <param name="http">The request.</param>
    /// <param name="knownBytes">How long the body is at least.</param>
    private static async Task DrainAsync(HttpContext http, long knownBytes)
    {
        if (knownBytes > DrainMaxBytes || http.Request.Headers.Expect.Count > 0) return;
        var buffer = ArrayPool<byte>.Shared.Rent(64 * 1024);
        try
        {
            for (var left = DrainMaxBytes; left > 0;)
            {
                var read = await http.Request.Body.ReadAsync(buffer, http.RequestAborted);
                if (read == 0) return;
                left -= read;
            }
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(buffer);
        }
    }
}
