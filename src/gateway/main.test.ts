import { createHash } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pino } from "pino";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { directNode, gatewayConfig } from "../../test/support/gateway-config.ts";
import { AdminClient } from "../admin/client.ts";
import { socketTransport } from "../admin/transport.ts";
import type { GatewayConfig, ResolvedConfig } from "../config/resolved.ts";
import {
  answerFrom,
  chunk,
  type FakeEngine,
  type FakeRequest,
  LAST_CHUNK,
  STREAM_HEAD,
  startFakeEngine,
} from "../engines/__fixtures__/fake-engine.ts";
import { type RunningGateway, startGateway } from "./main.ts";

const log = pino({ level: "silent" });

let folder: string;
let engine: FakeEngine;
let running: RunningGateway | null = null;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "postern-gateway-"));
  const lists = answerFrom({
    "/v1/models": { object: "list", data: [{ id: "tiny", object: "model", owned_by: "somebody" }] },
  });
  engine = await startFakeEngine((request) => (request.method === "POST" ? infer(request) : lists(request)));
});
afterEach(async () => {
  await running?.stop();
  running = null;
  await engine.close();
  await rm(folder, { recursive: true, force: true });
});

function infer({ socket }: FakeRequest): void {
  const delta = '{"id":"1","choices":[{"index":0,"delta":{"content":"hi"},"finish_reason":null}]}';
  const stop = '{"id":"1","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}';
  const usage = '{"id":"1","choices":[],"usage":{"prompt_tokens":5,"completion_tokens":1,"total_tokens":6}}';
  const records = [delta, stop, usage, "[DONE]"].map((data) => chunk(`data: ${data}\n\n`));
  socket.write(STREAM_HEAD + records.join("") + LAST_CHUNK);
}

function config(fields: Partial<GatewayConfig> = {}): ResolvedConfig {
  return { ...gatewayConfig(folder, fields), nodes: [directNode("lan", engine.url.origin)] };
}

async function start(fields: Partial<GatewayConfig> = {}): Promise<{ gateway: RunningGateway; admin: AdminClient }> {
  running = await startGateway(config(fields), { log });
  return { gateway: running, admin: new AdminClient(socketTransport(running.socketPath)) };
}

/** Sends bytes and gives everything until the peer closes. */
function exchange(url: string, bytes: string): Promise<string> {
  return new Promise((resolve) => {
    const socket = connect(Number(new URL(url).port), "127.0.0.1");
    let text = "";
    socket.on("data", (data) => {
      text += data.toString("latin1");
    });
    socket.on("error", () => {});
    socket.on("close", () => resolve(text));
    socket.write(bytes);
  });
}

