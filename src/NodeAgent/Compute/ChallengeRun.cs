using System.Collections.Immutable;
using Federation.NodeAgent.Configuration;
using Federation.Protocol.Challenges;
using Federation.Protocol.Identity;

namespace Federation.NodeAgent.Compute;

/// <summary>
/// One challenge, from the node's side: the hub's start, the rounds, the commitment, the hub's opening, the proof. Each step blocks its thread; the owner of the run gives it
/// one of its own, never one that must answer the hub.
/// </summary>
/// <remarks>The row or segment hashes of all rounds are kept until the proof, 8 bytes each, so that opening any of them costs no second computation.</remarks>
internal sealed class ChallengeRun : IDisposable
{
    /// <summary>Longest challenge, milliseconds: 15 minutes, far more than one for the least class takes. A machine is its owner's again after that, whatever a hub says.</summary>
    public const long DeadlineMsMax = 15 * 60 * 1000;

    // The last hour and millisecond of the calendar. Which of the others it is now is for the hub to say: a machine's clock may be wrong.
    private static readonly long EpochMax = DateTimeOffset.MaxValue.ToUnixTimeSeconds() / 3600;
    private static readonly long SlotMax = DateTimeOffset.MaxValue.ToUnixTimeMilliseconds();

    /// <summary>Fewer blocks than this are hashed faster by one thread than by several.</summary>
    private const int BlocksForTeam = 256;

    /// <summary>Blocks that one thread hashes at a time.</summary>
    private const int BlocksAtOnce = 64;

    private readonly NodeKey _key;
    private readonly ReadOnlyMemory<byte> _hubPublicKey;
    private readonly ComputeTeam _team;
    private readonly TimeProvider _time;
    private readonly IChallengeProver _prover;
    private readonly ulong[][] _leaves;
    private readonly byte[] _roots;
    private int _roundsDone;
    private State _state;

    private ChallengeRun(ChallengeStart start, NodeKey key, ReadOnlyMemory<byte> hubPublicKey, IChallengeDevice device, ComputeTeam team, TimeProvider time)
    {
        (Start, _key, _hubPublicKey, _team, _time) = (start, key, hubPublicKey, team, time);
        _prover = device.Open(start.Parameters);
        _leaves = new ulong[start.Parameters.Rounds][];
        _roots = new byte[start.Parameters.Rounds * SeedChain.HashBytes];
    }

    private enum State
    {
        Started,
        Committed,
        Proved,
    }

    /// <summary>What the hub asked for.</summary>
    public ChallengeStart Start { get; }

    /// <summary>Rounds that are computed; may be read while others are.</summary>
    public int RoundsDone => Volatile.Read(ref _roundsDone);

    /// <summary>Reads what the hub asks for, before anything is taken for it.</summary>
    /// <param name="message">The hub's signed start.</param>
    /// <param name="hub">The hub of this connection.</param>
    /// <param name="hubPublicKey">Its key.</param>
    /// <param name="key">This node's.</param>
    /// <exception cref="ChallengeException">It is no challenge for this node from this hub, or one that nobody sensible asks for.</exception>
    public static ChallengeStart Read(ReadOnlyMemory<byte> message, HubId hub, ReadOnlyMemory<byte> hubPublicKey, NodeKey key)
    {
        if (!ChallengeCodec.IsSignedBy(hubPublicKey.Span, ChallengeMessage.Start, message.Span)) throw new ChallengeException("The challenge is not signed by the hub.");
        var start = Decode(() => ChallengeCodec.DecodeStart(message));
        // Another hub's, or another node's, would let somebody else's challenge be answered by this machine.
        if (start.Hub != hub) throw new ChallengeException($"The challenge is of hub {start.Hub}, not of {hub}.");
        if (start.Node.ToString() != key.NodeId) throw new ChallengeException($"The challenge is for node {start.Node}, not for {key.NodeId}.");
        if (start.Epoch < 0 || start.Epoch > EpochMax || start.Slot < 0 || start.Slot > SlotMax) throw new ChallengeException($"There is no slot {start.Slot} and no epoch {start.Epoch}.");
        return start.DeadlineMs <= DeadlineMsMax ? start : throw new ChallengeException($"A challenge may take {DeadlineMsMax} ms, not {start.DeadlineMs}.");
    }

    /// <summary>Takes on a challenge.</summary>
    /// <param name="start">What <see cref="Read"/> gave.</param>
    /// <param name="hubPublicKey">The hub's key.</param>
    /// <param name="key">This node's.</param>
    /// <param name="device">What is challenged.</param>
    /// <param name="team">Threads for what the host computes.</param>
    /// <param name="time">The clock.</param>
    /// <exception cref="ChallengeException">It is more than the device can do.</exception>
    public static ChallengeRun Begin(ChallengeStart start, ReadOnlyMemory<byte> hubPublicKey, NodeKey key, IChallengeDevice device, ComputeTeam team, TimeProvider time)
        => device.WhyNot(start.Parameters) is { } reason ? throw new ChallengeException(reason) : new ChallengeRun(start, key, hubPublicKey, device, team, time);

