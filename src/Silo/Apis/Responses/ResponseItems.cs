namespace Federation.Silo.Apis.Responses;

/// <summary>What an answer's output is made of. A message has a part of text and may have one of refusal.</summary>
internal enum ItemKind
{
    Reasoning,
    Text,
    Refusal,
    Call,
}

/// <summary>One item of a response's output.</summary>
/// <param name="Index">Its place in the output.</param>
/// <param name="Kind">Of a message, that of its first part.</param>
/// <param name="Ordinal">Which of the answer's tool calls it is.</param>
internal sealed record ResponseItem(int Index, ItemKind Kind, int Ordinal)
{
    private readonly List<ItemKind> _parts = [];

    /// <summary>Its parts in their order; a call has none.</summary>
    public IReadOnlyList<ItemKind> Parts => _parts;

    /// <summary>Its client has been told that nothing more comes.</summary>
    public bool IsClosed { get; set; }

    public bool IsMessage => Kind is ItemKind.Text or ItemKind.Refusal;

    public int ContentIndex(ItemKind part) => _parts.IndexOf(part);

    /// <summary>Adds a part; <see langword="false"/> when it was there.</summary>
    public bool Add(ItemKind part)
    {
        if (part is ItemKind.Call || _parts.Contains(part)) return false;
        _parts.Add(part);
        return true;
    }
}

/// <summary>The items of a response's output, in the order in which they began.</summary>
internal sealed class ResponseItems
{
    private readonly List<ResponseItem> _all = [];

    public IReadOnlyList<ResponseItem> All => _all;

    /// <summary>The items of an answer that came whole.</summary>
    public static ResponseItems Of(ChatAnswer answer)
    {
        var items = new ResponseItems();
        if (answer.Thought.Length > 0) items.Get(ItemKind.Reasoning, 0);
        // An answer of nothing is a message of nothing.
        if (answer.Text.Length > 0 || (answer.Refusal.Length == 0 && answer.Calls.Count == 0)) items.Get(ItemKind.Text, 0);
        if (answer.Refusal.Length > 0) items.Get(ItemKind.Refusal, 0);
        for (var i = 0; i < answer.Calls.Count; i++) items.Get(ItemKind.Call, i);
        return items;
    }

    /// <summary>The item that a piece belongs to; made where there is none yet.</summary>
    /// <param name="kind">Of the piece.</param>
    /// <param name="ordinal">Which of the tool calls.</param>
    public (ResponseItem Item, bool IsNew, bool IsNewPart) Get(ItemKind kind, int ordinal)
    {
        var known = _all.Find(item => kind is ItemKind.Text or ItemKind.Refusal ? item.IsMessage : item.Kind == kind && item.Ordinal == ordinal);
        var item = known ?? new ResponseItem(_all.Count, kind, ordinal);
        if (known is null) _all.Add(item);
        return (item, known is null, item.Add(kind));
    }
}
