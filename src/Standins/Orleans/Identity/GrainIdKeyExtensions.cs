// SPDX-License-Identifier: Apache-2.0
using System.Globalization;

namespace Orleans.Runtime;

/// <summary>How integers and GUIDs are written as grain keys: upper-case hexadecimal, and 32 digits; then <c>+</c> and an extension, if any.</summary>
public static class GrainIdKeyExtensions
{
    private const int GuidDigits = 32;

    /// <summary>The key for an integer.</summary>
    public static IdSpan CreateIntegerKey(long key) => IdSpan.Create(key.ToString("X", CultureInfo.InvariantCulture));

    /// <summary>The key for an integer with an extension; a blank extension is none.</summary>
    public static IdSpan CreateIntegerKey(long key, string? keyExtension) =>
        WithExtension(key.ToString("X", CultureInfo.InvariantCulture), keyExtension);

    /// <summary>The key for a GUID.</summary>
    public static IdSpan CreateGuidKey(Guid key) => IdSpan.Create(key.ToString("N"));

    /// <summary>The key for a GUID with an extension; a blank extension is none.</summary>
    public static IdSpan CreateGuidKey(Guid key, string? keyExtension) => WithExtension(key.ToString("N"), keyExtension);

    /// <summary>The integer in the grain's key and what follows it.</summary>
    /// <returns>False when the key is no integer.</returns>
    public static bool TryGetIntegerKey(this GrainId grainId, out long key, out string? keyExt)
    {
        var (number, extension) = Split(grainId.Key.ToString(), '+');
        keyExt = extension;
        return long.TryParse(number, NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture, out key);
    }

    /// <summary>The integer in the grain's key and what follows it.</summary>
    /// <exception cref="ArgumentException">The key is no integer.</exception>
    public static long GetIntegerKey(this GrainId grainId, out string? keyExt) =>
        grainId.TryGetIntegerKey(out var key, out keyExt)
            ? key
            : throw new ArgumentException($"Value \"{grainId}\" is not in the correct format for an Integer key.", nameof(grainId));

    /// <summary>The integer in the grain's key.</summary>
    /// <exception cref="ArgumentException">The key is no integer.</exception>
    public static long GetIntegerKey(this GrainId grainId) => grainId.GetIntegerKey(out _);

    /// <summary>The GUID in the grain's key and what follows it.</summary>
    /// <returns>False when the key is no GUID.</returns>
    public static bool TryGetGuidKey(this GrainId grainId, out Guid key, out string? keyExt)
    {
        var text = grainId.Key.ToString();
        keyExt = text.Length > GuidDigits && text[GuidDigits] == '+' ? text[(GuidDigits + 1)..] : null;
        return Guid.TryParseExact(keyExt is null ? text : text[..GuidDigits], "N", out key);
    }

    /// <summary>The GUID in the grain's key and what follows it.</summary>
    /// <exception cref="ArgumentException">The key is no GUID.</exception>
    public static Guid GetGuidKey(this GrainId grainId, out string? keyExt) =>
        grainId.TryGetGuidKey(out var key, out keyExt)
            ? key
            : throw new ArgumentException($"Value \"{grainId}\" is not in the correct format for a Guid key.", nameof(grainId));

    /// <summary>The GUID in the grain's key.</summary>
    /// <exception cref="ArgumentException">The key is no GUID.</exception>
    public static Guid GetGuidKey(this GrainId grainId) => grainId.GetGuidKey(out _);

    private static IdSpan WithExtension(string key, string? extension) =>
        IdSpan.Create(string.IsNullOrWhiteSpace(extension) ? key : $"{key}+{extension}");

    private static (string Head, string? Tail) Split(string text, char separator) =>
        text.IndexOf(separator, StringComparison.Ordinal) is >= 0 and var at ? (text[..at], text[(at + 1)..]) : (text, null);
}
