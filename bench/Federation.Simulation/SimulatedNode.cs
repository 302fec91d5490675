using Federation.Contracts.Nodes;
using Federation.Silo.Accounts.Ledger;
using Federation.Silo.Verification;
using Federation.Silo.Verification.Accrual;
using Federation.Silo.Verification.Inference;
using Federation.Silo.Verification.Sampling;
using Federation.Silo.Verification.Standings;

namespace Federation.Simulation;

/// <summary>
/// One node: how it behaves, and what the hub holds of it. The hub's part is the hub's code: <see cref="Reputation"/>, <see cref="StandingRules"/>,
/// <see cref="PendingEarning"/>, <see cref="AccrualRules"/>, <see cref="Standby"/>, <see cref="Cusum"/>, <see cref="AlarmReview"/>, <see cref="Escalation"/> and the ledger.
/// </summary>
internal sealed class SimulatedNode
{
    private const double MinutesPerHour = 60;
    private const double MicrosecondsPerUnit = 60e6;

    /// <summary>Verification tasks per unit of work, each of which pays what scoring costs.</summary>
    private const double VerificationsPerUnit = 0.02;

    /// <summary>Share of verification tasks whose answer is known to be bad (§1, T11).</summary>
    private const double KnownBadShare = 0.10;

    /// <summary>Share of its verifications in which a ring accuses an honest node: seldom, so as not to be noticed.</summary>
    private const double RingAccusations = 0.01;

    private readonly World _world;
    private readonly Scenario _scenario;
    private readonly Strategy _strategy;
    private readonly Draws _draws;
    private readonly HardwareClass _enrolmentCard;
    private readonly HardwareClass _card;
    private readonly double _throttle;
    private readonly int _hoursPerDay;
    private readonly int _firstHourOfDay;
    private readonly double _utilisation;
    private readonly Absence _absence;
    private readonly LedgerAccountId _pending;
    private readonly LedgerAccountId _available;
    private readonly EarningQueue _earnings = new();
    private readonly EarningQueue _earningsOfNewNode = new();

    private HardwareClass? _class;
    private NodeStanding _standing;
    private Reputation _reputation;
    private readonly Queue<(double Score, DateTimeOffset At)> _alarmAnswers = new();
    private Cusum _cusum = Cusum.Zero;
    private Standby _standby = Standby.Fresh;
    private double _nextProbe;
    private double _lastProbe;
    private double _awayAtLastPass;
    private double _standbyHours;
    private double _standbyCheatedHours;
    private bool _hasMissed;
    private bool _wasOnline;

    public SimulatedNode(World world, Strategy strategy, int number, int determinismClass, int hour, Draws draws)
    {
        _world = world;
        _scenario = world.Scenario;
        _strategy = strategy;
        _draws = draws;
        DeterminismClass = determinismClass;
        _card = strategy.Card is { } card ? world.Machines.Find(card) : world.Machines.Any(draws);
        _enrolmentCard = strategy.Trick == HardwareTrick.SwapsCard ? world.Machines.Find(strategy.Claim!) : _card;
        _throttle = strategy == Strategy.Honest && draws.Happens(_scenario.ThrottledHosts) ? draws.Uniform(0.6, 0.95) : 1;
        _hoursPerDay = strategy.IsComparable ? 8 : draws.Uniform() switch { < 0.25 => 4, < 0.65 => 8, < 0.85 => 12, _ => 24 };
        _firstHourOfDay = hour % 24;
        _utilisation = draws.Uniform(0.3, 0.9);
        _absence = new Absence(strategy.AbsenceMinutes / MinutesPerHour, draws);
        var account = $"n{number}";
        _pending = LedgerAccountId.Pending(account);
        _available = LedgerAccountId.Available(account);
        world.Ledger.Open(_pending);
        world.Ledger.Open(_available);
        var now = World.At(hour);
        _standing = NodeStanding.New(now);
        _reputation = Reputation.New(now);
        Life = new Life(strategy, hour, hour + (24 * strategy.StartDay)) { EndHour = hour, Utilisation = _utilisation };
    }

    /// <summary>What became of it.</summary>
    public Life Life { get; }

    /// <summary>Its engine, backend and model: those it is compared with.</summary>
    public int DeterminismClass { get; }

    /// <summary>Whether its key is banned.</summary>
    public bool IsBanned => _standing.Standing is Standing.Banned;

