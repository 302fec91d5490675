using System.Runtime.CompilerServices;

namespace Federation.NodeAgent.Engines.Builtin.Llama;

/// <summary>One text being read and continued: its place in the model's memory and the buffers to think in. Not thread-safe.</summary>
internal sealed class LlamaSession
{
    /// <summary>Tokens of a prompt that are read together: the weights are fetched once for all of them.</summary>
    public const int BatchMax = 32;

    private const int GrowthMin = 64;

    private readonly LlamaModel model;
    private readonly LlamaShape shape;
    private readonly int contextMax;
    private readonly float[][] keys;
    private readonly float[][] values;
    private readonly float[] cosines;
    private readonly float[] sines;
    private Buffers buffers;
    private int capacity;
    private float[] logits = [];
    private int logitsLength;

    /// <param name="model">The weights.</param>
    /// <param name="contextMax">Tokens the session may hold; memory is taken as they come.</param>
    public LlamaSession(LlamaModel model, int contextMax)
    {
        this.model = model;
        this.contextMax = contextMax;
        shape = model.Shape;
        keys = new float[shape.Layers][];
        values = new float[shape.Layers][];
        Array.Fill(keys, []);
        Array.Fill(values, []);
        cosines = new float[shape.RotatedSize / 2 * BatchMax];
        sines = new float[cosines.Length];
        buffers = new Buffers(shape, 1);
    }

    /// <summary>Tokens read so far.</summary>
    public int Length { get; private set; }

    /// <summary>Forgets everything after the first <paramref name="length"/> tokens.</summary>
    public void Rewind(int length)
    {
        ArgumentOutOfRangeException.ThrowIfGreaterThan(length, Length);
        Length = length;
    }

    /// <summary>After the last call of <see cref="Read"/> or <see cref="ReadAll"/>; good until the next.</summary>
    public ReadOnlySpan<float> Logits => logits.AsSpan(0, logitsLength);

    /// <summary>Reads tokens, at most <see cref="BatchMax"/>. <see cref="Logits"/> are then those after the last one.</summary>
    public void Read(ReadOnlySpan<int> tokens)
    {
        Think(tokens);
        WorkOutLogits(buffers.State.AsSpan((tokens.Length - 1) * shape.Width, shape.Width), 1);
    }

    /// <summary>As <see cref="Read"/>, with the logits after each token, one row of the vocabulary's length after another.</summary>
    public void ReadAll(ReadOnlySpan<int> tokens)
    {
        Think(tokens);
        WorkOutLogits(buffers.State.AsSpan(0, tokens.Length * shape.Width), tokens.Length);
    }

    private void WorkOutLogits(ReadOnlySpan<float> states, int count)
    {
        var normal = buffers.Normal.AsSpan(0, count * shape.Width);
        Normalise(states, model.OutputNorm, normal);
        logitsLength = count * shape.Vocabulary;
        if (logits.Length < logitsLength)
        {
            logits = new float[logitsLength];
        }

        model.Output.Multiply(normal, count, logits.AsSpan(0, logitsLength));
    }

    private void Think(ReadOnlySpan<int> tokens)
    {
        var batch = tokens.Length;
        ArgumentOutOfRangeException.ThrowIfZero(batch);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(batch, BatchMax);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(Length + batch, contextMax);
        EnsureRoom(batch);
        Turn(batch);

        var b = buffers;
        var state = b.State.AsSpan(0, batch * shape.Width);
        var normal = b.Normal.AsSpan(0, batch * shape.Width);
        var query = b.Query.AsSpan(0, batch * shape.QueryWidth);
        var attended = b.Attended.AsSpan(0, batch * shape.QueryWidth);
        var gate = b.Gate.AsSpan(0, batch * shape.FeedForward);
        var up = b.Up.AsSpan(0, batch * shape.FeedForward);
        for (var i = 0; i < batch; i++)
        {
            model.Embedding.CopyRow(tokens[i], state.Slice(i * shape.Width, shape.Width));
        }

        for (var i = 0; i < shape.Layers; i++)
        {
            var layer = model.Layers[i];
            var key = keys[i].AsSpan(Length * shape.KeyWidth, batch * shape.KeyWidth);
            var value = values[i].AsSpan(Length * shape.KeyWidth, batch * shape.KeyWidth);

            Normalise(state, layer.AttentionNorm, normal);
            layer.Query.Multiply(normal, batch, query);
            layer.Key.Multiply(normal, batch, key);
            layer.Value.Multiply(normal, batch, value);
            Rotate(query, batch, shape.Heads);
            Rotate(key, batch, shape.KeyHeads);
            for (var j = 0; j < batch; j++)
            {
                Attend(i, Length + j, query.Slice(j * shape.QueryWidth, shape.QueryWidth), attended.Slice(j * shape.QueryWidth, shape.QueryWidth));
            }

            layer.AttentionOutput.Multiply(attended, batch, normal);
            Kernels.AddScaled(state, normal, 1);

            Normalise(state, layer.FeedForwardNorm, normal);
            layer.Gate.Multiply(normal, batch, gate);
            layer.Up.Multiply(normal, batch, up);
            for (var j = 0; j < batch; j++)
            {
                Kernels.SwiGlu(gate.Slice(j * shape.FeedForward, shape.FeedForward), up.Slice(j * shape.FeedForward, shape.FeedForward));
            }

            layer.Down.Multiply(gate, batch, normal);
            Kernels.AddScaled(state, normal, 1);
        }

        Length += batch;
    }

