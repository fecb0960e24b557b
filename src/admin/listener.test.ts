import { createHash } from "node:crypto";
import { request } from "node:http";
import { connect } from "node:net";
import { afterEach, expect, test } from "vitest";
import type { ListenAddress } from "../config/resolved.ts";
import { type AdminListener, createAdminListener } from "./listener.ts";
import { SETUP_PAGE_POLICY } from "./setup-page.ts";

let listener: AdminListener | undefined;
afterEach(async () => {
  await listener?.stop();
  listener = undefined;
});

async function start(reasons: string[] = []): Promise<ListenAddress> {
  listener = createAdminListener({
    listen: { host: "127.0.0.1", port: 0 },
    hosts: ["Metrics.example.org"],
    certificate: null,
    mayLook: () => true,
    notReadyReasons: () => reasons,
    metrics: async () => ({ contentType: "text/plain; version=0.0.4", text: "postern_links 1\n" }),
    api: (_request, response) => response.writeHead(401).end("api"),
  });
  return listener.start();
}

function get(
  address: ListenAddress,
  path: string,
  host: string,
  method = "GET",
): Promise<{ status: number; text: string }> {
  return new Promise((resolve, reject) => {
    const asking = request({ ...address, path, method, headers: { host } }, (response) => {
      let text = "";
      response.on("data", (piece) => (text += piece));
      response.on("end", () => resolve({ status: response.statusCode ?? 0, text }));
    });
    asking.on("error", reject);
    asking.end();
  });
}

function raw(address: ListenAddress, bytes: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(address.port, address.host, () => socket.write(bytes));
    let text = "";
    socket.on("data", (piece) => (text += piece));
    socket.on("end", () => resolve(text));
    socket.on("error", reject);
  });
}

test("the listener serves health, readiness with reasons, and metrics", async () => {
  const reasons: string[] = [];
  const address = await start(reasons);
  expect(await get(address, "/healthz", "localhost")).toEqual({ status: 200, text: "ok\n" });
  expect(await get(address, "/metrics", "127.0.0.1:8401")).toEqual({ status: 200, text: "postern_links 1\n" });
  expect((await get(address, "/readyz", "[::1]:1")).status).toBe(200);
  reasons.push("draining");
  const unready = await get(address, "/readyz", "metrics.example.org");
  expect(unready.status).toBe(503);
  expect(JSON.parse(unready.text)).toEqual({ ready: false, reasons: ["draining"] });
});

test("the listener serves nothing else", async () => {
  const address = await start();
  for (const [path, method] of [
    ["/", "GET"],
    ["/admin", "GET"],
    ["//admin/v1/keys", "GET"],
    ["/%61dmin/v1/keys", "GET"],
    ["http://localhost/admin/v1/keys", "GET"],
    ["/metrics?x=1", "GET"],
    ["/healthz", "POST"],
    ["/healthz/", "GET"],
  ] as const) {
    expect((await get(address, path, "localhost", method)).status, path).toBe(404);
  }
});

test("the listener hands what is below /admin/ to the API, whose business access is, once the Host is right", async () => {
  const address = await start();
  expect(await get(address, "/admin/v1/keys", "localhost", "POST")).toEqual({ status: 401, text: "api" });
  expect((await get(address, "/admin/v1/keys", "evil.example.org")).status).toBe(421);
});

test("the page of the setup link runs its own script alone, and says nothing about the gateway", async () => {
  const { status, text } = await get(await start(), "/setup", "localhost");
  expect(status).toBe(200);
  const [, script = ""] = /<script>([\s\S]*)<\/script>/.exec(text) ?? [];
  const digest = createHash("sha256").update(script).digest("base64");
  expect(SETUP_PAGE_POLICY).toContain(`script-src 'sha256-${digest}'`);
  expect(SETUP_PAGE_POLICY).not.toMatch(/unsafe|\*/);
});

test("the listener refuses names that are not its own, a second Host and none", async () => {
  const address = await start();
  for (const host of ["evil.example.org", "localhost.evil.org", "127.0.0.1.evil.org", "localhost:80:80"]) {
    expect((await get(address, "/metrics", host)).status, host).toBe(421);
  }
  const twice = "GET /metrics HTTP/1.1\r\nHost: localhost\r\nHost: evil.example.org\r\n\r\n";
  expect(await raw(address, twice)).toMatch(/^HTTP\/1\.1 421/);
  expect(await raw(address, "GET /metrics HTTP/1.1\r\nHost:\r\n\r\n")).toMatch(/^HTTP\/1\.1 421/);
  expect(await raw(address, "GET /metrics HTTP/1.1\r\n\r\n")).toMatch(/^HTTP\/1\.1 421/);
});

test("a taken port is named together with its holder", async () => {
  const address = await start();
  const second = createAdminListener({
    listen: address,
    hosts: [],
    certificate: null,
    mayLook: () => true,
    notReadyReasons: () => [],
    metrics: async () => ({ contentType: "", text: "" }),
    api: () => {},
  });
  const holder = process.platform === "linux" ? `pid ${process.pid}` : "another program";
  await expect(second.start()).rejects.toMatchObject({
    code: "port_taken",
    message: expect.stringMatching(new RegExp(`port ${address.port} is taken by .*${holder}`)),
  });
});
