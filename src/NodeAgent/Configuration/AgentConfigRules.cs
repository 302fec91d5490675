using System.Diagnostics.CodeAnalysis;
using System.Globalization;
using System.Text.RegularExpressions;
using Federation.Protocol.Identity;

namespace Federation.NodeAgent.Configuration;

/// <summary>What settings of the right kind must also fulfil. Pure: looks at nothing but the settings.</summary>
internal static partial class AgentConfigRules
{
    private const int MaxAllowedModels = 1000;
    private const int MaxOpenAiEngines = 32;

    public static IReadOnlyList<ConfigProblem> Check(AgentConfig config)
    {
        var rules = new Collector();
        CheckEnrolment(config, rules);
        CheckPolicy(config.Policy, rules);
        CheckEngines(config.Engines, rules);
        return rules.Problems;
    }

    private static void CheckEnrolment(AgentConfig config, Collector rules)
    {
        if (config.HubUrl is { } url && rules.IsHttpUrl("hub_url", url, "https://hub.example.org", out Uri? hub))
        {
            rules.Require(
                hub.Scheme == Uri.UriSchemeHttps || hub.IsLoopback || config.AllowInsecureHub,
                "hub_url",
                $"{url} is not encrypted; use https://, or set allow_insecure_hub to true if others on the way may read everything");
        }

        rules.Require(config.HubId is not { } hubId || HubId.TryParse(hubId, out _), "hub_id", "must be hb_ and 32 of 0-9 a-f, as the hub shows it");
        rules.Require(config.NodeId is not { } nodeId || NodeId.TryParse(nodeId, out _), "node_id", "must be nd_ and 32 of 0-9 a-f; run `federation-node join` to get one");
        rules.Require(config.NodeId is null || config.HubUrl is not null, "hub_url", "is missing although node_id is set; run `federation-node join` again");
        rules.Require(config.AccountId is not { } account || IsLine(account, 128), "account_id", "must be 1 to 128 characters, without control characters");
        rules.Require(config.DisplayName is not { } name || IsLine(name, 64), "display_name", "must be 1 to 64 characters, without control characters");
    }

    private static void CheckPolicy(PolicyConfig policy, Collector rules)
    {
        rules.Require(
            policy.Schedule is null || DailySchedule.TryParse(policy.Schedule, out _),
            "policy.schedule",
            $"\"{policy.Schedule}\" is not a schedule; write start and end in local time, such as \"18:00-02:00\"");
        rules.IsWithin("policy.hours_per_day", policy.HoursPerDay, 0, 24, "hours");
        rules.Require(
            policy.MaxTemperatureCelsius is null or (>= 30 and <= 120),
            "policy.max_temperature_celsius",
            $"must be from 30 to 120, not {Invariant(policy.MaxTemperatureCelsius)}");
        rules.IsWithin("policy.vram_limit_gib", policy.VramLimitGib, 0, 16_384, "GiB");

        rules.Require(
            policy.AllowedModels.Count <= MaxAllowedModels, "policy.allowed_models", $"must not have more than {MaxAllowedModels} models");
        for (int i = 0; i < Math.Min(policy.AllowedModels.Count, MaxAllowedModels); i++)
        {
            rules.Require(
                policy.AllowedModels[i] is { } model && IsLine(model, 256),
                $"policy.allowed_models[{i}]",
                "must be the name of a model, such as \"llama3.1:8b\"");
        }
    }