    /// <summary>Whether it verifies in favour of its ring.</summary>
    public bool IsRing => _strategy.IsRing && !IsBanned;

    private bool IsLight => _hoursPerDay == 4;

    private double CardShare => _strategy.Trick is HardwareTrick.SharesCardInAccount or HardwareTrick.SharesCardScattered ? 1.0 / Strategy.IdentitiesPerCard : 1;

    /// <summary>Lives through one hour.</summary>
    public void Live(int hour)
    {
        var now = World.At(hour);
        Life.EndHour = hour + 1;
        Mature(_earnings, now);
        Mature(_earningsOfNewNode, now);
        if (!IsOnline(hour))
        {
            _wasOnline = false;
            return;
        }

        var checks = 0.0;
        if (!_wasOnline) ComeOnline(hour);
        if (_class is null)
        {
            Enrol(now);
            checks += _scenario.EnrolmentSeconds;
        }
        else if (_draws.Happens(_scenario.Challenge.PerHour))
        {
            Retest(now, isSimultaneous: false);
            checks += _scenario.Challenge.Seconds;
        }

        if (!IsBanned && _strategy.Trick == HardwareTrick.SharesCardInAccount && _draws.Happens(_scenario.SlotsPerDay / _hoursPerDay))
        {
            Retest(now, isSimultaneous: true);
            checks += _scenario.Challenge.Seconds;
        }

        if (IsBanned) return;
        if (_standing.Standing is Standing.Quarantined)
        {
            StayInQuarantine(now);
            return;
        }

        checks += Stand(hour) * _scenario.ProbeSeconds;
        Work(hour, now, checks);
    }

    /// <summary>Closes the book.</summary>
    public void End() => Life.IncomeMicrocredits = (_world.Ledger.Balance(_pending) + _world.Ledger.Balance(_available)).Value;

    private bool IsOnline(int hour) => !IsBanned && (hour - _firstHourOfDay + 24) % 24 < _hoursPerDay;

    private void ComeOnline(int hour)
    {
        _wasOnline = true;
        _standby = Standby.Fresh;
        _hasMissed = false;
        _lastProbe = hour;
        _awayAtLastPass = _absence.At(hour).TotalHours;
        _nextProbe = hour + PoissonProcess.Wait(_draws.Uniform(), _scenario.Accrual.MeanProbeWait).TotalHours;
    }

    // -------------------------------------------------------------------------------------------------------- hardware

    private void Enrol(DateTimeOffset now)
    {
        var claim = _strategy.Claim is { } name ? _world.Machines.Find(name) : _enrolmentCard;
        if (_strategy.Trick == HardwareTrick.SkipsCells)
        {
            // Three proofs of twice the openings of a re-test.
            _class = claim;
            if (!Machines.IsAccepted(Machines.SkippedShare(_card, claim), 6 * _scenario.OpeningsAtRetest, _draws)) Take(Evidence.Fraud, now);
            return;
        }

        (_, _class) = _world.Machines.Challenge(_enrolmentCard, claim, () => _throttle, memory: 1, _draws);
        Take(Evidence.ChallengePassed, now);
    }

    private void Retest(DateTimeOffset now, bool isSimultaneous)
    {
        if (_strategy.Trick == HardwareTrick.SkipsCells)
        {
            Take(Machines.IsAccepted(Machines.SkippedShare(_card, _class!), _scenario.OpeningsAtRetest, _draws) ? Evidence.ChallengePassed : Evidence.Fraud, now);
            return;
        }

        double Speed() => isSimultaneous ? CardShare : _throttle * ShareWhileOthersWork();
        var (inTime, measured) = _world.Machines.Challenge(_card, _class!, Speed, isSimultaneous ? CardShare : 1, _draws);
        if (!inTime)
        {
            var since = _standing.ChallengePassedAt ?? _standing.EnrolledAt;
            Life.ReRatings++;
            Take(Evidence.ChallengeTooSlow, now);
            ReRate(_earnings, since, measured, now);
            ReRate(_earningsOfNewNode, since, measured, now);
        }
        else
        {
            Take(Evidence.ChallengePassed, now);
        }

        _class = measured;
    }

    /// <summary>Of a card that other identities may be using right now.</summary>
    private double ShareWhileOthersWork() => OthersWork() ? 0.5 : 1;

