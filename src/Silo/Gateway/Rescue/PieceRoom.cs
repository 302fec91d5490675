using Microsoft.Extensions.Options;

namespace Federation.Silo.Gateway.Rescue;

/// <summary>
/// Room for what is kept of the answers under way, so that another node can go on with them or an audit read them: so much for all of them together, and so much for those of one account, which would take it from the others else.
/// Safe for use by several threads.
/// </summary>
internal sealed class PieceRoom(IOptions<GatewayOptions> options)
{
    private readonly Lock _gate = new();
    private readonly Dictionary<string, Share> _shares = new(StringComparer.Ordinal);
    private long _taken;

    /// <summary>Bytes taken now.</summary>
    public long Taken => Interlocked.Read(ref _taken);

    /// <summary>Accounts with answers under way.</summary>
    public int Shares
    {
        get
        {
            lock (_gate) return _shares.Count;
        }
    }

    private long BytesMax => options.Value.MaxKeptBytes;

    private long BytesPerAccountMax => options.Value.MaxKeptBytesPerAccount;

    /// <summary>The share of an account, for one more of its answers, which must <see cref="Share.Leave"/> it.</summary>
    public Share Of(string accountId)
    {
        lock (_gate)
        {
            if (!_shares.TryGetValue(accountId, out var share)) _shares.Add(accountId, share = new Share(this, accountId));
            share.Answers++;
            return share;
        }
    }

    /// <summary>What the answers of one account take together. Found once for each answer, so that a piece costs two additions.</summary>
    internal sealed class Share(PieceRoom room, string accountId)
    {
        private long _taken;

        /// <summary>Those that are under way; the last of them takes the share with it. Guarded by the room's gate.</summary>
        public int Answers { get; set; }

        /// <summary>Takes so many bytes more; <see langword="false"/> where they would be too many, and none are taken.</summary>
        public bool TryTake(int bytes)
        {
            if (TryAdd(ref _taken, bytes, room.BytesPerAccountMax))
            {
                if (TryAdd(ref room._taken, bytes, room.BytesMax)) return true;
                Interlocked.Add(ref _taken, -bytes);
            }
            return false;
        }

        /// <summary>An answer gives back all that it took, and takes no more.</summary>
        public void Leave(long bytes)
        {
            Interlocked.Add(ref _taken, -bytes);
            Interlocked.Add(ref room._taken, -bytes);
            lock (room._gate)
            {
                if (--Answers == 0) room._shares.Remove(accountId);
            }
        }

        private static bool TryAdd(ref long taken, int bytes, long max)
        {
            if (Interlocked.Add(ref taken, bytes) <= max) return true;
            Interlocked.Add(ref taken, -bytes);
            return false;
        }
    }
}
