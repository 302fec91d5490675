namespace Federation.Silo.Gateway;

/// <summary>Reads a request's body whole, within a bound.</summary>
internal static class RequestBody
{
    private const int FirstGuessBytes = 4 * 1024;

    /// <summary>The body; <see langword="null"/> when it is larger than <paramref name="maxBytes"/>.</summary>
    public static async Task<ReadOnlyMemory<byte>?> ReadAsync(HttpContext http, long maxBytes)
    {
        if (http.Request.ContentLength > maxBytes) return null;
        var buffer = new byte[http.Request.ContentLength is { } length ? (int)length : FirstGuessBytes];
        var filled = 0;
        while (true)
        {
            if (filled == buffer.Length)
            {
                if (filled == http.Request.ContentLength) return buffer;
                if (filled >= maxBytes) return null;
                Array.Resize(ref buffer, (int)Math.Min(maxBytes + 1, buffer.Length * 2L));
            }
            var read = await http.Request.Body.ReadAsync(buffer.AsMemory(filled), http.RequestAborted);
            if (read == 0) return filled <= maxBytes ? buffer.AsMemory(0, filled) : null;
            filled += read;
        }
    }
}