describe("startGateway()", () => {
  it("serves a direct node with a key, and the record is there as soon as somebody asks", async () => {
    const { gateway, admin } = await start();
    const { secret, key } = await admin.createKey({ name: "test" });
    const answer = await fetch(`${gateway.publicUrl}/v1/chat/completions`, {
      method: "POST",
      headers: { authorization: `Bearer ${secret}` },
      body: JSON.stringify({ model: "tiny", stream: true, messages: [] }),
    });
    expect(answer.headers.get("x-postern-served-by")).toBe("node/lan");
    expect(await answer.text()).toMatch(/"hi"[\s\S]*\[DONE\]/);
    const report = await admin.usage({ by: "key" });
    expect(report.rows).toMatchObject([{ group: key.id, requests: 1, tokensIn: 5, tokensOut: 1, estimated: 0 }]);
    expect(await admin.request(answer.headers.get("x-request-id") ?? "")).toMatchObject({
      outcome: "ok",
      model: "tiny",
    });
    const metrics = await (await fetch(`${gateway.adminUrl}/metrics`)).text();
    expect(metrics).toContain('postern_requests_total{model="tiny",node="lan",dialect="openai-chat",outcome="ok"} 1');
    expect(await admin.probeModel({ model: "tiny" })).toMatchObject({ ok: true, target: "node/lan" });
  });

  it("answers its fixed paths, and refuses on them what is not acceptable HTTP", async () => {
    const { gateway } = await start();
    expect(await (await fetch(`${gateway.publicUrl}/healthz`)).text()).toBe("ok\n");
    expect((await fetch(`${gateway.publicUrl}/readyz`)).status).toBe(200);
    expect(await (await fetch(`${gateway.publicUrl}/.postern/ip`)).text()).toBe("127.0.0.1\n");
    const old = await exchange(gateway.publicUrl, "GET /healthz HTTP/1.0\r\nHost: x\r\n\r\n");
    expect(old).toMatch(/^HTTP\/1\.1 400 /);
    const smuggled = await exchange(
      gateway.publicUrl,
      "GET /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello",
    );
    expect(smuggled).toMatch(/^HTTP\/1\.1 400 /);
  });

  it("takes a declared proxy's word that a request came to it in clear: no key is served, and it is named as exposed", async () => {
    const loopback = { ranges: ["127.0.0.0/8"], header: "x-forwarded-for", secret: null, access: null } as const;
    const { admin } = await start({ publicUrl: "https://ai.example.org", trustedProxies: [loopback] });
    const { secret } = await admin.createKey({ name: "test" });
    const { gateway } = await admin.status();
    const url = `http://${gateway?.listeners.find(({ name }) => name === "public")?.address}`;
    const proxied = { "x-forwarded-for": "198.51.100.1" };
    const ask = (path: string, headers: Record<string, string>) =>
      fetch(`${url}${path}`, { headers: { ...proxied, ...headers }, redirect: "manual" });
    const authorization = `Bearer ${secret}`;
    const exposed = await ask("/v1/models", { authorization, "x-forwarded-proto": "http" });
    expect([exposed.status, exposed.headers.get("x-postern-error")]).toEqual([403, "key_exposed"]);
    const moved = await ask("/v1/models", { "x-forwarded-proto": "http" });
    expect([moved.status, moved.headers.get("location")]).toEqual([308, "https://ai.example.org/v1/models"]);
    expect((await ask("/v1/models", { authorization, "x-forwarded-proto": "https" })).status).toBe(200);
    // A stranger's word is no word; here nobody says for whom it asks.
    const direct = await fetch(`${url}/v1/models`, { headers: { authorization, "x-forwarded-proto": "http" } });
    expect(direct.status).toBe(200);
  });

  it("refuses an upgrade with a proxy's bad header instead of falling over it", async () => {
    const loopback = { ranges: ["127.0.0.0/8"], header: "x-forwarded-for", secret: null, access: null } as const;
    const { gateway } = await start({ trustedProxies: [loopback] });
    const head =
      "GET /.postern/connect HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: postern-link\r\n";
    const answer = await exchange(gateway.publicUrl, `${head}X-Forwarded-For: rubbish\r\n\r\n`);
    expect(answer).toMatch(/^HTTP\/1\.1 4\d\d/);
    expect((await fetch(`${gateway.publicUrl}/healthz`)).status).toBe(200);
  });

  it("upgrades nothing but the tunnel's own path, and that not without proof", async () => {
    const { gateway } = await start();
    const upgrade = "Host: localhost\r\nConnection: Upgrade\r\nUpgrade: ";
    for (const head of [
      `GET /v1/models HTTP/1.1\r\n${upgrade}websocket\r\n\r\n`,
      `GET / HTTP/1.1\r\n${upgrade}h2c\r\n\r\n`,
      `POST /.postern/connect HTTP/1.1\r\n${upgrade}postern-link\r\nContent-Length: 0\r\n\r\n`,
    ]) {
      expect(await exchange(gateway.publicUrl, head)).toMatch(/^HTTP\/1\.1 400 /);
    }
    const bare = await exchange(gateway.publicUrl, `GET /.postern/connect HTTP/1.1\r\n${upgrade}postern-link\r\n\r\n`);
    expect(bare).toMatch(/^HTTP\/1\.1 40[01] /);
  });

  it("serves the agent's package with the digest that invitations carry", { timeout: 60_000 }, async () => {
    const { gateway, admin } = await start();
    const bytes = Buffer.from(await (await fetch(`${gateway.publicUrl}/.postern/agent.mjs`)).arrayBuffer());
    const digest = createHash("sha256").update(bytes).digest("hex");
    const { joinLine } = await admin.inviteNode({ name: "forge" });
    expect(joinLine).toContain(digest);
    const script = await (await fetch(`${gateway.publicUrl}/.postern/install.sh`)).text();
    expect(script).toContain(digest);
  });

  it("refuses an address off loopback without TLS, and leaves nothing behind that keeps a second start from working", async () => {
    await expect(startGateway(config({ listen: { host: "0.0.0.0", port: 0 } }), { log })).rejects.toMatchObject({
      code: "listen_unsafe",
    });
    await start();
  });

  it("names the port that is taken, and closes what it had opened", async () => {
    const { gateway } = await start();
    const port = Number(new URL(gateway.publicUrl).port);
    const other = await mkdtemp(join(tmpdir(), "postern-gateway-"));
    const second = { ...config({ listen: { host: "127.0.0.1", port } }), dataFolder: other };
    await expect(startGateway(second, { log })).rejects.toMatchObject({ code: "port_taken" });
    // The store of the failed start is free again.
    await (await startGateway({ ...second, gateway: config().gateway }, { log })).stop();
    await rm(other, { recursive: true, force: true });
  });

  it("does not start where a node's name is in the file and in the store, and says where", async () => {
    const inStore = await startGateway({ ...config(), nodes: [] }, { log });
    const admin = new AdminClient(socketTransport(inStore.socketPath));
    await admin.inviteNode({ name: "lan" });
    await inStore.stop();
    await expect(startGateway(config(), { log })).rejects.toMatchObject({
      code: "config_invalid",
      message: expect.stringContaining('postern.yaml:1: the node "lan" is in the store as well'),
    });
  });

  it("a second gateway on the same data folder is told so", async () => {
    await start();
    await expect(startGateway(config(), { log })).rejects.toMatchObject({ code: "store_locked" });
  });
});
