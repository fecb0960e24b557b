import type { PeerName } from "./peer.ts";

/** One thing that is measured at every peer, in turn, several times. */
export interface Cell {
  readonly name: CellName;
  readonly describe: string;
  /** Arguments of the load generator. */
  readonly args: readonly string[];
  /** Longest that one measurement may take, in milliseconds. */
  readonly timeoutMs: number;
  readonly rounds: number;
  /** Whether the pace is set by the engine: then a machine without idle time spoils it. Otherwise the load fills the machine by intent. */
  readonly isPaced: boolean;
  readonly without: readonly PeerName[];
}

export type CellName = "alone" | "busy" | "prompt" | "streams-200x50" | "streams-1000x5" | "translated-200x50";

/** The cells with their lengths: the whole run stays below twelve minutes, `--quick` below two. */
export function planCells(isQuick: boolean): Cell[] {
  const rounds = isQuick ? 1 : 3;
  const seconds = (normal: number, quick: number) => String(isQuick ? quick : normal);
  const load = (connections: number, length: string, more: readonly string[] = []) => {
    return ["--mode", "load", "--connections", String(connections), "--seconds", length, "--warmup", "0.3", ...more];
  };
  const streams = (count: number, rate: number, length: string, ramp: number) => {
    const pace = ["--connections", String(count), "--rate", String(rate)];
    return ["--mode", "streams", ...pace, "--seconds", length, "--ramp", String(ramp)];
  };
  return [
    {
      name: "busy",
      describe: "32 at once, short answers, closed loop",
      args: load(32, seconds(2, 1)),
      timeoutMs: 15_000,
      rounds,
      isPaced: false,
      without: [],
    },
    {
      name: "alone",
      describe: "one request at a time, short answer",
      args: load(1, seconds(1.5, 0.7)),
      timeoutMs: 15_000,
      rounds,
      isPaced: false,
      without: [],
    },
    {
      name: "prompt",
      describe: "one request at a time with a prompt of 1 MB",
      args: load(1, seconds(1.2, 0.6), ["--body-bytes", "1000000"]),
      timeoutMs: 15_000,
      rounds,
      isPaced: false,
      without: ["relay-tls", "haproxy-tls"],
    },
    {
      name: "streams-200x50",
      describe: "200 streams of 50 chunks a second",
      args: streams(200, 50, seconds(3, 1), 0.5),
      timeoutMs: 30_000,
      rounds: isQuick ? 1 : 2,
      isPaced: true,
      without: [],
    },
    {
      name: "streams-1000x5",
      describe: "1,000 streams of 5 chunks a second",
      args: streams(1000, 5, seconds(3, 2), 1.2),
      timeoutMs: 40_000,
      rounds: isQuick ? 1 : 2,
      isPaced: true,
      without: [],
    },
    {
      name: "translated-200x50",
      describe: "200 streams of 50 chunks a second, asked for in Anthropic's dialect of an engine that speaks OpenAI's",
      args: [...streams(200, 50, seconds(3, 1), 0.5), "--path", "/v1/messages"],
      timeoutMs: 30_000,
      rounds: isQuick ? 1 : 2,
      isPaced: true,
      without: ["direct", "relay", "relay-tls", "haproxy", "haproxy-tls", "portkey", "postern-before"],
    },
  ];
}
