import { once } from "node:events";
import { readFileSync } from "node:fs";
import { createServer } from "node:https";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Recorder } from "./__fixtures__/recorder.ts";
import { connectEngine } from "./dispatch.ts";
import { openProbe } from "./probe.ts";
import type { TlsTrust } from "./tls-trust.ts";

const folder = join(import.meta.dirname, "__fixtures__/tls");
const ca = readFileSync(join(folder, "ca.pem"), "utf8");
const seenNames: unknown[] = [];
const server = createServer(
  {
    cert: readFileSync(join(folder, "engine.pem")),
    key: readFileSync(join(folder, "engine.key")),
    SNICallback: (name, done) => {
      seenNames.push(name);
      done(null);
    },
  },
  (_request, response) => response.end("{}"),
);
let url: URL;

beforeAll(async () => {
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  url = new URL(`https://127.0.0.1:${(server.address() as AddressInfo).port}`);
});

afterAll(async () => {
  const closed = once(server, "close");
  server.close();
  server.closeAllConnections();
  await closed;
});

async function ask(trust: TlsTrust, host: string): Promise<Recorder> {
  const connections = connectEngine({ url, host, apiKey: null, ...trust });
  const recorder = new Recorder();
  connections.start({ method: "POST", path: "/v1/chat/completions", headers: {}, body: Buffer.from("{}") }, recorder);
  await recorder.finished;
  await connections.destroy();
  return recorder;
}

describe("an https: engine", () => {
  test("is talked to when its certificate has the name and the authority that the operator gave", async () => {
    const recorder = await ask({ ca, serverName: "engine.test" }, "anything:1");
    expect(recorder).toMatchObject({ status: 200, text: "{}", isEnded: true });
    expect(seenNames.at(-1)).toBe("engine.test");
  });

  test("is refused without the authority, under another name, and whatever the Host header says", async () => {
    const process_ = process.env["NODE_TLS_REJECT_UNAUTHORIZED"];
    process.env["NODE_TLS_REJECT_UNAUTHORIZED"] = "0";
    try {
      for (const trust of [{ serverName: "engine.test" }, { ca }, { ca, serverName: "other.test" }]) {
        const recorder = await ask(trust, "engine.test");
        expect(recorder.failure).toMatchObject({ phase: "connect", kind: "unreachable" });
        expect(recorder.status).toBe(0);
      }
    } finally {
      if (process_ === undefined) delete process.env["NODE_TLS_REJECT_UNAUTHORIZED"];
      else process.env["NODE_TLS_REJECT_UNAUTHORIZED"] = process_;
    }
  });

  test("is probed under the same rule", async () => {
    const good = openProbe({ url, host: "x", apiKey: null, ca, serverName: "engine.test" });
    expect((await good.get("/health")).status).toBe(200);
    await good.close();
    const bad = openProbe({ url, host: "engine.test", apiKey: null, ca });
    await expect(bad.get("/health")).rejects.toThrow();
    await bad.close();
  });
});
