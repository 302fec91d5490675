// The official openai package against a hub: node openai.mjs SCENARIO
// OPENAI_BASE_URL and OPENAI_API_KEY say where and as whom; MODEL what to ask. Prints one JSON object: what the user of the package sees.
import OpenAI from "openai";

const client = new OpenAI({ maxRetries: 0, timeout: 60_000 });
const model = process.env.MODEL;
const chat = { model, messages: [{ role: "user", content: "17+25=" }], temperature: 0 };

const seen = (error) => ({
  type: error.constructor.name,
  status: error.status,
  code: error.code,
  param: error.param,
  message: error.message,
  requestId: error.requestID,
});

const scenarios = {
  async models() {
    const all = [];
    for await (const one of client.models.list()) all.push(one.id);
    const one = await client.models.retrieve(model);
    return { all, one: one.id, object: one.object, created: one.created };
  },

  async chat() {
    const { data, response } = await client.chat.completions.create(chat).withResponse();
    return {
      text: data.choices[0].message.content,
      finish: data.choices[0].finish_reason,
      usage: data.usage,
      node: response.headers.get("x-federation-node"),
    };
  },

  async completion() {
    const answer = await client.completions.create({ model, prompt: "<|user|>\n17+25=<|end|>\n<|assistant|>\n", temperature: 0, max_tokens: 8 });
    return { text: answer.choices[0].text, object: answer.object };
  },

  async stream() {
    let text = "", chunks = 0, usage = null, finish = null;
    for await (const chunk of await client.chat.completions.create({ ...chat, stream: true })) {
      chunks++;
      text += chunk.choices[0]?.delta?.content ?? "";
      finish = chunk.choices[0]?.finish_reason ?? finish;
      usage = chunk.usage ?? usage;
    }
    return { text, chunks, usage, finish };
  },

  async streamWithUsage() {
    let text = "", usage = null, last = null;
    for await (const chunk of await client.chat.completions.create({ ...chat, stream: true, stream_options: { include_usage: true } })) {
      text += chunk.choices[0]?.delta?.content ?? "";
      usage = chunk.usage ?? usage;
      last = chunk;
    }
    return { text, usage, choicesInLast: last.choices.length };
  },

  async streamHelper() {
    const stream = client.chat.completions.stream(chat);
    const final = await stream.finalChatCompletion();
    return { text: final.choices[0].message.content };
  },

  async embeddings() {
    return await client.embeddings.create({ model, input: "hello" });
  },

  async response() {
    const response = await client.responses.create({ model, input: "17+25=", temperature: 0 });
    const again = await client.responses.retrieve(response.id);
    const deleted = await client.responses.delete(response.id);
    let gone = null;
    try {
      await client.responses.retrieve(response.id);
    } catch (error) {
      gone = error.status;
    }
    return { text: response.output_text, status: response.status, usage: response.usage, same: JSON.stringify(again.output) === JSON.stringify(response.output), deleted: deleted?.deleted ?? null, gone };
  },

  async responseStream() {
    const types = [];
    let text = "", final = null;
    for await (const event of await client.responses.create({ model, input: "17+25=", temperature: 0, stream: true })) {
      types.push(event.type);
      if (event.type === "response.output_text.delta") text += event.delta;
      if (event.type === "response.completed") final = event.response;
    }
    return { types, text, status: final.status, usage: final.usage };
  },

  async responseStreamHelper() {
    const stream = client.responses.stream({ model, input: "17+25=", temperature: 0 });
    const final = await stream.finalResponse();
    return { text: final.output_text };
  },

  async responseGoesOn() {
    const first = await client.responses.create({ model, input: "17+25=", instructions: "You add." });
    const second = await client.responses.create({ model, input: "And now?", previous_response_id: first.id });
    return { first: first.id, previous: second.previous_response_id, tokens: [first.usage.input_tokens, second.usage.input_tokens] };
  },

  async responseOfNobody() {
    return await client.responses.create({ model, input: "And now?", previous_response_id: "resp_nobody" });
  },

  async responseNotKept() {
    const first = await client.responses.create({ model, input: "17+25=", store: false });
    return await client.responses.create({ model, input: "And now?", previous_response_id: first.id });
  },

  async responseHosted() {
    return await client.responses.create({ model, input: "17+25=", tools: [{ type: "web_search" }] });
  },

  async responseTools() {
    const tools = [{ type: "function", name: "add", description: "adds", parameters: { type: "object", properties: { a: { type: "integer" } } }, strict: false }];
    let first = null;
    for await (const event of await client.responses.create({ model, input: "17+25=", tools, stream: true })) if (event.type === "response.completed") first = event.response;
    const call = first.output.find((item) => item.type === "function_call");
    const second = await client.responses.create({ model, tools, previous_response_id: first.id, input: [{ type: "function_call_output", call_id: call.call_id, output: "42" }] });
    const items = [];
    for await (const item of client.responses.inputItems.list(second.id, { order: "asc", limit: 2 })) items.push(item.type);
    return { call, text: second.output_text, items };
  },

  async responseSchema() {
    const format = { type: "json_schema", name: "sum", schema: { type: "object", properties: { answer: { type: "integer" } }, required: ["answer"] } };
    const seen = await client.responses.create({ model, input: [{ role: "user", content: [{ type: "input_text", text: "17+25=" }] }], text: { format } });
    const image = await client.responses.create({ model, input: [{ role: "user", content: [{ type: "input_image", image_url: "data:image/png;base64,AAAA", detail: "auto" }] }] });
    return { text: seen.output_text, format: seen.text.format.type, image: image.output_text };
  },

  async tools() {
    const tools = [{ type: "function", function: { name: "add", description: "adds", parameters: { type: "object", properties: { a: { type: "integer" } } } } }];
    const stream = client.chat.completions.stream({ ...chat, tools });
    const first = (await stream.finalChatCompletion()).choices[0];
    const call = first.message.tool_calls[0];
    const second = await client.chat.completions.create({ ...chat, tools, messages: [...chat.messages, first.message, { role: "tool", tool_call_id: call.id, content: "42" }] });
    return { finish: first.finish_reason, call: call.function, text: second.choices[0].message.content };
  },

  async schema() {
    const schema = { type: "object", properties: { answer: { type: "integer" } }, required: ["answer"], additionalProperties: false };
    const seen = await client.chat.completions.parse({ ...chat, response_format: { type: "json_schema", json_schema: { name: "sum", schema, strict: true } } });
    const image = await client.chat.completions.create({ model, messages: [{ role: "user", content: [{ type: "image_url", image_url: { url: "data:image/png;base64,AAAA" } }] }] });
    return { parsed: JSON.parse(seen.choices[0].message.content), image: image.choices[0].message.content };
  },

  async abort() {
    const stream = await client.chat.completions.create({ ...chat, stream: true });
    let chunks = 0;
    for await (const chunk of stream) {
      chunks += chunk.choices[0]?.delta?.content ? 1 : 0;
      if (chunks === 3) stream.controller.abort();
    }
    return { chunks };
  },
};

try {
  console.log(JSON.stringify({ result: await scenarios[process.argv[2]]() }));
} catch (error) {
  if (!(error instanceof OpenAI.APIError)) throw error;
  console.log(JSON.stringify({ error: seen(error) }));
}
