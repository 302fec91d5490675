using System.Text.Json;
using System.Text.Json.Serialization.Metadata;

namespace Federation.NodeAgent.Configuration;

/// <summary>
/// Compares a JSON document with the type it is to become: settings that do not exist, values of the wrong kind. A deserializer
/// stops at the first of these; a person who edits a file wants to hear of all at once.
/// </summary>
internal static class ConfigShape
{
    private const int MaxProblems = 50;

    public static IReadOnlyList<ConfigProblem> Check(JsonElement root, JsonTypeInfo type)
    {
        var problems = new List<ConfigProblem>();
        CheckValue(root, type, "", problems);
        return problems.Count <= MaxProblems
            ? problems
            : [.. problems.Take(MaxProblems), new ConfigProblem("", $"and {problems.Count - MaxProblems} problems more")];
    }

    private static void CheckValue(JsonElement value, JsonTypeInfo type, string path, List<ConfigProblem> problems)
    {
        switch (type.Kind)
        {
            case JsonTypeInfoKind.Object when value.ValueKind == JsonValueKind.Object:
                CheckObject(value, type, path, problems);
                break;

            case JsonTypeInfoKind.Enumerable when value.ValueKind == JsonValueKind.Array:
                JsonTypeInfo elementType = type.Options.GetTypeInfo(type.ElementType!);
                int index = 0;
                foreach (JsonElement element in value.EnumerateArray())
                {
                    CheckValue(element, elementType, $"{path}[{index++}]", problems);
                }

                break;

            default:
                if (!IsOfType(value, type))
                {
                    problems.Add(new ConfigProblem(path, $"must be {Describe(type)}, not {Describe(value)}"));
                }

                break;
        }
    }

    private static void CheckObject(JsonElement value, JsonTypeInfo type, string path, List<ConfigProblem> problems)
    {
        foreach (JsonProperty member in value.EnumerateObject())
        {
            string memberPath = path.Length == 0 ? member.Name : $"{path}.{member.Name}";
            if (type.Properties.FirstOrDefault(property => property.Name == member.Name) is not { } setting)
            {
                problems.Add(new ConfigProblem(memberPath, $"there is no such setting{Suggest(member.Name, type)}"));
            }
            else if (member.Value.ValueKind != JsonValueKind.Null)
            {
                CheckValue(member.Value, type.Options.GetTypeInfo(setting.PropertyType), memberPath, problems);
            }
            else if (!setting.IsSetNullable || Nullable.GetUnderlyingType(setting.PropertyType) is null && setting.PropertyType.IsValueType)
            {
                problems.Add(new ConfigProblem(memberPath, "must not be null; leave the line out to have the default"));
            }
        }
    }

    private static bool IsOfType(JsonElement value, JsonTypeInfo type) => Scalar(type) switch
    {
        ScalarKind.Text => value.ValueKind == JsonValueKind.String,
        ScalarKind.Switch => value.ValueKind is JsonValueKind.True or JsonValueKind.False,
        ScalarKind.WholeNumber => value.ValueKind == JsonValueKind.Number && value.TryGetInt32(out _),
        ScalarKind.Number => value.ValueKind == JsonValueKind.Number && value.TryGetDouble(out double number) && double.IsFinite(number),
        _ => false, // an object or a list that is none
    };

    private static string Describe(JsonTypeInfo type) => Scalar(type) switch
    {
        ScalarKind.Text => "a text in quotes",
        ScalarKind.Switch => "true or false",
        ScalarKind.WholeNumber => "a whole number",
        ScalarKind.Number => "a number",
        _ => type.Kind == JsonTypeInfoKind.Enumerable ? "a list: [ … ]" : "a group of settings: { … }",
    };

    private static string Describe(JsonElement value) => value.ValueKind switch
    {
        JsonValueKind.Object => "a group { … }",
        JsonValueKind.Array => "a list [ … ]",
        JsonValueKind.String => "a text",
        JsonValueKind.Number => value.GetRawText() is { Length: <= 32 } number ? number : "a number as long as that",
        JsonValueKind.Null => "null",
        _ => value.GetRawText(),
    };

    private static ScalarKind Scalar(JsonTypeInfo type)
    {
        Type scalar = Nullable.GetUnderlyingType(type.Type) ?? type.Type;
        return scalar == typeof(string) ? ScalarKind.Text
            : scalar == typeof(bool) ? ScalarKind.Switch
            : scalar == typeof(int) ? ScalarKind.WholeNumber
            : scalar == typeof(double) ? ScalarKind.Number
            : ScalarKind.None;
    }

    private static string Suggest(string name, JsonTypeInfo type)
    {
        string? nearest = type.Properties
            .Where(property => property.Get is not null && Distance(name, property.Name) <= Math.Max(1, property.Name.Length / 3))
            .MinBy(property => Distance(name, property.Name))?.Name;
        return nearest is null
            ? $"; there are {string.Join(", ", type.Properties.Where(property => property.Get is not null).Select(property => property.Name))}"
            : $"; did you mean {nearest}?";
    }

    /// <summary>Levenshtein's: letters to insert, remove or replace.</summary>
    private static int Distance(string from, string to)
    {
        if (Math.Abs(from.Length - to.Length) > to.Length)
        {
            return int.MaxValue;
        }

        int[] previous = [.. Enumerable.Range(0, to.Length + 1)];
        int[] current = new int[previous.Length];
        for (int i = 0; i < from.Length; i++)
        {
            current[0] = i + 1;
            for (int j = 0; j < to.Length; j++)
            {
                int replace = previous[j] + (char.ToLowerInvariant(from[i]) == char.ToLowerInvariant(to[j]) ? 0 : 1);
                current[j + 1] = Math.Min(replace, 1 + Math.Min(previous[j + 1], current[j]));
            }

            (previous, current) = (current, previous);
        }

        return previous[^1];
    }

    private enum ScalarKind
    {
        None,
        Text,
        Switch,
        WholeNumber,
        Number,
    }
}
