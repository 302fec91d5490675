namespace Federation.Silo.Verification.Audits;

/// <summary>
/// Which of the shapes that clients ask in a canary may have: only what several accounts have done, each by itself. Where clients are few, one of them could else ask in a manner, or with a number, that
/// nobody else has, and his friend's node would know the canaries by it. Pure.
/// </summary>
internal static class CommonShapes
{
    /// <summary>
    /// A shape whose manner at least <see cref="CanaryOptions.ShapeAccounts"/> accounts have asked in; <see langword="null"/> when there is none. A number in it that fewer have asked with is replaced.
    /// </summary>
    /// <param name="asked">How some requests looked, and who asked.</param>
    /// <param name="options">How many accounts are enough.</param>
    /// <param name="random">Unpredictable to nodes.</param>
    public static RequestShape? Draw(IReadOnlyCollection<(string AccountId, RequestShape Shape)> asked, CanaryOptions options, Random random)
    {
        var manners = Common(asked.Select(one => (one.AccountId, one.Shape.Manner)), options.ShapeAccounts);
        var numbers = Common(asked.SelectMany(one => one.Shape.Fields.Where(field => field.IsNumber).Select(field => (one.AccountId, (field.Name, field.Raw)))), options.ShapeAccounts);
        return OfAny(
            asked.Where(one => manners.Contains(one.Shape.Manner))
                .Select(one => (one.AccountId, Shape: one.Shape.WithNumbers(field => numbers.Contains((field.Name, field.Raw)), options, random)))
                .Where(one => one.Shape is not null),
            random);
    }

    /// <summary>The same of requests for vectors, whose numbers are of their manner.</summary>
    public static EmbeddingShape? Draw(IReadOnlyCollection<(string AccountId, EmbeddingShape Shape)> asked, CanaryOptions options, Random random)
    {
        var manners = Common(asked.Select(one => (one.AccountId, one.Shape.Manner)), options.ShapeAccounts);
        return OfAny(asked.Where(one => manners.Contains(one.Shape.Manner)), random);
    }

    /// <summary>Each account has the same chance.</summary>
    private static T? OfAny<T>(IEnumerable<(string AccountId, T Shape)> usable, Random random)
    {
        var accounts = usable.GroupBy(one => one.AccountId, one => one.Shape, StringComparer.Ordinal).Select(account => account.ToArray()).ToArray();
        if (accounts.Length == 0) return default;
        var shapes = accounts[random.Next(accounts.Length)];
        return shapes[random.Next(shapes.Length)];
    }

    /// <summary>What at least so many accounts have.</summary>
    private static HashSet<T> Common<T>(IEnumerable<(string AccountId, T Thing)> things, int accounts)
        => [.. things.Distinct().GroupBy(one => one.Thing).Where(one => one.Count() >= accounts).Select(one => one.Key)];
}
