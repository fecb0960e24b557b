import { createHash, X509Certificate } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { request as httpRequest, type IncomingHttpHeaders } from "node:http";
import { request as httpsRequest } from "node:https";
import { connect as connectNet } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect as connectTls, type TLSSocket } from "node:tls";
import { pino } from "pino";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { makeAuthority, makeCertificate } from "../../test/support/certificate.ts";
import { FREE, gatewayConfig } from "../../test/support/gateway-config.ts";
import { AdminClient } from "../admin/client.ts";
import { socketTransport } from "../admin/transport.ts";
import { DEFAULT_EDGE } from "../config/defaults.ts";
import type { GatewayConfig, TlsConfig } from "../config/resolved.ts";
import { type RunningGateway, startGateway } from "./main.ts";

const PAGE = "https://app.example.org";

let folder: string;
let running: RunningGateway | null = null;
let logged = "";

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "postern-edge-"));
  logged = "";
});
afterEach(async () => {
  await running?.stop();
  running = null;
  rmSync(folder, { recursive: true, force: true });
});

const own = makeCertificate();

function tls(fields: Partial<TlsConfig> = {}): TlsConfig {
  writeFileSync(join(folder, "cert.pem"), own.cert);
  writeFileSync(join(folder, "key.pem"), own.key);
  const source = { certFile: join(folder, "cert.pem"), keyFile: join(folder, "key.pem") };
  return { source, minVersion: "1.3", clientCertificates: null, hstsMs: DEFAULT_EDGE.hstsMs, ...fields };
}

/** A gateway with a key, and where each of its listeners is. */
async function start(fields: Partial<GatewayConfig>) {
  const log = pino(
    { level: "info" },
    {
      write: (line: string) => {
        logged += line;
      },
    },
  );
  running = await startGateway(gatewayConfig(folder, fields), { log });
  const admin = new AdminClient(socketTransport(running.socketPath));
  const { secret, key } = await admin.createKey({ name: "test" });
  const listeners = (await admin.status()).gateway?.listeners ?? [];
  const portOf = (name: string) =>
    Number(
      listeners
        .find((one) => one.name === name)
        ?.address.split(":")
        .at(-1),
    );
  await admin.close();
  return { secret, keyId: key.id, listeners, publicPort: portOf("public"), plainPort: portOf("plain") };
}

interface Said {
  status: number;
  headers: IncomingHttpHeaders;
  body: string;
}

function ask(
  port: number,
  options: { method?: string; path?: string; headers?: Record<string, string>; body?: string; tls?: object | null },
): Promise<Said> {
  const { method = "GET", path = "/v1/models", headers = {}, body, tls: secure = { ca: own.cert } } = options;
  return new Promise((resolve, reject) => {
    const settings = { host: "127.0.0.1", port, method, path, headers, agent: false as const };
    const request =
      secure === null ? httpRequest(settings) : httpsRequest({ ...settings, ...secure, servername: "localhost" });
    request.on("error", reject);
    request.on("response", (response) => {
      let text = "";
      response.setEncoding("utf8").on("data", (chunk: string) => {
        text += chunk;
      });
      response.on("end", () => resolve({ status: response.statusCode ?? 0, headers: response.headers, body: text }));
    });
    request.end(body);
  });
}

