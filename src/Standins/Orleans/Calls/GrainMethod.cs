// SPDX-License-Identifier: Apache-2.0
using System.Collections.Concurrent;
using System.Linq.Expressions;
using System.Reflection;
using Orleans.CodeGeneration;
using Orleans.Concurrency;
using Orleans.Runtime;
using Orleans.Streams;

namespace Orleans.Calls;

/// <summary>A method of a grain interface: how its calls are treated, and compiled code that makes them. Built once per method.</summary>
internal abstract class GrainMethod
{
    private static readonly ConcurrentDictionary<MethodInfo, GrainMethod> Known = new();

    private readonly Func<object, object?[], object> _invoke;

    protected GrainMethod(MethodInfo method)
    {
        Method = method;
        Options = OptionsOf(method);
        Timeout = method.GetCustomAttribute<ResponseTimeoutAttribute>()?.Timeout;
        TokenIndex = Array.FindIndex(method.GetParameters(), p => p.ParameterType == typeof(CancellationToken));
        _invoke = Compile(method);
    }

    public MethodInfo Method { get; }

    public InvokeMethodOptions Options { get; }

    /// <summary>How long callers wait; null for the silo's default.</summary>
    public TimeSpan? Timeout { get; }

    /// <summary>Which parameter is the cancellation token; -1 for none.</summary>
    public int TokenIndex { get; }

    public static GrainMethod Of(MethodInfo method) => Known.GetOrAdd(method, static method => Create(method));

    /// <summary>Calls through a reference.</summary>
    /// <returns>What the interface method returns.</returns>
    public abstract object? Call(GrainReference target, object?[] arguments);

    /// <summary>Calls the grain itself.</summary>
    /// <returns>A task, or the method's async enumerable.</returns>
    public object InvokeOn(object instance, object?[] arguments) => _invoke(instance, arguments);

    private static GrainMethod Create(MethodInfo method)
    {
        var type = method.ReturnType;
        if (type == typeof(void))
        {
            return new OneWayMethod(method);
        }

        if (type == typeof(Task))
        {
            return method.IsDefined(typeof(OneWayAttribute)) ? new OneWayMethod(method) : new TaskMethod<object?>(method, static task => task);
        }

        if (type == typeof(ValueTask))
        {
            return method.IsDefined(typeof(OneWayAttribute))
                ? new OneWayMethod(method)
                : new TaskMethod<object?>(method, static task => new ValueTask(task));
        }

        var definition = type.IsGenericType ? type.GetGenericTypeDefinition() : null;
        var generic =
            definition == typeof(Task<>) ? typeof(TaskMethod<>)
            : definition == typeof(ValueTask<>) ? typeof(ValueTaskMethod<>)
            : definition == typeof(IAsyncEnumerable<>) ? typeof(EnumerableMethod<>)
            : throw new NotSupportedException(
                $"{method.DeclaringType}.{method.Name} returns {type}. A grain method returns Task, Task<T>, ValueTask, ValueTask<T>, IAsyncEnumerable<T> or void.");
        return (GrainMethod)Activator.CreateInstance(generic.MakeGenericType(type.GetGenericArguments()), method)!;
    }

    private static InvokeMethodOptions OptionsOf(MethodInfo method) =>
        (method.IsDefined(typeof(OneWayAttribute)) || method.ReturnType == typeof(void) ? InvokeMethodOptions.OneWay : 0)
        | (method.IsDefined(typeof(ReadOnlyAttribute)) ? InvokeMethodOptions.ReadOnly : 0)
        | (method.IsDefined(typeof(AlwaysInterleaveAttribute)) ? InvokeMethodOptions.AlwaysInterleave : 0);

    private static Func<object, object?[], object> Compile(MethodInfo method)
    {
        var instance = Expression.Parameter(typeof(object));
        var arguments = Expression.Parameter(typeof(object?[]));
        var call = (Expression)Expression.Call(
            Expression.Convert(instance, method.DeclaringType!),
            method,
            method.GetParameters().Select((p, i) => Expression.Convert(Expression.ArrayIndex(arguments, Expression.Constant(i)), p.ParameterType)));
        if (method.ReturnType == typeof(void))
        {
            call = Expression.Block(call, Expression.Property(null, typeof(Task), nameof(Task.CompletedTask)));
        }
        else if (method.ReturnType.IsValueType)
        {
            call = Expression.Call(call, nameof(ValueTask.AsTask), null);
        }

        return Expression.Lambda<Func<object, object?[], object>>(Expression.Convert(call, typeof(object)), instance, arguments).Compile();
    }
}

/// <summary>A method whose caller waits for a result, <see cref="object"/> standing for none.</summary>
internal class TaskMethod<TResult>(MethodInfo method, Func<Task<TResult>, object> toReturnType) : GrainMethod(method)
{
    public TaskMethod(MethodInfo method)
        : this(method, static task => task)
    {
    }

    public override object Call(GrainReference target, object?[] arguments) =>
        toReturnType(GrainCall<TResult>.Send(target, this, arguments));
}

/// <summary>A method that returns its result as a value task.</summary>
internal sealed class ValueTaskMethod<TResult>(MethodInfo method) : TaskMethod<TResult>(method, static task => new ValueTask<TResult>(task));

/// <summary>A method whose caller does not wait.</summary>
internal sealed class OneWayMethod(MethodInfo method) : GrainMethod(method)
{
    public override object? Call(GrainReference target, object?[] arguments)
    {
        target.Silo.Send(new OneWayCall(target.GrainId, this, arguments));
        return Method.ReturnType == typeof(void) ? null
            : Method.ReturnType == typeof(ValueTask) ? default(ValueTask)
            : Task.CompletedTask;
    }
}

/// <summary>A method that returns a sequence, fetched in batches while the caller asks for more.</summary>
internal sealed class EnumerableMethod<T>(MethodInfo method) : GrainMethod(method)
{
    public override object Call(GrainReference target, object?[] arguments) => new RemoteEnumerable<T>(target, this, arguments);
}
