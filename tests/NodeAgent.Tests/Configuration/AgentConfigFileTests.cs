using System.Text;
using Federation.NodeAgent.Configuration;

namespace Federation.NodeAgent.Tests.Configuration;

public sealed class AgentConfigFileTests : IDisposable
{
    private readonly TemporaryDirectory _directory = new();

    private string ConfigFile => _directory.File("config.json");

    public void Dispose() => _directory.Dispose();

    [Fact]
    public void A_missing_file_and_an_empty_object_give_the_defaults()
    {
        Assert.Equivalent(new AgentConfig(), AgentConfigFile.Load(ConfigFile), strict: true);
        Assert.Equivalent(new AgentConfig(), Parse("{}"), strict: true);
        Assert.True(Parse("{}").Engines.Builtin.Enabled);
        Assert.Null(Parse("""{ "engines": { "builtin": { "enabled": false } } }""").Engines.Builtin.Slots);
    }

    [Fact]
    public void A_full_file_with_comments_is_read()
    {
        AgentConfig config = Parse(
            """
            {
              // my hub
              "hub_url": "https://hub.example.org",
              "node_id": "nd_0123456789abcdef0123456789abcdef",
              "hub_id": "hb_0123456789abcdef0123456789abcdef",
              "account_id": "ac_1",
              "display_name": "Adas Höhle",
              "policy": {
                "schedule": "18:00-02:00", /* evenings */
                "hours_per_day": 6.5,
                "allowed_models": ["llama3.1:8b", "federation-demo"],
                "max_temperature_celsius": 83,
                "vram_limit_gib": 10,
              },
              "engines": {
                "ollama": { "enabled": false, "url": "http://127.0.0.1:11434", "slots": 4 },
                "openai": [{ "name": "vllm", "url": "http://10.0.0.7:8000/v1", "api_key": "sk-1", "slots": 64 }],
                "builtin": { "models_directory": "/srv/models", "slots": 2 },
              },
            }
            """);

        Assert.True(config.IsEnrolled);
        Assert.Equal("Adas Höhle", config.DisplayName);
        Assert.Equal(new DailySchedule(new TimeOnly(18, 0), new TimeOnly(2, 0)), config.Policy.DailySchedule);
        Assert.Equal(6.5, config.Policy.HoursPerDay);
        Assert.Equal(["llama3.1:8b", "federation-demo"], config.Policy.AllowedModels);
        Assert.Equal(83, config.Policy.MaxTemperatureCelsius);
        Assert.Equal(10, config.Policy.VramLimitGib);
        Assert.Equal(new OllamaEngineConfig { Enabled = false, Url = "http://127.0.0.1:11434", Slots = 4 }, config.Engines.Ollama);
        Assert.Equal([new OpenAiEngineConfig { Name = "vllm", Url = "http://10.0.0.7:8000/v1", ApiKey = "sk-1", Slots = 64 }], config.Engines.OpenAi);
        Assert.Equal(new BuiltinEngineConfig { ModelsDirectory = "/srv/models", Slots = 2 }, config.Engines.Builtin);
    }

    [Fact]
    public void What_is_saved_is_loaded_again()
    {
        var config = new AgentConfig
        {
            HubUrl = "http://127.0.0.1:7070",
            NodeId = "nd_0123456789abcdef0123456789abcdef",
            DisplayName = "Ada's <box> + Höhle",
            Policy = new PolicyConfig { Paused = true, AllowedModels = ["a", "b"] },
            Engines = new EnginesConfig { OpenAi = [new OpenAiEngineConfig { Name = "mlx", Url = "http://localhost:8080/v1" }] },
        };

        AgentConfigFile.Save(ConfigFile, config);
        AgentConfigFile.Save(ConfigFile, config);

        Assert.Equivalent(config, AgentConfigFile.Load(ConfigFile), strict: true);
        Assert.Equal([ConfigFile], Directory.GetFileSystemEntries(_directory.Path));
        if (!OperatingSystem.IsWindows())
        {
            Assert.Equal(UnixFileMode.UserRead | UnixFileMode.UserWrite, File.GetUnixFileMode(ConfigFile));
        }
    }

