using System.Collections.Immutable;
using Federation.NodeAgent.Configuration;
using Federation.NodeAgent.Engines.Builtin;
using Federation.NodeAgent.Engines.Ollama;
using Federation.NodeAgent.Engines.OpenAi;
using Microsoft.Extensions.Logging;

namespace Federation.NodeAgent.Engines;

/// <summary>The engines the settings ask for. An engine that is not running yet is in the list: it may start later.</summary>
internal static class EngineFactory
{
    public static ImmutableArray<IEngine> Create(EnginesConfig config, AgentPaths paths, TimeProvider time, Random random, ILoggerFactory loggers)
    {
        var engines = ImmutableArray.CreateBuilder<IEngine>();
        if (config.Builtin.Enabled)
        {
            var options = new BuiltinOptions { Directories = [Path.GetFullPath(config.Builtin.ModelsDirectory ?? paths.ModelsDirectory, paths.Home)], Slots = config.Builtin.Slots ?? Environment.ProcessorCount };
            engines.Add(new BuiltinEngine(options, time, new Random(random.Next()), loggers.CreateLogger<BuiltinEngine>()));
        }
        if (config.Ollama.Enabled) engines.Add(new OllamaEngine(Options(config.Ollama), time));
        foreach (var server in config.OpenAi)
        {
            engines.Add(new OpenAiEngine(new OpenAiOptions { Name = server.Name, Url = new Uri(server.Url), ApiKey = server.ApiKey, Slots = server.Slots, Continues = server.Continues }, time));
        }
        return engines.ToImmutable();
    }

    private static OllamaOptions Options(OllamaEngineConfig config)
    {
        var found = OllamaOptions.FromEnvironment(Environment.GetEnvironmentVariable);
        return found with { Address = config.Url is { } url ? OllamaAddress.Parse(url) : found.Address, Slots = config.Slots ?? found.Slots };
    }
}
