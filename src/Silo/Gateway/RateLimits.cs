using System.Globalization;
using Federation.Contracts.Accounts;

namespace Federation.Silo.Gateway;

/// <summary>Where a caller stands with its limits, as OpenAI's <c>x-ratelimit-*</c> headers say it.</summary>
/// <param name="Requests">Of the minute; <see langword="null"/> without a limit.</param>
/// <param name="Tokens">Of the day; <see langword="null"/> without a limit.</param>
internal sealed record RateLimits(LimitLevel? Requests, LimitLevel? Tokens)
{
    /// <summary>Those of an admission; <see langword="null"/> when nothing is limited.</summary>
    public static RateLimits? Of(Admission admission) => admission.Requests is null && admission.Tokens is null ? null : new RateLimits(admission.Requests, admission.Tokens);

    /// <summary>Sets the headers.</summary>
    public void WriteTo(HttpResponse response)
    {
        if (Requests is { } requests)
        {
            response.Headers["x-ratelimit-limit-requests"] = requests.Limit.ToString(CultureInfo.InvariantCulture);
            response.Headers["x-ratelimit-remaining-requests"] = requests.Remaining.ToString(CultureInfo.InvariantCulture);
            response.Headers["x-ratelimit-reset-requests"] = Duration(requests.Reset);
        }
        if (Tokens is { } tokens)
        {
            response.Headers["x-ratelimit-limit-tokens"] = tokens.Limit.ToString(CultureInfo.InvariantCulture);
            response.Headers["x-ratelimit-remaining-tokens"] = tokens.Remaining.ToString(CultureInfo.InvariantCulture);
            response.Headers["x-ratelimit-reset-tokens"] = Duration(tokens.Reset);
        }
    }

    /// <summary>A duration in OpenAI's words: <c>250ms</c>, <c>1s</c>, <c>6m0s</c>, <c>7h21m4s</c>. Rounded up, so that nobody comes too early.</summary>
    public static string Duration(TimeSpan time)
    {
        if (time < TimeSpan.FromSeconds(1)) return string.Create(CultureInfo.InvariantCulture, $"{(long)Math.Ceiling(Math.Max(0, time.TotalMilliseconds))}ms");
        var seconds = (long)Math.Ceiling(time.TotalSeconds);
        var (hours, minutes) = (seconds / 3_600, seconds / 60 % 60);
        return hours > 0 ? string.Create(CultureInfo.InvariantCulture, $"{hours}h{minutes}m{seconds % 60}s")
            : minutes > 0 ? string.Create(CultureInfo.InvariantCulture, $"{minutes}m{seconds % 60}s")
            : string.Create(CultureInfo.InvariantCulture, $"{seconds}s");
    }
}
