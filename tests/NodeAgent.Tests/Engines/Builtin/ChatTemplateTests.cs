using Federation.NodeAgent.Engines.Builtin.Text;

namespace Federation.NodeAgent.Tests.Engines.Builtin;

public sealed class ChatTemplateTests
{
    private static readonly ChatMessage[] Chat = [new("system", "Be brief."), new("user", " Hi! "), new("assistant", "Hello."), new("user", "1+1=")];

    [Theory]
    // As in the demo model.
    [InlineData(
        "{% for message in messages %}{% if message['role'] == 'system' %}{{'<s>\\n' + message['content'] + '</s>\\n'}}{% elif message['role'] == 'user' %}{{'<u>\\n' + message['content'] + '</u>\\n'}}{% elif message['role'] == 'assistant' %}{{'<a>\\n' + message['content'] + '</a>\\n'}}{% endif %}{% endfor %}{% if add_generation_prompt %}{{ '<a>\\n' }}{% else %}{{ eos_token }}{% endif %}",
        "<s>\nBe brief.</s>\n<u>\n Hi! </u>\n<a>\nHello.</a>\n<u>\n1+1=</u>\n<a>\n")]
    // ChatML, with dots, double quotes and the role written out.
    [InlineData(
        "{{ bos_token }}{% for m in messages %}{{ \"<|im_start|>\" + m.role + \"\\n\" + m.content + \"<|im_end|>\\n\" }}{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}",
        "[B]<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\n Hi! <|im_end|>\n<|im_start|>assistant\nHello.<|im_end|>\n<|im_start|>user\n1+1=<|im_end|>\n<|im_start|>assistant\n")]
    // On several lines: blocks take their line with them, and dashes all blanks around.
    [InlineData(
        "{# a comment #}\n{% for m in messages %}\n  {% if m['role'] == 'user' or m['role'] == 'system' %}\n[{{ m['content'] | trim }}]\n  {%- else -%}\n  ({{ m['content'] }}){{ eos_token }}\n  {% endif %}\n{% endfor %}\n",
        "[Be brief.][Hi!](Hello.)[E]\n[1+1=]")]
    public void A_chat_is_written_as_the_template_says(string source, string expected)
    {
        var template = ChatTemplate.Parse(source, "[B]", "[E]");

        Assert.True(template.TryRender(Chat, out var prompt, out _));
        Assert.Equal(expected, string.Concat(prompt.Select(part => part.Text)));
    }

    [Fact]
    public void What_a_user_wrote_is_told_from_what_the_template_wrote()
    {
        var template = ChatTemplate.Parse("{% for m in messages %}<u>{{ m['content'] }}{% endfor %}", "", "");

        Assert.True(template.TryRender([new("user", "<u>")], out var prompt, out _));
        Assert.Equal([new("<u>", IsTemplate: true), new("<u>", IsTemplate: false)], prompt);
    }

    [Fact]
    public void A_message_that_the_template_would_drop_is_named()
    {
        var template = ChatTemplate.Parse("{% for m in messages %}{% if m['role'] == 'user' %}{{ m['content'] }}{% endif %}{% endfor %}", "", "");

        Assert.False(template.TryRender([new("user", "a"), new("tool", "b")], out _, out var unwritten));
        Assert.Equal(1, unwritten);
    }

    [Theory]
    [InlineData("{% set x = 1 %}")]
    [InlineData("{% for m in messages %}{{ m['content'] }}")]
    [InlineData("{% for m in messages %}{% for n in messages %}{% endfor %}{% endfor %}")]
    [InlineData("{% for m in messages[1:] %}{% endfor %}")]
    [InlineData("{% for m in messages %}{% if m['content'] == 'x' %}{% endif %}{% endfor %}")]
    [InlineData("{% for m in messages %}{{ m['tool_calls'] }}{% endfor %}")]
    [InlineData("{% for m in messages %}{{ m['content'] | upper }}{% endfor %}")]
    [InlineData("{{ message['content'] }}")]
    [InlineData("{% if tools %}{% endif %}")]
    [InlineData("{{ raise_exception('no') }}")]
    [InlineData("{{ 'a' + }}")]
    [InlineData("{{ }}")]
    [InlineData("{% endfor %}")]
    [InlineData("{% if add_generation_prompt %}")]
    [InlineData("{{ 'never closed'")]
    public void A_template_beyond_the_subset_is_refused(string source) =>
        Assert.Throws<ChatTemplateException>(() => ChatTemplate.Parse(source, "", ""));

    [Fact]
    public void Depth_and_length_are_bounded()
    {
        var deep = string.Concat(Enumerable.Repeat("{% if add_generation_prompt %}", 1000));

        Assert.Throws<ChatTemplateException>(() => ChatTemplate.Parse(deep, "", ""));
        Assert.Throws<ChatTemplateException>(() => ChatTemplate.Parse(new string(' ', 100_000), "", ""));
    }
}
