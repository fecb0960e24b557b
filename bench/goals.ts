import type { ContinuityResult } from "./continuity.ts";
import type { FirstToken } from "./first-token.ts";
import type { MemoryResult, RestResult, SoakResult } from "./memory.ts";
import type { PeerName } from "./peer.ts";
import type { PolicyResult } from "./policy.ts";
import type { Summary } from "./summary.ts";

/** One line of what must be reached, judged. */
export interface Verdict {
  goal: string;
  /** Null when this run did not measure it. */
  isMet: boolean | null;
  figure: string;
}

export interface Findings {
  summaries: readonly Summary[];
  rest: readonly RestResult[];
  memory: readonly MemoryResult[];
  soaks: readonly SoakResult[];
  firstToken: FirstToken | null;
  policy: PolicyResult | null;
  continuity: ContinuityResult | null;
}

const MEGABYTE = 1_000_000;
/** Memory counts as flat below this growth per minute, relative to what is there; garbage collection moves it by less. */
const FLAT_SHARE_PER_MINUTE = 0.01;
const SOAK_MINUTES = 10;

/**
 * Judges every figure that the gateway must reach. Each way is held against peers whose callers speak as its own do: TLS or not.
 * Portkey speaks no TLS; what it is held against is told in the goal.
 */
export function judge(findings: Findings): Verdict[] {
  return [
    ...judgeStreams(findings),
    ...judgeRequests(findings),
    ...judgeDialects(findings),
    ...judgeMemory(findings),
    ...judgePolicy(findings.policy),
    ...judgeContinuity(findings.continuity),
    ...judgeTime(findings),
  ];
}

const PAIRS = [
  { ours: "postern-tunnel-tls", haproxy: "haproxy-tls", relay: "relay-tls", words: "tunnel over TLS, TLS callers" },
  { ours: "postern-tls-link", haproxy: "haproxy", relay: "relay", words: "tunnel over TLS, plain callers" },
  { ours: "postern-tunnel", haproxy: "haproxy", relay: "relay", words: "plain tunnel, plain callers" },
] as const;

function judgeStreams(findings: Findings): Verdict[] {
  const verdicts: Verdict[] = [];
  for (const [cell, most] of [
    ["streams-200x50", 1.6],
    ["streams-1000x5", 2],
  ] as const) {
    for (const { ours, haproxy, words } of PAIRS) {
      const mine = find(findings, cell, ours);
      const theirs = find(findings, cell, haproxy);
      verdicts.push(
        atMost(
          `CPU per streamed chunk at ${cell.slice(8)}, ${words}: at most ${most} × HAProxy's`,
          mine?.gatewayCpuUs,
          theirs?.gatewayCpuUs,
          most,
          "µs",
        ),
      );
    }
  }
  return verdicts;
}

function judgeRequests(findings: Findings): Verdict[] {
  const verdicts: Verdict[] = [];
  const portkey = find(findings, "busy", "portkey");
  for (const { ours, relay, words } of PAIRS) {
    const busy = find(findings, "busy", ours);
    const busyRelay = find(findings, "busy", relay);
    const alone = find(findings, "alone", ours);
    const aloneRelay = find(findings, "alone", relay);
    verdicts.push(
      verdict(
        `requests/s, ${words}: at least 5 × Portkey's`,
        busy && portkey && busy.perSecond >= 5 * portkey.perSecond,
        () =>
          `${whole(busy?.perSecond)} to ${whole(portkey?.perSecond)}, ${ratio(busy?.perSecond, portkey?.perSecond)}`,
      ),
      verdict(
        `CPU per request, ${words}: at most the bare relay's + 60 µs`,
        compare(busy?.gatewayCpuUs, busyRelay?.gatewayCpuUs, (mine, theirs) => mine <= theirs + 60),
        () => `${whole(busy?.gatewayCpuUs)} µs to ${whole(busyRelay?.gatewayCpuUs)} µs`,
      ),
      atMost(
        `CPU per request, ${words}: at most 1/5 of Portkey's`,
        busy?.gatewayCpuUs,
        portkey?.gatewayCpuUs,
        0.2,
        "µs",
      ),
      atMost(`latency alone, ${words}: p50 at most 3 × the bare relay's`, alone?.p50Ms, aloneRelay?.p50Ms, 3, "ms"),
      atMost(`latency alone, ${words}: p99 at most 4 × the bare relay's`, alone?.p99Ms, aloneRelay?.p99Ms, 4, "ms"),
    );
  }
  const ours = findings.summaries.filter((one) => one.peer.startsWith("postern") && one.rounds > 0);
  const stepped = ours.filter((one) => one.hasFortyMsStep).map((one) => `${one.peer} in ${one.cell}`);
  verdicts.push(
    verdict(
      "no step of 40 ms anywhere",
      ours.length === 0 ? undefined : stepped.length === 0,
      () => stepped.join(", ") || "none seen",
    ),
  );
  return verdicts;
}

