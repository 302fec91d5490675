using System.Text;
using System.Text.Json;
using Federation.Silo.Providers;

namespace Federation.Silo.Tests.Providers;

public sealed class JsonSpliceTests
{
    [Theory]
    [InlineData("""{"model":"a","x":1}""", """{"model":"b","x":1}""")]
    [InlineData("""{ "x" : 1.50 , "model" : "a\u0062" , "y":[{"model":"a"}] }""", """{ "x" : 1.50 , "model" : "b" , "y":[{"model":"a"}] }""")]
    [InlineData("""{"x":{"model":"a"}}""", """{"x":{"model":"a"}}""")]
    [InlineData("""{"model":null}""", """{"model":null}""")]
    [InlineData("[]", "[]")]
    public void Only_the_member_changes(string json, string expected) => Assert.Equal(expected, Text(JsonSplice.WithText(Bytes(json), "model"u8, "b")));

    [Fact]
    public void A_name_cannot_break_out_of_its_place()
    {
        const string name = "a\",\"x\":\"\\ \u2028\n";
        using var json = JsonDocument.Parse(JsonSplice.WithText(Bytes("""{"model":"m"}"""), "model"u8, name));
        Assert.Equal(name, Assert.Single(json.RootElement.EnumerateObject()).Value.GetString());
    }

    [Theory]
    [InlineData("{}", """{"n":5}""")]
    [InlineData("""{ "a":1}""", """{"n":5, "a":1}""")]
    [InlineData("  { }", """  {"n":5 }""")]
    [InlineData("""{"a":{"n":null}}""", """{"n":5,"a":{"n":null}}""")]
    [InlineData("""{"a":1, "\u006e" : null ,"b":2}""", """{"a":1, "\u006e" : 5 ,"b":2}""")]
    [InlineData("""{"n":7}""", """{"n":7}""")]
    public void A_number_is_added_in_front_or_in_the_place_of_null(string json, string expected) => Assert.Equal(expected, Text(JsonSplice.With(Bytes(json), "n", 5)));

    private static byte[] Bytes(string text) => Encoding.UTF8.GetBytes(text);

    private static string Text(ReadOnlyMemory<byte> bytes) => Encoding.UTF8.GetString(bytes.Span);
}
