// The official @anthropic-ai/sdk package against a hub: node anthropic.mjs SCENARIO
// ANTHROPIC_BASE_URL and ANTHROPIC_API_KEY say where and as whom; MODEL what to ask. Prints one JSON object: what the user of the package sees.
import Anthropic from "@anthropic-ai/sdk";

const client = new Anthropic({ maxRetries: 0, timeout: 60_000 });
const model = process.env.MODEL;
const question = { model, max_tokens: 64, messages: [{ role: "user", content: "17+25=" }] };
const tools = [{ name: "add", description: "adds", input_schema: { type: "object", properties: { a: { type: "integer" } } } }];
const pixel = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";

const scenarios = {
  async message() {
    const { data, response } = await client.messages.create({ ...question, temperature: 0 }).withResponse();
    return { message: data, requestId: data._request_id, node: response.headers.get("x-federation-node") };
  },
  async bearer() {
    const bearer = new Anthropic({ apiKey: null, authToken: process.env.ANTHROPIC_API_KEY, maxRetries: 0 });
    return await bearer.messages.create(question);
  },
  async stream() {
    const types = [];
    for await (const event of await client.messages.create({ ...question, stream: true })) types.push(event.type);
    return { types };
  },
  async streamHelper() {
    const stream = client.messages.stream({ ...question, temperature: 0 });
    let text = "";
    stream.on("text", (piece) => (text += piece));
    const message = await stream.finalMessage();
    return { text, message };
  },
  async tools() {
    const stream = client.messages.stream({ ...question, tools });
    const first = await stream.finalMessage();
    const call = first.content.find((block) => block.type === "tool_use");
    const second = await client.messages.create({
      ...question,
      tools,
      messages: [...question.messages, { role: "assistant", content: first.content }, { role: "user", content: [{ type: "tool_result", tool_use_id: call.id, content: "42" }] }],
    });
    return { call, stop: first.stop_reason, text: second.content[0].text };
  },
  async vision() {
    return await client.messages.create({
      ...question,
      messages: [{ role: "user", content: [{ type: "image", source: { type: "base64", media_type: "image/png", data: pixel } }, { type: "text", text: "What is this?" }] }],
    });
  },
  async count() {
    return await client.messages.countTokens({ model, messages: question.messages });
  },
  async noTokens() {
    return await client.messages.create({ model, messages: question.messages });
  },
};

try {
  console.log(JSON.stringify({ result: await scenarios[process.argv[2]]() }));
} catch (error) {
  if (!(error instanceof Anthropic.APIError)) throw error;
  console.log(JSON.stringify({ error: { type: error.constructor.name, status: error.status, kind: error.error?.error?.type, message: error.error?.error?.message, requestId: error.requestID } }));
}
