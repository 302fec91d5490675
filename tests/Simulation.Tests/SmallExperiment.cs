namespace Federation.Simulation.Tests;

/// <summary>The whole simulation scaled down, run once for all tests: 500 nodes, ten days, one seed.</summary>
[CollectionDefinition(nameof(SmallExperiment))]
public sealed class SmallExperiment : ICollectionFixture<SmallExperiment>
{
    internal static Scenario Scenario { get; } = new() { Nodes = 500, Days = 10 };

    internal Experiment Experiment { get; } = Experiment.Run(Scenario, [1], 1, StudyEffort.Short, TimeProvider.System, TextWriter.Null);
}
