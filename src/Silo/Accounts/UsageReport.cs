using System.Collections.Immutable;
using System.Globalization;
using System.Text;
using Federation.Silo.Accounts.Ledger;
using Federation.Silo.Gateway;

namespace Federation.Silo.Accounts;

/// <summary>By what a report of usage is divided.</summary>
[Flags]
internal enum UsageGroups
{
    /// <summary>One line for all.</summary>
    None = 0,

    /// <summary>Days, UTC.</summary>
    Day = 1,

    /// <summary>Models.</summary>
    Model = 2,

    /// <summary>API keys.</summary>
    Key = 4,
}

/// <summary>A report that somebody asks for.</summary>
/// <param name="AccountId">Whose usage.</param>
/// <param name="Start">The first day, UTC.</param>
/// <param name="End">The last day, UTC, counted in.</param>
/// <param name="Groups">How it is divided.</param>
/// <param name="Limit">Lines at most.</param>
/// <param name="Cursor">Lines that are passed over.</param>
internal sealed record UsageQuery(string AccountId, DateOnly Start, DateOnly End, UsageGroups Groups, int Limit, int Cursor)
{
    /// <summary>The most lines of one page.</summary>
    public const int LimitMax = 1_000;

    private const int DaysMax = 366;
    private const int DaysUsual = 30;
    private const int CursorMax = 1_000_000;
    private const int YearMin = 2000;
    private const int YearMax = 2999;

    private static readonly (string Word, UsageGroups Group)[] Words = [("day", UsageGroups.Day), ("model", UsageGroups.Model), ("key", UsageGroups.Key)];

    /// <summary>Reads what a client wrote into the URL; absent is the usual: the last 30 days, by day.</summary>
    /// <returns>The query, or what is wrong.</returns>
    public static (UsageQuery? Query, OpenAiError? Problem) Read(string accountId, DateOnly today, string? start, string? end, string? groupBy, int? limit, int? cursor)
    {
        if (ReadDay(end, today) is not { } last) return (null, NoDay("end_date"));
        if (ReadDay(start, last.AddDays(1 - DaysUsual)) is not { } first) return (null, NoDay("start_date"));
        if (last < first || last.DayNumber - first.DayNumber >= DaysMax) return (null, OpenAiError.BadRequest($"'end_date' must be 'start_date' or later, and at most {DaysMax} days are reported at once.", "end_date"));
        var groups = groupBy is null ? UsageGroups.Day : UsageGroups.None;
        foreach (var word in (groupBy ?? string.Empty).Split(',', StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries))
        {
            if (Array.FindIndex(Words, known => known.Word == word) is var index && index < 0) return (null, OpenAiError.BadRequest($"'group_by' must be some of: {string.Join(", ", Words.Select(known => known.Word))}.", "group_by"));
            groups |= Words[index].Group;
        }
        if (limit is < 1 or > LimitMax) return (null, OpenAiError.BadRequest($"'limit' must be 1 to {LimitMax}.", "limit"));
        return cursor is < 0 or > CursorMax
            ? (null, OpenAiError.BadRequest($"'cursor' must be 0 to {CursorMax}.", "cursor"))
            : (new UsageQuery(accountId, first, last, groups, limit ?? 100, cursor ?? 0), null);
    }

    /// <summary>The words of <see cref="Groups"/>.</summary>
    public ImmutableArray<string> GroupWords => [.. Words.Where(known => Groups.HasFlag(known.Group)).Select(known => known.Word)];

    private static DateOnly? ReadDay(string? text, DateOnly usual) => text is not { Length: > 0 } ? usual
        : DateOnly.TryParseExact(text, "yyyy-MM-dd", CultureInfo.InvariantCulture, DateTimeStyles.None, out var day) && day.Year is >= YearMin and <= YearMax ? day
        : null;

    private static OpenAiError NoDay(string name) => OpenAiError.BadRequest($"'{name}' must be a day such as 2026-11-30.", name);
}

/// <summary>What was used in one group of a report.</summary>
/// <param name="Day">Which day; <see langword="null"/> where days are not told apart.</param>
/// <param name="Model">Which model; likewise.</param>
/// <param name="KeyId">Which key; likewise, and empty for jobs without one.</param>
/// <param name="Requests">Answers that were begun.</param>
/// <param name="PromptTokens">Of them.</param>
/// <param name="CompletionTokens">Of them.</param>
/// <param name="CloudTokens">Of both, those from cloud providers.</param>
/// <param name="Cost">What the account paid.</param>
internal sealed record UsageLine(DateOnly? Day, string? Model, string? KeyId, long Requests, long PromptTokens, long CompletionTokens, long CloudTokens, Microcredits Cost);

/// <summary>Reports as CSV that spreadsheets read as what it is.</summary>
internal static class UsageCsv
{
    private const string FormulaStarts = "=+-@\t\r";

    /// <summary>A header, and a line for each group; columns by which the report is not divided are left out.</summary>
    public static string Of(UsageQuery query, IEnumerable<UsageLine> lines)
    {
        var csv = new StringBuilder();
        if (query.Groups.HasFlag(UsageGroups.Day)) csv.Append("date,");
        if (query.Groups.HasFlag(UsageGroups.Model)) csv.Append("model,");
        if (query.Groups.HasFlag(UsageGroups.Key)) csv.Append("key_id,");
        csv.Append("requests,prompt_tokens,completion_tokens,total_tokens,cloud_tokens,cost_microcredits\n");
        foreach (var line in lines)
        {
            if (line.Day is { } day) csv.Append(CultureInfo.InvariantCulture, $"{day:yyyy-MM-dd},");
            if (line.Model is not null) csv.Append(Field(line.Model)).Append(',');
            if (line.KeyId is not null) csv.Append(Field(line.KeyId)).Append(',');
            csv.Append(CultureInfo.InvariantCulture, $"{line.Requests},{line.PromptTokens},{line.CompletionTokens},{line.PromptTokens + line.CompletionTokens},{line.CloudTokens},{line.Cost.Value}\n");
        }
        return csv.ToString();
    }

    /// <summary>A text as RFC 4180 quotes it. Models are named by those who run nodes: what a spreadsheet would take for a formula is kept from that by an apostrophe.</summary>
    public static string Field(string text)
    {
        var safe = text.Length > 0 && FormulaStarts.Contains(text[0], StringComparison.Ordinal) ? "'" + text : text;
        return safe.AsSpan().IndexOfAny(",\"\r\n") < 0 ? safe : $"\"{safe.Replace("\"", "\"\"", StringComparison.Ordinal)}\"";
    }
}
