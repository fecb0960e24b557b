import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type ConfiguredGateway, startConfigured } from "../../test/support/configured-gateway.ts";
import {
  MESSAGE_ANSWER,
  type StandInProvider,
  sendJson,
  startStandInProvider,
} from "../../test/support/stand-in-provider.ts";

const KEY = "sk-proj-0123456789abcdef";
const CHAT = { model: "gpt", messages: [{ role: "user", content: "hello" }] };

let cloud: StandInProvider;
let gateway: ConfiguredGateway | null = null;

beforeEach(async () => {
  cloud = await startStandInProvider();
});
afterEach(async () => {
  await gateway?.close();
  gateway = null;
  await cloud.close();
});

async function start(yaml: string): Promise<ConfiguredGateway> {
  gateway = await startConfigured(yaml, { env: { CLOUD_KEY: KEY } });
  return gateway;
}

function provider(rest: string, name = "cloud"): string {
  return `providers:\n  ${name}:\n    baseUrl: ${cloud.origin}/v1\n    apiKey: env:CLOUD_KEY\n    ${rest.replaceAll("\n", "\n    ")}\n`;
}

describe("a provider", () => {
  it("answers under the public name, asked with its own key and nothing of the caller's head", async () => {
    const { ask } = await start(provider("dialect: openai\nmodels: { gpt: gpt-4o }\norganization: org-1"));
    const answer = await ask("/v1/chat/completions", CHAT, {
      "openai-organization": "org-callers",
      "anthropic-beta": "x",
      cookie: "a=b",
      "x-forwarded-for": "198.51.100.7",
    });
    expect(answer.headers.get("x-postern-served-by")).toBe("provider/cloud");
    expect(await answer.json()).toMatchObject({ choices: [{ message: { content: "from the cloud" } }] });
    const [asked] = cloud.asked;
    expect(asked?.url).toBe("/v1/chat/completions");
    expect(JSON.parse(asked?.body ?? "")).toEqual({ ...CHAT, model: "gpt-4o" });
    expect(asked?.headers).toEqual({
      host: new URL(cloud.origin).host,
      connection: "keep-alive",
      "accept-encoding": "identity",
      authorization: `Bearer ${KEY}`,
      "openai-organization": "org-1",
      "content-type": "application/json",
      accept: "application/json",
      "user-agent": "postern",
      "content-length": String(asked?.body.length),
    });
  });

  it("streams, and its usage is in the record under its own label", async () => {
    const { ask, admin } = await start(
      `prices: { gpt: { input: 2.5, output: 10 } }\n${provider("dialect: openai\nmodels: [gpt]")}`,
    );
    const answer = await ask("/v1/chat/completions", { ...CHAT, stream: true });
    expect(await answer.text()).toMatch(/from the cloud[\s\S]*\[DONE\]/);
    const record = await admin.request(answer.headers.get("x-request-id") ?? "");
    expect(record).toMatchObject({
      outcome: "ok",
      tokensIn: 1000,
      tokensOut: 100,
      attempts: [{ target: "provider/cloud", nodeId: null, engine: "openai", engineModel: "gpt" }],
    });
    const status = await admin.status();
    const metrics = await (await fetch(`${status.gateway?.adminUrl}/metrics`)).text();
    expect(metrics).toMatch(/postern_requests_total\{model="gpt",node="provider\/cloud",.*\} 1/);
    expect(metrics).toContain('postern_provider_spend_dollars{provider="cloud",period="day"} 0.0035');
    const { rows } = await admin.usage({ by: "node" });
    expect(rows).toMatchObject([{ group: "provider/cloud", label: "provider/cloud", requests: 1 }]);
  });

  it("of Anthropic's dialect is asked in it, with the caller's version and its harmless betas", async () => {
    cloud.answer = (_request, response) => sendJson(response, 200, MESSAGE_ANSWER);
    const { ask } = await start(provider("dialect: anthropic\nmodels: { claude: claude-big }"));
    const body = { model: "claude", max_tokens: 10, messages: [{ role: "user", content: "hello" }] };
    const answer = await ask("/v1/messages?beta=true", body, {
      "anthropic-version": "2026-10-21",
      "anthropic-beta": "interleaved-thinking-2025-05-14,mcp-client-2025-04-04,files-api-2025-04-14",
    });
    expect(await answer.json()).toMatchObject({ content: [{ text: "from the cloud" }] });
    expect(cloud.asked[0]?.url).toBe("/v1/messages");
    expect(cloud.asked[0]?.headers).toMatchObject({
      "x-api-key": KEY,
      "anthropic-version": "2026-10-21",
      "anthropic-beta": "interleaved-thinking-2025-05-14",
    });
    expect(cloud.asked[0]?.headers.authorization).toBeUndefined();
  });

  it("is asked in its own dialect where the caller speaks another one", async () => {
    cloud.answer = (_request, response) => sendJson(response, 200, MESSAGE_ANSWER);
    const { ask } = await start(provider("dialect: anthropic\nmodels: { gpt: claude-big }"));
    const answer = await ask("/v1/chat/completions", CHAT, { "anthropic-beta": "interleaved-thinking-2025-05-14" });
    expect(await answer.json()).toMatchObject({ choices: [{ message: { content: "from the cloud" } }] });
    const [asked] = cloud.asked;
    expect(asked?.url).toBe("/v1/messages");
    expect(asked?.headers["anthropic-version"]).toBe("2023-06-01");
    expect(asked?.headers["anthropic-beta"]).toBeUndefined();
    expect(JSON.parse(asked?.body ?? "")).toMatchObject({ model: "claude-big" });
  });

  it("of Azure's older shape has a path for each deployment", async () => {
    const { ask } = await start(
      `providers:\n  azure:\n    dialect: openai\n    baseUrl: ${cloud.origin}\n    apiKey: env:CLOUD_KEY\n    azure: { apiVersion: "2024-10-21" }\n    models: { gpt: my deployment }\n`.replace(
        "my deployment",
        "my/deployment",
      ),
    );
    expect((await ask("/v1/chat/completions", CHAT)).status).toBe(200);
    expect(cloud.asked[0]?.url).toBe("/openai/deployments/my%2Fdeployment/chat/completions?api-version=2024-10-21");
    expect(cloud.asked[0]?.headers["api-key"]).toBe(KEY);
  });

  it("serves its whole list where the file says so, without embedding models being asked for chats", async () => {
    cloud.answer = (_request, response) =>
      sendJson(response, 200, { object: "list", data: [{ id: "gpt-a" }, { id: "text-embedding-3-small" }] });
    const { admin } = await start(provider("dialect: openai\nmodels: all"));
    await expect
      .poll(async () => (await admin.listModels()).map(({ name }) => name))
      .toEqual(["gpt-a", "text-embedding-3-small"]);
    const models = await admin.listModels();
    expect(models[0]).toMatchObject({ ready: true, source: "provider", targets: [{ node: null, provider: "cloud" }] });
    expect(models[1]?.operations).toEqual(["openai.embeddings"]);
    expect(cloud.asked[0]).toMatchObject({ method: "GET", url: "/v1/models" });
  });

  it("stands behind an alias, by the public name or by its own, without being listed under the latter", async () => {
    const { ask, admin } = await start(
      `${provider("dialect: openai")}models:\n  assistant:\n    targets: [{ model: gpt-4o, provider: cloud }]\n`,
    );
    expect((await admin.listModels()).map(({ name, source }) => [name, source])).toEqual([["assistant", "alias"]]);
    expect((await ask("/v1/chat/completions", { ...CHAT, model: "assistant" })).status).toBe(200);
    expect(JSON.parse(cloud.asked[0]?.body ?? "")).toMatchObject({ model: "gpt-4o" });
    expect((await ask("/v1/chat/completions", { ...CHAT, model: "gpt-4o" })).status).toBe(404);
  });
});
