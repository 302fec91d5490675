using Microsoft.Extensions.Options;

namespace Federation.Silo.Gateway.Rescue;

/// <summary>Room for what is kept of the answers under way, so that another node can go on with them or an audit read them: so much for all of them together. Safe for use by several threads.</summary>
internal sealed class PieceRoom(IOptions<GatewayOptions> options)
{
    private long _taken;

    /// <summary>Bytes taken now.</summary>
    public long Taken => Interlocked.Read(ref _taken);

    /// <summary>Takes so many bytes more; <see langword="false"/> where they would be too many, and none are taken.</summary>
    public bool TryTake(int bytes)
    {
        if (Interlocked.Add(ref _taken, bytes) <= options.Value.MaxKeptBytes) return true;
        GiveBack(bytes);
        return false;
    }

    /// <summary>Gives back what was taken.</summary>
    public void GiveBack(long bytes) => Interlocked.Add(ref _taken, -bytes);
}
