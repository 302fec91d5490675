// SPDX-License-Identifier: Apache-2.0
using System.Collections.Concurrent;
using System.Reflection;
using Orleans.Runtime;

namespace Orleans.Activations;

/// <summary>The grain classes of the process, found in every assembly that refers to this one.</summary>
internal sealed class GrainClasses
{
    private readonly Dictionary<GrainType, GrainClass> _byType = [];
    private readonly ConcurrentDictionary<(Type Interface, string? Prefix), GrainClass> _byInterface = new();

    public GrainClasses()
    {
        foreach (var type in ApplicationAssemblies().SelectMany(LoadableTypes).Where(IsGrainClass))
        {
            var found = new GrainClass(type);
            if (!_byType.TryAdd(found.GrainType, found))
            {
                throw new OrleansConfigurationException(
                    $"Grain classes {_byType[found.GrainType].Type.FullName} and {type.FullName} have the same grain type {found.GrainType}. Mark one with [GrainType].");
            }
        }
    }

    public IEnumerable<GrainClass> All => _byType.Values;

    public GrainClass? Find(GrainType type) => _byType.GetValueOrDefault(type);

    /// <summary>The class that implements an interface.</summary>
    /// <exception cref="ArgumentException">None does, or several do.</exception>
    public GrainClass Implementing(Type grainInterface, string? classNamePrefix) =>
        _byInterface.GetOrAdd((grainInterface, classNamePrefix), Resolve);

    private GrainClass Resolve((Type Interface, string? Prefix) key)
    {
        var candidates = _byType.Values
            .Where(c => key.Interface.IsAssignableFrom(c.Type))
            .Where(c => string.IsNullOrEmpty(key.Prefix) || c.Type.FullName!.StartsWith(key.Prefix, StringComparison.Ordinal))
            .ToList();
        if (candidates.Count > 1 && candidates.Where(c => IsNamedAfter(c.Type, key.Interface)).ToList() is [var primary])
        {
            return primary;
        }

        return candidates switch
        {
            [var only] => only,
            [] => throw new ArgumentException($"Could not find an implementation for interface {key.Interface.FullName}"),
            _ => throw new ArgumentException(
                $"Unable to identify a single appropriate grain type for interface {key.Interface.FullName}. Candidates: {string.Join(", ", candidates.Select(c => c.GrainType))}"),
        };
    }

    private static bool IsNamedAfter(Type type, Type grainInterface) =>
        grainInterface.Name is ['I', .. var rest] && rest == type.Name;

    private static bool IsGrainClass(Type type) =>
        type is { IsClass: true, IsAbstract: false, IsGenericTypeDefinition: false }
        && (typeof(IGrainBase).IsAssignableFrom(type) || typeof(IGrain).IsAssignableFrom(type))
        && !typeof(GrainReference).IsAssignableFrom(type);

    private static HashSet<Assembly> ApplicationAssemblies()
    {
        var engine = typeof(GrainClasses).Assembly;
        var seen = new HashSet<Assembly>();
        var toSee = new Queue<Assembly>(AppDomain.CurrentDomain.GetAssemblies());
        while (toSee.TryDequeue(out var assembly))
        {
            if (assembly.IsDynamic || IsFramework(assembly.GetName()) || !seen.Add(assembly))
            {
                continue;
            }

            foreach (var name in assembly.GetReferencedAssemblies().Where(name => !IsFramework(name)))
            {
                if (TryLoad(name) is { } referenced)
                {
                    toSee.Enqueue(referenced);
                }
            }
        }

        seen.RemoveWhere(assembly => !assembly.GetReferencedAssemblies().Any(name => name.Name == engine.GetName().Name));
        return seen;
    }

    private static Assembly? TryLoad(AssemblyName name)
    {
        try
        {
            return Assembly.Load(name);
        }
        catch (Exception absent) when (absent is FileNotFoundException or FileLoadException or BadImageFormatException)
        {
            // A reference that is not deployed holds no grains that could run.
            return null;
        }
    }

    private static IEnumerable<Type> LoadableTypes(Assembly assembly)
    {
        try
        {
            return assembly.GetTypes();
        }
        catch (ReflectionTypeLoadException partly)
        {
            return partly.Types.OfType<Type>();
        }
    }

    private static bool IsFramework(AssemblyName name) =>
        name.Name is null or "mscorlib" or "netstandard" or "WindowsBase"
        || name.Name.StartsWith("System.", StringComparison.Ordinal) || name.Name == "System"
        || name.Name.StartsWith("Microsoft.", StringComparison.Ordinal);
}
