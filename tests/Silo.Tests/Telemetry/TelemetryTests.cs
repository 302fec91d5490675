using System.Diagnostics;
using System.Diagnostics.Metrics;
using Federation.Contracts.Jobs;
using Federation.Protocol.OpenAi;
using Federation.Silo.Accounts;
using Federation.Silo.Gateway;
using Federation.Silo.Telemetry;
using Federation.Silo.Tests.Fakes;
using Microsoft.Extensions.Options;

namespace Federation.Silo.Tests.Telemetry;

[Collection("Telemetry listens to the whole process")]
public sealed class TelemetryTests : IDisposable
{
    private readonly Meters _meters = new();
    private readonly PrometheusText _prometheus = new(Options.Create(new TelemetryOptions { MaxSeries = 3 }));
    private readonly KeptLog<RequestLog> _log = new();

    public void Dispose()
    {
        _prometheus.Dispose();
        _meters.Dispose();
    }

    [Fact]
    public void An_answer_is_measured_under_the_names_of_the_convention()
    {
        _prometheus.Start();
        var instruments = new GatewayInstruments(_meters);
        instruments.OnAnswered(Outcome("llama"));
        instruments.OnAnswered(Outcome("llama"));
        var text = _prometheus.Write();
        Assert.Contains("# TYPE gen_ai_client_operation_duration_seconds histogram\n", text, StringComparison.Ordinal);
        Assert.Contains("gen_ai_client_operation_duration_seconds_bucket{gen_ai_operation_name=\"chat\",gen_ai_request_model=\"llama\",federation_status=\"completed\",le=\"2.56\"} 2\n", text, StringComparison.Ordinal);
        Assert.Contains("gen_ai_client_operation_duration_seconds_bucket{gen_ai_operation_name=\"chat\",gen_ai_request_model=\"llama\",federation_status=\"completed\",le=\"1.28\"} 0\n", text, StringComparison.Ordinal);
        Assert.Contains("gen_ai_server_time_to_first_token_seconds_sum{gen_ai_operation_name=\"chat\",gen_ai_request_model=\"llama\"} 0.5\n", text, StringComparison.Ordinal);
        Assert.Contains("gen_ai_client_token_usage_total{gen_ai_operation_name=\"chat\",gen_ai_request_model=\"llama\",gen_ai_token_type=\"input\"} 14\n", text, StringComparison.Ordinal);
        Assert.Contains("gen_ai_client_token_usage_total{gen_ai_operation_name=\"chat\",gen_ai_request_model=\"llama\",gen_ai_token_type=\"output\"} 22\n", text, StringComparison.Ordinal);
    }

    [Fact]
    public void Series_are_bounded_and_labels_cannot_break_the_format()
    {
        _prometheus.Start();
        var instruments = new GatewayInstruments(_meters);
        for (var i = 0; i < 100; i++) instruments.OnAnswered(Outcome($"model-{i}"));
        instruments.OnAnswered(Outcome("a\"}\nevil 1\\"));
        var lines = _prometheus.Write().Split('\n').Where(line => line.StartsWith("gen_ai_server_time_to_first_token_seconds_count", StringComparison.Ordinal)).ToList();
        Assert.Equal(4, lines.Count);
        Assert.Contains("gen_ai_server_time_to_first_token_seconds_count{overflow=\"true\"} 98", lines);
        Assert.DoesNotContain(_prometheus.Write().Split('\n'), line => line.StartsWith("evil", StringComparison.Ordinal));
    }

    [Fact]
    public async Task What_runs_goes_up_and_down_and_refusals_are_counted_by_status()
    {
        _prometheus.Start();
        var log = Log();
        var call = Call();
        var (sink, _) = log.Begin(call, new Nobody());
        Assert.Contains("federation_gateway_requests_running{gen_ai_operation_name=\"chat\"} 1\n", _prometheus.Write(), StringComparison.Ordinal);
        await sink.RefuseAsync(OpenAiError.Busy("Busy.", TimeSpan.FromSeconds(1)));
        log.OnEnded(call);
        Assert.Contains("federation_gateway_requests_running{gen_ai_operation_name=\"chat\"} 0\n", _prometheus.Write(), StringComparison.Ordinal);
        Assert.Contains("federation_gateway_refusals_total{http_response_status_code=\"503\"} 1\n", _prometheus.Write(), StringComparison.Ordinal);
        Assert.Contains(_log.Lines, line => line.Words == "Request job_1 of acct_ann was refused: 503 overloaded");
    }

