namespace Federation.Silo.Gateway;

/// <summary>A request on its way to its answer, wherever that comes from.</summary>
internal interface IAnswerRun
{
    /// <summary>Completes, and never fails, when what was answered is on record.</summary>
    Task Settled { get; }

    /// <summary>Prompt and completion tokens of what was delivered, once the answer is at its end; before, 0.</summary>
    long DeliveredTokens { get; }

    /// <summary>What they cost, microcredits.</summary>
    long PaidMicrocredits => 0;

    /// <summary>Those of them that came from a cloud.</summary>
    long CloudTokens => 0;

    /// <summary>Answers the request, or says why not.</summary>
    Task ExecuteAsync();
}
