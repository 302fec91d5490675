using System.Text;
using Federation.Silo.Gateway;

namespace Federation.Silo.Tests.Gateway;

public sealed class RemoteMediaTests
{
    [Theory]
    [InlineData("""{"messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"http://169.254.169.254/latest"}}]}]}""")]
    [InlineData("""{"messages":[{"role":"user","content":[{"type":"image_url","image_url":{"detail":"low","url":"https://example.org/a.png"}}]}]}""")]
    [InlineData("""{"messages":[{"role":"user","content":[{"type":"image_url","image_url":"http://router/"}]}]}""")]
    [InlineData("""{"messages":[{"role":"user","content":[{"type":"video_url","video_url":{"url":"file:///etc/passwd"}}]}]}""")]
    [InlineData("""{"messages":[{"role":"user","content":[{"audio_url":{"url":"ftp://a/b"}}]}]}""")]
    [InlineData("""{"messages":[{"role":"user","content":[{"image_url":{"url":"data:image/png;base64,AA=="}},{"image_url":{"url":"//router"}}]}]}""")]
    [InlineData("""{"messages":[{"role":"user","content":[{"image_url":{"url":"data:,","url":"http://a"}}]}]}""")]
    [InlineData("""{"messages":[{"role":"user","content":[{"image\u005furl":{"url":"http://a"}}]}]}""")]
    [InlineData("""{"messages":[{"role":"user","content":[{"image_url":{"\u0075rl":"http://a"}}]}]}""")]
    [InlineData("""{"messages":[{"role":"user","content":[{"image_url":{"x":{"image_url":"http://a"}}}]}]}""")]
    [InlineData("""{"messages":[{"role":"user","content":[{"image_url":{"url":""}}]}]}""")]
    public void What_an_engine_would_have_to_fetch_is_found(string body) => Assert.True(RemoteMedia.IsNamedIn(Encoding.UTF8.GetBytes(body)));

    [Theory]
    [InlineData("""{"messages":[{"role":"user","content":"what is image_url: http://a ?"}]}""")]
    [InlineData("""{"messages":[{"role":"user","content":"gr\u00fc\u00df http://a"}]}""")]
    [InlineData("""{"messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"data:image/png;base64,AA=="}}]}]}""")]
    [InlineData("""{"messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"\u0064ata:image/png;base64,AA==","detail":"http://a"}}]}]}""")]
    [InlineData("""{"messages":[{"role":"user","content":[{"type":"image_url","image_url":"DATA:image/png;base64,AA=="}]}]}""")]
    [InlineData("""{"messages":[],"tools":[{"function":{"parameters":{"properties":{"image_url":{"type":"string","description":"http://a"}}}}}]}""")]
    [InlineData("""{"messages":[],"metadata":{"\\ud800":1,"image_url":{"\\ud800":"http://a"}}}""")]
    public void What_comes_with_the_request_is_not(string body) => Assert.False(RemoteMedia.IsNamedIn(Encoding.UTF8.GetBytes(body)));
}
