using Federation.Protocol.V1;
using Federation.Silo.Accounts.Ledger;
using Federation.Silo.Verification.Benchmarks;
using Microsoft.Extensions.Options;

namespace Federation.Silo.Verification;

/// <summary>
/// Places hardware in a class and turns work into reference time and credits. Pay follows the tokens and the class's reference
/// speed, never the wall clock: whoever works slowly on purpose, or mines beside it, earns nothing by it.
/// </summary>
internal sealed class HardwareClasses
{
    private const long MicrosecondsPerHour = 3_600_000_000;
    private const double BytesPerGigabyte = 1e9;

    private readonly HardwareClassOptions _options;
    private readonly Dictionary<string, HardwareClass> _byName;

    public HardwareClasses(IOptions<HardwareClassOptions> options)
    {
        _options = options.Value;
        _byName = _options.Classes.ToDictionary(hardware => hardware.Name, StringComparer.Ordinal);
        if (!_byName.ContainsKey(_options.Fallback)) throw new OptionsValidationException(HardwareClassOptions.SectionName, typeof(HardwareClassOptions), [$"Fallback names no class: '{_options.Fallback}'."]);
    }

    /// <summary>The class of whatever was not measured, or passes no other.</summary>
    public string Fallback => _options.Fallback;

    /// <summary>The class of a node by the hardware it reports, that of its best device: a claim, to be tested.</summary>
    public string ClassOf(Hardware hardware)
    {
        var best = hardware.Devices.Select(ClassOf).OfType<HardwareClass>().MaxBy(candidate => candidate.CreditsPerHour);
        return best?.Name ?? _options.Fallback;
    }

    /// <summary>Reference work of a job, µs: what the class's reference machine would need.</summary>
    /// <param name="className">A class; an unknown one counts as the fallback.</param>
    /// <param name="modelBytes">Size of the weights; 0 when unknown.</param>
    /// <param name="promptTokens">Tokens read.</param>
    /// <param name="completionTokens">Tokens written.</param>
    public long ReferenceMicroseconds(string className, long modelBytes, long promptTokens, long completionTokens)
        => TimesOf(className, modelBytes).WorkMicroseconds(promptTokens, completionTokens);

    /// <summary>How long the class's reference takes for a token, by its configured figures [uncalibrated].</summary>
    /// <param name="className">A class; an unknown one counts as the fallback.</param>
    /// <param name="modelBytes">Size of the weights; 0 when unknown.</param>
    public TokenTimes TimesOf(string className, long modelBytes)
    {
        var hardware = Find(className);
        double bytes = modelBytes > 0 ? modelBytes : _options.UnknownModelBytes;
        // Two operations a weight; a byte a weight lies between 4-bit and 16-bit files.
        var promptToken = _options.PromptOverheadMicroseconds + (2 * bytes / (hardware.Teraflops * 1e12 * _options.ComputeEfficiency) * 1e6);
        // Every weight is read once a token.
        var generatedToken = _options.TokenOverheadMicroseconds + (bytes / (hardware.GigabytesPerSecond * BytesPerGigabyte * _options.BandwidthEfficiency) * 1e6);
        return new TokenTimes(promptToken, generatedToken);
    }

    /// <summary>What reference work earns, rounded down.</summary>
    public Microcredits CreditsFor(string className, long referenceMicroseconds, int multiplier)
        => new((long)((Int128)referenceMicroseconds * Find(className).CreditsPerHour * Microcredits.PerCredit * multiplier / MicrosecondsPerHour));

    /// <summary>Classes that earn no more than this one, the best first; the fallback is the last.</summary>
    public IEnumerable<HardwareClass> NotAbove(string className)
        => [.. _options.Classes.Where(candidate => candidate.Name != Fallback && candidate.CreditsPerHour <= CreditsPerHour(className)).OrderByDescending(candidate => candidate.CreditsPerHour), Find(Fallback)];

    /// <summary>The other classes that earn no less than this one: what it must not outdo by a token, see <see cref="PayRate.Of"/>.</summary>
    public IEnumerable<HardwareClass> NotBelow(string className)
    {
        var own = Find(className);
        return _options.Classes.Where(candidate => candidate != own && candidate.CreditsPerHour >= own.CreditsPerHour);
    }

    /// <summary>What work with a model is paid by, by the configured figures alone [uncalibrated].</summary>
    /// <param name="className">A class; an unknown one counts as the fallback.</param>
    /// <param name="modelBytes">Size of the weights; 0 when unknown.</param>
    public PayRate ConfiguredPay(string className, long modelBytes)
        => PayRate.Of(Find(className), TimesOf(className, modelBytes), NotBelow(className).Select(other => (other, TimesOf(other.Name, modelBytes)))) with { ModelBytes = modelBytes };

    /// <summary>What an hour of reference work earns in a class, credits.</summary>
    public long CreditsPerHour(string className) => Find(className).CreditsPerHour;

    /// <summary>A class by name; an unknown one is the fallback.</summary>
    public HardwareClass Find(string className) => _byName.TryGetValue(className, out var found) ? found : _byName[_options.Fallback];

    private HardwareClass? ClassOf(Device device) => device.HasName
        ? _options.Classes.FirstOrDefault(candidate =>
            candidate.NameContains.Length > 0
            && device.Name.Contains(candidate.NameContains, StringComparison.OrdinalIgnoreCase)
            && device.MemoryTotalBytes >= candidate.MinMemoryGigabytes * BytesPerGigabyte)
        : null;
}
