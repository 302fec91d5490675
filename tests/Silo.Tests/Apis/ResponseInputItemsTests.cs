using System.Collections.Immutable;
using System.Text;
using System.Text.Json.Nodes;
using Federation.Silo.Apis;
using Federation.Silo.Apis.Responses;

namespace Federation.Silo.Tests.Apis;

public sealed class ResponseInputItemsTests
{
    [Fact]
    public void What_was_asked_and_what_came_before_it_are_items_in_their_order()
    {
        var before = ResponsesRequests.Translate(Scenes.Request("""{"model":"m","instructions":"be brief","input":"add 1 and 2"}"""), null, true);
        var answer = new ChatAnswer();
        answer.Add(new ChatReader("call_x").Read(Encoding.UTF8.GetBytes("""{"choices":[{"index":0,"message":{"content":"Well","tool_calls":[{"id":"c1","function":{"name":"add","arguments":"{}"}}]},"finish_reason":"tool_calls"}]}""")));
        var call = ResponsesRequests.Translate(
            Scenes.Request("""
                {"model":"m","previous_response_id":"resp_0","input":[{"type":"function_call_output","call_id":"c1","output":"3"},{"role":"user","content":[{"type":"input_text","text":"and this?"},{"type":"input_image","image_url":"data:image/png;base64,AA=="}]}]}
                """),
            ResponsesRequests.Extend(before.Conversation, answer),
            true);
        var last = new ChatAnswer();
        last.Add(new ChatPiece { Text = "42" });
        var items = ResponseInputItems.Of("resp_1", ResponsesRequests.Extend(call.Conversation, last));
        string[] expected =
        [
            """{"id":"msg_1_in0","type":"message","status":"completed","role":"user","content":[{"type":"input_text","text":"add 1 and 2"}]}""",
            """{"id":"msg_1_in1","type":"message","status":"completed","role":"assistant","content":[{"type":"output_text","text":"Well","annotations":[],"logprobs":[]}]}""",
            """{"id":"fc_1_in2","type":"function_call","status":"completed","call_id":"c1","name":"add","arguments":"{}"}""",
            """{"id":"fco_1_in3","type":"function_call_output","status":"completed","call_id":"c1","output":"3"}""",
            """{"id":"msg_1_in4","type":"message","status":"completed","role":"user","content":[{"type":"input_text","text":"and this?"},{"type":"input_image","image_url":"data:image/png;base64,AA==","detail":"auto"}]}""",
        ];
        Assert.Equal(expected, items.Select(item => item.ToJsonString()));
    }

    [Fact]
    public void Pages_follow_one_another_from_either_end()
    {
        var items = ResponseInputItems.Of("resp_1", """[{"role":"user","content":"0"},{"role":"user","content":"1"},{"role":"user","content":"2"},{"role":"assistant","content":"answer"}]""");
        Assert.Equal("msg_1_in2 msg_1_in1 | msg_1_in2 msg_1_in1 True", Shown(ResponseInputItems.Page(Copy(items), "", oldestFirst: false, 2)));
        Assert.Equal("msg_1_in0 | msg_1_in0 msg_1_in0 False", Shown(ResponseInputItems.Page(Copy(items), "msg_1_in1", oldestFirst: false, 2)));
        Assert.Equal("msg_1_in0 msg_1_in1 msg_1_in2 | msg_1_in0 msg_1_in2 False", Shown(ResponseInputItems.Page(Copy(items), "", oldestFirst: true, 3)));
        Assert.Equal(" |   False", Shown(ResponseInputItems.Page(Copy(items), "msg_1_in2", oldestFirst: true, 3)));
        Assert.Null(ResponseInputItems.Page(Copy(items), "msg_other", oldestFirst: true, 3));
    }

    private static ImmutableArray<JsonObject> Copy(ImmutableArray<JsonObject> items) => [.. items.Select(item => item.DeepClone().AsObject())];

    private static string Shown(JsonObject? page) => $"{string.Join(' ', page!["data"]!.AsArray().Select(item => item!["id"]))} | {page["first_id"]} {page["last_id"]} {page["has_more"]!.GetValue<bool>()}";
}
