import type { ClientResult, Distribution } from "./client.ts";
import type { Series } from "./rounds.ts";

/** Medians over the rounds of one peer in one cell. Times in milliseconds unless the name says otherwise. */
export interface Summary {
  peer: string;
  cell: string;
  rounds: number;
  discarded: number;
  spoilt: string[];
  failure: string | null;
  errors: number;
  firstError: string;
  /** Share of the machine that was idle, of all processors. */
  idle: number;
  foreign: number;
  /** Share of one core that the load generator used. */
  clientShare: number;
  /** Latency of a request, or delay of a chunk. */
  p50Ms: number;
  p99Ms: number;
  maxMs: number;
  /** Whether delays of 38 to 48 ms stand out against their neighbours: a delayed acknowledgement somewhere. */
  hasFortyMsStep: boolean;
  /** Requests, or chunks. */
  perSecond: number;
  /** Processor time per request or chunk. */
  gatewayCpuUs: number | null;
  agentCpuUs: number | null;
  /** Share of one core that the gateway used. */
  gatewayShare: number | null;
  firstChunkP50Ms: number | null;
  firstChunkP99Ms: number | null;
  streams: number | null;
  /** Least over the rounds. */
  kept: number | null;
  /** Most over the rounds. */
  broken: number | null;
}

/**
 * The hill must hold this share of all samples, and this many times its higher neighbour, in most rounds, to count as a step: one pause
 * of 40 ms holds up all 32 requests under way and is no step.
 */
const STEP_SHARE = 0.005;
const STEP_FACTOR = 3;

export function summarise(series: Series): Summary {
  const { results, running } = series;
  const of = (read: (result: ClientResult) => number) => median(results.map(read));
  const main = (result: ClientResult): Distribution => (result.mode === "load" ? result.latency : result.delay);
  const count = (result: ClientResult) => (result.mode === "load" ? result.requests : result.chunks);
  const cpuOf = (role: "gateway" | "agent") => {
    const pids = running.processes.filter((one) => one.role === role).map((one) => String(one.pid));
    if (pids.length === 0) return null;
    return (result: ClientResult) => pids.reduce((sum, pid) => sum + (result.cpu[pid] ?? 0), 0);
  };
  const gateway = cpuOf("gateway");
  const agent = cpuOf("agent");
  const streams = results.filter((result) => result.mode === "streams");
  return {
    peer: series.peer.name,
    cell: series.cell.name,
    rounds: results.length,
    discarded: series.discarded,
    spoilt: series.spoilt,
    failure: series.failure,
    errors: results.reduce((sum, result) => sum + result.errors, 0),
    firstError: results.find((result) => result.firstError !== "")?.firstError ?? "",
    idle: of((result) => result.machine.idle),
    foreign: of((result) => result.machine.foreign + result.machine.steal),
    clientShare: of((result) => result.clientCpu / result.seconds),
    p50Ms: of((result) => main(result).p50) / 1000,
    p99Ms: of((result) => main(result).p99) / 1000,
    maxMs: of((result) => main(result).max) / 1000,
    hasFortyMsStep: results.filter((result) => hasStep(main(result))).length * 2 > results.length,
    perSecond: of((result) => count(result) / result.seconds),
    gatewayCpuUs: gateway && of((result) => (gateway(result) / count(result)) * 1e6),
    agentCpuUs: agent && of((result) => (agent(result) / count(result)) * 1e6),
    gatewayShare: gateway && of((result) => gateway(result) / result.seconds),
    firstChunkP50Ms: streams.length > 0 ? median(streams.map((result) => result.firstChunk.p50)) / 1000 : null,
    firstChunkP99Ms: streams.length > 0 ? median(streams.map((result) => result.firstChunk.p99)) / 1000 : null,
    streams: streams[0]?.streams ?? null,
    kept: streams.length > 0 ? Math.min(...streams.map((result) => result.kept)) : null,
    broken: streams.length > 0 ? Math.max(...streams.map((result) => result.streams - result.whole)) : null,
  };
}

function hasStep({ count, step: [before, at, after] }: Distribution): boolean {
  return at > count * STEP_SHARE && at > STEP_FACTOR * Math.max(before, after, 1);
}

/** The middle value, or the mean of the two middle ones; 0 for none. */
export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  const upper = sorted[middle] ?? 0;
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? upper) + upper) / 2;
}