    private bool OthersWork() => CardShare < 1 && _draws.Happens(_utilisation * (1 - CardShare));

    /// <summary>What was earned since is paid as the class that was measured: the same tokens at its reference speed and its rate.</summary>
    private void ReRate(EarningQueue queue, DateTimeOffset since, HardwareClass measured, DateTimeOffset now)
    {
        foreach (ref var entry in queue.Pending)
        {
            if (entry.Earning.CreditedAt <= since || entry.Units <= 0) continue;
            var work = Math.Min(entry.Units * MicrosecondsPerUnit * _class!.GigabytesPerSecond / measured.GigabytesPerSecond, AccrualRules.HourlyCap(_scenario.Accrual));
            var amount = _world.Classes.CreditsFor(measured.Name, (long)work, 1);
            if (amount >= entry.Earning.Amount) continue;
            var removed = entry.Earning.Amount - amount;
            var units = entry.Units * ((double)removed.Value / entry.Earning.Amount.Value);
            var honest = Math.Max(0, units - entry.Cheated);
            Life.ReRated += honest;
            Lose(honest, removed.Value * (honest / units), now);
            _world.Ledger.Post(_pending, LedgerAccountId.Treasury, removed, TransferReason.Forfeiture, now);
            entry = new HourlyEarning(entry.Earning with { Amount = amount }, entry.Units - units, Math.Max(0, entry.Cheated - units));
        }
    }

    // --------------------------------------------------------------------------------------------------------- standby

    /// <summary>An hour's probes; how many there were.</summary>
    private int Stand(int hour)
    {
        var probes = 0;
        while (_nextProbe < hour + 1)
        {
            probes++;
            var at = _nextProbe;
            var (isAway, awayTotal) = _absence.At(at);
            var passed = !isAway && !_draws.Happens(_scenario.LostProbes) && !OthersWork();
            var sinceLast = _standby.PassedAt is { } from ? (World.At(at) - from).TotalHours : at - _lastProbe;
            var away = Math.Min(sinceLast, awayTotal - _awayAtLastPass);
            var workedHours = (sinceLast - away) * _utilisation * CardShare;
            var step = _standby.After(passed, World.At(at), TimeSpan.FromHours(workedHours), _scenario.Accrual);
            var idle = sinceLast - away - workedHours;
            if (step.Paid > TimeSpan.Zero)
            {
                _standbyHours += step.Paid.TotalHours;
                _standbyCheatedHours += away;
            }

            if (step.Missed)
            {
                Take(Evidence.ProbeMissed, World.At(at));
                LoseStandby(idle);
            }
            else if (passed && _hasMissed)
            {
                // The gap after a missed probe. The one before the first probe of a day is unpaid, too, but that is nobody's loss.
                LoseStandby(idle);
            }

            if (passed || step.Missed)
            {
                _hasMissed = step.Missed;
                _lastProbe = at;
                _awayAtLastPass = awayTotal;
            }

            _standby = step.After;
            _nextProbe = step.RetryAt is { } retry ? World.HoursAt(retry) : at + PoissonProcess.Wait(_draws.Uniform(), _scenario.Accrual.MeanProbeWait).TotalHours;
        }

        return probes;
    }

    /// <summary>Idle time that nobody pays, because a probe beside it was missed.</summary>
    private void LoseStandby(double hours)
    {
        Life.StandbyLostHours += hours;
        if (_strategy.AbsenceMinutes > 0) Life.LossMicrocredits += Standby.Pay(TimeSpan.FromHours(hours), _class!.CreditsPerHour, 1, _scenario.Accrual).Value;
    }

    private void CreditStandby(DateTimeOffset now)
    {
        if (_standbyHours <= 0) return;
        var pay = Standby.Pay(TimeSpan.FromHours(_standbyHours), _class!.CreditsPerHour, 1, _scenario.Accrual);
        var units = _standbyHours * MinutesPerHour * _scenario.Accrual.StandbyShare;
        Life.StandbyPaidHours += _standbyHours;
        Credit(pay, units, _standbyCheatedHours * MinutesPerHour * _scenario.Accrual.StandbyShare, TransferReason.Standby, now);
        (_standbyHours, _standbyCheatedHours) = (0, 0);
    }

    // ------------------------------------------------------------------------------------------------------------ work

