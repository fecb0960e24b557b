import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { planCells } from "./cells.ts";
import { killAll } from "./children.ts";
import { measureContinuity } from "./continuity.ts";
import { measureEdge } from "./edge.ts";
import { type FirstToken, measureFirstToken } from "./first-token.ts";
import { type Findings, judge } from "./goals.ts";
import { describeMachine } from "./machine.ts";
import {
  type MemoryOptions,
  type MemoryResult,
  measureMemory,
  type RestResult,
  type SoakResult,
  soak,
} from "./memory.ts";
import type { Ground, Peer, RunningPeer } from "./peer.ts";
import { direct } from "./peers/direct.ts";
import { haproxy } from "./peers/haproxy.ts";
import { portkey } from "./peers/portkey.ts";
import { posternPeer } from "./peers/postern.ts";
import { relay } from "./peers/relay.ts";
import { measurePolicy } from "./policy.ts";
import { buildPrograms, compileBefore, compilePostern, makeCertificate, startOnPort } from "./programs.ts";
import { type Report, toMarkdown, writeReadme } from "./report.ts";
import { runRounds, type Series } from "./rounds.ts";
import { summarise } from "./summary.ts";

const PEERS: readonly Peer[] = [
  direct,
  relay(false),
  relay(true),
  haproxy(false),
  haproxy(true),
  portkey,
  posternPeer("direct"),
  posternPeer("tunnel"),
  posternPeer("tls-link"),
  posternPeer("tunnel-tls"),
  posternPeer("before"),
];

const USAGE = `npm run bench -- [options]
  --quick            short windows, one round (below two minutes; figures are rough)
  --only NAME,...    only these: alone busy prompt streams-200x50 streams-1000x5 memory soak first-token policy
                     continuity
                     edge, alone: slow attacks, idle connections and callers that leave (needs slowhttptest)
  --peers NAME,...   only these: ${PEERS.map((peer) => peer.name).join(" ")}
  --soak MINUTES     length of the load under which memory is watched (default 0.5; the claim needs 10)
  --before COMMIT    measures Postern of this commit too, as postern-before (the claim of issue 3 needs 1cc2650)
  --json FILE        everything that was measured
  --write            put the result into bench/README.md
`;

/** `--quick` leaves the others out, unless `--peers` names them. */
const QUICK_PEERS: readonly string[] = ["direct", "relay-tls", "haproxy-tls", "portkey", "postern-tunnel-tls"];

/** Windows of `busy` at each Node peer before anything counts. */
const WARM_ROUNDS = 6;

/** Spoilt measurements are repeated only within this time, so that the run stays below twelve minutes. */
const REPEAT_WITHIN_MS = 4 * 60_000;

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      quick: { type: "boolean", default: false },
      only: { type: "string" },
      peers: { type: "string" },
      soak: { type: "string" },
      before: { type: "string" },
      json: { type: "string" },
      write: { type: "boolean", default: false },
      help: { type: "boolean", default: false },
    },
  });
  if (values.help) {
    console.log(USAGE);
    return;
  }
  const stop = new AbortController();
  for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => stop.abort(new Error(signal)));
  process.once("exit", killAll);
  const folder = mkdtempSync(join(tmpdir(), "postern-bench-"));
  try {
    if (values.only === "edge") {
      await attackEdge(folder, stop.signal);
      return;
    }
    const soakMinutes = values.soak === undefined ? (values.quick ? 0 : 0.5) : Number(values.soak);
    const report = await bench({
      folder,
      isQuick: values.quick,
      only: values.only?.split(",") ?? null,
      peers: values.peers?.split(",") ?? null,
      soakMinutes,
      before: values.before ?? null,
      signal: stop.signal,
    });
    const markdown = toMarkdown(report);
    console.log(markdown);
    if (values.json !== undefined) writeFileSync(values.json, `${JSON.stringify(report, null, 2)}\n`);
    if (values.write) writeReadme(join(import.meta.dirname, "README.md"), markdown);
  } catch (error) {
    if (!stop.signal.aborted) throw error;
    process.exitCode = 130;
  } finally {
    killAll();
    rmSync(folder, { recursive: true, force: true });
  }
}

/** By itself, because it needs minutes and no peers; its table goes into the README by hand. */
async function attackEdge(folder: string, signal: AbortSignal): Promise<void> {
  const programs = await buildPrograms();
  const certificate = await makeCertificate();
  const engine = await startOnPort("engine", programs.engine, []);
  const ground: Ground = {
    enginePort: engine.port,
    certificate,
    folder,
    postern: await compilePostern(),
    before: null,
  };
  console.log(await measureEdge({ ground, client: programs.client, signal, report: tell }));
}

interface Options {
  folder: string;
  isQuick: boolean;
  only: readonly string[] | null;
  peers: readonly string[] | null;
  soakMinutes: number;
  before: string | null;
  signal: AbortSignal;
}

