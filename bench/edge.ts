import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { request } from "node:http";
import { connect, type Socket } from "node:net";
import { join } from "node:path";
import { setTimeout as wait } from "node:timers/promises";
import { type Child, freePort, start } from "./children.ts";
import { hold, type LoadResult, measure, release } from "./client.ts";
import { memoryOf } from "./memory.ts";
import type { Ground, RunningPeer } from "./peer.ts";
import { createKey } from "./postern-cli.ts";

const READY_MS = 60_000;
const ATTACK_SECONDS = 20;
const ATTACK_CONNECTIONS = 1000;
const IDLE_CONNECTIONS = 10_000;
const IDLE_BATCH = 1000;
const DISCONNECTS = 1000;
const CANCELS = 1400;
/** After this long nothing of what left may be left. */
const GONE_AFTER_MS = 10_000;

export interface EdgeOptions {
  ground: Ground;
  client: string;
  signal: AbortSignal;
  report(line: string): void;
}

interface Gateway {
  peer: RunningPeer;
  key: string;
  adminPort: number;
  child: Child;
}

/**
 * The edge under attack: slowhttptest's four modes, idle connections, callers that leave, and a burst of cancels, each against a
 * gateway on loopback with the limits that it has by default, and what service was like meanwhile.
 *
 * @returns Markdown.
 */
export async function measureEdge(options: EdgeOptions): Promise<string> {
  const rows: string[] = ["| what | service meanwhile | afterwards |", "| --- | --- | --- |"];
  const add = (what: string, meanwhile: string, after: string) => {
    rows.push(`| ${what} | ${meanwhile} | ${after} |`);
    options.report(rows.at(-1) ?? "");
  };
  // Counts of connections are the machine's here: everything comes from loopback, which the bounds per address leave alone.
  const plain = await startGateway(options, { isTls: false, connections: 4000 });
  try {
    await load(plain, options);
    const alone = await load(plain, options);
    add("nothing", p99(alone), "");
    for (const [name, args] of attacks(plain)) {
      options.signal.throwIfAborted();
      const attack = start("slowhttptest", "slowhttptest", args, {
        logFile: join(options.ground.folder, "attack.log"),
      });
      await wait(6_000, undefined, { signal: options.signal });
      const under = await load(plain, options);
      const refused = await refusals(plain);
      await attack.exited;
      add(`slowhttptest ${name}, ${ATTACK_CONNECTIONS} connections`, p99(under), refused);
    }
    add(`${DISCONNECTS} callers that leave within half a second`, ...(await disconnects(plain, options)));
    add(`${CANCELS} streams cancelled in one burst`, ...(await cancels(plain, options)));
  } finally {
    await plain.child.stop();
  }
  for (const isTls of [false, true]) {
    options.signal.throwIfAborted();
    const gateway = await startGateway(options, { isTls, connections: 20_000 });
    try {
      await idle(gateway, options, add);
    } finally {
      await gateway.child.stop();
    }
  }
  return rows.join("\n");
}

function attacks({ peer, key }: Gateway): Array<[string, string[]]> {
  const url = `http://127.0.0.1:${peer.port}`;
  const common = ["-c", String(ATTACK_CONNECTIONS), "-r", "400", "-l", String(ATTACK_SECONDS), "-i", "5", "-p", "5"];
  const withKey = `application/json\r\nAuthorization: Bearer ${key}`;
  return [
    ["slow headers", ["-H", ...common, "-u", `${url}/v1/models`]],
    ["slow body, with a key", ["-B", ...common, "-s", "100000", "-f", withKey, "-u", `${url}/v1/chat/completions`]],
    ["range", ["-R", ...common, "-t", "GET", "-u", `${url}/.postern/agent.mjs`]],
    ["slow read", ["-X", ...common, "-k", "3", "-u", `${url}/.postern/agent.mjs`]],
  ];
}