    /// <summary>Computes all rounds.</summary>
    /// <returns>The signed commitment, to be sent at once: the hub's clock is running.</returns>
    /// <exception cref="ChallengeException">The device failed, or the deadline passed.</exception>
    /// <exception cref="OperationCanceledException">It was cancelled.</exception>
    public byte[] Commit(CancellationToken cancellationToken)
    {
        Enter(State.Started);
        using var deadline = new CancellationTokenSource(TimeSpan.FromMilliseconds(Start.DeadlineMs), _time);
        using var either = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken, deadline.Token);
        var began = _time.GetTimestamp();
        try
        {
            ComputeRounds(either.Token);
        }
        catch (OperationCanceledException) when (deadline.IsCancellationRequested && !cancellationToken.IsCancellationRequested)
        {
            throw new ChallengeException($"After {Start.DeadlineMs} ms, {RoundsDone} of {Start.Parameters.Rounds} rounds were computed: too slow.");
        }
        _state = State.Committed;
        var commit = new ChallengeCommit
        {
            Id = Start.Id,
            Final = [.. SeedChain.Final(_roots)],
            ElapsedMs = (long)_time.GetElapsedTime(began).TotalMilliseconds,
        };
        return ChallengeCodec.Sign(ChallengeCodec.Encode(commit), ChallengeMessage.Commit, bytes => _key.Sign(bytes));
    }

    /// <summary>Shows what the hub asks to see, once.</summary>
    /// <param name="message">The hub's signed opening.</param>
    /// <returns>The signed proof.</returns>
    /// <exception cref="ChallengeException">It is no opening of this challenge by this hub.</exception>
    public byte[] Prove(ReadOnlyMemory<byte> message)
    {
        Enter(State.Committed);
        if (!ChallengeCodec.IsSignedBy(_hubPublicKey.Span, ChallengeMessage.Open, message.Span)) throw new ChallengeException("The opening is not signed by the hub.");
        var open = Decode(() => ChallengeCodec.DecodeOpen(message, Start.Parameters));
        if (open.Id != Start.Id) throw new ChallengeException($"The opening is of {open.Id}, not of {Start.Id}.");
        var openings = new ChallengeOpening[open.Cells.Length];
        _team.ForEach(openings.Length, i => openings[i] = Show(open.Cells[i]), CancellationToken.None);
        _state = State.Proved;
        var proof = new ChallengeProof { Id = Start.Id, Roots = [.. _roots], Openings = [.. openings] };
        return ChallengeCodec.Sign(ChallengeCodec.Encode(proof), ChallengeMessage.Proof, bytes => _key.Sign(bytes));
    }

    /// <summary>Gives the device back.</summary>
    public void Dispose() => _prover.Dispose();

    private static T Decode<T>(Func<T> decode)
    {
        try
        {
            return decode();
        }
        catch (FormatException exception)
        {
            throw new ChallengeException(exception.Message, exception);
        }
    }

    private void Enter(State expected)
    {
        if (_state != expected) throw new ChallengeException($"The challenge is {_state}, not {expected}.");
    }

    private void ComputeRounds(CancellationToken cancellationToken)
    {
        var seed = SeedChain.First(Start, _key.PublicKey.Span);
        _prover.Prepare(SeedChain.StreamKey(SeedChain.Fixed(seed)), cancellationToken);
        var digests = new byte[LeafTree.BlockCount(Start.Parameters.LeavesPerRound) * SeedChain.HashBytes];
        for (var round = 0; round < Start.Parameters.Rounds; round++)
        {
            var leaves = _leaves[round] = new ulong[Start.Parameters.LeavesPerRound];
            _prover.Round(SeedChain.StreamKey(seed), leaves, cancellationToken);
            var root = Root(leaves, digests, cancellationToken);
            root.CopyTo(_roots.AsSpan(round * SeedChain.HashBytes));
            seed = SeedChain.Next(seed, root);
            Volatile.Write(ref _roundsDone, round + 1);
        }
    }

    private byte[] Root(ulong[] leaves, byte[] digests, CancellationToken cancellationToken)
    {
        var blocks = LeafTree.BlockCount(leaves.Length);
        if (blocks < BlocksForTeam) LeafTree.HashBlocks(leaves, 0, blocks, digests);
        else _team.ForEach((blocks + BlocksAtOnce - 1) / BlocksAtOnce, i => LeafTree.HashBlocks(leaves, i * BlocksAtOnce, Math.Min((i + 1) * BlocksAtOnce, blocks), digests), cancellationToken);
        return LeafTree.Reduce(digests);
    }

    private ChallengeOpening Show(ChallengeCell cell)
    {
        var leaves = _leaves[cell.Round];
        var block = cell.Index / LeafTree.BlockLeaves;
        return new ChallengeOpening(
            ImmutableArray.Create(leaves.AsSpan(block * LeafTree.BlockLeaves, LeafTree.BlockLength(leaves.Length, block))),
            [.. LeafTree.Path(leaves, block)]);
    }
}
