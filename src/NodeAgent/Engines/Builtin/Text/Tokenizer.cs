using System.Collections.Frozen;
using System.Collections.Immutable;
using System.Runtime.InteropServices;
using System.Text;
using System.Text.RegularExpressions;
using Federation.NodeAgent.Engines.Builtin.Gguf;

namespace Federation.NodeAgent.Engines.Builtin.Text;

/// <summary>A stretch of a prompt. Only what the template wrote may hold special tokens; in what a user wrote they are text.</summary>
internal readonly record struct PromptPart(string Text, bool IsTemplate);

/// <summary>A byte-level tokenizer of GPT-2's kind, with or without merges. Immutable.</summary>
internal sealed partial class Tokenizer
{
    private const int NormalToken = 1;
    private const int UserDefinedToken = 4;

    private readonly byte[][] _bytes;
    private readonly int[] _byteTokens;
    private readonly BytePairs _pairs;
    private readonly bool _hasMerges;
    private readonly FrozenDictionary<string, int> _specials;
    private readonly int[] _ends;
    private readonly int? _begin;

    private Tokenizer(
        byte[][] bytes, int[] byteTokens, FrozenDictionary<(int, int), (int, int)> merges, FrozenDictionary<string, int> specials, GgufMetadata metadata)
    {
        (_bytes, _byteTokens, _specials) = (bytes, byteTokens, specials);
        _pairs = new BytePairs(merges);
        _hasMerges = merges.Count > 0;
        LongestToken = bytes.Max(token => token.Length);
        Begin = metadata.CountOrNull("tokenizer.ggml.bos_token_id", 0, bytes.Length - 1);
        End = metadata.Count("tokenizer.ggml.eos_token_id", 0, bytes.Length - 1);
        _begin = metadata.Flag("tokenizer.ggml.add_bos_token", otherwise: false) ? Begin : null;
        _ends = metadata.CountOrNull("tokenizer.ggml.eot_token_id", 0, bytes.Length - 1) is { } endOfTurn && endOfTurn != End ? [End, endOfTurn] : [End];
        Silent = [.. Enumerable.Range(0, bytes.Length).Where(token => bytes[token].Length == 0 && !IsEnd(token))];
    }

    public int Count => _bytes.Length;

    /// <summary>Bytes of the longest token: a text of n bytes makes at least n divided by this many tokens.</summary>
    public int LongestToken { get; }

    /// <summary>The token some templates write first.</summary>
    public int? Begin { get; }

    /// <summary>The token that ends an answer.</summary>
    public int End { get; }

    /// <summary>Control tokens that neither say nor end anything. They are the template's: an answer with one in it is a text of which nobody could tell what followed from what.</summary>
    public ImmutableArray<int> Silent { get; }

    public bool IsEnd(int token) => Array.IndexOf(_ends, token) >= 0;

    /// <summary>Of the tokens that end an answer, the likeliest. To whoever reads the answer all of them are the same.</summary>
    public int LikeliestEnd(ReadOnlySpan<float> logits)
    {
        var best = End;
        foreach (var end in _ends)
        {
            if (logits[end] > logits[best]) best = end;
        }

        return best;
    }

    /// <summary>What a token adds to the text; empty for a control token. May be a part of a UTF-8 sequence.</summary>
    public ReadOnlySpan<byte> Bytes(int token) => _bytes[token];

    /// <summary>How the file writes a special token; empty where there is none.</summary>
    public string Written(int? token) => _specials.FirstOrDefault(pair => pair.Value == token).Key ?? "";

    /// <exception cref="GgufFormatException">Another kind of tokenizer, or one that contradicts itself.</exception>
    public static Tokenizer Of(GgufMetadata metadata, int vocabulary)
    {
        Require(metadata, "tokenizer.ggml.model", "gpt2");
        var written = metadata.Texts("tokenizer.ggml.tokens");
        var types = metadata.IntegersOrNull("tokenizer.ggml.token_type") ?? Enumerable.Repeat((long)NormalToken, written.Count).ToArray();
        if (written.Count != vocabulary || types.Count != vocabulary)
        {
            throw new GgufFormatException($"{written.Count} tokens and {types.Count} token types for a vocabulary of {vocabulary}");
        }

        if (metadata.Flag("tokenizer.ggml.add_eos_token", otherwise: false))
        {
            throw new GgufFormatException("tokenizer.ggml.add_eos_token is set; this engine continues texts, it does not end them");
        }

        var ids = new Dictionary<string, int>();
        var specials = new Dictionary<string, int>();
        var bytes = new byte[vocabulary][];
        for (var token = 0; token < vocabulary; token++)
        {
            bytes[token] = types[token] switch
            {
                NormalToken => ByteAlphabet.BytesOf(written[token]) ?? throw new GgufFormatException($"token {token} is not written in bytes"),
                UserDefinedToken => Encoding.UTF8.GetBytes(written[token]),
                _ => [],
            };
            if (!(types[token] == NormalToken ? ids : specials).TryAdd(written[token], token))
            {
                throw new GgufFormatException($"token {token} is written like another");
            }
        }

        specials.Remove("");
        return new Tokenizer(bytes, ByteTokens(ids), Merges(metadata, ids), specials.ToFrozenDictionary(), metadata);
    }

