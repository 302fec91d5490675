using Federation.TestClock;
using Microsoft.AspNetCore.Hosting;
using Microsoft.Extensions.DependencyInjection;

[assembly: HostingStartup(typeof(ShiftedClockStartup))]

namespace Federation.TestClock;

/// <summary>Gives a host the moved clock before it takes the machine's.</summary>
internal sealed class ShiftedClockStartup : IHostingStartup
{
    public void Configure(IWebHostBuilder builder)
        => builder.ConfigureServices(services => services.AddSingleton<TimeProvider>(new ShiftedTimeProvider(Environment.GetEnvironmentVariable(ShiftedClock.FileVariable)!)));
}
