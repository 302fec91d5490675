using System.Text;
using Federation.Silo.Gateway.Routing;
using Federation.Silo.Models;

namespace Federation.Silo.Tests.Models;

public sealed class StickyNodesTests
{
    private static readonly string[] Turns = [.. Enumerable.Range(0, 12).Select(turn => $$"""{"role":"{{(turn % 2 == 0 ? "user" : "assistant")}}","content":"{{new string((char)('a' + turn), 150 + (turn * 37))}}"}""")];

    [Fact]
    public void The_next_turn_of_a_conversation_finds_who_read_the_one_before()
    {
        var nodes = new StickyNodes(1_000);
        for (var turn = 3; turn < Turns.Length; turn += 2)
        {
            nodes.Note(PrefixesOf(turn), $"ns_{turn}");
            Assert.Equal($"ns_{turn}", nodes.Find(PrefixesOf(turn + 2), _ => true));
        }
    }

    [Fact]
    public void A_long_conversation_is_found_although_its_beginnings_are_counted_in_larger_steps()
    {
        var nodes = new StickyNodes(1_000);
        var text = string.Concat(Enumerable.Repeat("some words of a document ", 900));
        nodes.Note(ConversationPrefix.Of(Encoding.UTF8.GetBytes(text + "]}"), "acct_1"), "ns_a");
        Assert.Equal("ns_a", nodes.Find(ConversationPrefix.Of(Encoding.UTF8.GetBytes(text + text[..2_000] + "]}"), "acct_1"), _ => true));
    }

    [Fact]
    public void Another_accounts_and_another_conversations_are_not_found_nor_nodes_that_may_not_be_had()
    {
        var nodes = new StickyNodes(1_000);
        nodes.Note(PrefixesOf(5), "ns_a");
        Assert.Null(nodes.Find(PrefixesOf(7, "acct_2"), _ => true));
        Assert.Null(nodes.Find(PrefixesOf(7), _ => false));
        Assert.Null(nodes.Find(ConversationPrefix.Of(Encoding.UTF8.GetBytes($$"""{"model":"other","messages":[{{string.Join(',', Turns.Take(7))}}]}"""), "acct_1"), _ => true));
        // A system prompt alone is shared by many conversations.
        Assert.Null(nodes.Find(ConversationPrefix.Of(Encoding.UTF8.GetBytes($$"""{"model":"llama","messages":[{{Turns[0]}},{{string.Join(',', Turns.Reverse())}}]}"""), "acct_1"), _ => true));
        Assert.Empty(ConversationPrefix.Of("""{"model":"llama","messages":[{"content":"hi"}]}"""u8, "acct_1"));
    }

    [Fact]
    public void No_more_is_remembered_than_allowed_the_oldest_first_to_go()
    {
        var nodes = new StickyNodes(10);
        for (var number = 0; number < 50; number++) nodes.Note([(ulong)number * 3, ((ulong)number * 3) + 1, ((ulong)number * 3) + 2], $"ns_{number}");
        Assert.Equal(10, nodes.Count);
        Assert.Equal("ns_49", nodes.Find([147, 148, 149], _ => true));
        Assert.Null(nodes.Find([0, 1, 2], _ => true));
    }

    [Fact]
    public void A_beginnings_hash_is_that_of_its_bytes_however_long_the_text_goes_on()
    {
        var bytes = new byte[200_000];
        new Random(3).NextBytes(bytes);
        var of16K = ConversationPrefix.Of(bytes.AsSpan(0, 16_384), "a");
        var ofAll = ConversationPrefix.Of(bytes, "a");
        Assert.Equal((64, 48), (of16K.Length, ofAll.Length));
        // Steps of 256 bytes, and of 4 096.
        for (var at = 1; at <= 4; at++) Assert.Equal(of16K[(at * 16) - 1], ofAll[at - 1]);
        Assert.Equal(of16K.Length, of16K.Distinct().Count());
    }

    private static System.Collections.Immutable.ImmutableArray<ulong> PrefixesOf(int turns, string account = "acct_1")
        => ConversationPrefix.Of(Encoding.UTF8.GetBytes($$"""{"model":"llama","messages":[{{string.Join(',', Turns.Take(turns))}}],"stream":true,"temperature":0.7}"""), account);
}