describe("TLS", () => {
  it("is 1.3 alone unless 1.2 is allowed, offers HTTP/1.1 and nothing else, and says so to browsers (HSTS)", async () => {
    const { publicPort, secret, listeners } = await start({ tls: tls() });
    expect(listeners[0]).toMatchObject({
      name: "public",
      tls: "files",
      reach: "machine",
      certificate: { problem: null },
    });
    const answer = await ask(publicPort, { headers: { authorization: `Bearer ${secret}` } });
    expect(answer.status).toBe(200);
    expect(answer.headers["strict-transport-security"]).toBe("max-age=31536000");
    expect((await ask(publicPort, {})).headers["strict-transport-security"]).toBe("max-age=31536000");
    expect(await handshake(publicPort, { maxVersion: "TLSv1.2" })).toMatch(/ERR_|alert|EPROTO|ECONNRESET/);
    expect(await handshake(publicPort, { ALPNProtocols: ["h2"] })).toMatch(/ALERT_NO_APPLICATION_PROTOCOL/i);
    expect(await handshake(publicPort, { ALPNProtocols: ["h2", "http/1.1"] })).toBe("TLSv1.3 http/1.1");
  });

  it("1.2 has only suites with forward secrecy and authenticated encryption", async () => {
    const { publicPort } = await start({ tls: tls({ minVersion: "1.2", hstsMs: 0 }) });
    expect(await handshake(publicPort, { maxVersion: "TLSv1.2" })).toMatch(/^TLSv1\.2/);
    for (const ciphers of ["AES128-GCM-SHA256", "ECDHE-ECDSA-AES128-SHA"]) {
      expect(await handshake(publicPort, { maxVersion: "TLSv1.2", ciphers })).toMatch(/alert|ERR_|EPROTO|ECONNRESET/i);
    }
    expect(await handshake(publicPort, { minVersion: "TLSv1.1", maxVersion: "TLSv1.1" })).not.toMatch(/^TLSv1/);
    expect((await ask(publicPort, {})).headers["strict-transport-security"]).toBeUndefined();
  });

  it("does not let HTTP/2 in by its preface either", async () => {
    const { publicPort } = await start({});
    const text = await raw(publicPort, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\u0004\0\0\0\0\0");
    expect(text).toMatch(/^HTTP\/1\.1 400 /);
    const upgrade =
      "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n\r\n";
    expect(await raw(publicPort, upgrade)).toMatch(/^HTTP\/1\.1 400 /);
  });

  it("lets callers in only with a certificate of the configured authority, and health checks without", async () => {
    const authority = makeAuthority();
    const stranger = makeAuthority();
    writeFileSync(join(folder, "ca.pem"), authority.ca);
    const { publicPort, secret } = await start({
      tls: tls({ clientCertificates: { caFile: join(folder, "ca.pem") } }),
    });
    const headers = { authorization: `Bearer ${secret}` };
    const none = await ask(publicPort, { headers });
    expect(none.status).toBe(403);
    expect(none.headers["x-postern-error"]).toBe("client_certificate_missing");
    const foreign = await ask(publicPort, { headers, tls: { ca: own.cert, ...stranger.issue("app") } });
    expect(foreign.status).toBe(403);
    const known = await ask(publicPort, { headers, tls: { ca: own.cert, ...authority.issue("app") } });
    expect(known.status).toBe(200);
    const noKey = await ask(publicPort, { tls: { ca: own.cert, ...authority.issue("app") } });
    expect(noKey.status).toBe(401);
    expect((await ask(publicPort, { path: "/healthz" })).status).toBe(200);
  });
});

describe("a key whose policy names client certificates", () => {
  const mine = makeCertificate(["DNS:caller"]);
  const other = makeCertificate(["DNS:other"]);
  const hash = createHash("sha256")
    .update(new X509Certificate(mine.cert).publicKey.export({ type: "spki", format: "der" }))
    .digest("hex");

  /** A gateway with such a key. */
  async function startPinned(fields: Partial<TlsConfig> = {}) {
    const begun = await start({ tls: tls({ clientCertificates: { caFile: null }, ...fields }) });
    const admin = new AdminClient(socketTransport(running?.socketPath ?? ""));
    await admin.updateKey(begun.keyId, { policy: { version: 1, clientCertificates: [hash] } });
    const free = await admin.createKey({ name: "free" });
    await admin.close();
    return { ...begun, free: free.secret };
  }

  it("works with that one, self-signed as it is, and with no other; other keys need none", async () => {
    const { publicPort, secret, free } = await startPinned();
    const headers = { authorization: `Bearer ${secret}` };
    expect((await ask(publicPort, { headers, tls: { ca: own.cert, ...mine } })).status).toBe(200);
    for (const shown of [{}, other]) {
      const refused = await ask(publicPort, { headers, tls: { ca: own.cert, ...shown } });
      expect([refused.status, refused.headers["x-postern-error"]]).toEqual([403, "client_certificate_missing"]);
    }
    expect((await ask(publicPort, { headers: { authorization: `Bearer ${free}` } })).status).toBe(200);
  });

  it("does not take a certificate of the same key pair's name: what counts is the key that was proven", async () => {
    const { publicPort, secret } = await startPinned();
    const twin = makeCertificate(["DNS:caller"]);
    const refused = await ask(publicPort, {
      headers: { authorization: `Bearer ${secret}` },
      tls: { ca: own.cert, ...twin },
    });
    expect(refused.status).toBe(403);
  });

  it.each(["TLSv1.3", "TLSv1.2"] as const)(
    "cannot be used by resuming a session of somebody else (%s)",
    async (maxVersion) => {
      const { publicPort, secret } = await startPinned({ minVersion: "1.2" });
      const headers = { authorization: `Bearer ${secret}` };
      const bare = { ca: own.cert, maxVersion };
      const [none, ofMine, ofOther] = [
        await sessionOf(publicPort, bare),
        await sessionOf(publicPort, { ...bare, ...mine }),
        await sessionOf(publicPort, { ...bare, ...other }),
      ];
      const resumed = async (session: Buffer, shown: object) =>
        (await ask(publicPort, { headers, tls: { ...bare, ...shown, session } })).status;
      expect(await resumed(none, {})).toBe(403);
      expect(await resumed(ofOther, {})).toBe(403);
      expect(await resumed(ofOther, mine)).toBe(403);
      expect(await resumed(ofMine, {})).toBe(200);
    },
  );

  it("opens nothing where certificates are not asked for, or TLS ends in front", async () => {
    const { publicPort, secret } = await startPinned({ clientCertificates: null });
    const headers = { authorization: `Bearer ${secret}` };
    expect((await ask(publicPort, { headers, tls: { ca: own.cert, ...mine } })).status).toBe(403);
  });
});

describe("the listener without TLS", () => {
  it("sends browsers to https, with their path, and to no other host than ours", async () => {
    const { plainPort, publicPort } = await start({ tls: tls(), plainListen: FREE });
    const moved = await ask(plainPort, { path: "/v1/models?x=1", headers: { host: "localhost" }, tls: null });
    expect(moved.status).toBe(308);
    expect(moved.headers.location).toBe(`https://localhost:${publicPort}/v1/models?x=1`);
    const evil = await ask(plainPort, { headers: { host: "evil.example" }, tls: null });
    expect(evil.status).toBe(421);
    expect(evil.headers.location).toBeUndefined();
    for (const path of ["//evil.example/", "/\\evil.example"]) {
      const odd = await raw(plainPort, `GET ${path} HTTP/1.1\r\nHost: localhost\r\n\r\n`);
      expect(odd).toMatch(/^HTTP\/1\.1 400 /);
      expect(odd.toLowerCase()).not.toContain("location:");
    }
  });

  it("refuses whatever carries a key, says to replace it, and writes down its id but never the key", async () => {
    const { plainPort, secret, keyId } = await start({ tls: tls(), plainListen: FREE });
    const body = JSON.stringify({ model: "tiny", messages: [] });
    for (const request of [
      { headers: { authorization: `Bearer ${secret}` } },
      { method: "POST", path: "/v1/chat/completions", headers: { "x-api-key": secret }, body },
      { path: `/v1/models?key=${secret}` },
    ]) {
      logged = "";
      const answer = await ask(plainPort, { ...request, tls: null });
      expect(answer.status).toBe(403);
      expect(answer.headers["x-postern-error"]).toBe("key_exposed");
      expect(answer.body).toContain("Replace the key");
      expect(answer.headers.location).toBeUndefined();
      expect(logged).toContain(keyId);
      expect(logged).not.toContain(secret);
    }
    const bare = await ask(plainPort, { method: "POST", path: "/v1/chat/completions", body, tls: null });
    expect(bare.headers["x-postern-error"]).toBe("tls_required");
    const anthropic = await ask(plainPort, {
      method: "POST",
      path: "/v1/messages",
      headers: { "x-api-key": secret },
      body,
      tls: null,
    });
    expect(JSON.parse(anthropic.body)).toMatchObject({ type: "error", error: { type: "permission_error" } });
  });

  it("answers no question of an authority that nobody asked, and upgrades nothing", async () => {
    const { plainPort } = await start({ tls: tls(), plainListen: FREE });
    expect((await ask(plainPort, { path: "/.well-known/acme-challenge/x", tls: null })).status).toBe(404);
    const upgrade =
      "GET /.postern/connect HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: postern-h2\r\n\r\n";
    expect(await raw(plainPort, upgrade)).toMatch(/^HTTP\/1\.1 403 /);
  });
});

describe("pages of other origins", () => {
  const preflight = {
    method: "OPTIONS",
    path: "/v1/chat/completions",
    headers: {
      origin: PAGE,
      "access-control-request-method": "POST",
      "access-control-request-headers": "authorization,x-stainless-os",
    },
    tls: null,
  };

  it("may do nothing while CORS is off: no preflight, no header, and nothing without a key", async () => {
    const { publicPort, secret } = await start({});
    const asked = await ask(publicPort, preflight);
    expect(asked.status).toBe(404);
    const bare = await ask(publicPort, { headers: { origin: PAGE }, tls: null });
    expect(bare.status).toBe(401);
    const keyed = await ask(publicPort, { headers: { origin: PAGE, authorization: `Bearer ${secret}` }, tls: null });
    expect(keyed.status).toBe(200);
    for (const { headers } of [asked, bare, keyed]) expect(Object.keys(headers).join()).not.toContain("access-control");
  });

  it("may call where exactly their origin is listed, after a preflight that needs no key", async () => {
    const { publicPort, secret } = await start({ cors: { origins: [PAGE], maxAgeMs: 600_000 } });
    const asked = await ask(publicPort, preflight);
    expect(asked.status).toBe(204);
    expect(asked.headers).toMatchObject({
      "access-control-allow-origin": PAGE,
      "access-control-allow-headers": "authorization,x-stainless-os",
      "access-control-max-age": "600",
      vary: "Origin",
    });
    expect(asked.headers["access-control-allow-credentials"]).toBeUndefined();
    const keyed = await ask(publicPort, { headers: { origin: PAGE, authorization: `Bearer ${secret}` }, tls: null });
    expect(keyed.headers["access-control-allow-origin"]).toBe(PAGE);
    expect(keyed.headers["access-control-expose-headers"]).toContain("X-Postern-Error");
    const refused = await ask(publicPort, { headers: { origin: PAGE, authorization: "Bearer no" }, tls: null });
    expect(refused.status).toBe(401);
    expect(refused.headers["access-control-allow-origin"]).toBe(PAGE);
  });

  it.each([
    `${PAGE}.evil.example`,
    "https://APP.example.org",
    "http://app.example.org",
    "null",
    `${PAGE}:443`,
    "*",
    "https://app.example.org/",
  ])("get nothing as %s, which is not the origin that is listed", async (origin) => {
    const { publicPort } = await start({ cors: { origins: [PAGE], maxAgeMs: 0 } });
    const asked = await ask(publicPort, { ...preflight, headers: { ...preflight.headers, origin } });
    expect(asked.status).toBe(403);
    expect(asked.headers["access-control-allow-origin"]).toBeUndefined();
  });
});

function handshake(port: number, options: object): Promise<string> {
  return new Promise((resolve) => {
    const socket: TLSSocket = connectTls(
      { port, host: "127.0.0.1", servername: "localhost", ca: own.cert, ...options },
      () => {
        resolve(`${socket.getProtocol()} ${socket.alpnProtocol}`);
        socket.destroy();
      },
    );
    socket.on("error", (error: NodeJS.ErrnoException) => resolve(`${error.code} ${error.message}`));
  });
}

/** The ticket of a session in which one request was answered. */
function sessionOf(port: number, options: object): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const socket = connectTls({ port, host: "127.0.0.1", servername: "localhost", ...options }, () =>
      socket.write("GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"),
    );
    socket.on("error", reject);
    socket.once("session", (session) => {
      resolve(session);
      socket.destroy();
    });
  });
}

function raw(port: number, bytes: string): Promise<string> {
  return new Promise((resolve) => {
    const socket = connectNet(port, "127.0.0.1");
    let text = "";
    socket.on("data", (data) => {
      text += data.toString("latin1");
    });
    socket.on("error", () => {});
    socket.on("close", () => resolve(text));
    socket.write(bytes);
  });
}
