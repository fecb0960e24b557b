import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { request as httpRequest } from "node:http";
import { request as httpsRequest, type RequestOptions } from "node:https";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect as connectTls } from "node:tls";
import { pino } from "pino";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { makeCertificate, type TestCertificate } from "../../test/support/certificate.ts";
import { eventually } from "../../test/support/eventually.ts";
import { gatewayConfig } from "../../test/support/gateway-config.ts";
import { AdminClient } from "../admin/client.ts";
import { socketTransport } from "../admin/transport.ts";
import { type RunningGateway, startGateway } from "./main.ts";

const own = makeCertificate();

let folder: string;
let running: RunningGateway | null = null;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "postern-admin-tls-"));
});
afterEach(async () => {
  await running?.stop();
  running = null;
  rmSync(folder, { recursive: true, force: true });
});

function write({ cert, key }: TestCertificate) {
  writeFileSync(join(folder, "cert.pem"), cert);
  writeFileSync(join(folder, "key.pem"), key);
  return { certFile: join(folder, "cert.pem"), keyFile: join(folder, "key.pem") };
}

/** A gateway whose admin listener is at this host; unless told otherwise with a certificate. */
async function start(host = "127.0.0.1", hasTls = true) {
  const admin = { listen: { host, port: 0 }, tls: hasTls ? write(own) : null, hosts: [] };
  running = await startGateway(gatewayConfig(folder, { admin }), { log: pino({ level: "silent" }) });
  const owner = new AdminClient(socketTransport(running.socketPath));
  return { owner, url: new URL(running.adminUrl), port: Number(new URL(running.adminUrl).port) };
}

function ask(port: number, path: string, headers: Record<string, string> = {}, options: RequestOptions = {}) {
  return new Promise<{ status: number; text: string; cookies: string[] }>((resolve, reject) => {
    const to = {
      host: "127.0.0.1",
      port,
      path,
      agent: false as const,
      ca: own.cert,
      servername: "localhost",
      ...options,
    };
    const asking = httpsRequest({ ...to, headers: { host: "localhost", ...headers } }, (response) => {
      let text = "";
      response.setEncoding("utf8").on("data", (piece: string) => {
        text += piece;
      });
      const cookies = response.headers["set-cookie"] ?? [];
      response.on("end", () => resolve({ status: response.statusCode ?? 0, text, cookies }));
    });
    asking.on("error", reject);
    asking.end(
      options.method === "POST" ? JSON.stringify({ name: "ada", password: "correct horse battery" }) : undefined,
    );
  });
}

describe("the admin listener with a certificate", () => {
  test("speaks TLS 1.3 and nothing older, and no plain HTTP", async () => {
    const { url, port, owner } = await start();
    expect(url.protocol).toBe("https:");
    const secret = (await owner.createToken({ name: "t" })).secret;
    expect((await ask(port, "/admin/v1/status", { authorization: `Bearer ${secret}` })).status).toBe(200);
    await expect(ask(port, "/healthz", {}, { maxVersion: "TLSv1.2" })).rejects.toThrow();
    const plain = new Promise((_, reject) => httpRequest({ port, host: "127.0.0.1" }).on("error", reject).end());
    await expect(plain).rejects.toThrow();
    const listeners = (await owner.status()).gateway?.listeners;
    expect(listeners?.at(-1)).toMatchObject({ name: "admin", tls: "files", certificate: { problem: null } });
  });

  test("gives cookies that only TLS may carry", async () => {
    const { port, owner } = await start();
    await owner.createUser({ name: "ada", role: "owner", password: "correct horse battery" });
    const said = await ask(port, "/admin/v1/session", { "content-type": "application/json" }, { method: "POST" });
    expect(said.cookies[0]).toMatch(/^__Host-postern-session=.*; Secure$/);
  });

  test("shows a new certificate without a restart", async () => {
    const { port, owner } = await start();
    const shown = () =>
      new Promise<string>((resolve, reject) => {
        const socket = connectTls({ port, host: "127.0.0.1", rejectUnauthorized: false }, () => {
          resolve(socket.getPeerX509Certificate()?.fingerprint256 ?? "");
          socket.destroy();
        });
        socket.on("error", reject);
      });
    const before = await shown();
    write(makeCertificate());
    await eventually(async () => ((await shown()) === before ? undefined : true), "the new certificate", 15_000);
    expect((await owner.status()).gateway?.listeners.at(-1)?.certificate?.problem).toBeNull();
  }, 20_000);
});

describe("the admin listener off loopback", () => {
  test("is refused without TLS, and no risk can be accepted for it", async () => {
    await expect(start("0.0.0.0", false)).rejects.toMatchObject({
      code: "listen_unsafe",
      message: expect.stringContaining("without TLS"),
      hint: expect.not.stringContaining("--accept-risk"),
    });
  });

  test("tells strangers that it lives, and neither numbers nor reasons; a token with system:read sees both", async () => {
    const { port, owner } = await start("0.0.0.0");
    expect((await ask(port, "/healthz")).status).toBe(200);
    expect((await ask(port, "/metrics")).status).toBe(401);
    expect((await ask(port, "/metrics", { authorization: "Bearer psta_no" })).status).toBe(401);
    const other = (await owner.createToken({ name: "keys", scopes: ["keys:read"] })).secret;
    expect((await ask(port, "/metrics", { authorization: `Bearer ${other}` })).status).toBe(401);
    const scraper = (await owner.createToken({ name: "prometheus", scopes: ["system:read"] })).secret;
    const seen = await ask(port, "/metrics", { authorization: `Bearer ${scraper}` });
    expect([seen.status, seen.text.includes("postern_links")]).toEqual([200, true]);
    expect((await owner.status()).gateway?.listeners.at(-1)?.needs).toContain("nothing for health;");
  });
});