    [Fact]
    public void A_span_carries_on_the_trace_that_is_there_and_has_no_word_of_the_prompt()
    {
        using var listener = new ActivityListener { ShouldListenTo = source => source.Name == GatewayInstruments.SourceName, Sample = (ref ActivityCreationOptions<ActivityContext> _) => ActivitySamplingResult.AllData };
        ActivitySource.AddActivityListener(listener);
        using var parent = new Activity("client").SetIdFormat(ActivityIdFormat.W3C).Start();
        var instruments = new GatewayInstruments(_meters);
        using var span = instruments.Begin(Call())!;
        instruments.OnAnswered(Outcome("llama"));
        Assert.Equal(parent.TraceId, span.TraceId);
        Assert.Equal("llama", span.GetTagItem("gen_ai.request.model"));
        Assert.Equal(11L, span.GetTagItem("gen_ai.usage.output_tokens"));
        Assert.DoesNotContain(span.TagObjects, tag => tag.Value?.ToString()?.Contains("secret words", StringComparison.Ordinal) ?? false);
    }

    [Fact]
    public void Where_nobody_listens_nothing_is_made()
    {
        var instruments = new GatewayInstruments(_meters);
        var (call, outcome) = (Call(), Outcome("llama"));
        void Once()
        {
            Assert.Null(instruments.Begin(call));
            instruments.OnAnswered(outcome);
            instruments.OnEnded(call);
        }

        Once();
        var before = GC.GetAllocatedBytesForCurrentThread();
        for (var i = 0; i < 1_000; i++) Once();
        Assert.Equal(0, GC.GetAllocatedBytesForCurrentThread() - before);
    }

    [Fact]
    public async Task A_client_hears_how_its_wait_is_going_also_where_its_request_is_logged()
    {
        var client = new Nobody();
        var (sink, _) = Log().Begin(Call(), client);
        Assert.NotSame(client, sink);
        Assert.True(await sink.NoteAsync("position=3"));
        Assert.Equal(["position=3"], client.Notes);
    }

    [Fact]
    public void A_line_says_who_asked_whom_for_what_and_no_more()
    {
        Log().OnAnswered(Outcome("llama"));
        var (_, words) = Assert.Single(_log.Lines);
        Assert.Equal("Request job_1 of acct_ann: llama on nd_1 Succeeded, 7+11 tokens, 100 ms queued, 250 ms to the first output, 2000 ms in all", words);
    }

    private RequestLog Log() => new(new GatewayInstruments(_meters), Options.Create(new TelemetryOptions()), _log);

    private static InferenceCall Call() => new("job_1", JobKind.Chat, "{\"messages\":\"secret words\"}"u8.ToArray(), new ApiCaller("acct_ann", "key_1", []));

    private static JobOutcome Outcome(string model) => new("job_1", 1, "acct_ann", "key_1", JobKind.Chat, model, "", 0, "nd_1", JobStatus.Succeeded, "stop", 7, 11, [], [], 1_000, 1_100, 1_350, 3_000, "");

    private sealed class Meters : IMeterFactory
    {
        private readonly List<Meter> _made = [];

        public Meter Create(MeterOptions options)
        {
            var meter = new Meter(options);
            _made.Add(meter);
            return meter;
        }

        public void Dispose() => _made.ForEach(meter => meter.Dispose());
    }

    private sealed class Nobody : AnswerSink
    {
        public List<string> Notes { get; } = [];

        public override CancellationToken Gone => CancellationToken.None;

        public override ValueTask<bool> NoteAsync(string words)
        {
            Notes.Add(words);
            return ValueTask.FromResult(true);
        }

        public override void Begin(AnswerHead head)
        {
        }

        public override void Write(in SseEvent item)
        {
        }

        public override ValueTask FlushAsync() => ValueTask.CompletedTask;

        public override ValueTask CompleteAsync(ReadOnlyMemory<byte> rest) => ValueTask.CompletedTask;

        public override ValueTask WriteWholeAsync(AnswerHead head, int status, string contentType, ReadOnlyMemory<byte> body) => ValueTask.CompletedTask;

        public override ValueTask RefuseAsync(OpenAiError error) => ValueTask.CompletedTask;

        public override ValueTask BreakOffAsync(OpenAiError error) => ValueTask.CompletedTask;
    }
}