async function idle(
  gateway: Gateway,
  options: EdgeOptions,
  add: (what: string, meanwhile: string, after: string) => void,
): Promise<void> {
  const { peer } = gateway;
  const words = peer.isTls ? "TLS" : "plain";
  await load(gateway, options);
  const alone = await load(gateway, options);
  const before = memoryOf(peer, "gateway");
  // One batch after the other: ten thousand handshakes at once would be another attack.
  const held: Child[] = [];
  let failed = 0;
  for (let open = 0; open < IDLE_CONNECTIONS; open += IDLE_BATCH) {
    const batch = await hold(options.client, peer, ["--kind", "idle", "--connections", String(IDLE_BATCH)]);
    held.push(batch.child);
    failed += batch.failed;
  }
  const with_ = await load(gateway, options);
  const each = (memoryOf(peer, "gateway") - before) / IDLE_CONNECTIONS / 1024;
  let alive = 0;
  for (const child of held) alive += await release(child);
  const ratio = with_.latency.p99 / alone.latency.p99;
  add(
    `${IDLE_CONNECTIONS} idle connections, ${words}`,
    `${p99(with_)}, without them ${(alone.latency.p99 / 1000).toFixed(1)} ms: ${ratio.toFixed(2)} ×`,
    `${each.toFixed(1)} kB each; ${alive} were there at the end, ${failed} failed`,
  );
}

async function disconnects(gateway: Gateway, options: EdgeOptions): Promise<[string, string]> {
  const before = socketsOf(gateway);
  for (let sent = 0; sent < DISCONNECTS; sent += 50) {
    const batch = Array.from({ length: 50 }, () => ask(gateway));
    for (const socket of batch) setTimeout(() => leave(socket), Math.random() * 500);
    await wait(120, undefined, { signal: options.signal });
  }
  const during = await load(gateway, options);
  await wait(GONE_AFTER_MS, undefined, { signal: options.signal });
  return [p99(during), await leftOver(gateway, before)];
}

async function cancels(gateway: Gateway, options: EdgeOptions): Promise<[string, string]> {
  const before = socketsOf(gateway);
  const bystander = ask(gateway);
  let heard = 0;
  bystander.on("data", (bytes: Buffer) => {
    heard += bytes.length;
  });
  const sockets = Array.from({ length: CANCELS }, () => ask(gateway));
  await wait(3_000, undefined, { signal: options.signal });
  const running = await metric(gateway, "postern_streams_active");
  const heardBefore = heard;
  for (const socket of sockets) socket.destroy();
  const during = await load(gateway, options);
  const goesOn = heard > heardBefore ? "an innocent stream went on" : "AN INNOCENT STREAM STOPPED";
  bystander.destroy();
  await wait(GONE_AFTER_MS, undefined, { signal: options.signal });
  return [`${p99(during)}; ${goesOn}`, `${running} were running; ${await leftOver(gateway, before)}`];
}

/** Half of them with a FIN, half with a reset. */
function leave(socket: Socket): void {
  if (Math.random() < 0.5) socket.destroy();
  else socket.resetAndDestroy();
}

