using System.Diagnostics.CodeAnalysis;
using System.Text.RegularExpressions;

namespace Federation.NodeAgent.Engines.Builtin.Text;

/// <summary>One message of a chat.</summary>
internal sealed record ChatMessage(string Role, string Content);

/// <summary>A chat template asks for something this engine does not know.</summary>
internal sealed class ChatTemplateException(string message) : Exception(message);

/// <summary>
/// The part of Jinja in which plain chat templates are written: one loop over <c>messages</c>, conditions on the role and on
/// <c>add_generation_prompt</c>, and outputs that join texts, the role, the content and the begin and end tokens.
/// </summary>
/// <remarks>A template beyond that is refused when read, not rendered wrongly: its model then completes texts but does not chat.</remarks>
internal sealed class ChatTemplate
{
    private const int LengthMax = 64 << 10;

    private readonly Node _body;

    private ChatTemplate(Node body) => _body = body;

    /// <exception cref="ChatTemplateException">The template uses more of Jinja than this, or is larger than any sensible one.</exception>
    public static ChatTemplate Parse(string source, string beginToken, string endToken)
    {
        if (source.Length > LengthMax)
        {
            throw new ChatTemplateException($"the chat template has {source.Length} characters; this engine reads {LengthMax}");
        }

        try
        {
            return new(new ChatTemplateParser(source, beginToken, endToken).Parse());
        }
        catch (RegexMatchTimeoutException)
        {
            throw new ChatTemplateException("the chat template takes too long to read");
        }
    }

    /// <summary>Writes a chat as a prompt that ends where the assistant's next message begins.</summary>
    /// <param name="messages">The chat.</param>
    /// <param name="unwritten">Index of a message for whose role the template writes nothing: it would silently be lost.</param>
    /// <param name="prompt">What the model reads.</param>
    public bool TryRender(
        IReadOnlyList<ChatMessage> messages, [NotNullWhen(true)] out IReadOnlyList<PromptPart>? prompt, out int unwritten)
    {
        var rendering = new Rendering(messages);
        _body.Write(rendering);
        (prompt, unwritten) = rendering.Unwritten is { } index ? (null, index) : (rendering.Parts, -1);
        return prompt is not null;
    }

    /// <summary>What is being written, and about which message.</summary>
    internal sealed class Rendering(IReadOnlyList<ChatMessage> messages)
    {
        public IReadOnlyList<ChatMessage> Messages { get; } = messages;

        public List<PromptPart> Parts { get; } = [];

        /// <summary>Inside the loop.</summary>
        public ChatMessage? Message { get; set; }

        public int? Unwritten { get; set; }
    }

    /// <summary>Something that writes.</summary>
    internal abstract record Node
    {
        public abstract void Write(Rendering rendering);
    }

    internal sealed record Sequence(IReadOnlyList<Node> Nodes) : Node
    {
        public override void Write(Rendering rendering)
        {
            foreach (var node in Nodes)
            {
                node.Write(rendering);
            }
        }
    }

    internal sealed record Literal(string Text) : Node
    {
        public override void Write(Rendering rendering) => rendering.Parts.Add(new PromptPart(Text, IsTemplate: true));
    }

    internal sealed record MessageField(bool IsRole, bool IsTrimmed) : Node
    {
        public override void Write(Rendering rendering)
        {
            var text = IsRole ? rendering.Message!.Role : rendering.Message!.Content;
            rendering.Parts.Add(new PromptPart(IsTrimmed ? text.Trim() : text, IsTemplate: false));
        }
    }

    internal sealed record Loop(Node Body) : Node
    {
        public override void Write(Rendering rendering)
        {
            for (var i = 0; i < rendering.Messages.Count; i++)
            {
                var before = rendering.Parts.Count;
                rendering.Message = rendering.Messages[i];
                Body.Write(rendering);
                if (!rendering.Parts.Skip(before).Any(part => !part.IsTemplate))
                {
                    rendering.Unwritten ??= i;
                }
            }

            rendering.Message = null;
        }
    }

    internal sealed record Choice(IReadOnlyList<Branch> Branches) : Node
    {
        public override void Write(Rendering rendering) =>
            Branches.FirstOrDefault(branch => branch.Condition(rendering.Message))?.Body.Write(rendering);
    }