    [Fact]
    public void Wrong_settings_are_not_saved()
    {
        AgentConfigFile.Save(ConfigFile, new AgentConfig { DisplayName = "before" });
        Assert.Throws<AgentConfigException>(() => AgentConfigFile.Save(ConfigFile, new AgentConfig { DisplayName = "" }));
        Assert.Equal("before", AgentConfigFile.Load(ConfigFile).DisplayName);
    }

    [Fact]
    public void Saving_changes_only_what_changed()
    {
        File.WriteAllText(ConfigFile,
            """
            // The big machine in the cellar
            {
              "hub_url": "https://old.example.org", // my sister's
              /* not too loud */
              "policy": {
                "schedule": "18:00-02:00", // evenings
                "hours_per_day": 6
                // no more
              },
              "engines": { "builtin": { "slots": 2 } }
            }

            """);
        AgentConfig config = AgentConfigFile.Load(ConfigFile);
        config.HubUrl = "https://hub.example.org";
        config.NodeId = "nd_0123456789abcdef0123456789abcdef";
        config.Policy.Paused = true;
        config.Policy.Schedule = null;
        config.Engines.Builtin.Enabled = false;
        config.Engines.Ollama.Url = "http://127.0.0.1:11434";

        AgentConfigFile.Save(ConfigFile, config);

        Assert.Equal(
            """
            // The big machine in the cellar
            {
              "hub_url": "https://hub.example.org", // my sister's
              /* not too loud */
              "policy": {
                "schedule": null, // evenings
                "hours_per_day": 6,
                // no more
                "paused": true
              },
              "engines": { "builtin": { "slots": 2, "enabled": false }, "ollama": { "url": "http://127.0.0.1:11434" } },
              "node_id": "nd_0123456789abcdef0123456789abcdef"
            }

            """,
            File.ReadAllText(ConfigFile));
        Assert.Equivalent(config, AgentConfigFile.Load(ConfigFile), strict: true);
    }

    [Fact]
    public void Saving_onto_any_text_gives_the_saved_settings()
    {
        string[] texts =
        [
            "{}", "{ }", "{\n}", "{ // empty\n}", "{ /* , */ }", "\uFEFF{ \"display_name\": \"a\", }", "{\"policy\":{}}", "{\"policy\":{ }, }",
            "{\r\n  \"policy\": {\r\n    \"paused\": false, // , no\r\n  },\r\n}\r\n", "{ \"node_id\": null, \"engines\": { \"openai\": [ ] } }",
            "{ \"display_name\": \"a\" /* , */ }", "{\n  \"display_name\": \"a\" // ,\n}", "{ \"display_name\": \"{ \\\"policy\\\": {} }\" }",
        ];
        const int Seed = 20260803;
        var random = new Random(Seed);
        for (int i = 0; i < 200; i++)
        {
            string text = texts[random.Next(texts.Length)];
            File.WriteAllText(ConfigFile, text);
            for (int save = 0; save < 3; save++)
            {
                AgentConfig config = AgentConfigFile.Load(ConfigFile);
                config.DisplayName = Pick(null, "ada", "Höhle {\"}//");
                config.Policy.Paused = Pick(true, false);
                config.Policy.HoursPerDay = Pick<double?>(null, 1.5, 24);
                config.Policy.AllowedModels = Pick<string[]>([], ["a"], ["a", "b"]);
                config.Engines.Ollama.Slots = Pick<int?>(null, 4);
                config.Engines.OpenAi = Pick<OpenAiEngineConfig[]>([], [new OpenAiEngineConfig { Name = "x", Url = "http://localhost/v1" }]);

                AgentConfigFile.Save(ConfigFile, config);

                try
                {
                    Assert.Equivalent(config, AgentConfigFile.Load(ConfigFile), strict: true);
                }
                catch (Exception exception)
                {
                    Assert.Fail($"seed {Seed}, round {i}, text {text}, saved {File.ReadAllText(ConfigFile)}: {exception.Message}");
                }
            }
        }

        T Pick<T>(params T[] values) => values[random.Next(values.Length)];
    }

