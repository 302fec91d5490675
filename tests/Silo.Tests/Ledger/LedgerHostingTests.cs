using Federation.Silo.Accounts.Ledger;
using Federation.Silo.Storage;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Options;

namespace Federation.Silo.Tests.Ledger;

public sealed class LedgerHostingTests : IDisposable
{
    private readonly string _directory = Directory.CreateTempSubdirectory("federation-test-").FullName;

    [Fact]
    public async Task Host_has_its_schema_before_anything_else_starts_and_keeps_its_books_over_a_restart()
    {
        var ann = LedgerAccountId.Available("ann");
        using (var first = Host())
        {
            await first.StartAsync();
            var ledger = first.Services.GetRequiredService<ILedger>();
            await ledger.OpenAsync(ann);
            await ledger.SubmitAsync(Transfer.Post(TransferId.Of("grant"), LedgerAccountId.Treasury, ann, new(5), TransferReason.Grant));
            await first.StopAsync();
        }

        using var second = Host();
        await second.StartAsync();
        Assert.Equal(5, (await second.Services.GetRequiredService<ILedger>().GetAccountAsync(ann))!.Available.Value);
        await second.StopAsync();
    }

    [Theory]
    [InlineData("Ledger:BatchMax", "0")]
    [InlineData("Ledger:ExpiryPeriod", "02:00:00")]
    [InlineData("Storage:ConnectionsMax", "1")]
    public async Task Host_with_an_option_out_of_range_does_not_start_and_says_which(string option, string value)
    {
        using var host = Host((option, value));

        var refusal = await Assert.ThrowsAsync<OptionsValidationException>(() => host.StartAsync());

        Assert.Contains(option.Split(':')[1], refusal.Message, StringComparison.Ordinal);
    }

    public void Dispose() => Directory.Delete(_directory, recursive: true);

    private IHost Host(params (string Key, string Value)[] settings)
    {
        var builder = Microsoft.Extensions.Hosting.Host.CreateEmptyApplicationBuilder(null);
        builder.Configuration.AddInMemoryCollection(
            settings.Append((Key: "Storage:DataDirectory", Value: _directory)).Select(pair => KeyValuePair.Create(pair.Key, (string?)pair.Value)));
        builder.AddStorage().AddLedger();
        return builder.Build();
    }
}
