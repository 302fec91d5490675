namespace Federation.Silo.Providers;

/// <summary>
/// Keeps requests away from whoever fails again and again: after some failures in a row nobody is let through for a while, then one, and by what becomes of that one all or none again.
/// Safe to use from any number of threads.
/// </summary>
/// <param name="breakAfter">Failures in a row that open it.</param>
/// <param name="breakFor">How long it stays open the first time; doubled each time that its trial fails.</param>
/// <param name="breakForMax">The longest it stays open.</param>
/// <param name="time">The clock.</param>
internal sealed class CircuitBreaker(int breakAfter, TimeSpan breakFor, TimeSpan breakForMax, TimeProvider time)
{
    private readonly Lock _gate = new();
    private int _failures;
    private int _breaks;
    private long _era;
    private bool _isOpen;
    private bool _isTried;
    private long _closedFrom;
    private TimeSpan _closedFor;

    /// <summary>Whether nobody is let through, or one alone.</summary>
    public bool IsOpen
    {
        get
        {
            lock (_gate) return _isOpen;
        }
    }

    /// <summary>Lets a request through, or not; whoever is let through says what became of it, once.</summary>
    /// <param name="pass">For what became of it.</param>
    /// <param name="wait">When to ask again, where it is not let through.</param>
    public bool TryPass(out Pass pass, out TimeSpan wait)
    {
        lock (_gate)
        {
            wait = _closedFor - time.GetElapsedTime(_closedFrom);
            pass = new Pass(this, _era, IsTrial: _isOpen);
            if (_closedFor > TimeSpan.Zero && wait > TimeSpan.Zero) return false;
            wait = TimeSpan.Zero;
            if (!_isOpen) return true;
            if (_isTried)
            {
                wait = breakFor;
                return false;
            }
            return _isTried = true;
        }
    }

    private void Succeed(Pass pass)
    {
        lock (_gate)
        {
            if (pass.Era != _era) return;
            _failures = 0;
            if (!pass.IsTrial) return;
            (_isOpen, _isTried, _breaks, _closedFor) = (false, false, 0, TimeSpan.Zero);
            _era++;
        }
    }

    private void Fail(Pass pass)
    {
        lock (_gate)
        {
            // What was under way when it opened is no news.
            if (pass.Era != _era || (!pass.IsTrial && ++_failures < breakAfter)) return;
            _closedFor = TimeSpan.FromTicks((long)Math.Min(breakForMax.Ticks, breakFor.Ticks * Math.Pow(2, Math.Min(_breaks, 30))));
            _closedFrom = time.GetTimestamp();
            (_isOpen, _isTried, _failures) = (true, false, 0);
            _breaks++;
            _era++;
        }
    }

    private void Rest(Pass pass, TimeSpan asked)
    {
        lock (_gate)
        {
            if (pass.Era != _era) return;
            // Whoever says when to come again works; nobody comes before.
            (_isOpen, _isTried, _failures) = (false, false, 0);
            _closedFor = asked < breakForMax ? asked : breakForMax;
            _closedFrom = time.GetTimestamp();
        }
    }

    private void Leave(Pass pass)
    {
        lock (_gate)
        {
            if (pass.Era == _era && pass.IsTrial) _isTried = false;
        }
    }

    /// <summary>One request that was let through.</summary>
    internal readonly record struct Pass(CircuitBreaker Breaker, long Era, bool IsTrial)
    {
        /// <summary>It was answered, if only with what was wrong with the request.</summary>
        public void Succeeded() => Breaker.Succeed(this);

        /// <summary>It was not answered as it should be.</summary>
        public void Failed() => Breaker.Fail(this);

        /// <summary>Nobody shall come again before so long.</summary>
        public void ToldToWait(TimeSpan wait) => Breaker.Rest(this, wait);

        /// <summary>It says nothing either way: its client left, or it was never sent.</summary>
        public void Abandoned() => Breaker.Leave(this);
    }
}
