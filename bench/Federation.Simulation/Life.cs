namespace Federation.Simulation;

/// <summary>What became of one identity, from its enrolment to its end. Work in units of one reference minute, money in microcredits.</summary>
internal sealed class Life(Strategy strategy, int enrolledHour, int startHour)
{
    /// <summary>From this age on a node's audit rate is near its floor, hours.</summary>
    public const int SettledHours = 30 * 24;

    /// <summary>How it behaved.</summary>
    public Strategy Strategy => strategy;

    /// <summary>Hour of its enrolment, of its first cheat, and of what ended it; the simulation's end unless something did.</summary>
    public int EnrolledHour => enrolledHour;

    /// <inheritdoc cref="EnrolledHour"/>
    public int StartHour => startHour;

    /// <inheritdoc cref="EnrolledHour"/>
    public int EndHour { get; set; }

    /// <summary>Hours the node was known while it had begun to do what it does; the simulation's end counts as one.</summary>
    public int HoursSinceStart => Math.Max(0, EndHour - StartHour);

    /// <summary>Hour of the first confirmed mismatch, fraud or re-rating after it began; null: never.</summary>
    public int? DetectedHour { get; set; }

    /// <summary>Hour of the ban; null: never.</summary>
    public int? BannedHour { get; set; }

    /// <summary>Confirmed mismatches, and what else forfeits.</summary>
    public int Forfeitures { get; set; }

    /// <summary>Those at an age of <see cref="SettledHours"/> or more.</summary>
    public int LateForfeitures { get; set; }

    /// <summary>Challenges that were too slow in two of three attempts.</summary>
    public int ReRatings { get; set; }

    /// <summary>Units credited, faked ones too.</summary>
    public double Credited { get; set; }

    /// <summary>Faked units that were credited, and those that matured.</summary>
    public double CheatedCredited { get; set; }

    /// <inheritdoc cref="CheatedCredited"/>
    public double CheatedCashed { get; set; }

    /// <summary>Honest units forfeited or re-rated away.</summary>
    public double HonestLost { get; set; }

    /// <summary>The part of <see cref="HonestLost"/> that was re-rated away.</summary>
    public double ReRated { get; set; }

    /// <summary>Share of its time online that it has work.</summary>
    public required double Utilisation { get; init; }

    /// <summary>Units of unpaid canaries in quarantine.</summary>
    public double Unpaid { get; set; }

    /// <summary>Money: everything credited, what the cheats among it cashed, and what cheating cost: honest earnings forfeited, standby lost, prices paid.</summary>
    public long CreditedMicrocredits { get; set; }

    /// <inheritdoc cref="CreditedMicrocredits"/>
    public double GainMicrocredits { get; set; }

    /// <inheritdoc cref="CreditedMicrocredits"/>
    public double LossMicrocredits { get; set; }

    /// <summary>Alarms of the sum over many audits.</summary>
    public int CusumAlarms { get; set; }

    /// <summary>What it has at the end, in both purses.</summary>
    public long IncomeMicrocredits { get; set; }

    /// <summary>Standby earned and lost, hours.</summary>
    public double StandbyPaidHours { get; set; }

    /// <inheritdoc cref="StandbyPaidHours"/>
    public double StandbyLostHours { get; set; }

    /// <summary>Work and verification by age: the first week, after thirty days, all.</summary>
    public Effort FirstWeek { get; } = new();

    /// <inheritdoc cref="FirstWeek"/>
    public Effort Mature { get; } = new();

    /// <inheritdoc cref="FirstWeek"/>
    public Effort Whole { get; } = new();
}

/// <summary>Seconds of a node's compute: what it was paid for, and what checking it took of it and of its verifiers.</summary>
internal sealed class Effort
{
    /// <summary>Paid work.</summary>
    public double Work { get; private set; }

    /// <summary>Verification.</summary>
    public double Checks { get; private set; }

    /// <summary>Checks per work.</summary>
    public double Overhead => Work > 0 ? Checks / Work : 0;

    /// <summary>Counts both.</summary>
    public void Add(double work, double checks)
    {
        Work += work;
        Checks += checks;
    }
}
