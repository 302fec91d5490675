using System.Collections.Frozen;
using System.Globalization;
using System.Text;

namespace Federation.Silo.Verification.Audits;

/// <summary>Words for canaries: a small grammar with more sentences than anybody can list, each with fresh names and numbers.</summary>
internal static class CanaryText
{
    private const int WordLettersMin = 4;
    private const int WordLettersMax = 9;

    /// <summary>Below this a message is a short question.</summary>
    private const int ShortCharacters = 60;

    // No rule leads back to itself.
    private static readonly FrozenDictionary<string, string[]> Rules = new Dictionary<string, string[]>(StringComparer.Ordinal)
    {
        ["ask"] =
        [
            "{task} {topic}{manner}", "{politely} {task} {topic}{manner}", "{task} {topic} to {person}{manner}", "I am {person}. {task} {topic}{manner}",
            "What would {person} say about {topic}? {closing}", "Why does {topic} matter to {person}? {closing}", "Compare {topic} with {topic}{manner}",
            "Write {form} about {topic}{manner}", "Write {form} in which {person} meets {person} at {place}.", "Give me {number} ideas for {topic}. {closing}",
            "My {thing} is called {word}. Suggest names for its parts and say why.", "{word} has {number} {things} and gives {number} of them to {word}. {sum}",
            "Translate into {language}: \"{background}\"", "Correct this sentence if it needs it: \"{background}\"", "Continue the story: {background} {background}",
            "Summarise in two sentences: {background} {background} {background}", "Is it true that {claim}? {closing}", "How do I {job} at {place}? {closing}",
            "Write a function in {code} that takes {things} and returns {result}.", "What is wrong with this plan: first {job}, then {job}, and at last {job}?",
            "Make a table of {number} {things} with their {quality} and their {quality}.", "List the steps to {job}{manner}",
        ],
        ["short"] = ["{number} times {number}?", "Define {topic}.", "What rhymes with {word}?", "{language} for {thing}?", "Who would {job}?", "Name a {quality} of {topic}.", "{number}+{number}="],
        ["task"] = ["Explain", "Describe", "Summarise what is known about", "Tell me about", "List arguments for and against", "Outline", "Discuss", "Give an introduction to", "Give an example of", "Write a quiz on"],
        ["politely"] = ["Please", "Hi!", "Hello,", "Quick question:", "For my course:", "Could you help me?", "Thanks in advance."],
        ["topic"] =
        [
            "queues in {place}", "the {quality} of {things}", "{things} in winter", "how {things} are made", "a {thing} named {word}", "the year {year} in {place}", "trade between {place} and {place}",
            "{code} for beginners", "keeping {things} at home", "the history of the {thing}", "sleep", "compound interest", "version control", "the water cycle", "bread", "chess openings", "caching", "tides",
            "public speaking", "the project {word}", "learning {language}", "{number} {things} on a shelf",
        ],
        ["manner"] = [".", ".", " in {number} sentences.", " in plain words.", " as a list.", " for a child.", ", briefly.", ", with an example.", " in the style of {person}.", ". {closing}"],
        ["closing"] = ["Keep it short.", "Think about it step by step.", "Give reasons.", "Answer in one paragraph.", "Be specific.", "Mention {word}.", "No lists, please."],
        ["form"] = ["a letter", "a poem", "a short story", "a dialogue", "an e-mail", "a product description", "a speech", "a review", "a recipe", "minutes of a meeting"],
        ["person"] = ["{word}", "a teacher", "a nurse", "my neighbour {word}", "a new colleague", "a gardener", "an engineer", "the mayor of {word}", "a child of {number}", "a historian"],
        ["place"] = ["{word}", "the library", "the harbour of {word}", "a small office", "the market", "the station", "a kitchen", "room {number}"],
        ["thing"] = ["bicycle", "garden", "bakery", "server", "piano", "notebook", "river", "bridge", "shop", "camera", "kettle", "school"],
        ["things"] = ["bicycles", "tomatoes", "servers", "letters", "bridges", "books", "coins", "birds", "tickets", "files", "loaves", "numbers", "lamps"],
        ["quality"] = ["price", "weight", "colour", "age", "usefulness", "history", "size", "sound"],
        ["job"] = ["plant {number} trees", "repair a {thing}", "sort {things}", "move to {place}", "plan a week", "set up a {thing}", "learn {language}", "save {number} a month", "clean a {thing}"],
        ["claim"] = ["{things} are older than {things}", "the {thing} was invented in {year}", "{place} has more {things} than {place}", "nobody can {job} in a day"],
        ["sum"] = ["How many are left?", "Who has more?", "Show how you count."],
        ["language"] = ["French", "German", "Spanish", "Italian", "Portuguese", "Dutch", "Polish"],
        ["code"] = ["Python", "C#", "JavaScript", "Go", "Rust", "SQL", "Java"],
        ["result"] = ["their sum", "the longest one", "them in reverse", "a histogram", "the median", "true if any is {number}"],
        ["background"] =
        [
            "{word} sold {number} {things} on Monday and {number} on Tuesday.", "The {thing} at {place} has been closed since {year}.", "Nobody in {place} knew why {word} kept {number} {things}.",
            "A {thing} needs more {quality} than most people think.", "When it rained, {word} went to {place} to {job}.", "The report names {number} {things} and leaves out their {quality}.",
            "After {number} days the {things} were gone.", "{word} and {word} disagree about the {quality} of {things}.", "It was {year}, and {place} was full of {things}.",
        ],
        ["system"] =
        [
            "You are {word}, a helpful assistant.", "You are a careful assistant who answers in plain words.", "You help customers of {word} with {things}.", "Answer in {number} sentences at most.",
            "You are an expert on {things}. Be precise.", "You write for {person}.", "Never mention {things}.", "If you do not know, say so.", "Today is day {number} of {year}.",
        ],
    }.ToFrozenDictionary(StringComparer.Ordinal);

