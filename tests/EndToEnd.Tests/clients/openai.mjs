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
