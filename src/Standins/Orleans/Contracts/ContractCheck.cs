// SPDX-License-Identifier: Apache-2.0
using System.Reflection;
using System.Text;
using Orleans.Activations;
using Orleans.Runtime;

namespace Orleans.Contracts;

/// <summary>
/// Checks at start-up that every value in a grain interface could travel between silos and is safe to share within one. The engine copies
/// arguments and results that are not immutable; here nothing is copied, so nothing that can change may pass.
/// </summary>
internal sealed class ContractCheck
{
    private readonly SortedDictionary<string, SortedSet<string>> _complaints = new(StringComparer.Ordinal);
    private readonly HashSet<Type> _seenInterfaces = [];

    /// <summary>Checks interfaces, and those of the observers and grains in their signatures.</summary>
    /// <exception cref="OrleansConfigurationException">Names every type that may not pass, why, and the methods it is in.</exception>
    public static void Run(IEnumerable<Type> interfaces)
    {
        var check = new ContractCheck();
        foreach (var type in interfaces)
        {
            check.Visit(type);
        }

        check.ThrowIfAny();
    }

    private void Visit(Type grainInterface)
    {
        if (!GrainInterface.IsGrainInterface(grainInterface) || !_seenInterfaces.Add(grainInterface))
        {
            return;
        }

        foreach (var method in grainInterface.GetMethods(BindingFlags.Instance | BindingFlags.Public))
        {
            foreach (var parameter in method.GetParameters())
            {
                if (parameter.ParameterType != typeof(CancellationToken))
                {
                    Visit(parameter.ParameterType, parameter, method);
                }
            }

            if (ResultOf(method) is { } result)
            {
                Visit(result, method.ReturnParameter, method);
            }
        }
    }

    private void Visit(Type type, ParameterInfo place, MethodInfo method)
    {
        if (typeof(IAddressable).IsAssignableFrom(type))
        {
            Visit(type);
        }

        var complaint = TravelRules.WhyNotSerializable(type)
            ?? (place.IsDefined(typeof(ImmutableAttribute), inherit: false) ? null : TravelRules.WhyNotShareable(type));
        if (complaint is null)
        {
            return;
        }

        if (!_complaints.TryGetValue(complaint, out var methods))
        {
            _complaints.Add(complaint, methods = new SortedSet<string>(StringComparer.Ordinal));
        }

        methods.Add($"{method.DeclaringType!.FullName}.{method.Name}");
    }

    private static Type? ResultOf(MethodInfo method) => method.ReturnType.IsGenericType ? method.ReturnType.GetGenericArguments()[0] : null;

    private void ThrowIfAny()
    {
        if (_complaints.Count == 0)
        {
            return;
        }

        var message = new StringBuilder("Grain interfaces have types in their signatures that cannot travel:");
        foreach (var (complaint, methods) in _complaints)
        {
            message.AppendLine().Append("  ").Append(complaint).Append(" In: ").AppendJoin(", ", methods);
        }

        throw new OrleansConfigurationException(message.ToString());
    }
}
