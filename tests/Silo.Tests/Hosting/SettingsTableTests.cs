using System.Collections;
using System.Globalization;
using System.Text.RegularExpressions;
using Federation.Silo.Hubs;

namespace Federation.Silo.Tests.Hosting;

/// <summary>The README's table of settings against the options they set.</summary>
public sealed partial class SettingsTableTests
{
    private static readonly Dictionary<string, Type> Sections = typeof(HubOptions).Assembly.GetTypes()
        .Where(type => type.GetField("SectionName") is { IsLiteral: true })
        .ToDictionary(type => (string)type.GetField("SectionName")!.GetRawConstantValue()!, StringComparer.Ordinal);

    public static TheoryData<string> Rows => [.. File.ReadLines(Path.Combine(AppContext.BaseDirectory, "README.md"))
        .SkipWhile(line => line != "| setting | default | meaning |").Skip(2).TakeWhile(line => line.StartsWith('|'))];

    [Theory]
    [MemberData(nameof(Rows))]
    public void A_row_names_settings_that_there_are_and_their_defaults(string row)
    {
        var (names, defaults) = row.Split('|') is [_, var first, var second, ..] ? (first.Trim(), second.Trim()) : throw new FormatException(row);
        var settings = SettingName().Matches(names).Select(match => match.Groups).Select(groups => ValueOf(groups["section"].Value, groups["name"].Value)).ToList();
        Assert.NotEmpty(settings);
        // Lists and tables are told in words.
        if (settings.TrueForAll(setting => setting is ICollection)) return;
        var said = defaults.Split(", ");
        if (said.Length == 1) said = [.. settings.Select(_ => defaults)];
        Assert.Equal(settings.Count, said.Length);
        foreach (var (setting, word) in settings.Zip(said))
        {
            if (setting is not ICollection) Assert.True(Says(word, setting), $"{names}: the README says '{word}' and the hub does {setting ?? "nothing"}.");
        }
    }

    private static object? ValueOf(string section, string name)
    {
        Assert.True(Sections.TryGetValue(section, out var options), $"There is no section {section}.");
        var property = options.GetProperty(name);
        Assert.True(property is not null, $"{section} has no setting {name}.");
        return property.GetValue(Activator.CreateInstance(options));
    }

    private static bool Says(string word, object? value) => value switch
    {
        null or "" => word is "–",
        string text => word == text,
        bool flag => word == (flag ? "true" : "false"),
        TimeSpan time => Number(word) is { } seconds && seconds == time.TotalSeconds,
        _ => Number(word) is { } number && number == Convert.ToDouble(value, CultureInfo.InvariantCulture),
    };

    /// <summary>In seconds or bytes, where there is a unit.</summary>
    private static double? Number(string word)
    {
        if (Quantity().Match(word) is not { Success: true, Groups: var groups }) return null;
        return double.Parse(groups["number"].Value.Replace(" ", string.Empty, StringComparison.Ordinal), CultureInfo.InvariantCulture) * groups["unit"].Value switch
        {
            "" or "s" => 1,
            "ms" => 0.001,
            "min" => 60,
            "h" => 3_600,
            "day" or "days" => 86_400,
            "KiB" => 1 << 10,
            "MiB" => 1 << 20,
            "GiB" => 1 << 30,
            var unit => throw new FormatException($"'{unit}' is no unit."),
        };
    }

    [GeneratedRegex("`(?<section>[A-Z]\\w+):(?<name>\\w+)(:NAME)?`")]
    private static partial Regex SettingName();

    [GeneratedRegex(@"^(?<number>\d[\d ]*(\.\d+)?)( (?<unit>[a-zA-Z]+))?$")]
    private static partial Regex Quantity();
}
