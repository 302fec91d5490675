namespace Federation.NodeAgent.Tests.Hardware;

/// <summary>The files under <c>Recordings</c>.</summary>
internal static class Recording
{
    public static string Text(string name) => File.ReadAllText(Path(name));

    public static string Path(string name) =>
        System.IO.Path.Combine([AppContext.BaseDirectory, "Hardware", "Recordings", .. name.Split('/')]);

    /// <summary>Everything that programs print in any of the recordings, and worse.</summary>
    public static IEnumerable<string> Garbage(int seed)
    {
        yield return "";
        yield return "\0\0\0";
        yield return "{";
        yield return "[]";
        yield return "null";
        yield return "{\"SPDisplaysDataType\":{},\"card0\":[],\"card1\":{\"PCI Bus\":7,\"Unique ID\":null},\"gpu\":7,\"cpu\":[{\"Name\":[]}],\"os\":null}";
        yield return "{\"SPDisplaysDataType\":[{\"spdisplays_vendor\":\"\\ud800 apple\"}],\"card0\":{\"Card Series\":\"\\ud800\"},\"os\":[{\"Caption\":\"\\ud800\"}]}";
        yield return new string('[', 100_000);
        yield return new string(',', 100_000);
        yield return string.Join('\n', Enumerable.Repeat("0,", 10_000));
        yield return "0, a, b, c, 1e308, -1, NaN, Infinity, -5, 101, , ";
        yield return "cpu  99999999999999999999 -1 x\n";
        yield return "processor: -1\nphysical id: \ncore id: \nflags:\nmodel name:\u001b[31m\u0007\n";

        var random = new Random(seed);
        string[] recordings = Directory.GetFiles(Path(""), "*", SearchOption.AllDirectories);
        foreach (string recording in recordings.Order(StringComparer.Ordinal))
        {
            char[] text = File.ReadAllText(recording).ToCharArray();
            yield return new string(text);
            yield return new string(text, 0, text.Length / 2);
            for (int i = 0; i < 20; i++)
            {
                char[] damaged = [.. text];
                for (int j = 0; j < 1 + (damaged.Length / 50); j++)
                {
                    damaged[random.Next(damaged.Length)] = (char)random.Next(0x20, 0x7F);
                }

                yield return new string(damaged);
            }
        }
    }
}
