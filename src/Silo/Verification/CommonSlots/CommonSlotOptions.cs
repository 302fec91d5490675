using System.ComponentModel.DataAnnotations;
using Microsoft.Extensions.Options;

namespace Federation.Silo.Verification.CommonSlots;

/// <summary>When nodes that may be one machine are challenged at the same time, and what that shows.</summary>
internal sealed class CommonSlotOptions
{
    public const string SectionName = "CommonSlots";

    /// <summary>Whether there are common slots. Without, each node is paid standby by itself, whoever else is beside it. Default true.</summary>
    public bool Enabled { get; set; } = true;

    /// <summary>
    /// Mean time between two common slots of an account, and of a network; the moments are drawn, so that nobody foresees them. Default 4 h [uncalibrated]: the protocol has one or two a day, but only
    /// nodes that are idle sit one, and two that are idle for half of the time meet in a quarter of them.
    /// </summary>
    [Range(typeof(TimeSpan), "00:00:01", "7.00:00:00", ParseLimitsInInvariantCulture = true)]
    public TimeSpan MeanPeriod { get; set; } = TimeSpan.FromHours(4);

    /// <summary>
    /// How late after the slot's beginning a challenge may begin and still belong to it. Default 2 s: of two challenges of 5 s on one card, of which each may take 6.25 s, the second must begin 3.75 s
    /// after the first to be in time.
    /// </summary>
    [Range(typeof(TimeSpan), "00:00:00.01", "00:01:00", ParseLimitsInInvariantCulture = true)]
    public TimeSpan LagMax { get; set; } = TimeSpan.FromSeconds(2);

    /// <summary>How long two nodes count as two machines after a slot that both passed. Default 3 days [uncalibrated].</summary>
    [Range(typeof(TimeSpan), "00:01:00", "90.00:00:00", ParseLimitsInInvariantCulture = true)]
    public TimeSpan EvidenceAge { get; set; } = TimeSpan.FromDays(3);

    /// <summary>Bits of an IPv4 address that name its network. Default 24; 0: IPv4 networks are not looked at, for a hub behind a proxy that gives all nodes its own address.</summary>
    [Range(0, 32)]
    public int Ipv4NetworkBits { get; set; } = 24;

    /// <summary>The same for IPv6. Default 56, what a household is given; 0: not looked at.</summary>
    [Range(0, 128)]
    public int Ipv6NetworkBits { get; set; } = 56;

    /// <summary>Nodes beside a node that are looked at for its standby, by id; of more than that the others count as other machines. Default 256.</summary>
    [Range(1, 10_000)]
    public int MaxNeighbours { get; set; } = 256;
}

[OptionsValidator]
internal sealed partial class CommonSlotOptionsValidator : IValidateOptions<CommonSlotOptions>;
