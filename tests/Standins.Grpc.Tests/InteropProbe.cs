using Federation.Standins.Grpc.Tests.V1;
using Google.Protobuf;
using Grpc.Core;

namespace Federation.Standins.Grpc.Tests;

/// <summary>The behaviour that interop/server.mjs has, for grpc-js clients to call.</summary>
internal sealed class InteropProbe
{
    public const string Failure = "Müller: 50 % 🐈";

    public static readonly byte[] EveryByte = [.. Enumerable.Range(0, 256).Select(value => (byte)value)];

    private readonly Lock _gate = new();
    private readonly List<(int Number, TaskCompletionSource Reached)> _waiting = [];
    private int _cancellations;

    public Script Script => new() { Unary = UnaryAsync, Collect = CollectAsync, Spread = SpreadAsync, Chat = ChatAsync };

    private static RpcException Refusal() => new(
        new Status(StatusCode.FailedPrecondition, Failure),
        new Metadata { { "reason", "because" }, { "grpc-status-details-bin", EveryByte } });

    private async Task<Answer> UnaryAsync(Ask ask, ServerCallContext context)
    {
        switch (ask.Text)
        {
            case "fail":
                throw Refusal();
            case "wait":
                return await WaitAsync(context);
            case "await-cancelled":
                return new Answer { Number = await CancellationsAsync(ask.Number) };
            case "metadata":
                await context.WriteResponseHeadersAsync(new Metadata
                {
                    { "plain-back", context.RequestHeaders.GetValue("plain")! },
                    { "proof-back-bin", context.RequestHeaders.GetValueBytes("proof-bin")! },
                });
                context.ResponseTrailers.Add("cost", "7");
                context.ResponseTrailers.Add("receipt-bin", EveryByte);
                return new Answer();
            case "big":
                return new Answer { Data = ByteString.CopyFrom([.. Enumerable.Repeat((byte)7, ask.Number)]) };
            case "deadline":
                return new Answer { Number = (int)(context.Deadline - DateTime.UtcNow).TotalMilliseconds };
            default:
                return new Answer { Text = ask.Text, Data = ask.Data, Number = ask.Number + 1 };
        }
    }

    private async Task<Answer> CollectAsync(IAsyncStreamReader<Ask> asks, ServerCallContext context)
    {
        var sum = 0;
        await foreach (var ask in asks.ReadAllAsync())
            sum += ask.Text == "fail" ? throw Refusal() : ask.Number;
        return new Answer { Number = sum };
    }

    private async Task SpreadAsync(Ask ask, IServerStreamWriter<Answer> answers, ServerCallContext context)
    {
        for (var number = 0; number < ask.Number; number++)
            await answers.WriteAsync(new Answer { Number = number, Data = ask.Data });
        if (ask.Text == "fail")
            throw Refusal();
        if (ask.Text == "wait")
            await WaitAsync(context);
        context.ResponseTrailers.Add("cost", "7");
    }

    private async Task ChatAsync(IAsyncStreamReader<Ask> asks, IServerStreamWriter<Answer> answers, ServerCallContext context)
    {
        await foreach (var ask in asks.ReadAllAsync())
        {
            if (ask.Text == "fail")
                throw Refusal();
            if (ask.Text == "end")
                return;
            await answers.WriteAsync(new Answer { Text = ask.Text, Data = ask.Data, Number = ask.Number });
            if (ask.Text == "wait")
                await WaitAsync(context);
        }

        context.ResponseTrailers.Add("cost", "7");
    }

    private async Task<Answer> WaitAsync(ServerCallContext context)
    {
        await new Signal().SetWhenCancelledAsync(context.CancellationToken);
        CountCancellation();
        context.CancellationToken.ThrowIfCancellationRequested();
        return new Answer();
    }

    private void CountCancellation()
    {
        lock (_gate)
        {
            _cancellations++;
            foreach (var (_, reached) in _waiting.Where(waiter => waiter.Number <= _cancellations))
                reached.TrySetResult();
        }
    }

    private async Task<int> CancellationsAsync(int number)
    {
        var reached = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        lock (_gate)
        {
            if (number <= _cancellations)
                return _cancellations;
            _waiting.Add((number, reached));
        }

        await reached.Task.Soon();
        return number;
    }
}