    [Fact]
    public void A_broken_file_is_not_overwritten()
    {
        File.WriteAllText(ConfigFile, "{ \"display_name\": ");
        Assert.Throws<AgentConfigException>(() => AgentConfigFile.Save(ConfigFile, new AgentConfig()));
        Assert.Equal("{ \"display_name\": ", File.ReadAllText(ConfigFile));
    }

    [Fact]
    public void A_link_to_the_file_survives_saving()
    {
        if (OperatingSystem.IsWindows())
        {
            return; // making links needs a privilege there
        }

        string elsewhere = _directory.File("dotfiles.json");
        File.WriteAllText(elsewhere, "{}");
        File.CreateSymbolicLink(ConfigFile, elsewhere);

        AgentConfigFile.Save(ConfigFile, new AgentConfig { DisplayName = "ada" });

        Assert.NotNull(new FileInfo(ConfigFile).LinkTarget);
        Assert.Equal("ada", AgentConfigFile.Load(elsewhere).DisplayName);
    }

    [Fact]
    public void All_problems_are_told_at_once()
    {
        Assert.Equal(
            [
                "hub_url", "policy.schedule", "policy.hours_per_day", "policy.max_temperature_celsius", "policy.allowed_models[1]",
                "engines.builtin.slots", "engines.openai[0].url", "engines.openai[1].name",
            ],
            ProblemPaths(
                """
                {
                  "hub_url": "hub.example.org",
                  "policy": { "schedule": "evenings", "hours_per_day": 25, "max_temperature_celsius": 200, "allowed_models": ["a", " "] },
                  "engines": {
                    "openai": [{ "name": "x", "url": "ftp://x" }, { "name": "x", "url": "http://localhost:1/v1" }],
                    "builtin": { "slots": 0 }
                  }
                }
                """));
    }

    [Fact]
    public void Unknown_settings_and_wrong_kinds_are_told_at_once_with_the_likely_name()
    {
        var exception = Assert.Throws<AgentConfigException>(() => Parse(
            """
            { "hub_ulr": "x", "polcy": {}, "policy": { "paused": "yes", "hours_per_day": "6", "allowed_models": "a" },
              "engines": { "openai": [7], "ollama": { "slots": 1.5 }, "builtin": null } }
            """));

        Assert.Equal(
            [
                "hub_ulr: there is no such setting; did you mean hub_url?",
                "polcy: there is no such setting; did you mean policy?",
                "policy.paused: must be true or false, not a text",
                "policy.hours_per_day: must be a number, not a text",
                "policy.allowed_models: must be a list: [ … ], not a text",
                "engines.openai[0]: must be a group of settings: { … }, not 7",
                "engines.ollama.slots: must be a whole number, not 1.5",
                "engines.builtin: must not be null; leave the line out to have the default",
            ],
            exception.Problems.Select(problem => problem.ToString()));
        Assert.All(exception.Problems, problem => Assert.Contains(problem.ToString(), exception.Message, StringComparison.Ordinal));
    }

    [Theory]
    [InlineData("{ \"hub_url\": ", "line 1")]
    [InlineData("{\n  \"policy\": {}\n  \"engines\": {}\n}", "line 3")]
    [InlineData("{ \"hub_url\": null, \"hub_url\": null }", "hub_url")]
    [InlineData("", "line 1")]
    [InlineData("[]", "must be a group of settings")]
    [InlineData("{ \"display_name\": \"\\ud800\" }", "surrogate")]
    [InlineData("{ \"\\ud800\": 1 }", "surrogate")]
    public void Broken_JSON_is_told_with_its_place(string json, string expected)
    {
        ConfigProblem problem = Assert.Single(Assert.Throws<AgentConfigException>(() => Parse(json)).Problems);
        Assert.Contains(expected, problem.Message, StringComparison.Ordinal);
        Assert.DoesNotContain("line ,", problem.Message, StringComparison.Ordinal); // a name that is there twice has no place
    }

