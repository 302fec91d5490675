using System.Buffers.Binary;
using System.Collections.Immutable;
using System.Runtime.InteropServices;
using Federation.NodeAgent.Engines.Builtin.Gguf;

namespace Federation.NodeAgent.Engines.Builtin.Llama;

/// <summary>The weights of a llama model, in memory. Immutable; any number of <see cref="LlamaSession"/>s share it.</summary>
internal sealed class LlamaModel
{
    private LlamaModel(LlamaShape shape, Matrix embedding, Matrix output, float[] outputNorm, ImmutableArray<Layer> layers) =>
        (Shape, Embedding, Output, OutputNorm, Layers, Rotation) = (shape, embedding, output, outputNorm, layers, Frequencies(shape));

    public LlamaShape Shape { get; }

    public Matrix Embedding { get; }

    /// <summary>The embedding itself where the file ties them.</summary>
    public Matrix Output { get; }

    public float[] OutputNorm { get; }

    public ImmutableArray<Layer> Layers { get; }

    /// <summary>Radians per position for each rotated pair.</summary>
    public double[] Rotation { get; }

    /// <summary>Reads all weights. Takes as long as the file is large; F16 doubles in memory, Q8_0 does not.</summary>
    /// <exception cref="GgufFormatException">A tensor is missing, of the wrong shape, or one that this engine does not know.</exception>
    /// <exception cref="IOException">The file cannot be read.</exception>
    public static LlamaModel Load(GgufFile gguf, Stream file, CancellationToken cancellationToken)
    {
        var shape = LlamaShape.Of(gguf.Metadata);
        var weights = new Weights(gguf, file, cancellationToken);
        var embedding = weights.Matrix("token_embd.weight", shape.Vocabulary, shape.Width);
        var output = weights.Has("output.weight") ? weights.Matrix("output.weight", shape.Vocabulary, shape.Width) : embedding;
        var outputNorm = weights.Vector("output_norm.weight", shape.Width);
        var layers = ImmutableArray.CreateBuilder<Layer>();
        for (var i = 0; i < shape.Layers; i++)
        {
            layers.Add(new Layer(
                weights.Vector($"blk.{i}.attn_norm.weight", shape.Width),
                weights.Matrix($"blk.{i}.attn_q.weight", shape.QueryWidth, shape.Width),
                weights.Matrix($"blk.{i}.attn_k.weight", shape.KeyWidth, shape.Width),
                weights.Matrix($"blk.{i}.attn_v.weight", shape.KeyWidth, shape.Width),
                weights.Matrix($"blk.{i}.attn_output.weight", shape.Width, shape.QueryWidth),
                weights.Vector($"blk.{i}.ffn_norm.weight", shape.Width),
                weights.Matrix($"blk.{i}.ffn_gate.weight", shape.FeedForward, shape.Width),
                weights.Matrix($"blk.{i}.ffn_up.weight", shape.FeedForward, shape.Width),
                weights.Matrix($"blk.{i}.ffn_down.weight", shape.Width, shape.FeedForward)));
        }

        weights.RequireAllUsed();
        return new LlamaModel(shape, embedding, output, outputNorm, layers.ToImmutable());
    }

    private static double[] Frequencies(LlamaShape shape)
    {
        var frequencies = new double[shape.RotatedSize / 2];
        for (var pair = 0; pair < frequencies.Length; pair++)
        {
            frequencies[pair] = Math.Pow(shape.RotationBase, -2.0 * pair / shape.RotatedSize);
        }

        return frequencies;
    }

    /// <summary>One block.</summary>
    internal sealed record Layer(
        float[] AttentionNorm,
        Matrix Query,
        Matrix Key,
        Matrix Value,
        Matrix AttentionOutput,
        float[] FeedForwardNorm,
        Matrix Gate,
        Matrix Up,
        Matrix Down);

    /// <summary>Takes tensors out of the file by name and shape, and knows which were taken.</summary>
    private sealed class Weights(GgufFile gguf, Stream file, CancellationToken cancellationToken)
    {
        private readonly HashSet<string> _used = [];

        public bool Has(string name) => gguf.Tensors.ContainsKey(name);

