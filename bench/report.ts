import { readFileSync, writeFileSync } from "node:fs";
import type { Cell } from "./cells.ts";
import { type Findings, kilobytesText, megabytes, ratio, type Verdict } from "./goals.ts";
import type { MemoryResult } from "./memory.ts";
import type { Peer } from "./peer.ts";
import { MAX_FOREIGN_SHARE, MIN_IDLE_SHARE } from "./rounds.ts";
import type { Summary } from "./summary.ts";

export interface Report extends Findings {
  date: string;
  machine: string;
  minutes: number;
  isQuick: boolean;
  peers: readonly { peer: Peer; version: string; failure: string | null }[];
  cells: readonly Cell[];
  verdicts: readonly Verdict[];
}

const BEGIN = "<!-- results: written by `npm run bench -- --write` -->";
const END = "<!-- end of results -->";

/** The whole result as Markdown. */
export function toMarkdown(report: Report): string {
  return [
    `${report.date}, ${report.minutes.toFixed(1)} minutes${report.isQuick ? ", `--quick`" : ""}. ${report.machine}.`,
    section("What must be reached", verdictTable(report.verdicts)),
    ...report.cells.map((cell) => section(headline(cell), cellTable(cell, report))),
    section("Memory", memoryTable(report)),
    ...(report.soaks.length > 0 ? [section("Memory under load", soakTable(report))] : []),
    ...(report.firstToken ? [`From \`npm start\` to the first token: ${report.firstToken.seconds.toFixed(2)} s.`] : []),
    section("Who took part", peerTable(report)),
  ].join("\n\n");
}

/** Puts the result between the markers of `bench/README.md`. */
export function writeReadme(file: string, markdown: string): void {
  const text = readFileSync(file, "utf8");
  const from = text.indexOf(BEGIN);
  const to = text.indexOf(END);
  if (from < 0 || to < from) throw new Error(`${file} has no markers for the results`);
  writeFileSync(file, `${text.slice(0, from + BEGIN.length)}\n\n${markdown}\n\n${text.slice(to)}`);
}

function section(title: string, body: string): string {
  return `### ${title}\n\n${body}`;
}

function headline(cell: Cell): string {
  return `${cell.describe[0]?.toUpperCase()}${cell.describe.slice(1)}`;
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]) => `| ${cells.join(" | ")} |`;
  return [line(head), line(head.map((_, index) => (index === 0 ? "---" : "--:"))), ...rows.map(line)].join("\n");
}

function verdictTable(verdicts: readonly Verdict[]): string {
  const word = (isMet: boolean | null) => (isMet === null ? "–" : isMet ? "met" : "**missed**");
  return table(
    ["", "", "figure"],
    verdicts.map((one) => [one.goal, word(one.isMet), one.figure]),
  );
}

function cellTable(cell: Cell, { summaries }: Report): string {
  const rows = summaries.filter((one) => one.cell === cell.name);
  const of = (peer: string) => rows.find((one) => one.peer === peer && one.rounds > 0);
  const direct = of("direct");
  const haproxy = of("haproxy");
  const isStream = cell.isPaced;
  const unit = isStream ? "chunk" : "request";
  const head = [
    "",
    isStream ? "delay of a chunk p50 / p99, ms" : "p50 / p99, ms",
    "added p50 / p99, ms",
    ...(isStream ? ["keep the pace", "broken"] : ["requests/s"]),
    `gateway CPU µs per ${unit}`,
    "against relay",
    "against HAProxy",
    "agent CPU µs",
    "idle",
    "",
  ];
  return table(
    head,
    rows.map((one) => {
      if (one.rounds === 0) return [one.peer, ...Array.from({ length: head.length - 2 }, () => "–"), one.failure ?? ""];
      // Ratios are taken among those whose callers speak the same: TLS or plain.
      const suffix = one.peer.endsWith("-tls") ? "-tls" : "";
      return [
        one.peer,
        `${one.p50Ms.toFixed(2)} / ${one.p99Ms.toFixed(2)}`,
        direct && one !== direct
          ? `${(one.p50Ms - direct.p50Ms).toFixed(2)} / ${(one.p99Ms - direct.p99Ms).toFixed(2)}`
          : "–",
        ...(isStream
          ? [share(one.kept, one.streams), String(one.broken)]
          : [Math.round(one.perSecond).toLocaleString("en")]),
        microseconds(one.gatewayCpuUs),
        ratio(one.gatewayCpuUs, of(`relay${suffix}`)?.gatewayCpuUs),
        ratio(one.gatewayCpuUs, (of(`haproxy${suffix}`) ?? haproxy)?.gatewayCpuUs),
        microseconds(one.agentCpuUs),
        `${Math.round(one.idle * 100)} %`,
        remarks(one),
      ];
    }),
  );
}