    private static void CheckEngines(EnginesConfig engines, Collector rules)
    {
        if (engines.Ollama.Url is { } ollama)
        {
            rules.IsHttpUrl("engines.ollama.url", ollama, "http://127.0.0.1:11434", out _);
        }

        rules.IsCount("engines.ollama.slots", engines.Ollama.Slots, 1024);
        rules.IsCount("engines.builtin.slots", engines.Builtin.Slots, 1024);
        rules.Require(
            engines.Builtin.ModelsDirectory is not { } directory || (!string.IsNullOrWhiteSpace(directory) && !directory.Contains('\0', StringComparison.Ordinal)),
            "engines.builtin.models_directory",
            "must be a directory; leave the line out to have the default");

        rules.Require(engines.OpenAi.Count <= MaxOpenAiEngines, "engines.openai", $"must not have more than {MaxOpenAiEngines} engines");
        var names = new HashSet<string>(StringComparer.Ordinal) { "ollama", "builtin" };
        for (int i = 0; i < Math.Min(engines.OpenAi.Count, MaxOpenAiEngines); i++)
        {
            CheckOpenAiEngine(engines.OpenAi[i], $"engines.openai[{i}]", names, rules);
        }
    }

    private static void CheckOpenAiEngine(OpenAiEngineConfig? engine, string path, HashSet<string> names, Collector rules)
    {
        if (engine is null)
        {
            rules.Require(false, path, "must be a group of settings: { \"name\": …, \"url\": … }");
            return;
        }

        if (!EngineName().IsMatch(engine.Name))
        {
            rules.Require(false, $"{path}.name", $"{Quote(engine.Name)} must be 1 to 32 of a-z 0-9 . _ - and begin with a letter or digit");
        }
        else
        {
            rules.Require(names.Add(engine.Name), $"{path}.name", $"\"{engine.Name}\" is taken by another engine; give each its own name");
        }

        rules.IsHttpUrl($"{path}.url", engine.Url, "http://127.0.0.1:8080/v1", out _);
        rules.Require(engine.ApiKey is not { } key || IsHeaderValue(key), $"{path}.api_key", "must be 1 to 4096 printable ASCII characters; leave the line out for no key");
        rules.IsCount($"{path}.slots", engine.Slots, 1024);
    }

    private static bool IsLine(string text, int maxLength) =>
        text.Length <= maxLength && !string.IsNullOrWhiteSpace(text) && !text.Any(char.IsControl);

    private static bool IsHeaderValue(string text) => text.Length is >= 1 and <= 4096 && text.All(c => c is > ' ' and < (char)0x7F);

    private static string Quote(string text) => text.Length <= 64 ? $"\"{text}\"" : $"\"{text[..64]}…\"";

    private static string Invariant(double? number) => string.Create(CultureInfo.InvariantCulture, $"{number}");

    [GeneratedRegex(@"\A[a-z0-9][a-z0-9._-]{0,31}\z")]
    private static partial Regex EngineName();

    private sealed class Collector
    {
        private readonly List<ConfigProblem> _problems = [];

        public IReadOnlyList<ConfigProblem> Problems => _problems;

        public void Require(bool fulfilled, string path, string otherwise)
        {
            if (!fulfilled)
            {
                _problems.Add(new ConfigProblem(path, otherwise));
            }
        }

        public void IsWithin(string path, double? number, double above, double upTo, string unit) =>
            Require(
                number is null || (number > above && number <= upTo),
                path,
                string.Create(CultureInfo.InvariantCulture, $"must be above {above} and up to {upTo} {unit}, not {number}; leave the line out for no limit"));

        public void IsCount(string path, int? number, int upTo) =>
            Require(number is null || (number >= 1 && number <= upTo), path, $"must be from 1 to {upTo}, not {number}");

        public bool IsHttpUrl(string path, string text, string example, [NotNullWhen(true)] out Uri? url)
        {
            bool isUrl = Uri.TryCreate(text, UriKind.Absolute, out url)
                && (url.Scheme == Uri.UriSchemeHttp || url.Scheme == Uri.UriSchemeHttps)
                && url.Host.Length > 0
                && url.UserInfo.Length == 0
                && url.Query.Length == 0
                && url.Fragment.Length == 0;
            // A user name in it would end in logs, so it is not repeated here either.
            Require(isUrl, path, url is { UserInfo.Length: > 0 }
                ? "must not hold a user name or password"
                : $"{Quote(text)} must be a URL such as \"{example}\", without ? and #");
            return isUrl;
        }
    }
}
