using System.Runtime.CompilerServices;

namespace Federation.NodeAgent.Engines.Builtin.Llama;

/// <summary>One text being read and continued: its place in the model's memory and the buffers to think in. Not thread-safe.</summary>
internal sealed class LlamaSession
{
    /// <summary>Tokens of a prompt that are read together: the weights are fetched once for all of them.</summary>
    public const int BatchMax = 32;

    private const int GrowthMin = 64;

    private readonly LlamaModel _model;
    private readonly LlamaShape _shape;
    private readonly int _contextMax;
    private readonly float[][] _keys;
    private readonly float[][] _values;
    private readonly float[] _cosines;
    private readonly float[] _sines;
    private Buffers _buffers;
    private int _capacity;
    private float[] _logits = [];
    private int _logitsLength;

    /// <param name="model">The weights.</param>
    /// <param name="contextMax">Tokens the session may hold; memory is taken as they come.</param>
    public LlamaSession(LlamaModel model, int contextMax)
    {
        _model = model;
        _contextMax = contextMax;
        _shape = model.Shape;
        _keys = new float[_shape.Layers][];
        _values = new float[_shape.Layers][];
        Array.Fill(_keys, []);
        Array.Fill(_values, []);
        _cosines = new float[_shape.RotatedSize / 2 * BatchMax];
        _sines = new float[_cosines.Length];
        _buffers = new Buffers(_shape, 1);
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
    public ReadOnlySpan<float> Logits => _logits.AsSpan(0, _logitsLength);

    /// <summary>Reads tokens, at most <see cref="BatchMax"/>. <see cref="Logits"/> are then those after the last one.</summary>
    public void Read(ReadOnlySpan<int> tokens)
    {
        Think(tokens);
        WorkOutLogits(_buffers.State.AsSpan((tokens.Length - 1) * _shape.Width, _shape.Width), 1);
    }

    /// <summary>As <see cref="Read"/>, with the logits after each token, one row of the vocabulary's length after another.</summary>
    public void ReadAll(ReadOnlySpan<int> tokens)
    {
        Think(tokens);
        WorkOutLogits(_buffers.State.AsSpan(0, tokens.Length * _shape.Width), tokens.Length);
    }

    private void WorkOutLogits(ReadOnlySpan<float> states, int count)
    {
        var normal = _buffers.Normal.AsSpan(0, count * _shape.Width);
        Normalise(states, _model.OutputNorm, normal);
        _logitsLength = count * _shape.Vocabulary;
        if (_logits.Length < _logitsLength)
        {
            _logits = new float[_logitsLength];
        }

        _model.Output.Multiply(normal, count, _logits.AsSpan(0, _logitsLength));
    }

    private void Think(ReadOnlySpan<int> tokens)
    {
        var batch = tokens.Length;
        ArgumentOutOfRangeException.ThrowIfZero(batch);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(batch, BatchMax);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(Length + batch, _contextMax);
        EnsureRoom(batch);
        Turn(batch);

        var b = _buffers;
        var state = b.State.AsSpan(0, batch * _shape.Width);
        var normal = b.Normal.AsSpan(0, batch * _shape.Width);
        var query = b.Query.AsSpan(0, batch * _shape.QueryWidth);
        var attended = b.Attended.AsSpan(0, batch * _shape.QueryWidth);
        var gate = b.Gate.AsSpan(0, batch * _shape.FeedForward);
        var up = b.Up.AsSpan(0, batch * _shape.FeedForward);
        for (var i = 0; i < batch; i++)
        {
            _model.Embedding.CopyRow(tokens[i], state.Slice(i * _shape.Width, _shape.Width));
        }

        for (var i = 0; i < _shape.Layers; i++)
        {
            var layer = _model.Layers[i];
            var key = _keys[i].AsSpan(Length * _shape.KeyWidth, batch * _shape.KeyWidth);
            var value = _values[i].AsSpan(Length * _shape.KeyWidth, batch * _shape.KeyWidth);

            Normalise(state, layer.AttentionNorm, normal);
            layer.Query.Multiply(normal, batch, query);
            layer.Key.Multiply(normal, batch, key);
            layer.Value.Multiply(normal, batch, value);
            Rotate(query, batch, _shape.Heads);
            Rotate(key, batch, _shape.KeyHeads);
            for (var j = 0; j < batch; j++)
            {
                Attend(i, Length + j, query.Slice(j * _shape.QueryWidth, _shape.QueryWidth), attended.Slice(j * _shape.QueryWidth, _shape.QueryWidth));
            }

            layer.AttentionOutput.Multiply(attended, batch, normal);
            Kernels.AddScaled(state, normal, 1);

            Normalise(state, layer.FeedForwardNorm, normal);
            layer.Gate.Multiply(normal, batch, gate);
            layer.Up.Multiply(normal, batch, up);
            for (var j = 0; j < batch; j++)
            {
                Kernels.SwiGlu(gate.Slice(j * _shape.FeedForward, _shape.FeedForward), up.Slice(j * _shape.FeedForward, _shape.FeedForward));
            }

            layer.Down.Multiply(gate, batch, normal);
            Kernels.AddScaled(state, normal, 1);
        }

        Length += batch;
    }

    private void Normalise(ReadOnlySpan<float> states, float[] weights, Span<float> destination)
    {
        for (var i = 0; i < states.Length; i += _shape.Width)
        {
            Kernels.Normalise(states.Slice(i, _shape.Width), weights, _shape.Epsilon, destination.Slice(i, _shape.Width));
        }
    }

    /// <summary>What every head of one token makes of the tokens up to and including itself.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private void Attend(int layer, int position, ReadOnlySpan<float> query, Span<float> attended)
    {
        var size = _shape.HeadSize;
        var scale = 1f / MathF.Sqrt(size);
        var headsPerKey = _shape.Heads / _shape.KeyHeads;
        ReadOnlySpan<float> layerKeys = _keys[layer];
        ReadOnlySpan<float> layerValues = _values[layer];
        var scores = _buffers.Scores.AsSpan(0, position + 1);
        for (var head = 0; head < _shape.Heads; head++)
        {
            var q = query.Slice(head * size, size);
            var start = head / headsPerKey * size;
            for (var i = 0; i < scores.Length; i++)
            {
                scores[i] = Kernels.Dot(q, layerKeys.Slice((i * _shape.KeyWidth) + start, size)) * scale;
            }

            Kernels.Softmax(scores);
            var sum = attended.Slice(head * size, size);
            sum.Clear();
            for (var i = 0; i < scores.Length; i++)
            {
                Kernels.AddScaled(sum, layerValues.Slice((i * _shape.KeyWidth) + start, size), scores[i]);
            }
        }
    }

    /// <summary>Works out the angles of the positions about to be read.</summary>
    private void Turn(int batch)
    {
        var pairs = _shape.RotatedSize / 2;
        for (var i = 0; i < batch; i++)
        {
            for (var pair = 0; pair < pairs; pair++)
            {
                var (sine, cosine) = Math.SinCos((Length + i) * _model.Rotation[pair]);
                _sines[(i * pairs) + pair] = (float)sine;
                _cosines[(i * pairs) + pair] = (float)cosine;
            }
        }
    }

    /// <summary>Turns each pair (2i, 2i+1) of each head by its position's angle.</summary>
    private void Rotate(Span<float> vectors, int batch, int heads)
    {
        var pairs = _shape.RotatedSize / 2;
        for (var i = 0; i < batch; i++)
        {
            var sine = _sines.AsSpan(i * pairs, pairs);
            var cosine = _cosines.AsSpan(i * pairs, pairs);
            for (var head = 0; head < heads; head++)
            {
                var vector = vectors.Slice(((i * heads) + head) * _shape.HeadSize, 2 * pairs);
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
        if (_buffers.Batch < batch)
        {
            _buffers = new Buffers(_shape, BatchMax);
        }

        if (Length + batch > _capacity)
        {
            _capacity = Math.Min(_contextMax, Math.Max(Length + batch, Math.Max(GrowthMin, 2 * _capacity)));
            for (var i = 0; i < _shape.Layers; i++)
            {
                Array.Resize(ref _keys[i], _capacity * _shape.KeyWidth);
                Array.Resize(ref _values[i], _capacity * _shape.KeyWidth);
            }
        }

        if (_buffers.Scores.Length < _capacity)
        {
            _buffers.Scores = new float[_capacity];
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
