using Federation.Protocol.V1;
using Federation.Silo.Verification;
using FsCheck;
using FsCheck.Fluent;
using Microsoft.Extensions.Options;

namespace Federation.Silo.Tests.Verification;

public sealed class HardwareClassesTests
{
    private const long Gibibyte = 1L << 30;
    private const long HourMicroseconds = 3_600_000_000;

    // FsCheck prints the seed of a failure; give it to WithReplay to see the same jobs again.
    private static readonly Config Thorough = Config.QuickThrowOnFailure.WithMaxTest(500);

    private static readonly HardwareClasses Classes = new(Options.Create(new HardwareClassOptions()));

    private static readonly Gen<string> ClassNames = Gen.Elements(new HardwareClassOptions().Classes.Select(hardware => hardware.Name).ToArray());
    private static readonly Gen<long> ModelSizes = Gen.Elements(0L, 1_000_000, Gibibyte, 5 * Gibibyte, 40 * Gibibyte, 400 * Gibibyte);

    // ---------------------------------------------------------------------------------------------------- the classes

    [Theory]
    [InlineData("rtx-3060-12gb", 10)]
    [InlineData("rtx-3080-10gb", 15)]
    [InlineData("rtx-4080-16gb", 25)]
    [InlineData("rtx-4090-24gb", 40)]
    [InlineData("a100-40gb", 100)]
    [InlineData("a100-80gb", 150)]
    [InlineData("m2-ultra", 30)]
    [InlineData("m3-max", 35)]
    public void An_hour_of_reference_work_earns_what_the_price_list_says(string name, long credits)
    {
        Assert.Equal(credits * 1_000_000, Classes.CreditsFor(name, HourMicroseconds, multiplier: 1).Value);
        Assert.Equal(credits * 2_000_000, Classes.CreditsFor(name, HourMicroseconds, multiplier: 2).Value);
    }

    [Theory]
    [InlineData("NVIDIA GeForce RTX 3060", 12_884_901_888, "rtx-3060-12gb")]
    [InlineData("NVIDIA GeForce RTX 3060", 8_589_934_592, "cpu")] // the smaller card of that name
    [InlineData("NVIDIA GeForce RTX 3080", 10_737_418_240, "rtx-3080-10gb")]
    [InlineData("NVIDIA GeForce RTX 4080 SUPER", 17_171_480_576, "rtx-4080-16gb")]
    [InlineData("nvidia geforce rtx 4090", 25_757_220_864, "rtx-4090-24gb")]
    [InlineData("NVIDIA GeForce RTX 4090 Laptop GPU", 17_171_480_576, "cpu")]
    [InlineData("NVIDIA A100-SXM4-40GB", 42_949_672_960, "a100-40gb")]
    [InlineData("NVIDIA A100-PCIE-40GB", 42_506_125_312, "a100-40gb")]
    [InlineData("NVIDIA A100-SXM4-80GB", 85_899_345_920, "a100-80gb")]
    [InlineData("NVIDIA A100-SXM4-80GB MIG 1g.10gb", 10_737_418_240, "cpu")]
    [InlineData("NVIDIA RTX A1000", 8_589_934_592, "cpu")]
    [InlineData("Apple M2 Ultra", 68_719_476_736, "m2-ultra")]
    [InlineData("Apple M3 Max", 38_654_705_664, "m3-max")]
    [InlineData("AMD Radeon RX 7900 XTX", 25_753_026_560, "cpu")]
    [InlineData("", 80_000_000_000, "cpu")]
    public void A_device_is_placed_by_its_name_and_memory(string name, ulong memory, string expected)
        => Assert.Equal(expected, Classes.ClassOf(HardwareOf(new Device { Name = name, MemoryTotalBytes = memory })));

    [Fact]
    public void What_is_not_said_is_not_assumed()
    {
        Assert.Equal("cpu", Classes.ClassOf(new Hardware()));
        Assert.Equal("cpu", Classes.ClassOf(HardwareOf(new Device { MemoryTotalBytes = ulong.MaxValue })));
        Assert.Equal("cpu", Classes.ClassOf(HardwareOf(new Device { Name = "NVIDIA A100-SXM4-80GB" })));
    }

    [Fact]
    public void A_node_is_placed_by_its_best_device() => Assert.Equal("a100-40gb", Classes.ClassOf(HardwareOf(
        new Device { Name = "NVIDIA GeForce RTX 3060", MemoryTotalBytes = 12_884_901_888 },
        new Device { Name = "NVIDIA A100-SXM4-40GB", MemoryTotalBytes = 42_949_672_960 },
        new Device { Name = "something else", MemoryTotalBytes = 1_000_000_000_000 })));

    [Fact]
    public void A_class_nobody_knows_is_paid_as_the_fallback()
    {
        Assert.Equal(Classes.CreditsFor("cpu", HourMicroseconds, 1), Classes.CreditsFor("quantum", HourMicroseconds, 1));
        Assert.Equal(Classes.ReferenceMicroseconds("cpu", Gibibyte, 10, 10), Classes.ReferenceMicroseconds("", Gibibyte, 10, 10));
    }

    [Fact]
    public void A_fallback_that_names_no_class_stops_the_hub()
    {
        var failure = Assert.Throws<OptionsValidationException>(() => new HardwareClasses(Options.Create(new HardwareClassOptions { Fallback = "abacus" })));
        Assert.Contains("abacus", failure.Message, StringComparison.Ordinal);
    }

    // ----------------------------------------------------------------------------------------- what work is worth (P8)

