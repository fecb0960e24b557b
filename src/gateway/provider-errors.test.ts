import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type ConfiguredGateway, startConfigured } from "../../test/support/configured-gateway.ts";
import { type StandInProvider, sendJson, startStandInProvider } from "../../test/support/stand-in-provider.ts";

const KEY = "sk-proj-0123456789abcdef";
const ORG = "org-AbCdEfGhIjKlMnOp";
const CHAT = { model: "gpt", messages: [{ role: "user", content: "hello" }] };
const MESSAGE = { model: "claude", max_tokens: 5, messages: [{ role: "user", content: "hello" }] };
/** What clouds say in their heads and no caller should read. */
const HEAD = {
  "set-cookie": "__cf_bm=secret",
  "openai-organization": ORG,
  "anthropic-organization-id": "2b1f6e0c",
  "x-request-id": "req_cloud",
  "request-id": "req_cloud",
  "x-ratelimit-remaining-requests": "17",
  "anthropic-ratelimit-requests-remaining": "17",
  "openai-processing-ms": "12",
  "cf-ray": "8",
  location: "https://elsewhere.example.org",
};

let cloud: StandInProvider;
let gateway: ConfiguredGateway;

beforeEach(async () => {
  cloud = await startStandInProvider();
  gateway = await startConfigured(
    `
providers:
  openai: { dialect: openai, baseUrl: "${cloud.origin}/v1", apiKey: env:KEY, models: [gpt] }
  anthropic: { dialect: anthropic, baseUrl: "${cloud.origin}", apiKey: env:KEY, models: [claude] }
`,
    { env: { KEY } },
  );
});
afterEach(async () => {
  await gateway.close();
  await cloud.close();
});

async function whole(answer: Response): Promise<{ status: number; headers: string; body: string }> {
  return { status: answer.status, headers: JSON.stringify([...answer.headers]), body: await answer.text() };
}

describe("what a provider says", () => {
  it("in its head stays here, in good answers and in bad ones", async () => {
    const chat = cloud.answer;
    cloud.answer = (request, response) => {
      for (const [name, value] of Object.entries(HEAD)) response.setHeader(name, value);
      chat(request, response);
    };
    const good = await whole(await gateway.ask("/v1/chat/completions", CHAT));
    expect(good.status).toBe(200);
    cloud.answer = (_request, response) =>
      sendJson(response, 400, { error: { message: "bad", type: "invalid_request_error" } }, HEAD);
    const bad = await whole(await gateway.ask("/v1/chat/completions", CHAT));
    expect([bad.status, bad.body]).toEqual([400, '{"error":{"message":"bad","type":"invalid_request_error"}}']);
    for (const { headers } of [good, bad])
      expect(headers).not.toMatch(/__cf_bm|org-|2b1f6e0c|req_cloud|"17"|processing|cf-ray|elsewhere/);
  });

  it("of a refused key is not told, not even its wording, and the operator sees it in status", async () => {
    cloud.answer = (_request, response) =>
      sendJson(response, 401, { error: { message: `Incorrect API key provided: ${KEY}`, code: "invalid_api_key" } });
    const refused = await whole(await gateway.ask("/v1/chat/completions", CHAT));
    expect(refused.status).toBe(502);
    expect(refused.body).not.toMatch(/sk-|API key/);
    const { gateway: running } = await gateway.admin.status();
    expect(running?.providers.map(({ name, reason }) => [name, reason])).toEqual([
      ["openai", "it refused the key or the account at the last request"],
      ["anthropic", null],
    ]);
  });

  it("of its rate limit is told without the organization behind it, with its Retry-After", async () => {
    const message = `Rate limit reached for gpt-4o in organization ${ORG} on requests per min (RPM): Limit 3`;
    cloud.answer = (_request, response) =>
      sendJson(
        response,
        429,
        { error: { message, type: "requests", code: "rate_limit_exceeded" } },
        { "retry-after": "7" },
      );
    const answer = await gateway.ask("/v1/chat/completions", CHAT);
    expect([answer.status, answer.headers.get("retry-after")]).toEqual([429, "7"]);
    expect(await answer.json()).toMatchObject({ error: { code: "rate_limit_exceeded" } });
  });

  it("of a context that is full is Anthropic's own wording for its clients, and OpenAI's code for others", async () => {
    const error = { type: "invalid_request_error", message: "prompt is too long: 210000 tokens > 200000 maximum" };
    cloud.answer = (_request, response) =>
      sendJson(response, 400, { type: "error", error, request_id: "req_011CSHoEeqs5C35K2UUqR7Fy" });
    const own = await whole(await gateway.ask("/v1/messages", MESSAGE));
    expect([own.status, JSON.parse(own.body)]).toEqual([400, { type: "error", error }]);
    const other = await whole(await gateway.ask("/v1/chat/completions", { ...CHAT, model: "claude" }));
    expect([other.status, JSON.parse(other.body)]).toMatchObject([400, { error: { code: "context_length_exceeded" } }]);
  });

  it("in the middle of a stream is told without names", async () => {
    const chunk = { id: "1", choices: [{ index: 0, delta: { content: "half" }, finish_reason: null }] };
    const error = { message: `The server failed for ${ORG}`, type: "server_error" };
    let fail = () => {};
    cloud.answer = (_request, response) => {
      response.writeHead(200, { "content-type": "text/event-stream" });
      response.write(`data: ${JSON.stringify(chunk)}\n\n`);
      fail = () => response.end(`data: ${JSON.stringify({ error })}\n\n`);
    };
    const answer = await gateway.ask("/v1/chat/completions", { ...CHAT, stream: true });
    let text = "";
    const body = answer.body?.pipeThrough(new TextDecoderStream());
    // The connection is broken off after an error, so that nobody takes the answer for whole.
    await (async () => {
      for await (const piece of body ?? []) {
        text += piece;
        if (text.includes("half")) fail();
      }
    })().catch(() => {});
    expect(text).toContain("half");
    expect(text).toContain("[hidden]");
    expect(text).not.toContain(ORG);
  });

  it("that is no JSON at all, or a page, is never passed on", async () => {
    for (const type of ["text/html", "text/plain", "application/json"]) {
      cloud.answer = (_request, response) => response.writeHead(500, { "content-type": type }).end(`<b>${ORG}</b>`);
      const { status, body } = await whole(await gateway.ask("/v1/chat/completions", CHAT));
      expect([type, status >= 500, body.includes(ORG)]).toEqual([type, true, false]);
    }
  });
});
