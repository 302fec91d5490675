using System.Collections.Concurrent;
using System.Net;
using System.Net.Sockets;

namespace Federation.Silo.Accounts;

/// <summary>
/// Addresses from which keys come that open nothing, counted for a minute. Whoever sends too many of them hears so, and has what it sends looked up behind others of its kind. Nobody is shut out: an address may be a
/// proxy's, with many behind it whose keys are right.
/// </summary>
/// <param name="options">How many are too many, and how many addresses are counted.</param>
/// <param name="time">By which a minute is measured.</param>
internal sealed class WrongKeys(ApiKeyOptions options, TimeProvider time)
{
    private const int Ipv6NetworkBytes = 8;

    private static readonly TimeSpan Period = TimeSpan.FromMinutes(1);

    private readonly ConcurrentDictionary<IPAddress, Count> _counts = new();

    /// <summary>Addresses that are counted now.</summary>
    public int Addresses => _counts.Count;

    /// <summary>Whether too many came from there lately.</summary>
    /// <param name="from">The address; <see langword="null"/> where the connection has none.</param>
    public bool IsSuspect(IPAddress? from)
        => options.WrongPerMinute > 0 && from is not null && _counts.TryGetValue(NetworkOf(from), out var count) && count.Wrong >= options.WrongPerMinute && time.GetElapsedTime(count.Since) < Period;

    /// <summary>Counts one that opened nothing.</summary>
    /// <param name="from">The address; <see langword="null"/> where the connection has none.</param>
    /// <returns>How long until the address begins anew, where these were too many; else <see langword="null"/>.</returns>
    public TimeSpan? Note(IPAddress? from)
    {
        if (options.WrongPerMinute == 0 || from is null) return null;
        var now = time.GetTimestamp();
        if (_counts.Count >= options.MaxWrongAddresses) Forget();
        var count = _counts.AddOrUpdate(NetworkOf(from), _ => new Count(now, 1), (_, before) => time.GetElapsedTime(before.Since, now) < Period ? before with { Wrong = before.Wrong + 1 } : new Count(now, 1));
        return count.Wrong > options.WrongPerMinute ? Period - time.GetElapsedTime(count.Since, now) : null;
    }

    /// <summary>What is over; where there is too much all the same, everything: whoever has so many addresses is not held up by any count.</summary>
    private void Forget()
    {
        foreach (var over in _counts.Where(entry => time.GetElapsedTime(entry.Value.Since) >= Period)) _counts.TryRemove(over);
        if (_counts.Count >= options.MaxWrongAddresses) _counts.Clear();
    }

    /// <summary>Of IPv6 everybody has a network of addresses.</summary>
    private static IPAddress NetworkOf(IPAddress address)
    {
        if (address.IsIPv4MappedToIPv6) return address.MapToIPv4();
        if (address.AddressFamily is not AddressFamily.InterNetworkV6) return address;
        var bytes = address.GetAddressBytes();
        bytes.AsSpan(Ipv6NetworkBytes).Clear();
        return new IPAddress(bytes);
    }

    /// <param name="Since">When the first came; a timestamp.</param>
    /// <param name="Wrong">How many since.</param>
    private readonly record struct Count(long Since, long Wrong);
}
