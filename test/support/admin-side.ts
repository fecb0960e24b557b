import { createHash, randomBytes } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { request as httpRequest } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pino } from "pino";
import { AdminClient } from "../../src/admin/client.ts";
import { remoteTransport, socketTransport } from "../../src/admin/transport.ts";
import { defaultConfig } from "../../src/config/defaults.ts";
import type { ResolvedConfig } from "../../src/config/resolved.ts";
import { type AdminSide, openAdmin } from "../../src/gateway/admin.ts";
import { ManualClock } from "../../src/lib/clock.ts";
import { Closers } from "../../src/lib/closers.ts";
import { Secret } from "../../src/lib/secret.ts";
import { CaptureFiles } from "../../src/storage/capture-files.ts";
import { openSqliteStore } from "../../src/storage/sqlite/open-store.ts";
import type { Store } from "../../src/storage/store.ts";
import { FakeGateway } from "./fake-live-gateway.ts";

/** The whole admin side of a gateway over real listeners and a real store; only what is behind it (`live`) is played. */
export interface TestAdmin extends AdminSide {
  clock: ManualClock;
  store: Store;
  captures: CaptureFiles;
  live: FakeGateway;
  folder: string;
  /** As the data folder's owner. */
  owner: AdminClient;
  /** Over the admin listener. */
  remote(token: string): AdminClient;
  /** Makes a token. */
  token(role: "viewer" | "operator" | "owner", scopes?: string[] | null): Promise<string>;
  /** One request to the admin listener, as bytes go. */
  send(asked: Asked): Promise<Answered>;
  close(): Promise<void>;
}

export interface Asked {
  method?: string;
  path: string;
  headers?: Record<string, string>;
  /** Sent as JSON unless it is text. */
  body?: unknown;
}

export interface Answered {
  status: number;
  headers: Record<string, string | string[] | undefined>;
  text: string;
  json<T>(): T;
}

export async function startAdmin(options: { config?: Partial<ResolvedConfig> } = {}): Promise<TestAdmin> {
  const folder = mkdtempSync(join(tmpdir(), "postern-admin-side-"));
  const closers = new Closers();
  closers.add(() => rmSync(folder, { recursive: true, force: true }));
  const clock = new ManualClock();
  const live = new FakeGateway();
  const store = await openSqliteStore({ folder });
  closers.add(() => store.close());
  const captures = new CaptureFiles({ folder, totalBytes: Number.POSITIVE_INFINITY });
  const base = { ...defaultConfig(folder), ...options.config };
  const listen = { host: "127.0.0.1", port: 0 };
  const side = await openAdmin({
    version: "1.2.3",
    config: { ...base, gateway: { ...base.gateway, admin: { ...base.gateway.admin, listen } } },
    store,
    captures,
    clock,
    log: pino({ level: "silent" }),
    closers,
    guard: { watch() {} },
    addressOf: (request) => request.socket.remoteAddress ?? "",
    cameThroughProxy: () => false,
    notReadyReasons: () => [],
    metrics: async () => ({ contentType: "text/plain", text: "" }),
    async mintInvitation() {
      const id = randomBytes(6).toString("hex");
      return { id, hash: createHash("sha256").update(id).digest(), code: new Secret(`pstn_${id}_secret`) };
    },
    settleUsage: async () => {},
    createLive: () => live,
  });
  const url = new URL(side.adminUrl);
  const owner = new AdminClient(socketTransport(side.socketPath));
  return {
    ...side,
    clock,
    store,
    captures,
    live,
    folder,
    owner,
    remote: (token) => new AdminClient(remoteTransport(url, new Secret(token))),
    async token(role, scopes = null) {
      const created = await owner.createToken({
        name: `${role}-${randomBytes(4).toString("hex")}`,
        role,
        scopes: scopes as never,
      });
      return created.secret;
    },
    send: (asked) => send(url, asked),
    close: () => closers.close(),
  };
}

function send(url: URL, { method = "GET", path, headers = {}, body }: Asked): Promise<Answered> {
  const payload = body === undefined ? null : typeof body === "string" ? body : JSON.stringify(body);
  return new Promise((resolve, reject) => {
    const asking = httpRequest(
      {
        host: url.hostname,
        port: url.port,
        method,
        path,
        agent: false,
        headers: {
          ...(payload === null
            ? {}
            : { "content-type": "application/json", "content-length": String(Buffer.byteLength(payload)) }),
          ...headers,
        },
      },
      (response) => {
        const chunks: Buffer[] = [];
        response.on("data", (chunk: Buffer) => chunks.push(chunk));
        response.on("error", reject);
        response.on("end", () => {
          const text = Buffer.concat(chunks).toString("utf8");
          resolve({
            status: response.statusCode ?? 0,
            headers: response.headers,
            text,
            json: <T>() => JSON.parse(text) as T,
          });
        });
      },
    );
    asking.on("error", reject);
    asking.end(payload ?? undefined);
  });
}
