import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { pino } from "pino";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { directNode, gatewayConfig } from "../../test/support/gateway-config.ts";
import { AdminClient } from "../admin/client.ts";
import { socketTransport } from "../admin/transport.ts";
import {
  answerFrom,
  chunk,
  type FakeEngine,
  LAST_CHUNK,
  STREAM_HEAD,
  startFakeEngine,
} from "../engines/__fixtures__/fake-engine.ts";
import { type RunningGateway, startGateway } from "./main.ts";

let folder: string;
let engine: FakeEngine;
let running: RunningGateway | null = null;
let holder: DatabaseSync | null = null;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "postern-trouble-"));
  const lists = answerFrom({
    "/v1/models": { object: "list", data: [{ id: "tiny", object: "model", owned_by: "x" }] },
  });
  const usage = '{"id":"1","choices":[],"usage":{"prompt_tokens":5,"completion_tokens":1,"total_tokens":6}}';
  const delta = '{"id":"1","choices":[{"index":0,"delta":{"content":"hi"},"finish_reason":"stop"}]}';
  const records = [delta, usage, "[DONE]"].map((data) => chunk(`data: ${data}\n\n`)).join("");
  engine = await startFakeEngine((request) => {
    if (request.method === "POST") request.socket.write(STREAM_HEAD + records + LAST_CHUNK);
    else lists(request);
  });
});
afterEach(async () => {
  holder?.close();
  holder = null;
  await running?.stop();
  running = null;
  await engine.close();
  await rm(folder, { recursive: true, force: true });
});

async function start() {
  const config = { ...gatewayConfig(folder), nodes: [directNode("lan", engine.url.origin)] };
  running = await startGateway(config, { log: pino({ level: "silent" }) });
  return { gateway: running, admin: new AdminClient(socketTransport(running.socketPath)) };
}

async function ask({ publicUrl }: RunningGateway, secret: string): Promise<number> {
  const answer = await fetch(`${publicUrl}/v1/chat/completions`, {
    method: "POST",
    headers: { authorization: `Bearer ${secret}` },
    body: JSON.stringify({ model: "tiny", stream: true, max_tokens: 5, messages: [] }),
  });
  await answer.text();
  return answer.status;
}

/** Another program that writes and does not come to an end. */
function holdStore(): void {
  holder = new DatabaseSync(join(folder, "postern.db"));
  holder.exec("begin immediate");
}

describe("while the store is locked", () => {
  it("known keys go on, unknown ones get 401 and not an error of ours, and a limit is still a limit", async () => {
    const { gateway, admin } = await start();
    const { secret } = await admin.createKey({ name: "app", policy: { version: 1, requestsPerMinute: 3 } });
    expect(await ask(gateway, secret)).toBe(200);
    holdStore();
    expect(await ask(gateway, secret)).toBe(200);
    expect(await ask(gateway, `${secret.slice(0, -1)}${secret.endsWith("x") ? "y" : "x"}`)).toBe(401);
    expect(await ask(gateway, secret)).toBe(200);
    expect(await ask(gateway, secret)).toBe(429);
    expect((await fetch(`${gateway.publicUrl}/readyz`)).status).toBe(200);
  });

  it("a key that is made is refused rather than lost; one that is revoked is shut at once, and the command says what is missing", async () => {
    const { gateway, admin } = await start();
    const { secret } = await admin.createKey({ name: "leaked" });
    holdStore();
    await expect(admin.createKey({ name: "new" })).rejects.toMatchObject({ code: "store_locked" });
    await expect(admin.revokeKey("leaked")).rejects.toMatchObject({
      code: "store_locked",
      message: expect.stringContaining("opens nothing until this gateway restarts"),
    });
    expect(await ask(gateway, secret)).toBe(401);
  });
});

it("a restart gives no budget twice: it goes on from what the store has", async () => {
  const first = await start();
  const policy = { version: 1 as const, budgets: { tokensPerDay: { hard: 25 } } };
  const { key, secret } = await first.admin.createKey({ name: "app", policy });
  expect(await ask(first.gateway, secret)).toBe(200);
  const { tokensToday } = (await first.admin.showKey(key.id)).spending ?? {};
  expect(tokensToday).toBe(6);
  await running?.stop();
  const second = await start();
  expect((await second.admin.showKey(key.id)).spending?.tokensToday).toBe(6);
  expect(await ask(second.gateway, secret)).toBe(429);
});