/** What dialects and translation may cost. */
function judgeDialects(findings: Findings): Verdict[] {
  const verdicts: Verdict[] = [];
  const direct = find(findings, "prompt", "direct");
  for (const { ours, words } of PAIRS) {
    const prompt = find(findings, "prompt", ours);
    const added = prompt && direct ? prompt.p50Ms - direct.p50Ms : undefined;
    verdicts.push(
      verdict(
        `a prompt of 1 MB, ${words}: at most 5 ms more than without (p50)`,
        added === undefined ? undefined : added <= 5,
        () => `${added?.toFixed(2)} ms`,
      ),
      atMost(
        `CPU per chunk of a translated stream, ${words}: at most 2 × a passed one's`,
        find(findings, "translated-200x50", ours)?.gatewayCpuUs,
        find(findings, "streams-200x50", ours)?.gatewayCpuUs,
        2,
        "µs",
      ),
    );
  }
  for (const [cell, what] of [
    ["busy", "request"],
    ["streams-200x50", "streamed chunk"],
  ] as const) {
    verdicts.push(
      atMost(
        `CPU per ${what}, plain tunnel: within 10 % of the first issue's commit`,
        find(findings, cell, "postern-tunnel")?.gatewayCpuUs,
        find(findings, cell, "postern-before")?.gatewayCpuUs,
        1.1,
        "µs",
      ),
    );
  }
  return verdicts;
}

function judgeMemory({ rest, memory, soaks }: Findings): Verdict[] {
  const tunnel = rest.filter((one) => one.peer.startsWith("postern-tunnel"));
  const most = Math.max(...tunnel.map((one) => one.gatewayBytes));
  const verdicts = [
    verdict("gateway at rest: at most 120 MB", tunnel.length === 0 ? undefined : most <= 120 * MEGABYTE, () =>
      megabytes(most),
    ),
  ];
  const bounds = [
    { kind: "idle", words: "an idle connection", plain: 30, tls: 90 },
    { kind: "streams", words: "an open stream", plain: 60, tls: 130 },
  ] as const;
  for (const { kind, words, plain, tls } of bounds) {
    for (const [isTls, kilobytes] of [
      [false, plain],
      [true, tls],
    ] as const) {
      const found = memory.find(
        (one) => one.peer === (isTls ? "postern-tunnel-tls" : "postern-tunnel") && one.kind === kind,
      );
      const bytes = found && found.failure === null ? found.gatewayBytesEach : undefined;
      verdicts.push(
        verdict(
          `${words}, ${isTls ? "TLS" : "plain"}: at most ${kilobytes} kB`,
          bytes === undefined ? undefined : bytes <= kilobytes * 1000,
          () => kilobytesText(bytes ?? 0),
        ),
      );
    }
  }
  const long = soaks.find((one) => one.peer === "postern-tunnel-tls" && one.minutes >= SOAK_MINUTES);
  const last = long?.samples.at(-1);
  verdicts.push(
    verdict(
      `memory flat over ${SOAK_MINUTES} minutes of load (below 1 % a minute)`,
      long && last && long.bytesPerMinute <= last.bytes * FLAT_SHARE_PER_MINUTE,
      () =>
        `${megabytes(last?.bytes ?? 0)} at the end, ${((long?.bytesPerMinute ?? 0) / MEGABYTE).toFixed(2)} MB a minute`,
    ),
  );
  return verdicts;
}

