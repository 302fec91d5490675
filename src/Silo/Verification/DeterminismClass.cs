using Federation.Contracts.Nodes;

namespace Federation.Silo.Verification;

/// <summary>Where audits of the same work compare: as far as is known of a lease today, the weights.</summary>
internal static class DeterminismClass
{
    /// <summary>Of work with this model.</summary>
    public static string Of(ModelReport model) => Of(model.Digest, model.Name);

    /// <inheritdoc cref="Of(ModelReport)"/>
    public static string Of(string digest, string name) => digest.Length > 0 ? digest : name;
}
