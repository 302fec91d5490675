// SPDX-License-Identifier: Apache-2.0
using System.Reflection;
using System.Runtime.CompilerServices;

namespace Orleans.Storage;

/// <summary>Copies an object and all that it reaches, field by field; values that cannot change are shared.</summary>
internal static class DeepCopy
{
    public static object? Of(object? value) => Of(value, new Dictionary<object, object>(ReferenceEqualityComparer.Instance));

    private static object? Of(object? value, Dictionary<object, object> copies)
    {
        if (value is null || CannotChange(value.GetType()))
        {
            return value;
        }

        if (copies.TryGetValue(value, out var known))
        {
            return known;
        }

        return value is Array array ? OfArray(array, copies) : OfFields(value, copies);
    }

    private static Array OfArray(Array array, Dictionary<object, object> copies)
    {
        var copy = (Array)array.Clone();
        copies.Add(array, copy);
        if (!CannotChange(array.GetType().GetElementType()!) && array.Rank == 1)
        {
            for (var i = 0; i < copy.Length; i++)
            {
                copy.SetValue(Of(copy.GetValue(i), copies), i);
            }
        }

        return copy;
    }

    private static object OfFields(object value, Dictionary<object, object> copies)
    {
        var type = value.GetType();
        var copy = RuntimeHelpers.GetUninitializedObject(type);
        if (!type.IsValueType)
        {
            copies.Add(value, copy);
        }

        for (var declaring = type; declaring is not null; declaring = declaring.BaseType)
        {
            foreach (var field in declaring.GetFields(BindingFlags.Instance | BindingFlags.Public | BindingFlags.NonPublic | BindingFlags.DeclaredOnly))
            {
                field.SetValue(copy, Of(field.GetValue(value), copies));
            }
        }

        return copy;
    }

    private static bool CannotChange(Type type) =>
        type.IsPrimitive || type.IsEnum || type == typeof(string) || type == typeof(decimal) || type == typeof(DateTime) || type == typeof(DateTimeOffset)
        || type == typeof(TimeSpan) || type == typeof(Guid) || type == typeof(Uri) || type == typeof(Version)
        || typeof(Delegate).IsAssignableFrom(type) || typeof(MemberInfo).IsAssignableFrom(type)
        || type.Namespace is "System.Collections.Immutable" || IsComparer(type)
        || type.IsDefined(typeof(ImmutableAttribute), inherit: false);

    // Comparers are shared: collections recognise the well-known ones by reference.
    private static bool IsComparer(Type type) => type.GetInterfaces().Any(i =>
        i.IsGenericType && (i.GetGenericTypeDefinition() == typeof(IEqualityComparer<>) || i.GetGenericTypeDefinition() == typeof(IComparer<>)));
}
