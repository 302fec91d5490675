using System.Globalization;
using System.Text;

namespace Federation.Simulation;

/// <summary>One bar: a mean, and its least and most over the seeds.</summary>
internal readonly record struct Bar(string Label, Figure Value);

/// <summary>One line over days; days without a value are left out.</summary>
/// <param name="Label">What it shows.</param>
/// <param name="Values">A figure a day.</param>
internal sealed record Series(string Label, IReadOnlyList<Figure> Values);

/// <summary>Pictures as plain SVG, legible on a light and on a dark page.</summary>
internal sealed class Chart
{
    private const int Width = 860;
    private const int Left = 70;
    private const int Right = 20;
    private const int Top = 56;

    private readonly StringBuilder _svg = new();

    private Chart(int height, string title, string subtitle)
    {
        Append($"""<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {Width} {height}" width="{Width}" height="{height}" role="img">""");
        Append($"<title>{Escaped(title)}</title>");
        _svg.AppendLine("""
            <style>
              text { font: 13px system-ui, sans-serif; fill: #1f2328; }
              .title { font-size: 16px; font-weight: 600; }
              .small { font-size: 12px; fill: #59636e; }
              .axis { stroke: #59636e; }
              .grid { stroke: #59636e; stroke-opacity: 0.25; }
              .limit { stroke: #c4320a; stroke-dasharray: 5 4; }
              .limit-text { fill: #c4320a; font-size: 12px; }
              .c0 { color: #0b62c4; } .c1 { color: #a45a00; } .c2 { color: #7a3fbf; }
              .line { fill: none; stroke: currentColor; stroke-width: 2; }
              .area { fill: currentColor; fill-opacity: 0.18; stroke: none; }
              .bar { fill: currentColor; fill-opacity: 0.75; }
              .whisker { stroke: #1f2328; }
              @media (prefers-color-scheme: dark) {
                text { fill: #e6edf3; }
                .small { fill: #9ea7b3; }
                .axis, .grid { stroke: #9ea7b3; }
                .limit { stroke: #ff8a65; }
                .limit-text { fill: #ff8a65; }
                .whisker { stroke: #e6edf3; }
                .c0 { color: #6cb2ff; } .c1 { color: #f0a94b; } .c2 { color: #c39bff; }
              }
            </style>
            """);
        Text(Left, 22, title, "title");
        Text(Left, 42, subtitle, "small");
    }

    /// <summary>Bars lying on a logarithmic axis; what is 0 has none.</summary>
    /// <param name="title">What it shows.</param>
    /// <param name="subtitle">Unit, and what the whiskers are.</param>
    /// <param name="least">Left end of the axis, a power of ten.</param>
    /// <param name="most">Right end, a power of ten.</param>
    /// <param name="bars">From top to bottom.</param>
    public static string Bars(string title, string subtitle, double least, double most, IReadOnlyList<Bar> bars)
    {
        const int LabelWidth = 440;
        const int RowHeight = 22;
        const int ValueWidth = 60;
        var bottom = Top + (bars.Count * RowHeight);
        var chart = new Chart(bottom + 36, title, subtitle);
        const double Axis = Width - LabelWidth - ValueWidth - Right;
        double X(double value) => LabelWidth + (Axis * Math.Clamp(Math.Log10(value / least) / Math.Log10(most / least), 0, 1));
        for (var tick = least; tick <= most * 1.001; tick *= 10)
        {
            chart.Line(X(tick), Top, X(tick), bottom, "grid");
            chart.Text(X(tick), bottom + 18, Short(tick), "small", "middle");
        }

        for (var i = 0; i < bars.Count; i++)
        {
            var y = Top + (i * RowHeight);
            var (label, value) = bars[i];
            chart.Text(LabelWidth - 8, y + 15, label, "", "end");
            if (value.Mean > least)
            {
                chart.Append($"""<rect class="bar c0" x="{LabelWidth}" y="{y + 4}" width="{X(value.Mean) - LabelWidth:0.#}" height="{RowHeight - 8}"/>""");
                chart.Line(X(value.Least), y + (RowHeight / 2), X(value.Most), y + (RowHeight / 2), "whisker");
            }

            chart.Text(value.Mean > least ? Math.Max(X(value.Mean), X(value.Most)) + 6 : LabelWidth + 6, y + 15, value.Mean > 0 ? Short(value.Mean) : "0", "small");
        }

        chart.Line(LabelWidth, Top, LabelWidth, bottom, "axis");
        return chart.End();
    }

