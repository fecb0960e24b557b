import type { Command } from "commander";
import type { UsageGroup, UsageReport } from "../../admin/contract-usage.ts";
import { csvRow } from "../csv.ts";
import { formatCount, formatTime } from "../format.ts";
import { type CommandSet, usageError } from "../invocation.ts";
import type { Paint } from "../output.ts";
import { type Column, renderTable } from "../table.ts";

interface UsageOptions {
  by?: string;
  since?: string;
  until?: string;
  csv?: boolean;
}

const GROUPS: readonly UsageGroup[] = ["key", "model", "node", "endpoint", "day"];

/** `usage`. */
export function addUsageCommand(program: Command, commands: CommandSet): void {
  commands.finish<UsageOptions>(
    program
      .command("usage")
      .description("Requests and tokens, summed up.")
      .option("--by <group>", `what to sum by: ${GROUPS.join(", ")}`, "model")
      .option("--since <when>", 'start: a span back like "24h" or "7d", or a day like "2026-11-01"', "30d")
      .option("--until <when>", "end, written the same way; left out: now")
      .option("--csv", "comma-separated values"),
    [
      ["postern usage", "the last 30 days by model"],
      ["postern usage --by key --since 24h", "who used it today"],
      ["postern usage --by day --since 2026-11-01 --csv > november.csv", "for a spreadsheet"],
    ],
    async ({ options, output }) => {
      if (options.csv === true && output.isJson) throw usageError("--csv and --json exclude each other");
      const by = GROUPS.find((group) => group === options.by);
      if (by === undefined) throw usageError(`--by must be one of ${GROUPS.join(", ")}, got "${options.by}"`);
      const { readMoment } = await import("../read-options.ts");
      const nowMs = Date.now();
      const query = {
        by,
        sinceMs: readMoment("--since", options.since ?? "30d", nowMs),
        ...(options.until === undefined ? {} : { untilMs: readMoment("--until", options.until, nowMs) }),
      };
      const { withAdmin } = await import("../admin-session.ts");
      const report = await withAdmin(options, (admin) => admin.usage(query));
      output.result(report, (paint) => (options.csv === true ? renderCsv(report) : renderUsage(report, paint)));
      return undefined;
    },
  );
}

interface UsageLine {
  label: string;
  requests: number;
  failed: number;
  aborted: number;
  tokensIn: number;
  tokensOut: number;
  tokensReasoning: number;
  estimated: number;
  timeToFirstTokenMs: number | null;
  tokensPerSecond: number | null;
}

/** Only where an engine told of any: most do not think, or do not say. */
const THINKING: Column<UsageLine> = {
  title: "OF THEM THINKING",
  value: (row) => formatCount(row.tokensReasoning),
  align: "right",
};

/** The report as a table with a total. Exported for its test. */
export function renderUsage(report: UsageReport, paint: Paint): string {
  const span = paint("dim", `${formatTime(report.sinceMs)} to ${formatTime(report.untilMs)}`);
  if (report.rows.length === 0) return `No requests.\n${span}`;
  const total: UsageLine = { ...report.total, label: "total", timeToFirstTokenMs: null, tokensPerSecond: null };
  const table = renderTable<UsageLine>(
    [
      { title: report.by.toUpperCase(), value: (row) => row.label },
      { title: "REQUESTS", value: (row) => formatCount(row.requests), align: "right" },
      { title: "FAILED", value: (row) => formatCount(row.failed), align: "right" },
      { title: "ABORTED", value: (row) => formatCount(row.aborted), align: "right" },
      { title: "TOKENS IN", value: (row) => formatCount(row.tokensIn), align: "right" },
      { title: "TOKENS OUT", value: (row) => formatCount(row.tokensOut), align: "right" },
      ...(report.total.tokensReasoning > 0 ? [THINKING] : []),
      {
        title: "FIRST TOKEN",
        value: (row) => (row.timeToFirstTokenMs === null ? null : `${Math.round(row.timeToFirstTokenMs)} ms`),
        align: "right",
      },
      { title: "TOKENS/S", value: (row) => row.tokensPerSecond?.toFixed(1) ?? null, align: "right" },
    ],
    report.rows,
    paint,
    total,
  );
  const { estimated } = report.total;
  const note =
    estimated > 0 ? `\n${paint("dim", `Token counts of ${formatCount(estimated)} requests are estimates.`)}` : "";
  return `${table}\n${span}${note}`;
}

/** The report as CSV (RFC 4180) with a header and without a total. Exported for its test. */
export function renderCsv(report: UsageReport): string {
  const fields = [
    "requests",
    "failed",
    "aborted",
    "tokensIn",
    "tokensInCached",
    "tokensOut",
    "tokensReasoning",
    "estimated",
    "timeToFirstTokenMs",
    "tokensPerSecond",
    "costMicros",
  ] as const;
  const lines = report.rows.map((row) => [row.group, row.label, ...fields.map((field) => row[field] ?? "")]);
  return [[report.by, "label", ...fields], ...lines].map(csvRow).join("").trimEnd();
}