    /// <summary>A question of about this many characters; a template of the operator's instead, where there is one.</summary>
    public static string Question(int characters, string? template, Random random)
        => template is not null ? Fill(template, random) : Pad(Fill(characters < ShortCharacters ? "{short}" : "{ask}", random), "background", characters, random);

    /// <summary>What a system message of about this many characters says.</summary>
    public static string Instruction(int characters, Random random) => Pad(Fill("{system}", random), "system", characters, random);

    /// <summary>What was said earlier, in about this many characters.</summary>
    public static string Statement(int characters, Random random) => Pad(Fill("{background}", random), "background", characters, random);

    /// <summary>Fills the slots of a template: <c>{word}</c>, <c>{number}</c> and the grammar's; other braces stay.</summary>
    public static string Fill(string template, Random random)
    {
        var text = new StringBuilder(template.Length * 2);
        Append(text, template, random);
        return text.ToString();
    }

    private static void Append(StringBuilder text, string template, Random random)
    {
        var rest = template.AsSpan();
        while (rest.IndexOf('{') is >= 0 and var open)
        {
            text.Append(rest[..open]);
            rest = rest[open..];
            if (rest.IndexOf('}') is > 0 and var close && TryAppendSlot(text, rest[1..close].ToString(), random)) rest = rest[(close + 1)..];
            else
            {
                text.Append('{');
                rest = rest[1..];
            }
        }
        text.Append(rest);
    }

    private static bool TryAppendSlot(StringBuilder text, string name, Random random)
    {
        switch (name)
        {
            case "word":
                AppendWord(text, random);
                return true;
            case "number":
                text.Append(CultureInfo.InvariantCulture, $"{random.Next(2, random.Next(2) == 0 ? 20 : 1_000)}");
                return true;
            case "year":
                text.Append(CultureInfo.InvariantCulture, $"{random.Next(1650, 2030)}");
                return true;
            default:
                if (!Rules.TryGetValue(name, out var choices)) return false;
                Append(text, choices[random.Next(choices.Length)], random);
                return true;
        }
    }

    private static string Pad(string text, string rule, int characters, Random random)
    {
        // The question comes first or last, as with people.
        var isFirst = random.Next(2) == 0;
        var padded = new StringBuilder(text);
        while (padded.Length < characters)
        {
            var more = Fill($"{{{rule}}}", random);
            // Never so much too long that the length gives it away.
            if (padded.Length + more.Length > characters + ShortCharacters) break;
            if (isFirst) padded.Append(' ').Append(more);
            else padded.Insert(0, ' ').Insert(0, more);
        }
        return padded.ToString();
    }

    private static void AppendWord(StringBuilder text, Random random)
    {
        var letters = random.Next(WordLettersMin, WordLettersMax + 1);
        for (var i = 0; i < letters; i++)
        {
            var letter = i % 2 == 0 ? "bcdfghklmnprstvz"[random.Next(16)] : "aeiou"[random.Next(5)];
            text.Append(i == 0 ? char.ToUpperInvariant(letter) : letter);
        }
    }
}
