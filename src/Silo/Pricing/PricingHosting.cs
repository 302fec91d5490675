namespace Federation.Silo.Pricing;

/// <summary>Puts prices and payments into a host.</summary>
internal static class PricingHosting
{
    /// <summary>Adds what the gateway and the grains need; the options are validated where all are.</summary>
    public static void AddPricing(this IServiceCollection services)
    {
        services.AddSingleton<PriceList>();
        services.AddSingleton<Payments>();
    }
}
