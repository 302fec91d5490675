// SPDX-License-Identifier: Apache-2.0
using System.Collections.Concurrent;
using System.Collections.Immutable;
using System.Net;
using System.Numerics;
using System.Reflection;
using Orleans.Runtime;

namespace Orleans.Contracts;

/// <summary>Which types the engine can write to a wire, and which of them can be shared because they never change.</summary>
internal static class TravelRules
{
    private static readonly HashSet<Type> Values =
    [
        typeof(string), typeof(decimal), typeof(Half), typeof(Int128), typeof(UInt128), typeof(BigInteger), typeof(Guid), typeof(Uri), typeof(Version),
        typeof(DateTime), typeof(DateTimeOffset), typeof(DateOnly), typeof(TimeOnly), typeof(TimeSpan), typeof(IPAddress), typeof(IPEndPoint),
    ];

    private static readonly HashSet<Type> ImmutableCollections =
    [
        typeof(ImmutableArray<>), typeof(ImmutableList<>), typeof(ImmutableHashSet<>), typeof(ImmutableSortedSet<>), typeof(ImmutableQueue<>),
        typeof(ImmutableStack<>), typeof(ImmutableDictionary<,>), typeof(ImmutableSortedDictionary<,>), typeof(KeyValuePair<,>), typeof(Nullable<>),
    ];

    private static readonly HashSet<Type> MutableCollections =
    [
        typeof(List<>), typeof(HashSet<>), typeof(SortedSet<>), typeof(Queue<>), typeof(Stack<>), typeof(LinkedList<>), typeof(Dictionary<,>),
        typeof(SortedDictionary<,>), typeof(SortedList<,>), typeof(Memory<>), typeof(ReadOnlyMemory<>), typeof(ArraySegment<>),
    ];

    private static readonly ConcurrentDictionary<Type, string?> NotSerializable = new();

    /// <summary>Why a value of the type cannot be written to a wire; null when it can.</summary>
    public static string? WhyNotSerializable(Type type) =>
        NotSerializable.TryGetValue(type, out var known) ? known : NotSerializable.GetOrAdd(type, WhyNotSerializable(type, []));

    /// <summary>Why a value of the type, which can be written to a wire, must not be shared; null when it may.</summary>
    public static string? WhyNotShareable(Type type)
    {
        if (IsValue(type) || IsOpen(type) || typeof(IAddressable).IsAssignableFrom(type) || type.IsDefined(typeof(ImmutableAttribute), inherit: false))
        {
            return null;
        }

        if (IsTuple(type) || IsGenericOf(type, ImmutableCollections))
        {
            return type.GetGenericArguments().Select(WhyNotShareable).FirstOrDefault(why => why is not null);
        }

        return type.IsDefined(typeof(GenerateSerializerAttribute), inherit: false)
            ? $"{type} is not marked [Immutable]."
            : $"{type} can change after it was passed. Use an immutable collection, or mark the parameter [Immutable] and keep that promise.";
    }

    /// <summary>Whether an exception of the type would reach a caller in another silo as it is.</summary>
    public static bool ExceptionTravels(Type exception) =>
        exception.IsDefined(typeof(GenerateSerializerAttribute), inherit: false)
        || exception.Namespace is { } name
        && (name == "System" || name.StartsWith("System.", StringComparison.Ordinal) || name.StartsWith("Microsoft.", StringComparison.Ordinal));

    private static string? WhyNotSerializable(Type type, HashSet<Type> path)
    {
        if (IsValue(type) || IsOpen(type) || (type.IsInterface && typeof(IAddressable).IsAssignableFrom(type)) || !path.Add(type))
        {
            return null;
        }

        if (type.IsArray)
        {
            return WhyNotSerializable(type.GetElementType()!, path);
        }

        if (IsTuple(type) || IsGenericOf(type, ImmutableCollections) || IsGenericOf(type, MutableCollections))
        {
            return type.GetGenericArguments().Select(argument => WhyNotSerializable(argument, path)).FirstOrDefault(why => why is not null);
        }

        if (!type.IsDefined(typeof(GenerateSerializerAttribute), inherit: false))
        {
            return $"{type} has no serializer: it is not marked [GenerateSerializer].";
        }

        foreach (var (name, memberType) in Members(type))
        {
            if (WhyNotSerializable(memberType, path) is { } why)
            {
                return $"{type} has a member {name} that cannot travel: {why}";
            }
        }

        return null;
    }

    private static IEnumerable<(string Name, Type Type)> Members(Type type)
    {
        const BindingFlags all = BindingFlags.Instance | BindingFlags.Public | BindingFlags.NonPublic | BindingFlags.DeclaredOnly;
        for (var declaring = type; declaring is not null && declaring != typeof(object); declaring = declaring.BaseType)
        {
            foreach (var property in declaring.GetProperties(all).Where(p => p.IsDefined(typeof(IdAttribute))))
            {
                yield return (property.Name, property.PropertyType);
            }

            foreach (var field in declaring.GetFields(all).Where(f => f.IsDefined(typeof(IdAttribute))))
            {
                yield return (field.Name, field.FieldType);
            }
        }
    }

    private static bool IsValue(Type type) => type.IsPrimitive || type.IsEnum || Values.Contains(type);

    private static bool IsOpen(Type type) => type.IsGenericParameter || type.ContainsGenericParameters;

    private static bool IsTuple(Type type) =>
        type.IsGenericType && typeof(System.Runtime.CompilerServices.ITuple).IsAssignableFrom(type) && type.Namespace == "System";

    private static bool IsGenericOf(Type type, HashSet<Type> definitions) => type.IsGenericType && definitions.Contains(type.GetGenericTypeDefinition());
}
