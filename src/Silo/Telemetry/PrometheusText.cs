using System.Collections.Concurrent;
using System.Diagnostics.Metrics;
using System.Globalization;
using System.Text;
using Microsoft.Extensions.Options;

namespace Federation.Silo.Telemetry;

/// <summary>
/// Keeps what the hub's meters measure, and writes it in Prometheus' text format. A small one of our own: the feed has no exporter for it. Safe for use by several threads.
/// </summary>
/// <remarks>Series of one instrument are bounded: what comes beyond the bound is gathered in one series without tags but <c>overflow</c>.</remarks>
internal sealed class PrometheusText : IDisposable
{
    private static readonly double[] UsualBounds = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300];

    private readonly MeterListener _listener = new();
    private readonly ConcurrentDictionary<Instrument, Family> _families = new();
    private readonly int _maxSeries;
    private bool _isListening;

    public PrometheusText(IOptions<TelemetryOptions> options)
    {
        _maxSeries = options.Value.MaxSeries;
        _listener.InstrumentPublished = (instrument, listener) =>
        {
            if (instrument.Meter.Name.StartsWith("Federation.", StringComparison.Ordinal)) listener.EnableMeasurementEvents(instrument, _families.GetOrAdd(instrument, static (key, max) => new Family(key, max), _maxSeries));
        };
        _listener.SetMeasurementEventCallback<long>(static (_, value, tags, state) => ((Family)state!).Take(value, tags));
        _listener.SetMeasurementEventCallback<int>(static (_, value, tags, state) => ((Family)state!).Take(value, tags));
        _listener.SetMeasurementEventCallback<double>(static (_, value, tags, state) => ((Family)state!).Take(value, tags));
    }

    /// <summary>Begins to listen; before that nothing is measured.</summary>
    public void Start()
    {
        if (_isListening) return;
        _isListening = true;
        _listener.Start();
    }

    /// <summary>Everything as it is now.</summary>
    public string Write()
    {
        _listener.RecordObservableInstruments();
        var text = new StringBuilder();
        foreach (var family in _families.Values.OrderBy(family => family.Name, StringComparer.Ordinal)) family.Write(text);
        return text.ToString();
    }

    public void Dispose() => _listener.Dispose();

    /// <summary>One instrument's series.</summary>
    private sealed class Family(Instrument instrument, int maxSeries)
    {
        private readonly ConcurrentDictionary<string, Series> _series = new(StringComparer.Ordinal);
        // What was measured under the same tags before is found without writing them out.
        private readonly ConcurrentDictionary<KeyValuePair<string, object?>[], Series> _byTags = new(TagComparer.Instance);
        private readonly double[]? _bounds = instrument switch
        {
            Histogram<double> histogram => histogram.Advice?.HistogramBucketBoundaries?.ToArray() ?? UsualBounds,
            Histogram<int> => [1, 2, 5, 10, 20, 50, 100, 200, 500],
            _ => null,
        };

        private readonly bool _isObserved = instrument.IsObservable;
        private readonly bool _isCounter = instrument is Counter<long> or Counter<int> or Counter<double>;

        /// <summary>Prometheus' rules: letters, digits and underscores, the unit and a counter's <c>total</c> at the end.</summary>
        public string Name { get; } = NameOf(instrument);

        public void Take(double value, ReadOnlySpan<KeyValuePair<string, object?>> tags)
        {
            if (!_byTags.GetAlternateLookup<ReadOnlySpan<KeyValuePair<string, object?>>>().TryGetValue(tags, out var series)) series = Find(tags);
            if (_isObserved) series.Set(value);
            else series.Add(value);
        }

        public void Write(StringBuilder text)
        {
            if (_series.IsEmpty) return;
            text.Append(CultureInfo.InvariantCulture, $"# HELP {Name} {Escape(instrument.Description ?? string.Empty)}\n# TYPE {Name} {(_bounds is not null ? "histogram" : _isCounter ? "counter" : "gauge")}\n");
            foreach (var (labels, series) in _series.ToArray().OrderBy(one => one.Key, StringComparer.Ordinal)) series.Write(text, Name, labels, _bounds);
        }

        private Series Find(ReadOnlySpan<KeyValuePair<string, object?>> tags)
        {
            var labels = LabelsOf(tags);
            if (!_series.TryGetValue(labels, out var series))
            {
                if (_series.Count >= maxSeries) labels = "overflow=\"true\"";
                series = _series.GetOrAdd(labels, _ => new Series(_bounds));
            }
            if (_byTags.Count < maxSeries) _byTags.TryAdd(tags.ToArray(), series);
            return series;
        }

        private static string NameOf(Instrument instrument)
        {
            var name = new string([.. instrument.Name.Select(character => char.IsAsciiLetterOrDigit(character) ? character : '_')]);
            if (instrument.Unit == "s") name += "_seconds";
            return instrument is Counter<long> or Counter<int> or Counter<double> ? name + "_total" : name;
        }

        private static string LabelsOf(ReadOnlySpan<KeyValuePair<string, object?>> tags)
        {
            if (tags.IsEmpty) return string.Empty;
            var text = new StringBuilder();
            foreach (var (name, value) in tags)
            {
                if (text.Length > 0) text.Append(',');
                foreach (var character in name) text.Append(char.IsAsciiLetterOrDigit(character) ? character : '_');
                text.Append("=\"").Append(Escape(Convert.ToString(value, CultureInfo.InvariantCulture) ?? string.Empty).Replace("\"", "\\\"", StringComparison.Ordinal)).Append('"');
            }
            return text.ToString();
        }

        private static string Escape(string text) => text.Replace("\\", "\\\\", StringComparison.Ordinal).Replace("\n", "\\n", StringComparison.Ordinal);
    }

    /// <summary>The same names with the same values in the same order.</summary>
    private sealed class TagComparer : IEqualityComparer<KeyValuePair<string, object?>[]>, IAlternateEqualityComparer<ReadOnlySpan<KeyValuePair<string, object?>>, KeyValuePair<string, object?>[]>
    {
        public static readonly TagComparer Instance = new();

        public bool Equals(KeyValuePair<string, object?>[]? one, KeyValuePair<string, object?>[]? other) => one is null || other is null ? one == other : Equals(one.AsSpan(), other);

        public bool Equals(ReadOnlySpan<KeyValuePair<string, object?>> one, KeyValuePair<string, object?>[] other)
        {
            if (one.Length != other.Length) return false;
            for (var i = 0; i < other.Length; i++)
            {
                if (one[i].Key != other[i].Key || !Equals(one[i].Value, other[i].Value)) return false;
            }
            return true;
        }

        public int GetHashCode(KeyValuePair<string, object?>[] tags) => GetHashCode(tags.AsSpan());

        /// <summary>By the values alone: one instrument's tags have the same names.</summary>
        public int GetHashCode(ReadOnlySpan<KeyValuePair<string, object?>> tags)
        {
            var hash = 0;
            foreach (var (_, value) in tags) hash = HashCode.Combine(hash, value);
            return hash;
        }

        public KeyValuePair<string, object?>[] Create(ReadOnlySpan<KeyValuePair<string, object?>> tags) => tags.ToArray();
    }

    /// <summary>One series: a number, or a histogram.</summary>
    private sealed class Series(double[]? bounds)
    {
        private readonly Lock _gate = new();
        private readonly long[] _buckets = new long[bounds?.Length ?? 0];
        private double _sum;
        private long _count;

        public void Set(double value)
        {
            lock (_gate) _sum = value;
        }

        public void Add(double value)
        {
            lock (_gate)
            {
                _sum += value;
                _count++;
                for (var i = 0; i < _buckets.Length; i++)
                {
                    if (value <= bounds![i]) _buckets[i]++;
                }
            }
        }

        public void Write(StringBuilder text, string name, string labels, double[]? bounds)
        {
            lock (_gate)
            {
                if (bounds is null)
                {
                    text.Append(CultureInfo.InvariantCulture, $"{name}{(labels.Length > 0 ? $"{{{labels}}}" : string.Empty)} {_sum}\n");
                    return;
                }
                var comma = labels.Length > 0 ? "," : string.Empty;
                for (var i = 0; i < bounds.Length; i++) text.Append(CultureInfo.InvariantCulture, $"{name}_bucket{{{labels}{comma}le=\"{bounds[i]}\"}} {_buckets[i]}\n");
                text.Append(CultureInfo.InvariantCulture, $"{name}_bucket{{{labels}{comma}le=\"+Inf\"}} {_count}\n");
                var braces = labels.Length > 0 ? $"{{{labels}}}" : string.Empty;
                text.Append(CultureInfo.InvariantCulture, $"{name}_sum{braces} {_sum}\n{name}_count{braces} {_count}\n");
            }
        }
    }
}
