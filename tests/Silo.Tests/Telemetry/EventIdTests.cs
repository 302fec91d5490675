using System.Reflection;
using Federation.Silo.Telemetry;
using Microsoft.Extensions.Logging;

namespace Federation.Silo.Tests.Telemetry;

public sealed class EventIdTests
{
    [Fact]
    public void An_events_id_is_one_messages_alone()
    {
        const BindingFlags any = BindingFlags.Public | BindingFlags.NonPublic | BindingFlags.Instance | BindingFlags.Static | BindingFlags.DeclaredOnly;
        var messages = typeof(RequestLog).Assembly.GetTypes().SelectMany(type => type.GetMethods(any))
            .Where(method => method.IsDefined(typeof(LoggerMessageAttribute)))
            .ToLookup(method => method.GetCustomAttribute<LoggerMessageAttribute>()!.EventId, method => $"{method.DeclaringType!.Name}.{method.Name}");
        Assert.NotEmpty(messages);
        Assert.Empty(messages.Where(same => same.Count() > 1).Select(same => $"{same.Key}: {string.Join(", ", same)}"));
    }
}
