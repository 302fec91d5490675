// The official @modelcontextprotocol/sdk package against a hub: node mcp.mjs SCENARIO
// HUB and KEY say where and as whom; MODEL what to ask. Prints one JSON object: what the user of the package sees.
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";

const model = process.env.MODEL;
const messages = [{ role: "user", content: "17+25=" }];
const client = new Client({ name: "federation-clients", version: "1.0.0" });
const headers = { Authorization: `Bearer ${process.env.KEY}` };
if (process.env.PRIVACY) headers["x-federation-privacy"] = process.env.PRIVACY;

const call = async (name, args) => {
  const { content, isError } = await client.callTool({ name, arguments: args });
  return { texts: content.map((part) => part.text), isError: isError ?? false };
};

const scenarios = {
  async tools() {
    const { tools } = await client.listTools();
    return { server: client.getServerVersion().name, tools: tools.map((tool) => tool.name).sort(), required: tools.find((tool) => tool.name === "chat").inputSchema.required };
  },
  async chat() {
    return await call("chat", { model, messages, temperature: 0 });
  },
  async job() {
    const submitted = JSON.parse((await call("submit_job", { type: "chat", request: { model, messages, temperature: 0 } })).texts[0]);
    for (;;) {
      const job = JSON.parse((await call("get_job", { id: submitted.id })).texts[0]);
      if (job.finished_at) return job;
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  },
};

try {
  await client.connect(new StreamableHTTPClientTransport(new URL(`${process.env.HUB}/mcp`), { requestInit: { headers } }));
  console.log(JSON.stringify({ result: await scenarios[process.argv[2]]() }));
  await client.close();
} catch (error) {
  console.log(JSON.stringify({ error: { message: error.message, code: error.code ?? null } }));
}
