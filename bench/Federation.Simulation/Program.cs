using System.CommandLine;
using Federation.Simulation;

var seeds = new Option<string>("--seeds") { Description = "One seed, or a range: 1-20.", DefaultValueFactory = _ => "1-20" };
var nodes = new Option<int>("--nodes") { Description = "Nodes at any time, 100 or more.", DefaultValueFactory = _ => 10_000 };
var days = new Option<int>("--days") { Description = "Virtual days.", DefaultValueFactory = _ => 60 };
var parallel = new Option<int>("--parallel") { Description = "Seeds at a time.", DefaultValueFactory = _ => 2 };
var output = new Option<DirectoryInfo?>("--output") { Description = "Where verification-results.md and its pictures go; default: the page is printed." };
var root = new RootCommand("Runs the hub's rules of verification against honest and dishonest nodes, on virtual time, and says what came of it.")
{
    seeds, nodes, days, parallel, output,
};
root.SetAction(parsed =>
{
    var range = parsed.GetValue(seeds)!.Split('-');
    var isRange = int.TryParse(range[0], out var first) & int.TryParse(range[^1], out var last) && range.Length <= 2 && first >= 0 && last >= first;
    if (!isRange || parsed.GetValue(nodes) < 100 || parsed.GetValue(days) < 1 || parsed.GetValue(parallel) < 1)
    {
        Console.Error.WriteLine("--seeds is a number or a range like 1-20; --nodes at least 100; --days and --parallel at least 1.");
        return 2;
    }

    var scenario = new Scenario { Nodes = parsed.GetValue(nodes), Days = parsed.GetValue(days) };
    var experiment = Experiment.Run(scenario, [.. Enumerable.Range(first, last - first + 1)], parsed.GetValue(parallel), StudyEffort.Full, TimeProvider.System, Console.Error);
    var command = $"scripts/simulate.sh --seeds {parsed.GetValue(seeds)} --nodes {scenario.Nodes} --days {scenario.Days}";
    var page = new ResultsPage(experiment);
    if (parsed.GetValue(output) is { } directory) page.Write(directory, command);
    else Console.WriteLine(page.ToMarkdown(command));
    return 0;
});
return root.Parse(args).Invoke();
