import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { type AddressInfo, connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createServer } from "node:tls";
import Anthropic from "@anthropic-ai/sdk";
import { LLMock } from "@copilotkit/aimock";
import OpenAI from "openai";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { makeCertificate } from "../../test/support/certificate.ts";
import { type ConfiguredGateway, startConfigured } from "../../test/support/configured-gateway.ts";
import { Closers } from "../lib/closers.ts";

// The official clients, through a gateway, at a third party's stand-in for both clouds (aimock) behind real TLS.

const TEXT = "Hello from a cloud: grüße, 你好, 👋.";
const PROMPT = [{ role: "user" as const, content: "hello" }];

const closers = new Closers();
const mock = new LLMock({ port: 0, host: "127.0.0.1" });
let gateway: ConfiguredGateway;
let openai: OpenAI;
let anthropic: Anthropic;

beforeAll(async () => {
  const folder = await mkdtemp(join(tmpdir(), "postern-sdks-"));
  closers.add(() => rm(folder, { recursive: true, force: true }));
  for (const model of ["gpt-cloud", "claude-cloud"]) {
    mock.on(
      { model, predicate: ({ tools = [] }) => tools.length > 0 },
      { toolCalls: [{ name: "f", arguments: "{}" }] },
    );
    mock.on({ model }, { content: TEXT }, { chunkSize: 5 });
  }
  mock.on({ model: "embed-cloud", endpoint: "embedding" }, { embedding: [0.25, -0.5, 1] });
  await mock.start();
  closers.add(() => mock.stop());
  const certificate = makeCertificate();
  await writeFile(join(folder, "ca.pem"), certificate.cert);
  const origin = await terminateTls(certificate, Number(new URL(mock.url).port));
  gateway = await startConfigured(
    `
providers:
  openai:
    dialect: openai
    baseUrl: ${origin}/v1
    apiKey: env:KEY
    ca: ${join(folder, "ca.pem")}
    models: { gpt: gpt-cloud, embed: embed-cloud }
  anthropic:
    dialect: anthropic
    baseUrl: ${origin}
    apiKey: env:KEY
    ca: ${join(folder, "ca.pem")}
    models: { claude: claude-cloud }
  distrusted:
    dialect: openai
    baseUrl: ${origin}/v1
    apiKey: env:KEY
    models: { distrusted: gpt-cloud }
`,
    { env: { KEY: "sk-cloud-0123456789" } },
  );
  closers.add(() => gateway.close());
  openai = new OpenAI({ baseURL: `${gateway.origin}/v1`, apiKey: gateway.key, maxRetries: 0 });
  anthropic = new Anthropic({ baseURL: gateway.origin, apiKey: gateway.key, maxRetries: 0 });
});
afterAll(() => closers.close());

/** TLS in front of a port of loopback. */
async function terminateTls(certificate: { cert: string; key: string }, port: number): Promise<string> {
  const server = createServer(certificate, (socket) => {
    const inner = connect(port, "127.0.0.1");
    for (const [from, to] of [
      [socket, inner],
      [inner, socket],
    ] as const) {
      from.on("error", () => to.destroy());
      from.on("close", () => to.destroy());
      from.pipe(to);
    }
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  closers.add(() => new Promise<void>((resolve) => server.close(() => resolve())));
  return `https://localhost:${(server.address() as AddressInfo).port}`;
}

function askedPath(): string | undefined {
  return mock.getRequests().at(-1)?.path;
}

// Each client at each cloud: in the cloud's own dialect, and translated into it.
describe.each([
  ["gpt", "/v1/chat/completions"],
  ["claude", "/v1/messages"],
])("at the cloud behind %s", (model, path) => {
  it("the openai package gets whole answers and streams", async () => {
    const whole = await openai.chat.completions.create({ model, messages: PROMPT });
    expect(whole.choices[0]).toMatchObject({ message: { content: TEXT }, finish_reason: "stop" });
    expect(whole.usage?.completion_tokens).toBeGreaterThan(0);
    const stream = openai.chat.completions.stream({ model, messages: PROMPT });
    expect((await stream.finalChatCompletion()).choices[0]?.message.content).toBe(TEXT);
    expect(askedPath()).toBe(path);
  });

  it("the openai package gets them by the Responses API too", async () => {
    const whole = await openai.responses.create({ model, input: "hello", store: false });
    expect(whole.output_text).toBe(TEXT);
    const stream = openai.responses.stream({ model, input: "hello", store: false });
    expect((await stream.finalResponse()).output_text).toBe(TEXT);
    expect(askedPath()).toBe(path);
  });

  it("Anthropic's package gets whole answers, streams and calls of tools", async () => {
    const body = { model, max_tokens: 100, messages: PROMPT };
    const whole = await anthropic.messages.create(body);
    expect(whole).toMatchObject({ content: [{ type: "text", text: TEXT }], stop_reason: "end_turn" });
    const final = await anthropic.messages.stream(body).finalMessage();
    expect(final.content).toMatchObject([{ type: "text", text: TEXT }]);
    const tools = [{ name: "f", input_schema: { type: "object" as const } }];
    const call = await anthropic.messages.create({ ...body, tools });
    expect(call).toMatchObject({ content: [{ type: "tool_use", name: "f" }], stop_reason: "tool_use" });
    expect(askedPath()).toBe(path);
  });
});

it("embeddings come from a cloud", async () => {
  const answer = await openai.embeddings.create({ model: "embed", input: "hello", encoding_format: "float" });
  expect(answer.data[0]?.embedding).toEqual([0.25, -0.5, 1]);
});

it("a cloud whose certificate nobody trusts gets neither key nor prompt", async () => {
  const before = mock.getRequests().length;
  await expect(openai.chat.completions.create({ model: "distrusted", messages: PROMPT })).rejects.toMatchObject({
    status: 502,
  });
  expect(mock.getRequests()).toHaveLength(before);
});