        public float[] Vector(string name, int length) => Floats(Tensor(name, length));

        public Matrix Matrix(string name, int rows, int columns)
        {
            var tensor = Tensor(name, columns, rows);
            return tensor.Type == GgufTensorType.Q8_0 ? Quantised(tensor, rows, columns) : new FloatMatrix(rows, columns, Floats(tensor));
        }

        /// <summary>A tensor nobody asked for (a bias, say) would change the answers if it were left out.</summary>
        public void RequireAllUsed()
        {
            if (gguf.Tensors.Keys.FirstOrDefault(name => !_used.Contains(name)) is { } unknown)
            {
                throw new GgufFormatException($"tensor {unknown} is none of a plain llama model; this engine would answer wrongly without it");
            }
        }

        private GgufTensor Tensor(string name, params ReadOnlySpan<long> dimensions)
        {
            cancellationToken.ThrowIfCancellationRequested();
            if (!gguf.Tensors.TryGetValue(name, out var tensor))
            {
                throw new GgufFormatException($"tensor {name} is missing");
            }

            if (!tensor.Dimensions.AsSpan().SequenceEqual(dimensions))
            {
                throw new GgufFormatException(
                    $"tensor {name} is {string.Join('×', tensor.Dimensions)}; the hyperparameters say {string.Join('×', dimensions.ToArray())}");
            }

            _used.Add(name);
            return tensor;
        }

        private float[] Floats(GgufTensor tensor)
        {
            if (tensor.Type == GgufTensorType.Q8_0)
            {
                throw new GgufFormatException($"tensor {tensor.Name} is Q8_0; vectors are F32 or F16");
            }

            var values = new float[tensor.ElementCount];
            if (tensor.Type == GgufTensorType.F32 && BitConverter.IsLittleEndian)
            {
                Read(tensor, MemoryMarshal.AsBytes(values.AsSpan()));
                return values;
            }

            var bytesEach = tensor.Type == GgufTensorType.F32 ? 4 : 2;
            InPieces(tensor, bytesEach, (piece, start) =>
            {
                var target = values.AsSpan(start, piece.Length / bytesEach);
                for (var i = 0; i < target.Length; i++)
                {
                    target[i] = bytesEach == 4
                        ? BinaryPrimitives.ReadSingleLittleEndian(piece[(4 * i)..])
                        : (float)BinaryPrimitives.ReadHalfLittleEndian(piece[(2 * i)..]);
                }
            });
            return values;
        }

        private Q8Matrix Quantised(GgufTensor tensor, int rows, int columns)
        {
            var quants = new sbyte[tensor.ElementCount];
            var scales = new float[tensor.ElementCount / GgufTensor.BlockLength];
            InPieces(tensor, GgufTensor.BlockBytes, (piece, start) =>
            {
                for (var block = start; !piece.IsEmpty; block++, piece = piece[GgufTensor.BlockBytes..])
                {
                    scales[block] = (float)BinaryPrimitives.ReadHalfLittleEndian(piece);
                    MemoryMarshal.Cast<byte, sbyte>(piece.Slice(2, GgufTensor.BlockLength)).CopyTo(quants.AsSpan(block * GgufTensor.BlockLength));
                }
            });
            return new Q8Matrix(rows, columns, quants, scales);
        }

        private void Read(GgufTensor tensor, Span<byte> bytes)
        {
            file.Position = tensor.Position;
            file.ReadExactly(bytes);
        }

        /// <summary>Gives a tensor's bytes in pieces of whole items, with the index of each piece's first item.</summary>
        private void InPieces(GgufTensor tensor, int bytesEach, Piece take)
        {
            var buffer = new byte[Math.Min(tensor.SizeBytes, bytesEach * 8192)];
            file.Position = tensor.Position;
            for (long done = 0; done < tensor.SizeBytes;)
            {
                var piece = buffer.AsSpan(0, (int)Math.Min(buffer.Length, tensor.SizeBytes - done));
                file.ReadExactly(piece);
                take(piece, (int)(done / bytesEach));
                done += piece.Length;
            }
        }

        private delegate void Piece(ReadOnlySpan<byte> bytes, int firstItem);
    }
}