    /// <summary>The tokens of a prompt, the file's begin token first if it wants one.</summary>
    public List<int> Encode(IEnumerable<PromptPart> prompt)
    {
        var tokens = new List<int>();
        var text = new StringBuilder();
        foreach (var part in prompt)
        {
            var rest = part.Text;
            while (part.IsTemplate && FindSpecial(rest) is var (position, special, token))
            {
                text.Append(rest.AsSpan(0, position));
                EncodeText(text, tokens);
                tokens.Add(token);
                rest = rest[(position + special.Length)..];
            }

            // Not encoded yet: a merge may span from the template's words into the user's.
            text.Append(rest);
        }

        EncodeText(text, tokens);
        if (_begin is { } first && (tokens.Count == 0 || tokens[0] != first))
        {
            tokens.Insert(0, first);
        }

        return tokens;
    }

    /// <summary>The tokens of a text in which nothing is special and to which nothing is added.</summary>
    public List<int> EncodeText(string text)
    {
        var tokens = new List<int>();
        EncodeText(new StringBuilder(text), tokens);
        return tokens;
    }

    private void EncodeText(StringBuilder text, List<int> tokens)
    {
        if (text.Length == 0)
        {
            return;
        }

        var whole = text.ToString();
        text.Clear();
        if (!_hasMerges)
        {
            EncodeWord(whole, tokens);
            return;
        }

        foreach (var word in Words().EnumerateMatches(whole))
        {
            EncodeWord(whole.AsSpan(word.Index, word.Length), tokens);
        }
    }

    private void EncodeWord(ReadOnlySpan<char> word, List<int> tokens)
    {
        var start = tokens.Count;
        foreach (var value in Encoding.UTF8.GetBytes(word.ToString()))
        {
            tokens.Add(_byteTokens[value]);
        }

        var length = _pairs.Merge(CollectionsMarshal.AsSpan(tokens)[start..]);
        CollectionsMarshal.SetCount(tokens, start + length);
    }

    private (int Position, string Special, int Token)? FindSpecial(string text)
    {
        (int Position, string Special, int Token)? found = null;
        foreach (var (special, token) in _specials)
        {
            var position = text.IndexOf(special, StringComparison.Ordinal);
            if (position >= 0 && (found is not { } best || position < best.Position || (position == best.Position && special.Length > best.Special.Length)))
            {
                found = (position, special, token);
            }
        }

        return found;
    }

    private static int[] ByteTokens(Dictionary<string, int> ids)
    {
        var tokens = new int[256];
        for (var b = 0; b < 256; b++)
        {
            tokens[b] = ids.TryGetValue(ByteAlphabet.Character((byte)b).ToString(), out var token)
                ? token
                : throw new GgufFormatException($"no token stands for the byte {b}");
        }

        return tokens;
    }

    private static FrozenDictionary<(int, int), (int, int)> Merges(GgufMetadata metadata, Dictionary<string, int> ids)
    {
        var merges = new Dictionary<(int, int), (int, int)>();
        var lines = metadata.Texts("tokenizer.ggml.merges");
        if (lines.Count > 0)
        {
            Require(metadata, "tokenizer.ggml.pre", "gpt-2");
        }

        for (var rank = 0; rank < lines.Count; rank++)
        {
            var pair = lines[rank].Split(' ');
            if (pair.Length != 2 || !ids.TryGetValue(pair[0], out var left) || !ids.TryGetValue(pair[1], out var right)
                || !ids.TryGetValue(pair[0] + pair[1], out var merged))
            {
                throw new GgufFormatException($"merge {rank} does not make a token of two tokens");
            }

            merges.TryAdd((left, right), (rank, merged));
        }

        return merges.ToFrozenDictionary();
    }

    private static void Require(GgufMetadata metadata, string key, string expected)
    {
        var value = metadata.Text(key);
        if (value != expected)
        {
            throw new GgufFormatException($"{key} is {value}; this engine knows {expected}");
        }
    }

    /// <summary>GPT-2's words: what merges never cross.</summary>
    [GeneratedRegex(@"'(?:s|t|re|ve|m|ll|d)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+", RegexOptions.CultureInvariant)]
    private static partial Regex Words();
}
