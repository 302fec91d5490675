// The official ollama package against a hub: node ollama.mjs SCENARIO
// HUB and KEY say where and as whom; MODEL what to ask. Prints one JSON object: what the user of the package sees.
import { Ollama } from "ollama";

const client = new Ollama({ host: process.env.HUB, headers: { Authorization: `Bearer ${process.env.KEY}` } });
const model = process.env.MODEL;
const question = { model, messages: [{ role: "user", content: "17+25=" }], options: { temperature: 0 } };
const tools = [{ type: "function", function: { name: "add", description: "adds", parameters: { type: "object", properties: { a: { type: "integer" } } } } }];
const pixel = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";

const scenarios = {
  async models() {
    const { models } = await client.list();
    const running = await client.ps();
    const shown = await client.show({ model });
    const { version } = await client.version();
    return { models: models.map((one) => one.name), size: models.find((one) => one.name === model).size, running: running.models.map((one) => one.name), capabilities: shown.capabilities, version };
  },
  async chat() {
    return await client.chat(question);
  },
  async stream() {
    let text = "", lines = 0, last = null;
    for await (const part of await client.chat({ ...question, stream: true })) {
      lines++;
      text += part.message.content;
      last = part;
    }
    return { text, lines, last };
  },
  async generate() {
    let text = "", last = null;
    for await (const part of await client.generate({ model, prompt: "17+25=", stream: true, options: { temperature: 0, num_predict: 1 } })) {
      text += part.response;
      last = part;
    }
    return { text, last };
  },
  async load() {
    return await client.generate({ model, prompt: "" });
  },
  async tools() {
    const first = await client.chat({ ...question, tools });
    const call = first.message.tool_calls[0].function;
    const calls = [];
    for await (const part of await client.chat({ ...question, tools, stream: true })) calls.push(...(part.message.tool_calls ?? []));
    const second = await client.chat({ ...question, tools, messages: [...question.messages, first.message, { role: "tool", tool_name: "add", content: "42" }] });
    return { call, streamed: calls.map((one) => one.function), text: second.message.content };
  },
  async vision() {
    return await client.chat({ model, messages: [{ role: "user", content: "What is this?", images: [pixel] }] });
  },
  async schema() {
    return await client.chat({ ...question, format: { type: "object", properties: { answer: { type: "integer" } }, required: ["answer"] } });
  },
  async embed() {
    return await client.embed({ model, input: ["a", "bb"] });
  },
};

try {
  console.log(JSON.stringify({ result: await scenarios[process.argv[2]]() }));
} catch (error) {
  if (error.name !== "ResponseError") throw error;
  console.log(JSON.stringify({ error: { message: error.message, status: error.status_code } }));
}
