using System.Xml.Linq;

namespace Federation.Simulation.Tests;

[Collection(nameof(SmallExperiment))]
public sealed class ResultsPageTests(SmallExperiment small) : IDisposable
{
    private readonly DirectoryInfo _directory = Directory.CreateTempSubdirectory("federation-simulation-");

    public void Dispose() => _directory.Delete(recursive: true);

    [Fact]
    public void The_page_has_every_target_every_strategy_and_the_command_that_made_it()
    {
        new ResultsPage(small.Experiment).Write(_directory, "scripts/simulate.sh --seeds 1");

        var page = File.ReadAllText(Path.Combine(_directory.FullName, "verification-results.md"));
        Assert.Contains("`scripts/simulate.sh --seeds 1`", page, StringComparison.Ordinal);
        Assert.All(Strategy.Others, strategy => Assert.Contains($"| {strategy.Threat} | {strategy.Name} |", page, StringComparison.Ordinal));
        Assert.Contains("| Always-on cheaters banned within 24 h | ≥ 99.90 % | 100.0 % | reached |", page, StringComparison.Ordinal);
        // Ten days cannot tell what thirty would.
        Assert.Contains("| 1 % cheaters caught within 30 d, from enrolment | ≥ 95.00 % | – | not measured |", page, StringComparison.Ordinal);
        Assert.DoesNotContain("NaN", page, StringComparison.Ordinal);
    }

    [Fact]
    public void The_pictures_are_well_formed_and_every_number_in_them_is_one()
    {
        new ResultsPage(small.Experiment).Write(_directory, "scripts/simulate.sh");

        var pictures = _directory.GetFiles("*.svg", SearchOption.AllDirectories);
        Assert.Equal(["audit-rate.svg", "cashed.svg", "honest-income.svg"], pictures.Select(picture => picture.Name).Order(StringComparer.Ordinal));
        Assert.All(pictures, picture =>
        {
            var text = File.ReadAllText(picture.FullName);
            Assert.Equal("svg", XDocument.Parse(text).Root!.Name.LocalName);
            Assert.Contains("prefers-color-scheme: dark", text, StringComparison.Ordinal);
            Assert.DoesNotContain("NaN", text, StringComparison.Ordinal);
            Assert.DoesNotContain("∞", text, StringComparison.Ordinal);
        });
    }
}