    internal sealed record Branch(Func<ChatMessage?, bool> Condition, Node Body);
}

/// <summary>Reads a <see cref="ChatTemplate"/>. Blocks take the newline after them and the blanks before them on their line, as chat templates expect.</summary>
internal sealed partial class ChatTemplateParser
{
    private const int DepthMax = 16;

    private readonly Dictionary<string, string> _constants;
    private readonly List<(bool IsBlock, bool IsText, string Source)> _pieces = [];
    private int _position;
    private string? _loopVariable;

    public ChatTemplateParser(string source, string beginToken, string endToken)
    {
        _constants = new() { ["bos_token"] = beginToken, ["eos_token"] = endToken };

        // As Jinja does: a template file's last newline is not part of the template.
        Cut(source.EndsWith('\n') ? source[..^1] : source);
    }

    public ChatTemplate.Node Parse()
    {
        var body = Sequence(0);
        return _position == _pieces.Count ? body : throw Unknown(_pieces[_position].Source);
    }

    private void Cut(string source)
    {
        var start = 0;
        foreach (Match tag in Tags().Matches(source))
        {
            AddText(source[start..tag.Index]);
            var isBlock = tag.Groups["block"].Success;
            var isComment = tag.Groups["comment"].Success;
            if (!isComment)
            {
                _pieces.Add((isBlock, false, tag.Groups[isBlock ? "block" : "output"].Value.Trim()));
            }

            start = tag.Index + tag.Length;
        }

        AddText(source[start..]);
    }

    private void AddText(string text)
    {
        if (text.Contains("{%", StringComparison.Ordinal) || text.Contains("{{", StringComparison.Ordinal))
        {
            throw Unknown(text);
        }

        if (text.Length > 0)
        {
            _pieces.Add((false, true, text));
        }
    }

    private ChatTemplate.Sequence Sequence(int depth)
    {
        if (depth > DepthMax)
        {
            throw new ChatTemplateException("blocks within blocks are too deep");
        }

        var nodes = new List<ChatTemplate.Node>();
        while (_position < _pieces.Count)
        {
            var (isBlock, isText, source) = _pieces[_position];
            if (isText)
            {
                _position++;
                nodes.Add(new ChatTemplate.Literal(source));
                continue;
            }

            if (!isBlock)
            {
                _position++;
                nodes.Add(Output(source));
                continue;
            }

            var words = Words(source);
            switch (words[0])
            {
                case "for" when words is ["for", var variable, "in", "messages"] && _loopVariable is null:
                    _position++;
                    _loopVariable = variable;
                    nodes.Add(new ChatTemplate.Loop(Sequence(depth + 1)));
                    _loopVariable = null;
                    Expect("endfor");
                    break;
                case "if":
                    nodes.Add(Choice(depth));
                    break;
                default:
                    return new ChatTemplate.Sequence(nodes);
            }
        }

        return new ChatTemplate.Sequence(nodes);
    }

    private ChatTemplate.Choice Choice(int depth)
    {
        var branches = new List<ChatTemplate.Branch>();
        var isLast = false;
        do
        {
            var words = Words(_pieces[_position++].Source);
            isLast = words is ["else"];
            branches.Add(new ChatTemplate.Branch(isLast ? _ => true : Condition(words.AsSpan(1)), Sequence(depth + 1)));
        }
        while (!isLast && _position < _pieces.Count && _pieces[_position].IsBlock && Words(_pieces[_position].Source)[0] is "elif" or "else");
        Expect("endif");
        return new ChatTemplate.Choice(branches);
    }

    /// <summary>A role compared to a text, several such joined by <c>or</c>, or <c>add_generation_prompt</c>, which is always true here.</summary>
    private Func<ChatMessage?, bool> Condition(ReadOnlySpan<string> words)
    {
        if (words is ["add_generation_prompt"])
        {
            return _ => true;
        }

        var roles = new HashSet<string>();
        while (true)
        {
            if (!TryField(ref words, out var isRole) || !isRole || words.Length < 2 || words[0] != "==" || !IsText(words[1]))
            {
                throw Unknown(string.Join(' ', words.ToArray()));
            }

            roles.Add(Unquote(words[1]));
            words = words[2..];
            if (words.IsEmpty)
            {
                return message => roles.Contains(message!.Role);
            }

            if (words[0] != "or")
            {
                throw Unknown(string.Join(' ', words.ToArray()));
            }

            words = words[1..];
        }
    }

