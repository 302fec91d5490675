using Federation.NodeAgent.Engines;
using Federation.NodeAgent.Engines.Builtin;
using Microsoft.Extensions.Logging.Abstractions;

namespace Federation.NodeAgent.Tests.Engines.Builtin;

/// <summary>Files that come, change and go, and models that enter and leave memory.</summary>
public sealed class ModelShelfTests
{
    [Fact]
    public async Task A_file_that_comes_changes_or_goes_is_noticed()
    {
        await using var demo = DemoEngine.With([]);
        var path = Path.Combine(demo.Directory, "m.gguf");
        Assert.Empty(await ModelsAsync(demo));

        File.Copy(DemoEngine.DataPath("federation-demo.gguf"), path);
        var first = Assert.Single(await ModelsAsync(demo));
        Assert.Equal("m", first.Name);
        Assert.Equal("987", (await demo.AskAsync(DemoEngine.Chat("701+286=", model: "m"))).Text);

        File.Copy(DemoEngine.DataPath("impostor.gguf"), path, overwrite: true);
        File.SetLastWriteTimeUtc(path, new DateTime(2026, 1, 1, 0, 0, 0, DateTimeKind.Utc));
        var second = Assert.Single(await ModelsAsync(demo));
        Assert.NotEqual(first.Digest, second.Digest);
        Assert.False(second.Loaded);

        File.Delete(path);
        Assert.Empty(await ModelsAsync(demo));
        Assert.Equal(404, (await demo.AskAsync(DemoEngine.Chat("1+1=", model: "m"))).Status);
    }

    [Fact]
    public async Task A_model_is_found_though_nobody_has_looked_yet()
    {
        await using var demo = DemoEngine.Start();

        Assert.Equal("42", (await demo.AskAsync(DemoEngine.Chat("17+25="))).Text);
    }

    [Fact]
    public async Task A_file_that_is_no_model_is_left_out_until_it_is_whole()
    {
        await using var demo = DemoEngine.Start();
        var whole = await File.ReadAllBytesAsync(DemoEngine.DataPath("federation-demo.gguf"));
        var path = Path.Combine(demo.Directory, "copied.gguf");
        await File.WriteAllBytesAsync(path, whole[..100_000]);
        Assert.Equal(["federation-demo"], Names(await ModelsAsync(demo)));

        await File.WriteAllBytesAsync(path, whole);

        Assert.Equal(["copied", "federation-demo"], Names(await ModelsAsync(demo)));
    }

    [Fact]
    public async Task A_file_above_the_limit_is_left_out()
    {
        await using var demo = DemoEngine.Start(options => options with { ModelBytesMax = 1_000_000 });

        Assert.Empty(await ModelsAsync(demo));
    }

    [Fact]
    public async Task Of_two_models_of_one_name_the_first_folders_counts()
    {
        await using var first = DemoEngine.With([DemoEngine.Demo]);
        await using var second = DemoEngine.With([DemoEngine.Impostor]);
        File.Move(Path.Combine(second.Directory, "impostor.gguf"), Path.Combine(second.Directory, "federation-demo.gguf"));
        await using var both = Engine(TimeProvider.System, first.Directory, second.Directory, Path.Combine(first.Directory, "not-there"));

        var digest = Assert.Single((await both.GetInventoryAsync(CancellationToken.None))!.Models).Digest;

        Assert.Equal(Assert.Single(await ModelsAsync(first)).Digest, digest);
    }

    [Fact]
    public async Task An_idle_model_leaves_memory_and_comes_back_when_asked()
    {
        await using var files = DemoEngine.Start();
        var time = new ManualTime();
        await using var engine = Engine(time, files.Directory);
        Assert.False(await IsLoadedAsync(engine));
        await AskAsync(engine);
        Assert.True(await IsLoadedAsync(engine));

        time.Advance(TimeSpan.FromMinutes(3));
        await AskAsync(engine);
        time.Advance(TimeSpan.FromMinutes(3));
        Assert.True(await IsLoadedAsync(engine), "it was used three minutes ago");

        time.Advance(TimeSpan.FromMinutes(3));
        Assert.False(await IsLoadedAsync(engine));
        await AskAsync(engine);
        Assert.True(await IsLoadedAsync(engine));
    }

    [Fact]
    public async Task An_idle_model_makes_room_and_one_in_use_does_not()
    {
        await using var demo = DemoEngine.With([DemoEngine.Demo, DemoEngine.Impostor], options => options with { LoadedModelsMax = 1, BufferBytes = 1 });
        Assert.Equal(200, (await demo.AskAsync(DemoEngine.Chat("1+1="))).Status);
        await using (var running = await demo.Engine.SendAsync(DemoEngine.Chat("1+1=", model: DemoEngine.Impostor), CancellationToken.None))
        {
            Assert.Equal([false, true], (await ModelsAsync(demo)).Select(model => model.Loaded));

            var refused = await demo.AskAsync(DemoEngine.Chat("1+1="));
            Assert.Equal((503, "engine_overloaded"), (refused.Status, refused.ErrorCode));
        }

        Assert.Equal(200, (await demo.AskAsync(DemoEngine.Chat("1+1="))).Status);
    }

    [Fact]
    public void Options_out_of_their_range_are_refused()
    {
        var good = new BuiltinOptions { Directories = ["models"] };
        Assert.All(
            [
                good with { Directories = default },
                good with { Slots = 0 },
                good with { QueueMax = -1 },
                good with { Threads = 0 },
                good with { ModelBytesMax = 0 },
                good with { LoadedModelsMax = 0 },
                good with { KeepLoaded = TimeSpan.Zero },
                good with { ContextTokensMax = 1 },
                good with { ChoicesMax = 0 },
                good with { BufferBytes = 0 },
            ],
            bad => Assert.Throws<ArgumentException>(() =>
                new BuiltinEngine(bad, TimeProvider.System, new Random(1), NullLogger<BuiltinEngine>.Instance)));
    }

    private static async Task<EngineModel[]> ModelsAsync(DemoEngine demo) => [.. (await demo.Engine.GetInventoryAsync(CancellationToken.None))!.Models];

    private static IEnumerable<string> Names(EngineModel[] models) => models.Select(model => model.Name);

    private static BuiltinEngine Engine(TimeProvider time, params string[] directories) => new(
        new BuiltinOptions { Directories = [.. directories], Slots = 1, Threads = 1 }, time, new Random(1), NullLogger<BuiltinEngine>.Instance);

    private static async Task<bool> IsLoadedAsync(BuiltinEngine engine) =>
        Assert.Single((await engine.GetInventoryAsync(CancellationToken.None))!.Models).Loaded;

    private static async Task AskAsync(BuiltinEngine engine)
    {
        await using var response = await engine.SendAsync(DemoEngine.Chat("1+1="), CancellationToken.None);
        await response.Body.CopyToAsync(Stream.Null);
    }
}
