namespace Federation.Silo.Nodes;

/// <summary>A new token: <see cref="Text"/> is shown once.</summary>
internal sealed record JoinToken(string Text, string AccountId, DateTimeOffset ExpiresAt);

/// <summary>What became of an attempt to use a token.</summary>
/// <param name="Status">Whether it was good.</param>
/// <param name="AccountId">The account that owns the node from now on; <see langword="null"/> unless the token was good.</param>
internal sealed record JoinTokenRedemption(JoinTokenStatus Status, string? AccountId);

/// <summary>Whether a token can be used.</summary>
internal enum JoinTokenStatus
{
    /// <summary>It was good, and is used now.</summary>
    Redeemed,

    /// <summary>There is no such token.</summary>
    Unknown,

    /// <summary>Another node used it.</summary>
    Used,

    /// <summary>Its time has passed.</summary>
    Expired,
}