    private ChatTemplate.Sequence Output(string source)
    {
        ReadOnlySpan<string> words = Words(source);
        var nodes = new List<ChatTemplate.Node>();
        while (true)
        {
            if (words.IsEmpty)
            {
                throw Unknown(source);
            }

            if (IsText(words[0]))
            {
                nodes.Add(new ChatTemplate.Literal(Unquote(words[0])));
                words = words[1..];
            }
            else if (_constants.TryGetValue(words[0], out var constant))
            {
                nodes.Add(new ChatTemplate.Literal(constant));
                words = words[1..];
            }
            else if (TryField(ref words, out var isRole))
            {
                var isTrimmed = words is ["|", "trim", ..];
                words = isTrimmed ? words[2..] : words;
                nodes.Add(new ChatTemplate.MessageField(isRole, isTrimmed));
            }
            else
            {
                throw Unknown(source);
            }

            if (words.IsEmpty)
            {
                return new ChatTemplate.Sequence(nodes);
            }

            words = words[0] == "+" ? words[1..] : throw Unknown(source);
        }
    }

    /// <summary><c>message['role']</c>, <c>message.content</c> and the like.</summary>
    private bool TryField(ref ReadOnlySpan<string> words, out bool isRole)
    {
        isRole = false;
        if (words.Length < 3 || _loopVariable is null || words[0] != _loopVariable)
        {
            return false;
        }

        var name = words switch
        {
            [_, "[", var key, "]", ..] when IsText(key) => Unquote(key),
            [_, ".", var key, ..] => key,
            _ => null,
        };
        if (name is not ("role" or "content"))
        {
            return false;
        }

        isRole = name == "role";
        words = words[(words[1] == "[" ? 4 : 3)..];
        return true;
    }

    private void Expect(string word)
    {
        if (_position == _pieces.Count || !_pieces[_position].IsBlock || _pieces[_position].Source != word)
        {
            throw new ChatTemplateException($"expected {word}" + (_position < _pieces.Count ? $" before \"{_pieces[_position].Source}\"" : ""));
        }

        _position++;
    }

    private static bool IsText(string word) => word[0] is '\'' or '"';

    private static string Unquote(string word) => Escapes().Replace(word[1..^1], escape => escape.Value[1] switch
    {
        'n' => "\n",
        't' => "\t",
        'r' => "\r",
        '\\' or '\'' or '"' => escape.Value[1..],
        _ => escape.Value,
    });

    private static string[] Words(string source)
    {
        var words = new List<string>();
        var end = 0;
        foreach (Match word in Lexemes().Matches(source))
        {
            if (!string.IsNullOrWhiteSpace(source[end..word.Index]))
            {
                throw Unknown(source);
            }

            words.Add(word.Value);
            end = word.Index + word.Length;
        }

        return words.Count > 0 && string.IsNullOrWhiteSpace(source[end..]) ? [.. words] : throw Unknown(source);
    }

    private static ChatTemplateException Unknown(string source) =>
        new($"the chat template says \"{(source.Length > 80 ? source[..80] + "…" : source)}\", which this engine does not know");

    [GeneratedRegex("""
        (?: \s*\{%- | (?:(?<=^|\n)[\ \t]*)?\{% ) (?<block>.*?) (?: -%\}\s* | %\}\n? )
        | (?: \s*\{\{- | \{\{ ) (?<output>.*?) (?: -\}\}\s* | \}\} )
        | (?: \s*\{\#- | (?:(?<=^|\n)[\ \t]*)?\{\# ) (?<comment>.*?) (?: -\#\}\s* | \#\}\n? )
        """, RegexOptions.IgnorePatternWhitespace | RegexOptions.Singleline | RegexOptions.CultureInvariant, 1000)]
    private static partial Regex Tags();

    [GeneratedRegex("""'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|[A-Za-z_]\w*|==|[\[\].+|]""", RegexOptions.CultureInvariant | RegexOptions.Singleline, 1000)]
    private static partial Regex Lexemes();

    [GeneratedRegex(@"\\.", RegexOptions.CultureInvariant | RegexOptions.Singleline)]
    private static partial Regex Escapes();
}
