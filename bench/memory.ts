import { readFileSync } from "node:fs";
import { setTimeout as wait } from "node:timers/promises";
import type { Child } from "./children.ts";
import { hold, measure, release } from "./client.ts";
import type { Ground, Peer, RunningPeer } from "./peer.ts";
import { median } from "./summary.ts";

/** What connections cost a peer in memory. A first batch warms everything up; what a second, larger one adds is counted. */
export interface MemoryResult {
  peer: string;
  isTls: boolean;
  kind: "idle" | "streams";
  /** Connections of the second batch. */
  connections: number;
  gatewayBytesEach: number;
  agentBytesEach: number | null;
  /** Connections of the second batch that were still there at its end. */
  alive: number;
  failure: string | null;
}

export interface RestResult {
  peer: string;
  gatewayBytes: number;
  agentBytes: number | null;
}

export interface MemoryOptions {
  client: string;
  ground: Ground;
  isQuick: boolean;
  signal: AbortSignal;
  report(line: string): void;
}

const SETTLE_AFTER_MS = 500;

const BATCHES = {
  normal: { idle: [500, 2000], streams: [300, 1000], settleMs: 3000 },
  quick: { idle: [200, 800], streams: [100, 400], settleMs: 1500 },
} as const;

/** Measures one peer: at rest, then idle connections and open streams, each in a fresh process. */
export async function measureMemory(
  peer: Peer,
  options: MemoryOptions,
): Promise<{ rest: RestResult; results: MemoryResult[] }> {
  const { settleMs, ...batches } = BATCHES[options.isQuick ? "quick" : "normal"];
  const results: MemoryResult[] = [];
  let rest: RestResult | null = null;
  for (const kind of ["idle", "streams"] as const) {
    options.signal.throwIfAborted();
    const running = await peer.start(options.ground);
    try {
      await wait(settleMs, undefined, { signal: options.signal });
      rest ??= { peer: peer.name, gatewayBytes: memoryOf(running, "gateway"), agentBytes: memoryOrNull(running) };
      results.push(await measureKind(peer, running, kind, batches[kind], settleMs, options));
    } finally {
      await running.stop();
    }
    options.report(`memory ${kind} ${peer.name}`);
  }
  if (rest === null) throw new Error("unreachable");
  return { rest, results };
}

async function measureKind(
  peer: Peer,
  running: RunningPeer,
  kind: "idle" | "streams",
  [first, second]: readonly [number, number],
  settleMs: number,
  options: MemoryOptions,
): Promise<MemoryResult> {
  const held: Child[] = [];
  const open = async (connections: number) => {
    const args = ["--kind", kind, "--connections", String(connections), "--rate", "1"];
    const batch = await hold(options.client, running, args);
    held.push(batch.child);
    await settle(running, settleMs, options);
    return batch;
  };
  let failure: string | null = null;
  try {
    const before = await open(first);
    const gateway = memoryOf(running, "gateway");
    const agent = memoryOrNull(running);
    const after = await open(second);
    const gatewayBytesEach = (memoryOf(running, "gateway") - gateway) / second;
    const agentAfter = memoryOrNull(running);
    const failed = before.failed + after.failed;
    if (failed > 0) failure = `${failed} could not be opened: ${before.firstError || after.firstError}`;
    const last = held.pop();
    const alive = last === undefined ? 0 : await release(last);
    return {
      peer: peer.name,
      isTls: running.isTls,
      kind,
      connections: second,
      gatewayBytesEach,
      agentBytesEach: agent === null || agentAfter === null ? null : (agentAfter - agent) / second,
      alive,
      failure,
    };
  } finally {
    for (const child of held) await child.stop();
  }
}

/**
 * Lets the garbage of opening go: a process that does nothing collects nothing, so a few short requests run meanwhile, as they do at
 * every gateway that people hold connections to.
 */
async function settle(running: RunningPeer, ms: number, options: MemoryOptions): Promise<void> {
  const load = ["--mode", "load", "--connections", "4", "--seconds", String(ms / 1000)];
  await measure(options.client, running, load, [], ms + 30_000);
  await wait(SETTLE_AFTER_MS, undefined, { signal: options.signal });
}

/** How memory moves under steady load. */
export interface SoakResult {
  peer: string;
  minutes: number;
  /** Resident bytes of the gateway every few seconds. */
  samples: { seconds: number; bytes: number; requests: number }[];
  /** Slope over the second half, in bytes per minute. */
  bytesPerMinute: number;
  errors: number;
}

/** Alternates short requests and streams for some minutes and watches the memory of the gateway. */
export async function soak(
  peer: Peer,
  running: RunningPeer,
  minutes: number,
  options: MemoryOptions,
): Promise<SoakResult> {
  const startMs = Date.now();
  const samples: SoakResult["samples"] = [];
  let errors = 0;
  let requests = 0;
  while (Date.now() - startMs < minutes * 60_000) {
    options.signal.throwIfAborted();
    const load = ["--mode", "load", "--connections", "32", "--seconds", "3"];
    const streams = ["--mode", "streams", "--connections", "100", "--rate", "20", "--seconds", "1", "--ramp", "0.5"];
    for (const args of [load, streams]) {
      const result = await measure(options.client, running, args, [], 30_000);
      errors += result.errors;
      requests += result.mode === "load" ? result.requests : result.streams;
    }
    samples.push({ seconds: (Date.now() - startMs) / 1000, bytes: memoryOf(running, "gateway"), requests });
    options.report(`soak ${Math.round((Date.now() - startMs) / 1000)} s ${peer.name}`);
  }
  return { peer: peer.name, minutes, samples, bytesPerMinute: slope(samples.slice(samples.length >> 1)), errors };
}

/** Slope through the medians of both halves: single garbage collections do not tilt it. */
function slope(samples: SoakResult["samples"]): number {
  const middle = samples.length >> 1;
  const from = samples.slice(0, middle);
  const to = samples.slice(middle);
  if (from.length === 0) return 0;
  const seconds = median(to.map((one) => one.seconds)) - median(from.map((one) => one.seconds));
  return ((median(to.map((one) => one.bytes)) - median(from.map((one) => one.bytes))) / seconds) * 60;
}

function memoryOrNull(running: RunningPeer): number | null {
  return running.processes.some((one) => one.role === "agent") ? memoryOf(running, "agent") : null;
}

/** Resident memory of a peer's processes of one role, in bytes (Linux). */
export function memoryOf(running: RunningPeer, role: "gateway" | "agent"): number {
  let total = 0;
  for (const { pid } of running.processes.filter((one) => one.role === role)) {
    const kilobytes = /^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1];
    total += Number(kilobytes ?? 0) * 1024;
  }
  return total;
}
