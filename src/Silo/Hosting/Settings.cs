using System.Collections;
using System.Collections.Frozen;
using System.Globalization;
using System.Reflection;
using System.Text.RegularExpressions;
using Microsoft.Extensions.Options;

namespace Federation.Silo.Hosting;

/// <summary>A section of the configuration, the options that are read from it, and what their validator says of it.</summary>
internal sealed record SettingsSection(string Name, Type Options, Func<IConfigurationSection, ValidateOptionsResult> Validate)
{
    public static SettingsSection Of<TOptions, TValidator>(string name)
        where TOptions : class, new()
        where TValidator : IValidateOptions<TOptions>, new()
        => new(name, typeof(TOptions), section =>
        {
            var options = new TOptions();
            Settings.Bind(section, options);
            return new TValidator().Validate(null, options);
        });
}

/// <summary>Finds everything that is wrong with the hub's settings before anything is made of them, so that one start names it all.</summary>
internal static partial class Settings
{
    private static readonly FrozenSet<string> FrameworkNames = FrozenSet.Create(
        StringComparer.OrdinalIgnoreCase,
        "Logging", "Kestrel", "AllowedHosts", "Orleans", "Urls", "http_ports", "https_ports", "https_port", "Environment", "ApplicationName", "ContentRoot", "WebRoot", "DetailedErrors", "ShutdownTimeoutSeconds", "$schema");

    /// <summary>Names that no setting has, values that cannot be read and values that are out of bounds; each under the name it is set by.</summary>
    public static IEnumerable<string> Problems(IEnumerable<SettingsSection> sections, IConfiguration configuration)
        => sections.SelectMany(section => Problems(section, configuration.GetSection(section.Name)));

    /// <summary>What a file of settings has at its top that nobody reads; names of the framework are its own business.</summary>
    /// <param name="sections">The hub's.</param>
    /// <param name="file">Nothing but the file: among environment variables anything may be.</param>
    public static IEnumerable<string> UnknownSections(IEnumerable<SettingsSection> sections, IConfiguration file)
    {
        var known = sections.Select(section => section.Name).Order(StringComparer.Ordinal).ToList();
        return file.GetChildren().Select(child => child.Key).Where(name => !known.Contains(name, StringComparer.OrdinalIgnoreCase) && !FrameworkNames.Contains(name))
            .Select(name => $"{name} is not a section of settings; there are: {string.Join(", ", known)}.");
    }

    /// <summary>Reads a section. A list that is set takes the place of its default; the binder alone would add to it.</summary>
    public static void Bind(IConfigurationSection section, object options)
    {
        foreach (var property in options.GetType().GetProperties())
        {
            if (property.GetValue(options) is IList { IsReadOnly: false } list && section.GetSection(property.Name).GetChildren().Any()) list.Clear();
        }
        section.Bind(options);
        foreach (var property in options.GetType().GetProperties())
        {
            if (property.GetValue(options) is Dictionary<string, long> numbers) BindNumbers(section.GetSection(property.Name), numbers);
        }
    }

    /// <summary>Names of models and digests have colons, which the configuration takes for levels: whatever has a value below the section is an entry.</summary>
    /// <exception cref="InvalidOperationException">A value is no whole number.</exception>
    private static void BindNumbers(IConfigurationSection section, Dictionary<string, long> numbers)
    {
        var entries = section.AsEnumerable(makePathsRelative: true).Where(entry => entry.Value is not null).ToList();
        if (entries.Count == 0) return;
        numbers.Clear();
        foreach (var (name, value) in entries)
        {
            if (!long.TryParse(value, NumberStyles.None, CultureInfo.InvariantCulture, out var number)) throw new InvalidOperationException($"'{value}' of {name} is not a whole number.");
            numbers[name] = number;
        }
    }

    private static IEnumerable<string> Problems(SettingsSection section, IConfigurationSection settings)
    {
        if (settings.GetChildren().Select(setting => WhyUnreadable(section.Options, setting)).OfType<string>().ToList() is { Count: > 0 } unreadable) return unreadable;
        return section.Validate(settings) is { Failed: true, Failures: var failures } ? failures.Select(problem => AnnotatedField().Replace(problem, $"{section.Name}:$1 ")) : [];
    }

    private static string? WhyUnreadable(Type options, IConfigurationSection setting)
    {
        var properties = options.GetProperties(BindingFlags.Public | BindingFlags.Instance).Where(property => property.SetMethod is { IsPublic: true }).ToList();
        if (properties.FirstOrDefault(property => property.Name.Equals(setting.Key, StringComparison.OrdinalIgnoreCase)) is not { } property)
            return $"{setting.Path} is not a setting; there are: {string.Join(", ", properties.Select(known => known.Name).Order(StringComparer.Ordinal))}.";
        if (WhyNoDictionary(property.PropertyType, setting) is { } wrong) return wrong;
        try
        {
            // Each by itself: the binder stops at the first value of a section that it cannot read.
            if (property.PropertyType == typeof(Dictionary<string, long>)) BindNumbers(setting, []);
            else setting.Get(property.PropertyType);
            return null;
        }
        catch (InvalidOperationException exception)
        {
            return property.PropertyType == typeof(TimeSpan) ? $"{setting.Path}: '{setting.Value}' is not a duration; write hours:minutes:seconds, such as 00:00:30." : $"{setting.Path}: {exception.Message}";
        }
    }

    /// <summary>The binder passes over a key that is no name of the enum, and over a single value where there should be one a name.</summary>
    private static string? WhyNoDictionary(Type type, IConfigurationSection setting)
    {
        if (!type.IsGenericType || type.GetGenericTypeDefinition() != typeof(Dictionary<,>) || type.GetGenericArguments()[0] is not { IsEnum: true } names) return null;
        var known = string.Join(", ", Enum.GetNames(names));
        if (setting.Value is not null) return $"{setting.Path}: give a value for each of those it is for: {known}.";
        return setting.GetChildren().FirstOrDefault(child => !Enum.GetNames(names).Contains(child.Key, StringComparer.OrdinalIgnoreCase)) is { } child ? $"{child.Path} is not a setting; there are: {known}." : null;
    }

    // How the validators that are generated from annotations begin.
    [GeneratedRegex(@"^\w+: The field \w+\.(\w+) ")]
    private static partial Regex AnnotatedField();
}
