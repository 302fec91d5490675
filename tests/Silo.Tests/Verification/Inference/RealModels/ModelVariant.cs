using System.Buffers.Binary;
using Federation.NodeAgent.Engines.Builtin.Gguf;

namespace Federation.Silo.Tests.Verification.Inference.RealModels;

/// <summary>Makes dishonest models of an honest one: its F16 matrices rounded to fewer bits, or with noise on them. The file keeps its shape.</summary>
internal static class ModelVariant
{
    private const int BlockLength = 32;

    /// <summary>Rounds each block of 32 weights to the nearest of 2^bits evenly spaced values, as Q8_0, Q5_0 and Q4_0 do but for details of their scales.</summary>
    public static byte[] Quantised(byte[] gguf, int bits)
    {
        var most = (1 << (bits - 1)) - 1;
        return Changed(gguf, block =>
        {
            var scale = block.ToArray().Max(Math.Abs) / most;
            for (var i = 0; i < block.Length && scale > 0; i++) block[i] = MathF.Round(block[i] / scale) * scale;
        });
    }

    /// <summary>Adds normal noise to each weight, in units of its block's root mean square.</summary>
    public static byte[] Noisy(byte[] gguf, double relative, int seed)
    {
        var random = new Random(seed);
        return Changed(gguf, block =>
        {
            var size = relative * Math.Sqrt(block.ToArray().Average(weight => (double)weight * weight));
            for (var i = 0; i < block.Length; i++) block[i] += (float)(size * Math.Sqrt(-2 * Math.Log(1 - random.NextDouble())) * Math.Cos(2 * Math.PI * random.NextDouble()));
        });
    }

    private static byte[] Changed(byte[] gguf, Action<Span<float>> change)
    {
        var file = gguf.ToArray();
        using var stream = new MemoryStream(gguf, writable: false);
        var block = new float[BlockLength];
        foreach (var tensor in GgufFile.Read(stream).Tensors.Values.Where(tensor => tensor.Type == GgufTensorType.F16))
        {
            for (var start = 0L; start < tensor.ElementCount; start += BlockLength)
            {
                var bytes = file.AsSpan((int)(tensor.Position + (2 * start)), 2 * BlockLength);
                for (var i = 0; i < BlockLength; i++) block[i] = (float)BinaryPrimitives.ReadHalfLittleEndian(bytes[(2 * i)..]);
                change(block);
                for (var i = 0; i < BlockLength; i++) BinaryPrimitives.WriteHalfLittleEndian(bytes[(2 * i)..], (Half)block[i]);
            }
        }

        return file;
    }
}
