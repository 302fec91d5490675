using System.Collections.Frozen;

namespace Federation.NodeAgent.Engines.Builtin.Gguf;

/// <summary>A file's key-value pairs. Each getter says which key is missing or of the wrong type.</summary>
/// <remarks>Values are boxed as the C# type nearest to the stored one; arrays as <c>object[]</c> of such.</remarks>
internal sealed class GgufMetadata(FrozenDictionary<string, object> values)
{
    public string Text(string key) => Optional<string>(key) ?? throw Missing(key);

    public string? TextOrNull(string key) => Optional<string>(key);

    public bool Flag(string key, bool otherwise) =>
        !values.TryGetValue(key, out var value) ? otherwise : value as bool? ?? throw Wrong(key, value, "a boolean");

    /// <summary>A whole number in the given range, stored in any integer type.</summary>
    public int Count(string key, int min, int max) => CountOrNull(key, min, max) ?? throw Missing(key);

    public int? CountOrNull(string key, int min, int max)
    {
        if (!values.TryGetValue(key, out var value))
        {
            return null;
        }

        var number = Integer(value) ?? throw Wrong(key, value, "a whole number");
        return number >= min && number <= max
            ? (int)number
            : throw new GgufFormatException($"{key} is {number}; this engine takes {min} to {max}");
    }

    /// <summary>A positive, finite number.</summary>
    public float Positive(string key, float? otherwise = null)
    {
        if (!values.TryGetValue(key, out var value))
        {
            return otherwise ?? throw Missing(key);
        }

        var number = value switch
        {
            float single => single,
            double real => (float)real,
            _ => throw Wrong(key, value, "a real number"),
        };
        return float.IsFinite(number) && number > 0 ? number : throw new GgufFormatException($"{key} is {number}; it must be above zero");
    }

    public IReadOnlyList<string> Texts(string key) => Array(key, value => value as string ?? throw Wrong(key, value, "texts"));

    /// <summary>Null where there is no such key.</summary>
    public IReadOnlyList<long>? IntegersOrNull(string key) =>
        values.ContainsKey(key) ? Array(key, value => Integer(value) ?? throw Wrong(key, value, "whole numbers")) : null;

    private T[] Array<T>(string key, Func<object, T> convert)
    {
        if (!values.TryGetValue(key, out var value))
        {
            throw Missing(key);
        }

        return value is object[] array ? System.Array.ConvertAll(array, element => convert(element)) : throw Wrong(key, value, "an array");
    }

    private T? Optional<T>(string key)
        where T : class =>
        !values.TryGetValue(key, out var value) ? null : value as T ?? throw Wrong(key, value, "a text");

    private static long? Integer(object value) => value switch
    {
        byte n => n,
        sbyte n => n,
        ushort n => n,
        short n => n,
        uint n => n,
        int n => n,
        long n => n,
        ulong n when n <= long.MaxValue => (long)n,
        _ => null,
    };

    private static GgufFormatException Missing(string key) => new($"{key} is missing");

    private static GgufFormatException Wrong(string key, object value, string expected) =>
        new($"{key} is {value.GetType().Name}; expected {expected}");
}
