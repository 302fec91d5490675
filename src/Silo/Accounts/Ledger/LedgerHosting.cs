using Microsoft.Extensions.DependencyInjection.Extensions;
using Microsoft.Extensions.Options;

namespace Federation.Silo.Accounts.Ledger;

/// <summary>Puts the ledger into a host.</summary>
public static class LedgerHosting
{
    /// <summary>Adds <see cref="ILedger"/> on the hub's database, and the expiry of holds. Needs <c>AddStorage</c>.</summary>
    public static IHostApplicationBuilder AddLedger(this IHostApplicationBuilder builder)
    {
        ArgumentNullException.ThrowIfNull(builder);
        builder.Services.AddOptions<LedgerOptions>().BindConfiguration(LedgerOptions.SectionName).ValidateOnStart();
        builder.Services.TryAddEnumerable(ServiceDescriptor.Singleton<IValidateOptions<LedgerOptions>, LedgerOptionsValidator>());
        builder.Services.AddMetrics();
        builder.Services.TryAddSingleton(TimeProvider.System);
        builder.Services.TryAddSingleton<LedgerInstruments>();
        builder.Services.TryAddSingleton<ILedger, SqlLedger>();
        builder.Services.AddHostedService<HoldExpiry>();
        return builder;
    }
}