    private void Work(int hour, DateTimeOffset now, double checks)
    {
        var peers = _world.Peers(DeterminismClass);
        var rate = AuditRate.Of(_reputation.AuditRate(_scenario.Standing, peers));
        var there = 1 - (_strategy.AbsenceMinutes > 0 ? 0.5 : 0);
        var speed = _card.GigabytesPerSecond * _throttle / _class!.GigabytesPerSecond;
        var wanted = MinutesPerHour * _utilisation * there * CardShare * speed;
        var payable = AccrualRules.Payable(0, (long)(wanted * MicrosecondsPerUnit), _scenario.Accrual);
        var units = _draws.Rounded(payable / MicrosecondsPerUnit);
        var hasBegun = hour >= Life.StartHour;
        var faked = hasBegun ? _draws.Binomial(units, _strategy.Share) : 0;
        var audited = Split(units, faked, rate);

        var cheated = (faked * _strategy.UnearnedShare) + (_strategy.Trick == HardwareTrick.SwapsCard ? units * Overpaid() : 0);
        var verifications = _strategy.IsLazyVerifier ? _draws.Rounded(units * VerificationsPerUnit) : 0;
        cheated += verifications * _scenario.Scoring;
        var credited = units + (verifications * _scenario.Scoring);
        var end = now.AddHours(1);
        CreditStandby(end);
        Credit(_world.Classes.CreditsFor(_class.Name, (long)(credited * MicrosecondsPerUnit), 1), credited, cheated, TransferReason.Earning, end);
        for (var i = 0; i < units; i++) _reputation = _reputation.AfterUnit(_scenario.Standing, now);
        for (var i = _draws.Binomial(units, _scenario.AbandonedUnits); i > 0; i--) Take(Evidence.Abandoned, now);
        _world.Statistics.CountRate(this, _strategy, IsLight, hour, rate, units);
        if (_strategy.OwnTraffic > 0) PayForOwnTraffic(now, peers);

        // The beacon is revealed when the hour is over: what was drawn is audited then.
        var rescored = Audit(audited, end);
        for (var i = _draws.Binomial(verifications, KnownBadShare); i > 0 && !IsBanned; i--) Take(Evidence.AuditMismatch, end);
        checks += (audited.Honest + audited.Faked) * MinutesPerHour * ((_scenario.Canaries * (1 + _scenario.Scoring)) + ((1 - _scenario.Canaries) * _scenario.Scoring));
        checks += rescored * MinutesPerHour * _scenario.Scoring;
        CountEffort(hour, units * MinutesPerHour, checks);
    }

    private (int Honest, int Faked) Split(int units, int faked, AuditRate rate)
    {
        var share = (double)rate.Millionths / AuditRate.One;
        return (_draws.Binomial(units - faked, share), _draws.Binomial(faked, share));
    }

    private void StayInQuarantine(DateTimeOffset now)
    {
        var hasBegun = now >= World.At(Life.StartHour);
        var faked = hasBegun ? _draws.Binomial(_scenario.CanariesInQuarantine, _strategy.Share) : 0;
        Life.Unpaid += MinutesPerHour * _utilisation;
        _world.Statistics.CountHonest(_strategy, now, 0, _class!.CreditsPerHour * _utilisation * Microcredits.PerCredit);
        Audit((_scenario.CanariesInQuarantine - faked, faked), now.AddHours(1), untilCleared: true);
    }

    /// <summary>Of a unit at the claimed class, what the card in place would not have earned.</summary>
    private double Overpaid()
    {
        if (_class!.CreditsPerHour <= _card.CreditsPerHour) return 0;
        var speed = _card.GigabytesPerSecond / _class.GigabytesPerSecond;
        return Math.Max(0, 1 - (_card.CreditsPerHour / (_class.CreditsPerHour * speed)));
    }

    private void CountEffort(int hour, double work, double checks)
    {
        var age = hour - Life.EnrolledHour;
        Life.Whole.Add(work, checks);
        if (age < 7 * 24) Life.FirstWeek.Add(work, checks);
        if (age >= Life.SettledHours) Life.Mature.Add(work, checks);
    }