function judgeTime({ firstToken }: Findings): Verdict[] {
  return [
    verdict(
      "`npm start` to the first token on an installed repo: at most 5 s",
      firstToken ? firstToken.seconds <= 5 : undefined,
      () => `${firstToken?.seconds.toFixed(1)} s`,
    ),
  ];
}

function find({ summaries }: Findings, cell: string, peer: PeerName): Summary | undefined {
  return summaries.find((one) => one.cell === cell && one.peer === peer && one.rounds > 0);
}

function compare(
  mine: number | null | undefined,
  theirs: number | null | undefined,
  holds: (mine: number, theirs: number) => boolean,
) {
  return mine === null || mine === undefined || theirs === null || theirs === undefined
    ? undefined
    : holds(mine, theirs);
}

const MOST_POLICY_US = 20;
const MOST_LOAD_SECONDS = 2;
const MOST_LOAD_BYTES = 150 * MEGABYTE;

const MOST_KNOWN_BAD_MS = 2;
const MOST_FIRST_FAILURE_MS = 50;
const MOST_PLANNING_US = 20;

function judgeContinuity(found: ContinuityResult | null): Verdict[] {
  return [
    verdict(
      `a target that is known to be away adds at most ${MOST_KNOWN_BAD_MS} ms to a request`,
      found === null ? undefined : found.knownBadMs <= MOST_KNOWN_BAD_MS,
      () => `${figure(found?.knownBadMs)} ms`,
    ),
    verdict(
      `the first refused connection adds at most ${MOST_FIRST_FAILURE_MS} ms`,
      found === null ? undefined : found.firstFailureMs <= MOST_FIRST_FAILURE_MS,
      () => `${figure(found?.firstFailureMs)} ms`,
    ),
    verdict(
      `planning over ${found?.targets ?? 100} targets takes at most ${MOST_PLANNING_US} µs CPU`,
      found === null ? undefined : found.planningUs <= MOST_PLANNING_US,
      () => `${figure(found?.planningUs)} µs`,
    ),
  ];
}

function judgePolicy(policy: PolicyResult | null): Verdict[] {
  const keys = (count: number | undefined) => (count ?? 100_000).toLocaleString("en");
  return [
    verdict(
      `the whole policy path at ${keys(policy?.pathKeys ?? 10_000)} keys: at most ${MOST_POLICY_US} µs CPU per request`,
      policy === null ? undefined : policy.pathCpuUs <= MOST_POLICY_US,
      () => `${figure(policy?.pathCpuUs)} µs`,
    ),
    verdict(
      `${keys(policy?.loadKeys)} keys load in at most ${MOST_LOAD_SECONDS} s and ${megabytes(MOST_LOAD_BYTES)}`,
      policy === null ? undefined : policy.loadSeconds <= MOST_LOAD_SECONDS && policy.loadBytes <= MOST_LOAD_BYTES,
      () =>
        `${figure(policy?.loadSeconds)} s (${figure(policy?.loadCpuSeconds)} s of processor time), ${megabytes(policy?.loadBytes ?? 0)}`,
    ),
  ];
}

function atMost(
  goal: string,
  mine: number | null | undefined,
  theirs: number | null | undefined,
  factor: number,
  unit: string,
): Verdict {
  const isMet = compare(mine, theirs, (a, b) => a <= factor * b);
  return verdict(goal, isMet, () => `${figure(mine)} ${unit} to ${figure(theirs)} ${unit}, ${ratio(mine, theirs)}`);
}

function verdict(goal: string, isMet: boolean | undefined, text: () => string): Verdict {
  return { goal, isMet: isMet ?? null, figure: isMet === undefined ? "not measured in this run" : text() };
}

function figure(value: number | null | undefined): string {
  return (value ?? 0).toFixed((value ?? 0) < 10 ? 2 : 0);
}

function whole(value: number | null | undefined): string {
  return Math.round(value ?? 0).toLocaleString("en");
}

/** "2.34 ×", or a dash. */
export function ratio(mine: number | null | undefined, theirs: number | null | undefined): string {
  return mine && theirs ? `${(mine / theirs).toFixed(2)} ×` : "–";
}

export function megabytes(bytes: number): string {
  return `${(bytes / MEGABYTE).toFixed(0)} MB`;
}

export function kilobytesText(bytes: number): string {
  return `${(bytes / 1000).toFixed(0)} kB`;
}
