using System.Collections.Concurrent;
using System.Collections.Immutable;
using System.Reflection;

namespace Federation.Silo.Storage;

/// <summary>
/// One write as data, so that many of them can travel together: a statement of SQL that both databases understand, and its
/// parameters.
/// </summary>
public sealed class SqlStatement
{
    private static readonly ConcurrentDictionary<Type, ImmutableArray<PropertyInfo>> Properties = new();

    /// <summary>Creates a statement.</summary>
    /// <param name="text">One statement, its parameters written <c>@Name</c>.</param>
    /// <param name="parameters">
    /// An object whose properties are the parameters, usually anonymous; each a <see cref="string"/>, <see cref="long"/>,
    /// <see cref="int"/>, array of <see cref="byte"/>, or null.
    /// </param>
    /// <exception cref="ArgumentException">A property is of another type.</exception>
    public SqlStatement(string text, object parameters)
    {
        ArgumentException.ThrowIfNullOrWhiteSpace(text);
        ArgumentNullException.ThrowIfNull(parameters);
        Text = text;
        Parameters = Read(parameters);
    }

    /// <summary>The SQL.</summary>
    public string Text { get; }

    /// <summary>Names without the @, and values that both databases take as they are.</summary>
    internal ImmutableArray<(string Name, object Value)> Parameters { get; }

    private static ImmutableArray<(string, object)> Read(object parameters)
    {
        var properties = Properties.GetOrAdd(parameters.GetType(), static type => [.. type.GetProperties()]);
        var values = ImmutableArray.CreateBuilder<(string, object)>(properties.Length);
        foreach (var property in properties)
            values.Add((property.Name, Portable(property.Name, property.GetValue(parameters))));
        return values.MoveToImmutable();
    }

    // SQLite would take almost anything and store it its own way; only what both databases store alike may pass.
    private static object Portable(string name, object? value) => value switch
    {
        null => DBNull.Value,
        string or long or byte[] => value,
        int number => (long)number,
        _ => throw new ArgumentException($"Parameter {name} is a {value.GetType().Name}; write it as string, long or bytes.", nameof(value)),
    };
}
