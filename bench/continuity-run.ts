import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pino } from "pino";
import { AdminClient } from "../src/admin/client.ts";
import { socketTransport } from "../src/admin/transport.ts";
import { defaultConfig } from "../src/config/defaults.ts";
import { startGateway } from "../src/gateway/main.ts";
import { type PlanTarget, planAttempts } from "../src/routing/plan.ts";
import { DEFAULT_ROUTING } from "../src/routing/strategy.ts";
import { TargetHealths } from "../src/routing/target-health.ts";

// A process of its own, so that nothing else is compiled, loaded or collected in it. Prints one JSON value.

const TARGETS = 100;
const PLANS = 50_000;
const REQUESTS = 300;
const ANSWER = {
  id: "c",
  object: "chat.completion",
  choices: [{ index: 0, message: { role: "assistant", content: "hello" }, finish_reason: "stop" }],
  usage: { prompt_tokens: 1, completion_tokens: 1, total_tokens: 2 },
};

/** Microseconds for one plan over many targets, of which some have failed before. */
function measurePlanning(): number {
  const health = new TargetHealths();
  const targets = Array.from({ length: TARGETS }, (_, index) => target(index));
  for (let index = 0; index < TARGETS; index += 10) health.failed(`t${index}`, "engine_failed", 0);
  const plan = (turn: number): number =>
    planAttempts({
      targets,
      routing: DEFAULT_ROUTING,
      health,
      canAsk: (operations) => operations.has("openai.chat"),
      mayLeave: true,
      pinnedNode: null,
      affinityKey: () => 7,
      prefers: null,
      turn,
      nowMs: 1_000,
    }).targets.length;
  for (let turn = 0; turn < PLANS / 10; turn++) plan(turn);
  // Processor time: what else the machine does is no part of it.
  const before = process.cpuUsage();
  for (let turn = 0; turn < PLANS; turn++) plan(turn);
  const { user, system } = process.cpuUsage(before);
  return (user + system) / PLANS;
}

function target(index: number): PlanTarget {
  return {
    id: `t${index}`,
    hash: index * 2_654_435_761,
    backend: { kind: "node", id: `n${index}`, name: `n${index}`, label: `node/n${index}`, locality: "own", tags: [] },
    operations: new Set(["openai.chat"]),
    leaves: false,
    isLoading: false,
    isAsleep: false,
    isLoaded: true,
    busy: index % 7,
    slots: 8,
    canAccept: () => true,
  };
}

/** What a target that is away costs a request: at the first failure, and once it is known. Milliseconds beyond a request without it. */
async function measureBadTarget(): Promise<{ firstFailureMs: number; knownBadMs: number }> {
  const folder = mkdtempSync(join(tmpdir(), "postern-bench-continuity-"));
  const bad = await startEngine("near");
  const good = await startEngine("far");
  const config = defaultConfig(folder);
  const free = { host: "127.0.0.1", port: 0 };
  const gateway = await startGateway(
    {
      ...config,
      gateway: { ...config.gateway, listen: free, admin: { ...config.gateway.admin, listen: free } },
      nodes: [node("bad", bad), node("good", good)],
      models: [model("both", ["near", "far"]), model("alone", ["far"])],
    },
    { log: pino({ level: "silent" }) },
  );
  const admin = new AdminClient(socketTransport(gateway.socketPath));
  try {
    const { secret } = await admin.createKey({ name: "bench" });
    const ask = async (name: string): Promise<number> => {
      const startedMs = performance.now();
      const response = await fetch(`${gateway.publicUrl}/v1/chat/completions`, {
        method: "POST",
        headers: { authorization: `Bearer ${secret}`, "content-type": "application/json" },
        body: JSON.stringify({ model: name, messages: [{ role: "user", content: "hi" }] }),
      });
      if (response.status !== 200) throw new Error(`${name}: ${response.status} ${await response.text()}`);
      await response.arrayBuffer();
      return performance.now() - startedMs;
    };
    for (;;) {
      const models = await admin.listModels();
      if (models.find(({ name }) => name === "both")?.targets.filter(({ ready }) => ready).length === 2) break;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    const series = async (name: string): Promise<number> => {
      const times: number[] = [];
      for (let count = 0; count < REQUESTS; count++) times.push(await ask(name));
      return median(times);
    };
    await series("both");
    const alone = await series("alone");
    bad.closeAllConnections();
    await new Promise((resolve) => bad.close(resolve));
    const firstFailureMs = (await ask("both")) - alone;
    for (let count = 0; count < 10; count++) await ask("both");
    // Both in turns, so that what else the machine does meets them alike.
    const known: number[] = [];
    const without: number[] = [];
    for (let count = 0; count < REQUESTS; count++) {
      if (count % 2 === 0) known.push(await ask("both"));
      without.push(await ask("alone"));
      if (count % 2 === 1) known.push(await ask("both"));
    }
    return { firstFailureMs, knownBadMs: median(known) - median(without) };
  } finally {
    await admin.close();
    await gateway.stop();
    good.close();
    rmSync(folder, { recursive: true, force: true });
  }
}

async function startEngine(name: string): Promise<Server> {
  const server = createServer((request, response) => {
    request.resume();
    request.on("end", () => {
      const body = request.method === "GET" ? { object: "list", data: [{ id: name, object: "model" }] } : ANSWER;
      response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify(body));
    });
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return server;
}

function node(name: string, server: Server) {
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const address = { url, kind: "openai", apiKey: null, host: null, caFile: null, serverName: null } as const;
  return { name, place: "bench", tags: [], locality: "own", ...address } as const;
}

function model(name: string, names: readonly string[]) {
  const targets = names.map((one) => ({ model: one, node: null, provider: null, weight: null }));
  return { name, targets, isHidden: false, strategy: "priority", isRequired: false, isRescued: false } as const;
}

function median(times: number[]): number {
  return times.toSorted((a, b) => a - b)[Math.floor(times.length / 2)] ?? Number.NaN;
}

const planningUs = measurePlanning();
console.log(JSON.stringify({ targets: TARGETS, planningUs, ...(await measureBadTarget()) }));