async function bench(options: Options): Promise<Report> {
  const beganMs = Date.now();
  const wants = (name: string) => options.only === null || options.only.includes(name);
  const policy = wants("policy") ? await measurePolicy(options.folder, options.isQuick) : null;
  const continuity = wants("continuity") ? await measureContinuity() : null;
  // These need no peers, and they are much to start.
  if (options.only?.every((name) => name === "policy" || name === "continuity") === true) {
    const findings: Findings = { summaries: [], rest: [], memory: [], soaks: [], firstToken: null, policy, continuity };
    return asReport(findings, options, beganMs, [], []);
  }
  const programs = await buildPrograms();
  const certificate = await makeCertificate();
  const engine = await startOnPort("engine", programs.engine, []);
  const ground: Ground = {
    enginePort: engine.port,
    certificate,
    folder: options.folder,
    postern: await compilePostern(),
    before: options.before === null ? null : await compileBefore(options.before),
  };
  const names = options.peers ?? (options.isQuick ? QUICK_PEERS : null);
  const chosen = PEERS.filter((peer) =>
    peer.name === "postern-before" ? options.before !== null : (names?.includes(peer.name) ?? true),
  ).filter((peer) => programs.hasTls || !peer.isTls);
  const attendance: { peer: Peer; version: string; failure: string | null }[] = [];
  const running: { peer: Peer; running: RunningPeer }[] = [];
  try {
    for (const peer of chosen) {
      options.signal.throwIfAborted();
      try {
        const one = await peer.start(ground);
        running.push({ peer, running: one });
        attendance.push({ peer, version: one.version, failure: null });
      } catch (error) {
        options.signal.throwIfAborted();
        const failure = oneLine(error);
        attendance.push({ peer, version: "", failure });
        tell(`${peer.name} is not there: ${failure}`);
      }
    }
    const cells = planCells(options.isQuick).filter((cell) => wants(cell.name));
    const repeatUntilMs = Date.now() + (options.isQuick ? 20_000 : REPEAT_WITHIN_MS);
    const common = { client: programs.client, signal: options.signal, report: tell };
    if (cells.length > 0)
      await warmUp(running, options.isQuick, { ...common, enginePid: engine.child.pid, repeatUntilMs });
    const series: Series[] = await runRounds({
      ...common,
      enginePid: engine.child.pid,
      peers: running,
      cells,
      repeatUntilMs,
    });

    const memoryOptions: MemoryOptions = { ...common, ground, isQuick: options.isQuick };
    const soaks: SoakResult[] = [];
    if (wants("soak") && options.soakMinutes > 0) {
      for (const one of running.filter(({ peer }) => peer.name === "postern-tunnel-tls")) {
        soaks.push(await soak(one.peer, one.running, options.soakMinutes, memoryOptions));
      }
    }
    for (const one of running.splice(0)) await one.running.stop();
    const { rest, memory } = wants("memory")
      ? await measureAllMemory(attendance, memoryOptions)
      : { rest: [], memory: [] };
    const firstToken = wants("first-token") && !options.isQuick ? await tryFirstToken() : null;

    const findings: Findings = {
      summaries: series.map(summarise),
      rest,
      memory,
      soaks,
      firstToken,
      policy,
      continuity,
    };
    return asReport(findings, options, beganMs, attendance, cells);
  } finally {
    for (const one of running) await one.running.stop();
    await engine.child.stop();
  }
}

function asReport(
  findings: Findings,
  { isQuick }: Options,
  beganMs: number,
  peers: Report["peers"],
  cells: Report["cells"],
): Report {
  return {
    ...findings,
    date: new Date().toISOString().slice(0, 10),
    machine: describeMachine(),
    minutes: (Date.now() - beganMs) / 60_000,
    isQuick,
    peers,
    cells,
    verdicts: judge(findings),
  };
}

/**
 * Every Node peer is asked for a while before anything counts: a just-in-time compiler needs tens of thousands of requests until it has
 * compiled what a gateway that runs for days has compiled.
 */
async function warmUp(
  peers: readonly { peer: Peer; running: RunningPeer }[],
  isQuick: boolean,
  options: Omit<Parameters<typeof runRounds>[0], "peers" | "cells">,
): Promise<void> {
  const cells = planCells(isQuick)
    .filter((cell) => cell.name === "busy" || cell.name === "streams-200x50")
    .map((cell) => ({ ...cell, rounds: cell.name === "busy" && !isQuick ? WARM_ROUNDS : 1 }));
  const compiled = peers.filter(({ peer }) => peer.name !== "direct" && !peer.name.startsWith("haproxy"));
  await runRounds({ ...options, peers: compiled, cells, repeatUntilMs: 0, report: () => {} });
}

async function measureAllMemory(attendance: readonly { peer: Peer; failure: string | null }[], options: MemoryOptions) {
  const rest: RestResult[] = [];
  const memory: MemoryResult[] = [];
  for (const { peer, failure } of attendance) {
    if (!peer.hasMemory || failure !== null || (options.isQuick && !peer.name.startsWith("postern"))) continue;
    try {
      const found = await measureMemory(peer, options);
      rest.push(found.rest);
      memory.push(...found.results);
    } catch (error) {
      options.signal.throwIfAborted();
      tell(`memory of ${peer.name}: ${oneLine(error)}`);
    }
  }
  return { rest, memory };
}

async function tryFirstToken(): Promise<FirstToken | null> {
  try {
    return await measureFirstToken();
  } catch (error) {
    tell(`first token: ${oneLine(error)}`);
    return null;
  }
}

function oneLine(error: unknown): string {
  const lines = (error instanceof Error ? error.message : String(error)).split("\n").map((line) => line.trim());
  const telling =
    lines.find((line) => /error|alert|cannot|refus/i.test(line)) ?? lines.find((line) => line !== "") ?? "";
  return telling.slice(0, 300);
}

function tell(line: string): void {
  process.stderr.write(`${line}\n`);
}

await main();