    [Fact]
    public void Splitting_or_merging_jobs_changes_their_reference_work_by_less_than_a_microsecond_each() => Check.One(Thorough, Prop.ForAll(
        Arb.From(
            from name in ClassNames
            from size in ModelSizes
            from parts in (from prompt in Gen.Choose(0, 5_000) from completion in Gen.Choose(0, 5_000) select (prompt, completion)).NonEmptyListOf()
            select (name, size, parts: parts.ToArray())),
        job =>
        {
            var apart = job.parts.Sum(part => Classes.ReferenceMicroseconds(job.name, job.size, part.prompt, part.completion));
            var together = Classes.ReferenceMicroseconds(job.name, job.size, job.parts.Sum(part => (long)part.prompt), job.parts.Sum(part => (long)part.completion));
            Assert.InRange(apart, together - job.parts.Length, together + 1);
        }));

    [Fact]
    public void Splitting_or_merging_jobs_of_a_usual_size_changes_their_credits_by_less_than_a_thousandth() => Check.One(Thorough, Prop.ForAll(
        Arb.From(
            from name in ClassNames
            from size in ModelSizes.Where(size => size == 0 || size >= Gibibyte)
            from parts in (from prompt in Gen.Choose(0, 5_000) from completion in Gen.Choose(50, 5_000) select (prompt, completion)).NonEmptyListOf()
            select (name, size, parts: parts.ToArray())),
        job =>
        {
            double apart = job.parts.Sum(part => CreditsOf(job.name, job.size, part.prompt, part.completion));
            double together = CreditsOf(job.name, job.size, job.parts.Sum(part => (long)part.prompt), job.parts.Sum(part => (long)part.completion));
            Assert.True(Math.Abs(apart - together) / together < 0.001, $"{apart} µcr apart, {together} µcr together.");
        }));

    [Fact]
    public void Splitting_never_pays() => Check.One(Thorough, Prop.ForAll(
        Arb.From(
            from name in ClassNames
            from size in ModelSizes
            from tokens in Gen.Choose(1, 1_000)
            select (name, size, tokens)),
        job => Assert.True(
            job.tokens * CreditsOf(job.name, job.size, 0, 1) <= CreditsOf(job.name, job.size, 0, job.tokens),
            "Token by token it is worth more than at once.")));

    [Fact]
    public void More_work_is_never_worth_less() => Check.One(Thorough, Prop.ForAll(
        Arb.From(
            from name in ClassNames
            from size in ModelSizes
            from work in Gen.Choose(0, 1_000_000).ArrayOf(4)
            select (name, size, work)),
        job =>
        {
            var less = Classes.ReferenceMicroseconds(job.name, job.size, job.work[0], job.work[1]);
            var more = Classes.ReferenceMicroseconds(job.name, job.size, job.work[0] + (long)job.work[2], job.work[1] + (long)job.work[3]);
            Assert.True(0 <= less && less <= more);
            Assert.True(Classes.CreditsFor(job.name, less, 1) <= Classes.CreditsFor(job.name, more, 1));
        }));

    [Fact]
    public void On_a_faster_class_the_same_tokens_are_less_work()
    {
        var slow = Classes.ReferenceMicroseconds("cpu", 5 * Gibibyte, 1_000, 1_000);
        var fast = Classes.ReferenceMicroseconds("a100-80gb", 5 * Gibibyte, 1_000, 1_000);
        Assert.True(fast < slow / 10, $"{fast} µs on an A100, {slow} µs on a CPU.");
    }

    [Fact]
    public void A_model_of_unknown_size_counts_as_a_small_one()
        => Assert.Equal(Classes.ReferenceMicroseconds("cpu", Gibibyte, 100, 100), Classes.ReferenceMicroseconds("cpu", 0, 100, 100));

    [Fact]
    public void No_work_is_worth_nothing()
    {
        Assert.Equal(0, Classes.ReferenceMicroseconds("cpu", Gibibyte, 0, 0));
        Assert.True(Classes.CreditsFor("a100-80gb", 0, 100).IsZero);
        Assert.True(Classes.CreditsFor("cpu", 1, 1).IsZero);
    }

    [Fact]
    public void The_largest_job_a_node_can_report_fits_whatever_its_class_and_multiplier()
    {
        // The link refuses larger models, and counts of tokens are 31 bits there.
        var largest = new Federation.Silo.Nodes.NodeLinkOptions().MaxModelBytes;
        foreach (var hardware in new HardwareClassOptions().Classes)
        {
            var work = Classes.ReferenceMicroseconds(hardware.Name, largest, int.MaxValue, int.MaxValue);
            Assert.True(work > 0);
            Assert.True(Classes.CreditsFor(hardware.Name, work, multiplier: 100).IsPositive);
        }
    }

    [Fact]
    public void What_does_not_fit_is_an_error_and_never_a_wrong_number()
    {
        Assert.Throws<OverflowException>(() => Classes.ReferenceMicroseconds("cpu", long.MaxValue, long.MaxValue, long.MaxValue));
        Assert.Throws<OverflowException>(() => Classes.CreditsFor("a100-80gb", long.MaxValue, 100));
    }

    private static long CreditsOf(string name, long size, long prompt, long completion)
        => Classes.CreditsFor(name, Classes.ReferenceMicroseconds(name, size, prompt, completion), 1).Value;

    private static Hardware HardwareOf(params Device[] devices)
    {
        var hardware = new Hardware();
        hardware.Devices.AddRange(devices);
        return hardware;
    }
}