/** A stream of two chunks a second that would go on for some minutes. */
function ask({ peer, key }: Gateway): Socket {
  const body = JSON.stringify({
    model: "bench",
    stream: true,
    max_tokens: 400,
    seed: 2,
    messages: [{ role: "user", content: "x" }],
  });
  const socket = connect(peer.port, "127.0.0.1");
  socket.on("error", () => {});
  socket.resume();
  socket.write(
    `POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer ${key}\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
  );
  return socket;
}

async function leftOver(gateway: Gateway, socketsBefore: number): Promise<string> {
  const streams = await metric(gateway, "postern_streams_active");
  return `after 10 s: ${streams} streams, ${socketsOf(gateway) - socketsBefore} sockets left`;
}

function p99({ latency, errors, requests, seconds }: LoadResult): string {
  const rate = Math.round(requests / seconds);
  return `p99 ${(latency.p99 / 1000).toFixed(1)} ms, ${rate} requests/s, ${errors} errors`;
}

async function load({ peer }: Gateway, { client }: EdgeOptions): Promise<LoadResult> {
  const result = await measure(client, peer, ["--mode", "load", "--connections", "8", "--seconds", "4"], [], 60_000);
  if (result.mode !== "load") throw new Error("not a load");
  return result;
}

/** Established connections at the gateway's port, from the kernel's table (Linux). */
function socketsOf({ peer }: Gateway): number {
  const port = peer.port.toString(16).toUpperCase().padStart(4, "0");
  const lines = readFileSync("/proc/net/tcp", "latin1").split("\n");
  return lines.filter((line) => {
    const [, local = "", , state] = line.trim().split(/\s+/);
    return local.endsWith(`:${port}`) && state !== "0A" && state !== "06";
  }).length;
}

async function metric(gateway: Gateway, name: string): Promise<string> {
  return new RegExp(`^${name} (\\S+)$`, "m").exec(await metrics(gateway))?.[1] ?? "?";
}

async function refusals(gateway: Gateway): Promise<string> {
  const found = (await metrics(gateway)).matchAll(/^postern_refusals_total\{reason="([^"]+)"\} (\S+)$/gm);
  return `refused or cut so far: ${[...found].map(([, reason, count]) => `${reason} ${count}`).join(", ") || "none"}`;
}

function metrics({ adminPort }: Gateway): Promise<string> {
  return new Promise((resolve, reject) => {
    request({ host: "127.0.0.1", port: adminPort, path: "/metrics" }, (response) => {
      let text = "";
      response.setEncoding("utf8").on("data", (chunk: string) => {
        text += chunk;
      });
      response.on("end", () => resolve(text));
    })
      .on("error", reject)
      .end();
  });
}

async function startGateway(
  { ground, signal }: EdgeOptions,
  { isTls, connections }: { isTls: boolean; connections: number },
): Promise<Gateway> {
  const [port, adminPort] = [await freePort(), await freePort()];
  const folder = join(ground.folder, `edge-${port}`);
  const env = { POSTERN_DATA: join(folder, "data"), POSTERN_CONFIG: join(folder, "postern.yaml") };
  mkdirSync(env.POSTERN_DATA, { recursive: true, mode: 0o700 });
  const { cert, key: keyFile } = ground.certificate;
  const tls = isTls ? `\n  tls: { cert: ${cert}, key: ${keyFile} }` : "";
  const limits = `{ connections: ${connections}, requests: 4000, requestsPerKey: 2000 }`;
  writeFileSync(
    env.POSTERN_CONFIG,
    `gateway:
  listen: "127.0.0.1:${port}"${tls}
  admin: { listen: "127.0.0.1:${adminPort}" }
  limits: ${limits}
  # Silent connections are cut after 15 s and idle ones after 75 s by default, which is less than opening ten thousand takes.
  timeouts: { requestHead: ${connections > 4000 ? "300s" : "15s"}, idle: ${connections > 4000 ? "600s" : "75s"} }
nodes:
  bench: { url: "http://127.0.0.1:${ground.enginePort}", kind: openai }
`,
  );
  const logFile = join(folder, "gateway.log");
  const child = start("postern gateway", process.execPath, [ground.postern, "gateway"], { env, logFile });
  const gateway: Gateway = {
    child,
    key: "",
    adminPort,
    peer: {
      port,
      isTls,
      headers: [],
      processes: [{ role: "gateway", pid: child.pid }],
      version: "",
      stop: () => child.stop(),
    },
  };
  const deadline = Date.now() + READY_MS;
  for (let isReady = false; !isReady; ) {
    signal.throwIfAborted();
    if (Date.now() > deadline) throw new Error(`the gateway is not ready: ${child.errors()}`);
    await wait(200);
    isReady = await metrics(gateway).then(
      () => true,
      () => false,
    );
  }
  const key = await createKey(ground.postern, env);
  // The engine is asked what it has once a moment after the start.
  await wait(2_000);
  return { ...gateway, key, peer: { ...gateway.peer, headers: [`Authorization: Bearer ${key}`] } };
}
