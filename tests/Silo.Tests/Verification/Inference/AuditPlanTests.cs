using System.Security.Cryptography;
using System.Text;
using Federation.Silo.Verification.Inference;

namespace Federation.Silo.Tests.Verification.Inference;

public sealed class AuditPlanTests
{
    private const string Answer = "The  quick brown fox\njumps över the lazy dog. ça va? 日本 語です, and on\n\n and on it goes.";

    [Fact]
    public void Places_are_safe_cuts_ascending_and_the_same_for_everybody_with_the_seed()
    {
        var text = Encoding.UTF8.GetBytes(Answer);
        for (var i = 0; i < 200; i++)
        {
            var seed = SHA256.HashData([(byte)i]);
            int[] places = [.. AuditPlan.Offsets(Answer, ended: true, seed, 8)];

            Assert.Equal(8, places.Length);
            Assert.Equal(places.Order().Distinct().ToArray(), places);
            Assert.All(places, place => Assert.True(ScoredPosition.IsSafeCut(text, place)));
            Assert.Equal(places, AuditPlan.Offsets(Answer, ended: true, seed, 8).AsEnumerable());
        }
    }

    [Fact]
    public void Every_place_is_drawn_equally_often()
    {
        var counts = new Dictionary<int, int>();
        const int Plans = 4000;
        for (var i = 0; i < Plans; i++)
        {
            foreach (var place in AuditPlan.Offsets(Answer, ended: true, SHA256.HashData(BitConverter.GetBytes(i)), 4)) counts[place] = counts.GetValueOrDefault(place) + 1;
        }

        // Start, words, lines and the end; the second of two spaces is none.
        Assert.Equal(20, counts.Count);
        var expected = 4.0 * Plans / counts.Count;
        Assert.All(counts.Values, count => Assert.InRange(count, expected - (5 * Math.Sqrt(expected)), expected + (5 * Math.Sqrt(expected))));
    }

    [Fact]
    public void A_short_text_has_fewer_places_and_an_unended_one_no_end()
    {
        Assert.Equal([0, 2, 4], AuditPlan.Offsets("ab c", ended: true, [1], 16).AsEnumerable());
        Assert.Equal([0, 2], AuditPlan.Offsets("ab cd", ended: false, [1], 16).AsEnumerable());
        Assert.Equal([0], AuditPlan.Offsets("", ended: true, [1], 16).AsEnumerable());
        Assert.Empty(AuditPlan.Offsets("", ended: false, [1], 16));
    }
}