    /// <summary>Lines over days, with what lies between the seeds' least and most.</summary>
    /// <param name="title">What it shows.</param>
    /// <param name="subtitle">Unit, and what the bands are.</param>
    /// <param name="xLabel">What the days count.</param>
    /// <param name="ticks">Of the vertical axis, ascending; the first and the last are its ends.</param>
    /// <param name="isLogarithmic">The vertical axis is; all ticks are then above 0.</param>
    /// <param name="limit">A target and its name; null: none.</param>
    /// <param name="series">At most three.</param>
    public static string Lines(string title, string subtitle, string xLabel, double[] ticks, bool isLogarithmic, (double Value, string Label)? limit, params Series[] series)
    {
        const int Height = 380;
        const int Bottom = Height - 50;
        var chart = new Chart(Height, title, subtitle);
        var days = series.Max(line => line.Values.Count);
        double X(int day) => Left + ((double)(Width - Left - Right) * day / Math.Max(1, days - 1));
        double Y(double value)
        {
            value = Math.Clamp(value, ticks[0], ticks[^1]);
            var share = isLogarithmic ? Math.Log(value / ticks[0]) / Math.Log(ticks[^1] / ticks[0]) : (value - ticks[0]) / (ticks[^1] - ticks[0]);
            return Bottom - ((Bottom - Top) * share);
        }

        foreach (var tick in ticks)
        {
            chart.Line(Left, Y(tick), Width - Right, Y(tick), "grid");
            chart.Text(Left - 8, Y(tick) + 4, $"{Short(100 * tick)} %", "small", "end");
        }

        var step = days > 20 ? 10 : Math.Max(1, days / 5);
        for (var day = 0; day < days; day += step) chart.Text(X(day), Bottom + 18, day.ToString(CultureInfo.InvariantCulture), "small", "middle");
        chart.Text((Left + Width - Right) / 2.0, Height - 12, xLabel, "small", "middle");
        chart.Line(Left, Bottom, Width - Right, Bottom, "axis");
        if (limit is { } target)
        {
            chart.Line(Left, Y(target.Value), Width - Right, Y(target.Value), "limit");
            chart.Text(Width - Right, Y(target.Value) - 5, target.Label, "limit-text", "end");
        }

        for (var i = 0; i < series.Length; i++)
        {
            var points = series[i].Values.Select((figure, day) => (figure, x: X(day))).Where(point => !double.IsNaN(point.figure.Mean)).ToArray();
            var band = points.Select(point => (point.x, y: Y(point.figure.Most))).Concat(points.Reverse().Select(point => (point.x, y: Y(point.figure.Least))));
            chart.Append($"""<polygon class="area c{i}" points="{Points(band)}"/>""");
            chart.Append($"""<polyline class="line c{i}" points="{Points(points.Select(point => (point.x, Y(point.figure.Mean))))}"/>""");
            chart.Append($"""<line class="line c{i}" x1="{Width - 330}" y1="{Top + 12 + (i * 20)}" x2="{Width - 306}" y2="{Top + 12 + (i * 20)}"/>""");
            chart.Text(Width - 300, Top + 16 + (i * 20), series[i].Label, "");
        }

        return chart.End();
    }

    private static string Points(IEnumerable<(double X, double Y)> points) =>
        string.Join(' ', points.Select(point => string.Create(CultureInfo.InvariantCulture, $"{point.X:0.#},{point.Y:0.#}")));

    private static string Short(double value) => value.ToString(value >= 10 ? "0" : value >= 1 ? "0.#" : value >= 0.01 ? "0.###" : "0.####", CultureInfo.InvariantCulture);

    private static string Escaped(string text) => text.Replace("&", "&amp;", StringComparison.Ordinal).Replace("<", "&lt;", StringComparison.Ordinal);

    private void Line(double fromX, double fromY, double toX, double toY, string kind) =>
        Append($"""<line class="{kind}" x1="{fromX:0.#}" y1="{fromY:0.#}" x2="{toX:0.#}" y2="{toY:0.#}"/>""");

    private void Text(double x, double y, string text, string kind, string anchor = "start") =>
        Append($"""<text class="{kind}" x="{x:0.#}" y="{y:0.#}" text-anchor="{anchor}">{Escaped(text)}</text>""");

    private void Append(FormattableString element) => _svg.AppendLine(element.ToString(CultureInfo.InvariantCulture));

    private string End() => _svg.AppendLine("</svg>").ToString();
}