    private void Normalise(ReadOnlySpan<float> states, float[] weights, Span<float> destination)
    {
        for (var i = 0; i < states.Length; i += shape.Width)
        {
            Kernels.Normalise(states.Slice(i, shape.Width), weights, shape.Epsilon, destination.Slice(i, shape.Width));
        }
    }

    /// <summary>What every head of one token makes of the tokens up to and including itself.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private void Attend(int layer, int position, ReadOnlySpan<float> query, Span<float> attended)
    {
        var size = shape.HeadSize;
        var scale = 1f / MathF.Sqrt(size);
        var headsPerKey = shape.Heads / shape.KeyHeads;
        ReadOnlySpan<float> layerKeys = keys[layer];
        ReadOnlySpan<float> layerValues = values[layer];
        var scores = buffers.Scores.AsSpan(0, position + 1);
        for (var head = 0; head < shape.Heads; head++)
        {
            var q = query.Slice(head * size, size);
            var start = head / headsPerKey * size;
            for (var i = 0; i < scores.Length; i++)
            {
                scores[i] = Kernels.Dot(q, layerKeys.Slice((i * shape.KeyWidth) + start, size)) * scale;
            }

            Kernels.Softmax(scores);
            var sum = attended.Slice(head * size, size);
            sum.Clear();
            for (var i = 0; i < scores.Length; i++)
            {
                Kernels.AddScaled(sum, layerValues.Slice((i * shape.KeyWidth) + start, size), scores[i]);
            }
        }
    }

    /// <summary>Works out the angles of the positions about to be read.</summary>
    private void Turn(int batch)
    {
        var pairs = shape.RotatedSize / 2;
        for (var i = 0; i < batch; i++)
        {
            for (var pair = 0; pair < pairs; pair++)
            {
                var (sine, cosine) = Math.SinCos((Length + i) * model.Rotation[pair]);
                sines[(i * pairs) + pair] = (float)sine;
                cosines[(i * pairs) + pair] = (float)cosine;
            }
        }
    }

    /// <summary>Turns each pair (2i, 2i+1) of each head by its position's angle.</summary>
    private void Rotate(Span<float> vectors, int batch, int heads)
    {
        var pairs = shape.RotatedSize / 2;
        for (var i = 0; i < batch; i++)
        {
            var sine = sines.AsSpan(i * pairs, pairs);
            var cosine = cosines.AsSpan(i * pairs, pairs);
            for (var head = 0; head < heads; head++)
            {
                var vector = vectors.Slice(((i * heads) + head) * shape.HeadSize, 2 * pairs);
                for (var pair = 0; pair < pairs; pair++)
                {
                    var (a, b) = (vector[2 * pair], vector[(2 * pair) + 1]);
                    vector[2 * pair] = (a * cosine[pair]) - (b * sine[pair]);
                    vector[(2 * pair) + 1] = (a * sine[pair]) + (b * cosine[pair]);
                }
            }
        }
    }

    private void EnsureRoom(int batch)
    {
        if (buffers.Batch < batch)
        {
            buffers = new Buffers(shape, BatchMax);
        }

        if (Length + batch > capacity)
        {
            capacity = Math.Min(contextMax, Math.Max(Length + batch, Math.Max(GrowthMin, 2 * capacity)));
            for (var i = 0; i < shape.Layers; i++)
            {
                Array.Resize(ref keys[i], capacity * shape.KeyWidth);
                Array.Resize(ref values[i], capacity * shape.KeyWidth);
            }
        }

        if (buffers.Scores.Length < capacity)
        {
            buffers.Scores = new float[capacity];
        }
    }

    private sealed class Buffers(LlamaShape shape, int batch)
    {
        public int Batch { get; } = batch;

        public float[] State { get; } = new float[batch * shape.Width];

        public float[] Normal { get; } = new float[batch * shape.Width];

        public float[] Query { get; } = new float[batch * shape.QueryWidth];

        public float[] Attended { get; } = new float[batch * shape.QueryWidth];

        public float[] Gate { get; } = new float[batch * shape.FeedForward];

        public float[] Up { get; } = new float[batch * shape.FeedForward];

        public float[] Scores { get; set; } = [];
    }
}
