using System.Net;

namespace Federation.Bench;

/// <summary>The least that a gateway on Kestrel can do: read the request, send it on, copy the answer back as it comes.</summary>
internal static class PassThrough
{
    private const int BufferBytes = 16 * 1024;

    public static WebApplication Create(Uri upstream)
    {
        var builder = WebApplication.CreateSlimBuilder();
        builder.Logging.ClearProviders();
        builder.WebHost.ConfigureKestrel(kestrel => kestrel.Listen(IPAddress.Loopback, 0));
        var app = builder.Build();
        var client = new HttpMessageInvoker(new SocketsHttpHandler { MaxConnectionsPerServer = 10_000, UseCookies = false, AllowAutoRedirect = false, ResponseDrainTimeout = TimeSpan.Zero });
        app.Run(http => AnswerAsync(http, client, upstream));
        return app;
    }

    private static async Task AnswerAsync(HttpContext http, HttpMessageInvoker client, Uri upstream)
    {
        using var request = new HttpRequestMessage(new HttpMethod(http.Request.Method), new Uri(upstream, http.Request.Path.Value!.TrimStart('/')));
        if (http.Request.Method == HttpMethods.Post)
        {
            request.Content = new StreamContent(http.Request.Body);
            request.Content.Headers.TryAddWithoutValidation("content-type", http.Request.ContentType);
            request.Content.Headers.ContentLength = http.Request.ContentLength;
        }
        using var response = await client.SendAsync(request, http.RequestAborted);
        http.Response.StatusCode = (int)response.StatusCode;
        http.Response.ContentType = response.Content.Headers.ContentType?.ToString();
        http.Response.ContentLength = response.Content.Headers.ContentLength;
        await using var body = await response.Content.ReadAsStreamAsync(http.RequestAborted);
        var writer = http.Response.BodyWriter;
        while (await body.ReadAsync(writer.GetMemory(BufferBytes), http.RequestAborted) is > 0 and var read)
        {
            writer.Advance(read);
            await writer.FlushAsync(http.RequestAborted);
        }
    }
}
