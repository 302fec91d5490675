using Federation.Silo.Gateway;
using Microsoft.AspNetCore.Http;

namespace Federation.Silo.Tests.Gateway;

public sealed class RequestBodyTests
{
    public static TheoryData<int, int, bool> Sizes()
    {
        var sizes = new TheoryData<int, int, bool>();
        foreach (var max in new[] { 1_000, 4_096, 8_192, 10_000 })
        {
            foreach (var size in new[] { 0, 1, 500, max - 1, max, max + 1, 2 * max, 100_000 })
            {
                sizes.Add(max, size, true);
                sizes.Add(max, size, false);
            }
        }
        return sizes;
    }

    [Theory]
    [MemberData(nameof(Sizes))]
    public async Task A_body_up_to_the_limit_is_read_whole_and_a_larger_one_is_none(int max, int size, bool saysItsLength)
    {
        var body = new byte[size];
        new Random(size).NextBytes(body);
        var http = new DefaultHttpContext { Request = { Body = new Trickle(body), ContentLength = saysItsLength ? size : null } };

        var read = await RequestBody.ReadAsync(http, max);

        if (size > max) Assert.Null(read);
        else Assert.Equal(body, read!.Value.ToArray());
    }

    [Fact]
    public async Task A_client_that_leaves_is_not_waited_for()
    {
        using var gone = new CancellationTokenSource();
        var http = new DefaultHttpContext { RequestAborted = gone.Token, Request = { Body = new Silence() } };
        var reading = RequestBody.ReadAsync(http, 1_000).AsTask();
        await gone.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => reading);
    }

    /// <summary>Gives out a few bytes at a time, as a network does.</summary>
    private sealed class Trickle(byte[] bytes) : MemoryStream(bytes)
    {
        public override ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default)
            => base.ReadAsync(buffer[..Math.Min(buffer.Length, 777)], cancellationToken);
    }

    private sealed class Silence : MemoryStream
    {
        public override async ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default)
        {
            await Task.Delay(Timeout.Infinite, cancellationToken);
            return 0;
        }
    }
}