function remarks(one: Summary): string {
  const said: string[] = [];
  if (one.errors > 0) said.push(`${one.errors} errors (${one.firstError.slice(0, 60)})`);
  if (one.spoilt.length > 0) said.push(`${one.spoilt.length} of ${one.rounds} rounds spoilt: ${one.spoilt.at(-1)}`);
  if (one.discarded > 0) said.push(`${one.discarded} discarded`);
  if (one.hasFortyMsStep) said.push("step at 40 ms");
  if (one.cell === "busy" && one.clientShare > 0.9) said.push("bound by the load generator");
  else if (one.cell === "busy" && (one.gatewayShare ?? 0) < 0.85) said.push("bound by the machine");
  return said.join("; ");
}

function memoryTable({ rest, memory }: Report): string {
  const cell = (peer: string, kind: MemoryResult["kind"], read: (one: MemoryResult) => number | null) => {
    const found = memory.find((one) => one.peer === peer && one.kind === kind);
    if (found === undefined) return "–";
    if (found.failure !== null) return found.failure;
    const bytes = read(found);
    if (bytes === null) return "–";
    return found.alive < found.connections
      ? `${kilobytesText(bytes)} (${found.alive} of ${found.connections} left)`
      : kilobytesText(bytes);
  };
  return table(
    ["", "at rest", "an idle connection", "an open stream", "agent at rest", "agent, an open stream"],
    rest.map(({ peer, gatewayBytes, agentBytes }) => [
      peer,
      megabytes(gatewayBytes),
      cell(peer, "idle", (one) => one.gatewayBytesEach),
      cell(peer, "streams", (one) => one.gatewayBytesEach),
      agentBytes === null ? "–" : megabytes(agentBytes),
      cell(peer, "streams", (one) => one.agentBytesEach),
    ]),
  );
}

function soakTable({ soaks }: Report): string {
  return table(
    ["", "minutes", "requests", "first", "middle", "last", "second half, per minute", "errors"],
    soaks.map(({ peer, minutes, samples, bytesPerMinute, errors }) => [
      peer,
      minutes.toFixed(1),
      (samples.at(-1)?.requests ?? 0).toLocaleString("en"),
      megabytes(samples[0]?.bytes ?? 0),
      megabytes(samples[samples.length >> 1]?.bytes ?? 0),
      megabytes(samples.at(-1)?.bytes ?? 0),
      `${(bytesPerMinute / 1e6).toFixed(2)} MB`,
      String(errors),
    ]),
  );
}

function peerTable({ peers }: Report): string {
  const rows = peers.map(({ peer, version, failure }) => [
    peer.name,
    peer.describe,
    failure === null ? version : `not there: ${failure}`,
  ]);
  const rule = `A round is discarded and repeated when other processes used more than ${MAX_FOREIGN_SHARE * 100} % of the machine, and a paced one when less than ${MIN_IDLE_SHARE * 100} % was idle.`;
  return `${table(["", "", "version"], rows)}\n\n${rule}`;
}

function share(part: number | null, whole: number | null): string {
  return part === null || !whole ? "–" : `${Math.round((part / whole) * 100)} %`;
}

function microseconds(value: number | null): string {
  return value === null ? "–" : value.toFixed(value < 10 ? 1 : 0);
}
