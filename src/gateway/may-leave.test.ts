import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type ConfiguredGateway, startConfigured } from "../../test/support/configured-gateway.ts";
import { type StandInProvider, sendJson, startStandInProvider } from "../../test/support/stand-in-provider.ts";

// A request that may not leave has no way to a provider: not over any dialect, not on a retry, not through an alias, a pattern or
// a pin. The proof is the cloud's own count of connections; a rented machine, which is polled, counts requests.

const LIST = { object: "list", data: [{ id: "pool", object: "model", owned_by: "x" }] };
const MESSAGES = [{ role: "user", content: "hello" }];

/** Every way to ask, by path. */
const BODIES: ReadonlyArray<readonly [path: string, body: (model: string) => Record<string, unknown>]> = [
  ["/v1/chat/completions", (model) => ({ model, messages: MESSAGES })],
  ["/v1/chat/completions", (model) => ({ model, messages: MESSAGES, stream: true })],
  ["/v1/completions", (model) => ({ model, prompt: "hello" })],
  ["/v1/embeddings", (model) => ({ model, input: "hello" })],
  ["/v1/responses", (model) => ({ model, input: "hello", store: false })],
  ["/v1/messages", (model) => ({ model, max_tokens: 5, messages: MESSAGES })],
  ["/v1/messages", (model) => ({ model, max_tokens: 5, messages: MESSAGES, stream: true })],
  ["/v1/messages/count_tokens", (model) => ({ model, messages: MESSAGES })],
  ["/api/chat", (model) => ({ model, messages: MESSAGES })],
  ["/api/generate", (model) => ({ model, prompt: "hello" })],
  ["/api/embed", (model) => ({ model, input: "hello" })],
  ["/api/embeddings", (model) => ({ model, prompt: "hello" })],
];
/** Of the pool, of the clouds alone, behind an alias, behind a pattern. */
const MODELS = ["pool", "only-cloud", "only-claude", "assistant", "any-of-them"];

let own: StandInProvider;
let rented: StandInProvider;
let cloud: StandInProvider;
let gateway: ConfiguredGateway;

beforeAll(async () => {
  [own, rented, cloud] = await Promise.all([startStandInProvider(), startStandInProvider(), startStandInProvider()]);
  // A machine of one's own that always fails: whatever may take over is tried.
  own.answer = ({ method }, response) =>
    method === "GET" ? sendJson(response, 200, LIST) : sendJson(response, 503, { error: { message: "busy" } });
  const chat = rented.answer;
  rented.answer = (request, response) =>
    request.method === "GET" ? sendJson(response, 200, LIST) : chat(request, response);
  gateway = await startConfigured(
    `
nodes:
  own: { url: "${own.origin}", kind: openai }
  rented: { url: "${rented.origin}", kind: openai, locality: rented, tags: [gpu] }
providers:
  cloud:
    dialect: openai
    baseUrl: ${cloud.origin}/v1
    apiKey: env:KEY
    models: { pool: pool, only-cloud: gpt }
    operations: [openai.chat, openai.completions, openai.embeddings, openai.responses]
  claude:
    dialect: anthropic
    baseUrl: ${cloud.origin}
    apiKey: env:KEY
    models: { pool: claude, only-claude: claude }
models:
  assistant: { targets: [{ model: pool, node: own }, { model: pool, node: rented }, { model: gpt, provider: cloud }] }
  "any-*": { targets: [{ model: pool, provider: claude }, { model: pool }] }
`,
    { env: { KEY: "sk-test-0123456789" } },
  );
});
afterAll(async () => {
  await gateway.close();
  await Promise.all([own, rented, cloud].map((one) => one.close()));
});

async function askAll(key: string, headers: Record<string, string> = {}): Promise<Set<string>> {
  const served = new Set<string>();
  for (const [path, body] of BODIES) {
    for (const model of MODELS) {
      const answer = await gateway.ask(path, body(model), { authorization: `Bearer ${key}`, ...headers });
      await answer.arrayBuffer();
      served.add(answer.headers.get("x-postern-served-by") ?? "nobody");
    }
  }
  return served;
}

function leftRequests(): number {
  return rented.asked.filter(({ method }) => method === "POST").length;
}

const APPROVAL = { mayLeave: "no" as const, prefer: "local" as const, fallback: "approval" as const };

describe("a request that may not leave", () => {
  // In this order: what comes last shows that the test would see a way, if there was one.
  it.each([
    ["by its key", { mayLeave: "no" as const, mayPin: true }, {}],
    ["by its key, whatever it prefers", { mayLeave: "no" as const, prefer: "cloud" as const }, {}],
    ["by its key, whatever targets it lists", { mayLeave: "no" as const, targets: { providers: ["*"] } }, {}],
    ["by its key, whatever an operator may approve", APPROVAL, {}],
    ["by its header", { mayPin: true }, { "x-postern-policy": "local-only" }],
    ["pinned to a rented node", { mayPin: true, mayLeave: "no" as const }, { "x-postern-node": "rented" }],
    ["pinned to a provider", { mayPin: true, mayLeave: "no" as const }, { "x-postern-node": "cloud" }],
  ])("%s opens no connection to a provider and asks no rented node", async (name, policy, headers) => {
    const { secret } = await gateway.admin.createKey({ name, policy: { version: 1, ...policy } });
    const served = await askAll(secret, headers);
    expect([...served].filter((one) => one !== "nobody" && one !== "node/own")).toEqual([]);
    expect(cloud.connections).toBe(0);
    expect(leftRequests()).toBe(0);
  });

  it("opens none in contingency and on the way back from it", async () => {
    const { secret } = await gateway.admin.createKey({ name: "contingency", policy: { version: 1, mayLeave: "no" } });
    await gateway.admin.contingencyOn({ reason: "announced outage" });
    await askAll(secret);
    await gateway.admin.contingencyOff({});
    await askAll(secret);
    expect([cloud.connections, leftRequests()]).toEqual([0, 0]);
    await gateway.admin.contingencyOff({ isAtOnce: true });
  });

  it("is the only one that does not: without the rule all of them would be asked", async () => {
    await askAll(gateway.key);
    expect(cloud.asked.map(({ url }) => url)).toEqual(
      expect.arrayContaining(["/v1/chat/completions", "/v1/embeddings", "/v1/responses", "/v1/messages"]),
    );
    expect(cloud.connections).toBeGreaterThan(0);
    expect(leftRequests()).toBeGreaterThan(0);
  });
});
