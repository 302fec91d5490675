using Federation.Silo.Verification;
using Federation.Silo.Verification.Challenges;
using FsCheck;
using FsCheck.Fluent;

namespace Federation.Silo.Tests.Verification.Challenges;

public sealed class HardwareRateTests
{
    private static readonly HardwareClassOptions Classes = new();
    private static readonly ChallengeOptions Options = new();
    private static readonly HardwareRate Rate = new(Classes, Options);

    public static TheoryData<string> ClassNames => [.. Classes.Classes.Select(hardware => hardware.Name)];

    [Theory]
    [InlineData(165, 1_008, 24, 40)]
    [InlineData(312, 2_039, 80, 150)]
    [InlineData(25, 360, 12, 10)]
    public void The_formula_meets_its_anchors(double teraflops, double gigabytesPerSecond, double memory, double credits)
        => Assert.Equal(credits, HardwareRate.CreditsPerHour(teraflops, gigabytesPerSecond, memory), credits * 0.01);

    [Theory]
    [MemberData(nameof(ClassNames))]
    public void The_reference_of_a_class_is_placed_by_what_it_does(string name)
    {
        // By what it does an M2 Ultra is an M3 Max, which the price list pays better.
        var expected = name == "m2-ultra" ? "m3-max" : name;
        Assert.Equal(expected, Rate.Place(ReferenceOf(ClassOf(name))).Class.Name);
        Assert.Equal(expected, Rate.Place(Scaled(ReferenceOf(ClassOf(name)), 0.801)).Class.Name);
    }

    [Theory]
    [InlineData("rtx-3060-12gb")]
    [InlineData("rtx-4080-16gb")]
    [InlineData("cpu")]
    public void None_of_them_passes_as_a_4090(string name) => Assert.NotEqual("rtx-4090-24gb", Rate.Place(Scaled(ReferenceOf(ClassOf(name)), 1.1)).Class.Name);

    [Fact]
    public void The_weakest_axis_decides()
    {
        var full = ReferenceOf(ClassOf("rtx-4090-24gb"));
        Assert.Equal("rtx-4090-24gb", Rate.Place(full).Class.Name);
        var slow = Rate.Place(full with { MatrixTeraops = 14 });
        Assert.Equal("rtx-3060-12gb", slow.Class.Name);
        Assert.Contains("Tops", slow.Sentence, StringComparison.Ordinal);
        Assert.Equal("cpu", Rate.Place(full with { GigabytesPerSecond = 100 }).Class.Name);
        Assert.Equal("rtx-4080-16gb", Rate.Place(full with { ResidentGigabytes = 15 }).Class.Name);
        Assert.Equal("cpu", Rate.Place(full with { ResidentGigabytes = 1 }).Class.Name);
    }

    [Fact]
    public void Whatever_passes_nothing_is_the_fallback() => Assert.Equal("cpu", Rate.Place(new MeasuredHardware(0, 0, 0)).Class.Name);

    [Fact]
    public void Hardware_of_no_name_is_placed_by_what_it_does()
        => Assert.Equal("rtx-4080-16gb", Rate.Place(new MeasuredHardware(60, 960, 22.5)).Class.Name); // fast memory and much of it, arithmetic between two classes

    [Fact]
    public void Better_hardware_is_never_paid_less() => Check.One(
        Config.QuickThrowOnFailure.WithMaxTest(500),
        Prop.ForAll(
            Arb.From(
                from g in Gen.Choose(0, 200)
                from w in Gen.Choose(0, 2_500)
                from r in Gen.Choose(0, 200)
                from axis in Gen.Choose(0, 2)
                from more in Gen.Choose(1, 300)
                select (Less: new MeasuredHardware(g, w, r), More: axis == 0 ? new MeasuredHardware(g + more, w, r) : axis == 1 ? new MeasuredHardware(g, w + more, r) : new MeasuredHardware(g, w, r + more))),
            pair => Assert.True(Rate.Place(pair.More).Class.CreditsPerHour >= Rate.Place(pair.Less).Class.CreditsPerHour)));

    // --------------------------------------------------------------------------------------------------------------- plans

    [Theory]
    [InlineData("rtx-4090-24gb", 8_192, 373)]
    [InlineData("rtx-3060-12gb", 4_096, 473)]
    [InlineData("cpu", 1_024, 699)]
    public void A_matrix_challenge_takes_its_reference_five_seconds(string name, long size, int rounds)
    {
        var plan = ChallengePlan.Matrix(ClassOf(name), Options, Options.PeriodicCells);
        Assert.Equal((size, rounds), (plan.Parameters.Size, plan.Parameters.Rounds));
        Assert.Equal(5, plan.Reference.TotalSeconds, 0.05);
        Assert.Equal(35, plan.Deadline.TotalSeconds, 0.5);
    }

    [Theory]
    [MemberData(nameof(ClassNames))]
    public void A_memory_challenge_takes_what_is_there(string name)
    {
        var hardware = ClassOf(name);
        var bytes = (long)(hardware.MemoryGigabytes * 1e9) - Options.MemoryReserveBytes;
        var plan = ChallengePlan.Memory(hardware, Options, bytes);
        Assert.InRange(plan.Parameters.Size, bytes - 65_535, bytes);
        Assert.InRange(plan.Parameters.Rounds, 40, 2_000);
        Assert.InRange(plan.Reference.TotalSeconds, 2, 60);
    }

    [Fact]
    public void A_buffer_below_one_segment_is_no_challenge()
        => Assert.Throws<FormatException>(() => ChallengePlan.Memory(ClassOf("cpu"), Options, 65_535));

    [Fact]
    public void Two_verdicts_are_a_vector()
    {
        var hardware = ClassOf("rtx-4080-16gb");
        var (matrix, memory) = (ChallengePlan.Matrix(hardware, Options, 16), ChallengePlan.Memory(hardware, Options, 14_500_000_000));
        var measured = MeasuredHardware.From(VerdictOf(matrix, 1.1), VerdictOf(memory, 0.9));
        Assert.Equal((48 * 1.1, 717 * 0.9), (measured.MatrixTeraops, measured.GigabytesPerSecond));
        Assert.Equal(14.5, measured.ResidentGigabytes, 0.001);
        Assert.Throws<ArgumentException>(() => MeasuredHardware.From(VerdictOf(memory, 1), VerdictOf(matrix, 1)));
    }

    private static HardwareClass ClassOf(string name) => Classes.Classes.Single(hardware => hardware.Name == name);

    private static MeasuredHardware ReferenceOf(HardwareClass hardware)
        => new(hardware.MatrixTeraops, hardware.GigabytesPerSecond, hardware.MemoryGigabytes - (Options.MemoryReserveBytes / 1e9));

    private static MeasuredHardware Scaled(MeasuredHardware measured, double factor)
        => measured with { MatrixTeraops = measured.MatrixTeraops * factor, GigabytesPerSecond = measured.GigabytesPerSecond * factor };

    private static ChallengeVerdict VerdictOf(ChallengePlan plan, double speedRatio) => new(
        new Protocol.Challenges.ChallengeResult
        {
            Id = default,
            Outcome = Protocol.Challenges.ChallengeOutcome.Passed,
            ElapsedMicroseconds = 1,
            RoundTripMicroseconds = 0,
            PerSecond = 1,
            HardwareClass = plan.Class.Name,
            Sentence = "",
            TranscriptHash = [],
        },
        default, plan, speedRatio, FasterThanClass: false, []);
}