    /// <summary>The hub chooses who answers, so of its own jobs a node gets one in as many as it has peers; it pays the price of all.</summary>
    private void PayForOwnTraffic(DateTimeOffset now, int peers)
    {
        var pay = _world.Classes.CreditsFor(_class!.Name, (long)(_strategy.OwnTraffic * MicrosecondsPerUnit), 1);
        var price = new Microcredits((long)(pay.Value / (1 - _scenario.Accrual.FeeShare)));
        // Nobody knows that the client is the owner's, too; otherwise nothing at all would be paid.
        var payout = Payout.Of(pay, new PayingClient(IsOwner: false, IsFree: false, price), _scenario.Accrual);
        _world.Ledger.Post(_world.Clients, LedgerAccountId.Treasury, price, TransferReason.Usage, now);
        Life.GainMicrocredits += (double)payout.Value / Math.Max(1, peers);
        Life.LossMicrocredits += price.Value;
    }

    // ---------------------------------------------------------------------------------------------------------- audits

    /// <summary>Audits in random order; how many answers arbiters scored.</summary>
    private int Audit((int Honest, int Faked) units, DateTimeOffset now, bool untilCleared = false)
    {
        var rescored = 0;
        while (units.Honest + units.Faked > 0 && !IsBanned && (!untilCleared || _standing.Standing is Standing.Quarantined))
        {
            var isFaked = _draws.Below(units.Honest + units.Faked) < units.Faked;
            units = isFaked ? (units.Honest, units.Faked - 1) : (units.Honest - 1, units.Faked);
            var (evidence, answers) = Verify(isFaked, now);
            rescored += answers;
            Take(evidence, now);
        }

        return rescored;
    }

    /// <summary>One audit, and how many answers arbiters scored because of it.</summary>
    private (Evidence Evidence, int Rescored) Verify(bool isFaked, DateTimeOffset now)
    {
        var answer = isFaked ? _strategy.Answer : FakeAnswer.None;
        var power = _world.Powers.Draw(answer, _draws);
        var ring = _world.RingShare(DeterminismClass);
        var softMismatches = _world.SoftMismatches(DeterminismClass, now);
        var verifierIsRing = _draws.Happens(ring);
        var accused = !_strategy.IsRing && verifierIsRing && _draws.Happens(RingAccusations);

        // What is the worker's in the score stays with the answer; what is the scorer's is drawn anew each time.
        var own = power.Shift + (Math.Sqrt(_scenario.SharedDeviation) * _draws.Normal());
        _cusum = _cusum.Add(Score(own), _world.InferenceChecks.CusumAllowance);
        var alarm = _cusum.Sum >= _world.InferenceChecks.CusumAlarm;
        Keep(own, now);
        var behind = alarm ? _alarmAnswers.Select(kept => kept.Score).ToArray() : [];
        if (alarm)
        {
            _cusum = Cusum.Zero;
            _alarmAnswers.Clear();
            Life.CusumAlarms++;
        }

        var disagrees = accused || _draws.Happens(isFaked ? power.Verifier : softMismatches);
        if (_strategy.IsRing && verifierIsRing) (disagrees, alarm) = (false, false);
        if (!disagrees && !alarm) return (Evidence.AuditPassed, 0);

        var rescored = 0;
        var isConfirmed = disagrees && Arbitrate(1, () => _draws.Happens(isFaked ? power.Arbiter : accused ? softMismatches : _scenario.ArbiterErrors));
        if (!isConfirmed && alarm && behind.Length >= _world.InferenceChecks.AlarmReviewAuditsMin)
            isConfirmed = Arbitrate(behind.Length, () => AlarmReview.Of(AuditSum.Margin, [.. behind.Select(Score)], _world.InferenceChecks).Outcome is InferenceOutcome.SoftMismatch);
        return (isConfirmed ? Evidence.AuditMismatch : Evidence.AuditUnconfirmed, rescored);

        bool Arbitrate(int answers, Func<bool> disagreesToo)
        {
            var escalation = Escalation.Begin("worker", "verifier");
            for (var i = 0; escalation.Status is EscalationStatus.Open; i++)
            {
                rescored += answers;
                var says = disagreesToo();
                if (_draws.Happens(ring)) says = accused || (says && !_strategy.IsRing);
                escalation = escalation.Hear($"arbiter {i}", says ? InferenceOutcome.SoftMismatch : InferenceOutcome.Ok);
            }

            return escalation.Status is EscalationStatus.Confirmed;
        }
    }

    /// <summary>What a scorer finds in an answer, in standard deviations as the hub's sum takes them.</summary>
    private double Score(double own)
        => Math.Clamp(own + (Math.Sqrt(1 - _scenario.SharedDeviation) * _draws.Normal()), -_world.InferenceChecks.CusumClip, _world.InferenceChecks.CusumClip);

