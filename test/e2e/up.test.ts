import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { AdminClient } from "../../src/admin/client.ts";
import { adminSocketPath } from "../../src/admin/socket-path.ts";
import { socketTransport } from "../../src/admin/transport.ts";
import type { Serving } from "../../src/cli/up-result.ts";

// `up` as a person or a program starts it, with separate processes and an engine that the test plays. The journeys with a
// real engine are in tunnel.test.ts and package.test.ts.

const LAUNCHER = resolve(import.meta.dirname, "../../bin/postern.js");
const LIMIT_MS = 60_000;

let folder: string;
const running: Up[] = [];
let engine: Server | undefined;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "postern-up-"));
});
afterEach(async () => {
  for (const up of running.splice(0)) await up.end("SIGKILL");
  const closing = engine;
  engine = undefined;
  closing?.closeAllConnections();
  if (closing !== undefined) await new Promise((closed) => closing.close(closed));
  rmSync(folder, { recursive: true, force: true });
});

class Up {
  readonly child: ChildProcess;
  readonly exited: Promise<number | null>;
  out = "";
  err = "";
  #seen: (() => void) | null = null;

  constructor(...args: string[]) {
    const listen = ["--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"];
    const { PATH = "" } = process.env;
    this.child = spawn(process.execPath, [LAUNCHER, "up", "--data", join(folder, "data"), ...listen, ...args], {
      cwd: folder,
      env: { PATH, HOME: folder },
      stdio: ["ignore", "pipe", "pipe"],
    });
    this.child.stdout?.setEncoding("utf8").on("data", (piece) => this.#take("out", piece));
    this.child.stderr?.setEncoding("utf8").on("data", (piece) => this.#take("err", piece));
    this.exited = once(this.child, "close").then(([code]) => {
      this.#seen?.();
      return code as number | null;
    });
    running.push(this);
  }

  async until(condition: () => boolean): Promise<void> {
    while (!condition()) {
      if (this.child.exitCode !== null) throw new Error(`ended with ${this.child.exitCode}: ${this.err}`);
      await new Promise<void>((seen) => (this.#seen = seen));
    }
  }

  async serving(): Promise<Serving> {
    await this.until(() => this.out.includes("\n"));
    return JSON.parse(this.out);
  }

  /** How often the log has an event. */
  count(event: string): number {
    return this.err.split("\n").filter((line) => line.includes(`"msg":"${event}"`)).length;
  }

  async end(signal: NodeJS.Signals): Promise<number | null> {
    this.child.kill(signal);
    return this.exited;
  }

  #take(which: "out" | "err", piece: string): void {
    this[which] += piece;
    this.#seen?.();
  }
}

/**
 * An OpenAI-compatible engine that says "hi" to everything; a stream ends when `finish` resolves. Unlike a real one it has
 * no limits.
 */
async function startEngine(finish: Promise<void> = Promise.resolve()): Promise<string> {
  const listening = createServer((request, response) => {
    response.setHeader("content-type", "application/json");
    if (request.url === "/v1/models")
      return response.end(JSON.stringify({ object: "list", data: [{ id: "tiny", object: "model" }] }));
    if (request.method !== "POST") return response.writeHead(404).end("{}");
    let body = "";
    request.on("data", (piece) => {
      body += piece;
    });
    request.on("end", () => {
      const usage = { prompt_tokens: 1, completion_tokens: 1 };
      const base = { id: "1", created: 1, model: "tiny" };
      if (JSON.parse(body).stream !== true) {
        const choices = [{ index: 0, message: { role: "assistant", content: "hi" }, finish_reason: "stop" }];
        response.end(JSON.stringify({ ...base, object: "chat.completion", choices, usage }));
        return;
      }
      response.setHeader("content-type", "text/event-stream");
      const event = (delta: object, reason: string | null): string =>
        `data: ${JSON.stringify({ ...base, object: "chat.completion.chunk", choices: [{ index: 0, delta, finish_reason: reason }] })}\n\n`;
      response.write(event({ role: "assistant", content: "hi" }, null));
      void finish.then(() => response.end(`${event({}, "stop")}data: [DONE]\n\n`));
    });
  });
  engine = listening;
  await new Promise<void>((ready) => listening.listen(0, "127.0.0.1", ready));
  return `http://127.0.0.1:${(listening.address() as AddressInfo).port}`;
}

function isAlive(pid: number): boolean {
  try {
    return readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1]?.startsWith("Z") === false;
  } catch {
    return false;
  }
}

test("up prints one JSON line once a model has answered, makes the first key once, and ends with 0", {
  timeout: LIMIT_MS,
}, async () => {
  const url = await startEngine();
  const first = new Up("--engine", url, "--json");
  const serving = await first.serving();
  expect(Object.keys(serving)).toEqual(["baseUrl", "adminUrl", "apiKey", "models", "modelsReason", "node"]);
  expect(serving).toMatchObject({ apiKey: expect.stringMatching(/^pst_/), models: ["tiny"], modelsReason: null });
  const answer = await fetch(`${serving.baseUrl}/chat/completions`, {
    method: "POST",
    headers: { authorization: `Bearer ${serving.apiKey}`, "content-type": "application/json" },
    body: JSON.stringify({ model: "tiny", messages: [{ role: "user", content: "Hello" }] }),
  });
  expect(await answer.json()).toMatchObject({ choices: [{ message: { content: "hi" } }] });
  expect((await fetch(`${serving.adminUrl}/readyz`)).status).toBe(200);
  expect(await first.end("SIGTERM")).toBe(0);
  expect(first.out.trim().split("\n")).toHaveLength(1);
  expect(first.err).not.toContain(serving.apiKey?.slice(17));

  // The agent's membership outlives the gateway's address, and the key is there already.
  const second = new Up("--engine", url, "--json");
  expect(await second.serving()).toMatchObject({ apiKey: null, models: ["tiny"] });
  expect(second.count("node joined")).toBe(0);
  expect(await second.end("SIGINT")).toBe(0);
});

test("without an engine up serves all the same and says why there is no model", { timeout: LIMIT_MS }, async () => {
  // Nothing answers there; a search on the usual ports would find what runs on the machine of the test.
  const up = new Up("--engine", "http://127.0.0.1:1", "--json");
  expect(await up.serving()).toMatchObject({ models: [], modelsReason: expect.stringContaining("not ready") });
});

test("a gateway or an agent that is killed comes back, on the same address", { timeout: LIMIT_MS }, async () => {
  const up = new Up("--engine", await startEngine(), "--json");
  const { baseUrl } = await up.serving();
  const admin = new AdminClient(socketTransport(adminSocketPath(join(folder, "data"))));
  const killed = (await admin.status()).gateway?.pid ?? 0;
  const links = up.count("link ready");
  process.kill(killed, "SIGKILL");
  await up.until(() => up.count("gateway ready") === 2 && up.count("link ready") > links);
  const { gateway } = await admin.status();
  expect(`${gateway?.publicUrl}/v1`).toBe(baseUrl);
  expect(gateway?.pid).not.toBe(killed);
  expect(up.err).toMatch(/The gateway ended \(signal SIGKILL\); starting it again/);
});

test("a node that is removed while up serves stays removed until the next start", { timeout: LIMIT_MS }, async () => {
  const up = new Up("--engine", await startEngine(), "--json");
  const { node } = await up.serving();
  const admin = new AdminClient(socketTransport(adminSocketPath(join(folder, "data"))));
  expect(await admin.removeNode(node)).toMatchObject({ name: node });
  await up.until(() => up.err.includes("does not know this machine's agent any more"));
  expect(await admin.listNodes()).toEqual([]);
  expect(await up.end("SIGTERM")).toBe(0);
});

test("a data folder whose store was lost joins again by itself", { timeout: LIMIT_MS }, async () => {
  const url = await startEngine();
  const first = new Up("--engine", url, "--json");
  await first.serving();
  await first.end("SIGTERM");
  for (const name of ["postern.db", "postern.db-wal", "postern.db-shm"])
    rmSync(join(folder, "data", name), { force: true });
  const second = new Up("--engine", url, "--json");
  expect(await second.serving()).toMatchObject({ models: ["tiny"], apiKey: expect.stringMatching(/^pst_/) });
});

test("an agent that works for a gateway elsewhere is not taken over", { timeout: LIMIT_MS }, async () => {
  const url = await startEngine();
  const first = new Up("--engine", url, "--json");
  await first.serving();
  await first.end("SIGTERM");
  const file = join(folder, "data", "agent", "membership.json");
  const membership = JSON.parse(readFileSync(file, "utf8"));
  const elsewhere = { ...membership, gateway: "https://ai.example.org", gatewayFingerprint: "A".repeat(43) };
  writeFileSync(file, JSON.stringify(elsewhere), { mode: 0o600 });
  const second = new Up("--engine", url, "--json");
  expect(await second.exited).toBe(1);
  expect(JSON.parse(second.out).error.message).toMatch(/has joined https:\/\/ai\.example\.org/);
  expect(JSON.parse(readFileSync(file, "utf8"))).toEqual(elsewhere);
});

test("Ctrl-C lets a running answer finish, a second one does not wait", { timeout: LIMIT_MS }, async () => {
  const finish = Promise.withResolvers<void>();
  const patient = new Up("--engine", await startEngine(finish.promise), "--json");
  const serving = await patient.serving();
  const answer = await stream(serving, serving.apiKey ?? "");
  patient.child.kill("SIGINT");
  await patient.until(() => patient.err.includes("Finishing what runs"));
  finish.resolve();
  expect(await answer.text()).toMatch(/"stop"[\s\S]*\[DONE\]\n\n$/);
  expect(await patient.exited).toBe(0);

  engine?.close();
  const hasty = new Up("--engine", await startEngine(new Promise(() => {})), "--json");
  const cut = await stream(await hasty.serving(), serving.apiKey ?? "");
  hasty.child.kill("SIGTERM");
  await hasty.until(() => hasty.err.includes("Finishing what runs"));
  hasty.child.kill("SIGTERM");
  expect(await hasty.exited).toBe(0);
  await expect(cut.text()).rejects.toThrow();
});

async function stream({ baseUrl }: Serving, apiKey: string): Promise<Response> {
  const response = await fetch(`${baseUrl}/chat/completions`, {
    method: "POST",
    headers: { authorization: `Bearer ${apiKey}`, "content-type": "application/json" },
    body: JSON.stringify({ model: "tiny", stream: true, messages: [{ role: "user", content: "Hello" }] }),
  });
  expect(response.status).toBe(200);
  return response;
}

test.skipIf(process.platform !== "linux")(
  "when up is killed its processes end too",
  { timeout: LIMIT_MS },
  async () => {
    const up = new Up("--engine", await startEngine(), "--json");
    await up.serving();
    const pid = up.child.pid ?? 0;
    const children = readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").trim().split(" ").map(Number);
    expect(children).toHaveLength(2);
    // Their stderr is ours: `close` comes when the last of them is gone.
    await up.end("SIGKILL");
    // Closing its pipes is not the last thing that a process does.
    await vi.waitFor(() => expect(children.filter(isAlive)).toEqual([]), 5_000);
  },
);
