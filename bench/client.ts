import { type Child, start } from "./children.ts";
import type { RunningPeer } from "./peer.ts";

/** Times in microseconds. `step` counts samples of 28-38, 38-48 and 48-58 ms. */
export interface Distribution {
  count: number;
  mean: number;
  p50: number;
  p90: number;
  p99: number;
  p999: number;
  max: number;
  step: [number, number, number];
}

interface Measured {
  seconds: number;
  errors: number;
  firstError: string;
  /** Seconds of processor time that the load generator itself used in the window. */
  clientCpu: number;
  /** Seconds of processor time by process id, in the window. */
  cpu: Record<string, number>;
  /** Shares of the whole machine in the window. */
  machine: { idle: number; steal: number; foreign: number; interrupts: number; processors: number };
}

export interface LoadResult extends Measured {
  mode: "load";
  requests: number;
  latency: Distribution;
}

export interface StreamsResult extends Measured {
  mode: "streams";
  streams: number;
  /** Streams that kept their pace: 99 of 100 gaps at most 1.5 times as long as meant. */
  kept: number;
  /** Streams that ended as they should with every chunk. */
  whole: number;
  /** Streams that broke off without a word. */
  truncated: number;
  /** Streams that ended with an error event. */
  told: number;
  /** Streams that ended well with chunks missing or doubled. */
  miscounted: number;
  expectedChunks: number;
  chunks: number;
  delay: Distribution;
  firstChunk: Distribution;
}

export type ClientResult = LoadResult | StreamsResult;

/** Runs the load generator against a peer, to its end. */
export async function measure(
  client: string,
  peer: RunningPeer,
  args: readonly string[],
  otherPids: readonly number[],
  timeoutMs: number,
): Promise<ClientResult> {
  const pids = [...peer.processes.map((one) => one.pid), ...otherPids];
  const child = startClient(client, peer, [...args, "--pids", pids.join(",")]);
  try {
    return JSON.parse(await child.line(timeoutMs)) as ClientResult; // our own program's output
  } finally {
    await child.stop();
  }
}

/** Opens connections or streams and holds them until the child is stopped; resolves when they are open. */
export async function hold(client: string, peer: RunningPeer, args: readonly string[]) {
  const child = startClient(client, peer, ["--mode", "hold", ...args]);
  try {
    const ready = JSON.parse(await child.line(60_000)) as { open: number; failed: number; firstError: string };
    return { child, ...ready };
  } catch (error) {
    await child.stop();
    throw error;
  }
}

/** Lets go of what `hold` opened; returns how much was still open. */
export async function release(child: Child): Promise<number> {
  child.end();
  const { alive } = JSON.parse(await child.line(20_000)) as { alive: number };
  await child.stop();
  return alive;
}

function startClient(client: string, peer: RunningPeer, args: readonly string[]): Child {
  const all = ["--port", String(peer.port), ...(peer.isTls ? ["--tls"] : []), ...args];
  return start("client", client, all, { env: { BENCH_HEADERS: peer.headers.join("\n") } });
}