    /// <summary>Keeps the answers the sum rests on, as long and as many as the hub does.</summary>
    private void Keep(double own, DateTimeOffset now)
    {
        _alarmAnswers.Enqueue((own, now));
        while (_alarmAnswers.Count > Math.Min(_cusum.Audits, _scenario.Audits.AlarmAnswers) || (_alarmAnswers.TryPeek(out var oldest) && now - oldest.At > _scenario.Audits.AlarmKeepFor)) _alarmAnswers.Dequeue();
    }

    // -------------------------------------------------------------------------------------------- the hub's book of it

    /// <summary>Takes evidence in, as the hub does, and does what it decides.</summary>
    private void Take(Evidence evidence, DateTimeOffset now)
    {
        _reputation = _reputation.After(evidence, _scenario.Standing);
        var decision = StandingRules.Decide(_standing, evidence, _scenario.Standing, now);
        _standing = decision.After;
        var hour = (int)World.HoursAt(now);
        if (decision.Applied.HasFlag(Consequences.Forfeit))
        {
            Life.Forfeitures++;
            if (hour - Life.EnrolledHour >= Life.SettledHours) Life.LateForfeitures++;
            if (hour >= Life.StartHour) Life.DetectedHour ??= hour;
            Forfeit(_earnings, now);
            Forfeit(_earningsOfNewNode, now);
            (_standbyHours, _standbyCheatedHours) = (0, 0);
        }

        if (decision.Applied.HasFlag(Consequences.ReRate) && _strategy.Trick is not (HardwareTrick.None or HardwareTrick.ClaimsMore)) Life.DetectedHour ??= hour;
        if (decision.Applied.HasFlag(Consequences.Ban)) Life.BannedHour ??= hour;
    }

    private void Credit(Microcredits amount, double units, double cheated, TransferReason reason, DateTimeOffset now)
    {
        if (amount.IsZero) return;
        _world.Ledger.Post(LedgerAccountId.Treasury, _pending, amount, reason, now);
        var age = AccrualRules.MaturityAge(now, _standing.EnrolledAt, _world.Peers(DeterminismClass), _scenario.Accrual, _scenario.Standing);
        var queue = now - _standing.EnrolledAt < _scenario.Accrual.NewNodeAge ? _earningsOfNewNode : _earnings;
        queue.Add(new HourlyEarning(
            new PendingEarning(EarningState.Pending, amount, now, now + age, _reputation.AuditsPassed, _scenario.Standing.AuditsToMature), units, cheated));
        Life.Credited += units;
        Life.CheatedCredited += cheated;
        Life.CreditedMicrocredits += amount.Value;
        _world.Statistics.CountHonest(_strategy, now, amount.Value, 0);
    }

    private void Mature(EarningQueue queue, DateTimeOffset now)
    {
        while (queue.Pending is [var entry, ..])
        {
            var held = entry.Earning.Held(now, _reputation.AuditsPassed, isRooted: true, awaitsAudit: false, isDisputed: false);
            if (held is not HeldBy.Nothing) return;
            var matured = entry.Earning.Mature(held);
            _world.Ledger.Post(_pending, _available, matured.Amount, TransferReason.Maturation, now);
            Life.CheatedCashed += entry.Cheated;
            if (entry.Cheated > 0) Life.GainMicrocredits += matured.Amount.Value * (entry.Cheated / entry.Units);
            queue.RemoveFirst();
        }
    }

    private void Forfeit(EarningQueue queue, DateTimeOffset now)
    {
        foreach (ref var entry in queue.Pending)
        {
            var forfeited = entry.Earning.Forfeit();
            _world.Ledger.Post(_pending, LedgerAccountId.Treasury, forfeited.Amount, TransferReason.Forfeiture, now);
            var honest = entry.Units - entry.Cheated;
            if (entry.Units > 0) Lose(honest, forfeited.Amount.Value * (honest / entry.Units), now);
        }

        queue.Clear();
    }

    private void Lose(double units, double microcredits, DateTimeOffset now)
    {
        Life.HonestLost += units;
        Life.LossMicrocredits += microcredits;
        _world.Statistics.CountHonest(_strategy, now, 0, microcredits);
    }
}