    [Fact]
    public void A_file_from_a_Windows_editor_is_read() =>
        Assert.Equal("ada", AgentConfigFile.Parse(Encoding.UTF8.GetPreamble().Concat("{ \"display_name\": \"ada\" }"u8.ToArray()).ToArray(), "config.json").DisplayName);

    [Fact]
    public void A_huge_file_is_refused()
    {
        File.WriteAllText(ConfigFile, $"{{ \"display_name\": \"{new string('x', 2 << 20)}\" }}");
        Assert.Contains("larger than 1 MiB", Assert.Throws<AgentConfigException>(() => AgentConfigFile.Load(ConfigFile)).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Deep_nesting_is_a_problem_and_no_crash() =>
        Assert.Throws<AgentConfigException>(() => Parse(new string('[', 100_000)));

    [Theory]
    [InlineData("""{ "hub_url": "http://hub.example.org" }""", "hub_url")]
    [InlineData("""{ "hub_url": "http://hub.example.org", "allow_insecure_hub": true }""", null)]
    [InlineData("""{ "hub_url": "http://127.0.0.1:7070" }""", null)]
    [InlineData("""{ "hub_url": "http://localhost:7070" }""", null)]
    [InlineData("""{ "hub_url": "https://hub.example.org/?token=1" }""", "hub_url")]
    [InlineData("""{ "node_id": "nd_0123456789abcdef0123456789abcdef" }""", "hub_url")]
    [InlineData("""{ "hub_url": "https://h", "node_id": "nd_XYZ" }""", "node_id")]
    [InlineData("""{ "display_name": "a\nb" }""", "display_name")]
    [InlineData("""{ "policy": { "hours_per_day": 0 } }""", "policy.hours_per_day")]
    [InlineData("""{ "policy": { "hours_per_day": 24 } }""", null)]
    [InlineData("""{ "policy": { "vram_limit_gib": -1 } }""", "policy.vram_limit_gib")]
    [InlineData("""{ "engines": { "openai": [{ "name": "ollama", "url": "http://localhost/v1" }] } }""", "engines.openai[0].name")]
    [InlineData("""{ "engines": { "openai": [{ "name": "a", "url": "http://localhost/v1", "api_key": "a b" }] } }""", "engines.openai[0].api_key")]
    [InlineData("""{ "engines": { "openai": [{ "name": "a", "url": "http://localhost/v1", "slots": 5000 }] } }""", "engines.openai[0].slots")]
    public void Values_are_checked(string json, string? problemAt) =>
        Assert.Equal(problemAt is null ? [] : [problemAt], ProblemPaths(json));

    [Fact]
    public void Secrets_do_not_show_in_messages()
    {
        Assert.DoesNotContain("hunter2", Assert.Throws<AgentConfigException>(() => Parse("""{ "hub_url": "https://ada:hunter2@hub" }""")).Message, StringComparison.Ordinal);
        Assert.DoesNotContain("sk-1", new OpenAiEngineConfig { Name = "a", Url = "b", ApiKey = "sk-1" }.ToString(), StringComparison.Ordinal);
    }

    private static AgentConfig Parse(string json) => AgentConfigFile.Parse(Encoding.UTF8.GetBytes(json), "config.json");

    private static List<string> ProblemPaths(string json)
    {
        try
        {
            Parse(json);
            return [];
        }
        catch (AgentConfigException exception)
        {
            return [.. exception.Problems.Select(problem => problem.Path)];
        }
    }
}
