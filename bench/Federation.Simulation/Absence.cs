namespace Federation.Simulation;

/// <summary>A node that is there and away in turn, each for exponentially distributed times of the same mean.</summary>
/// <param name="meanHours">The mean; 0: it is always there.</param>
/// <param name="draws">Chance.</param>
internal sealed class Absence(double meanHours, Draws draws)
{
    private double _until = meanHours > 0 ? draws.Exponential(meanHours) : double.PositiveInfinity;
    private double _since;
    private double _total;
    private bool _isAway;

    /// <summary>Whether it is away at a moment, and for how long in all it has been until then.</summary>
    /// <param name="at">Hours; not before the last one asked for.</param>
    public (bool IsAway, double TotalHours) At(double at)
    {
        while (_until <= at)
        {
            if (_isAway) _total += _until - _since;
            _since = _until;
            _isAway = !_isAway;
            _until += draws.Exponential(meanHours);
        }

        return (_isAway, _isAway ? _total + at - _since : _total);
    }
}
