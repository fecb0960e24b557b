import type { Command } from "commander";
import type { AdminClient } from "../../admin/client.ts";
import type { ContingencyScopeView } from "../../admin/contract-continuity.ts";
import type { RequestPage, RequestQuery } from "../../admin/contract-records.ts";
import { formatRelative, formatTime } from "../format.ts";
import { type CommandSet, usageError } from "../invocation.ts";
import type { Paint } from "../output.ts";
import { harmless } from "../table.ts";

interface OnOptions {
  reason?: string;
  for?: string;
  workflow?: string;
}

/** `contingency status|on|off|log`. */
export function addContingencyCommand(program: Command, commands: CommandSet): void {
  const contingency = program
    .command("contingency")
    .description("The state in which cloud providers are skipped, for everything or for one workflow.");

  commands.finish(
    contingency.command("status").description("Say where providers are skipped now, why and until when."),
    [["postern contingency status", "normal, contingency, or returning from it"]],
    async ({ options, output }) => {
      const { withAdmin } = await import("../admin-session.ts");
      const view = await withAdmin(options, (admin) => admin.contingency());
      output.result(view, (paint) => renderContingency(view.scopes, paint));
      return undefined;
    },
  );

  commands.finish<OnOptions>(
    contingency
      .command("on")
      .description("Skip cloud providers from now on. Requests that run there go on to their end.")
      .option("--reason <text>", "why; it stands in status, log and audit trail (required)")
      .option("--for <duration>", 'for how long, like "2h"; left out: until `contingency off`')
      .option("--workflow <name>", "only for keys of this workflow"),
    [
      ["postern contingency on --reason 'provider announced an outage' --for 2h", "everything to your own machines"],
      ["postern contingency on --reason 'audit week' --workflow audit", "one workflow, until it is taken back"],
    ],
    async ({ options, output }) => {
      const { reason, workflow } = options;
      if (reason === undefined || reason.trim() === "") {
        throw usageError("--reason is required: whoever finds providers skipped must see why");
      }
      const { readDuration } = await import("../read-options.ts");
      const forMs = options.for === undefined ? null : readDuration("--for", options.for);
      const { withAdmin } = await import("../admin-session.ts");
      const view = await withAdmin(options, (admin) =>
        admin.contingencyOn({ reason, forMs, workflow: workflow ?? null }),
      );
      output.result(view, (paint) => renderContingency(view.scopes, paint));
      return undefined;
    },
  );

  addLogCommand(contingency, commands);

  commands.finish<{ workflow?: string; atOnce?: boolean }>(
    contingency
      .command("off")
      .description("End it. A growing share of requests uses providers again, as continuity.contingency.ramp says.")
      .option("--workflow <name>", "the workflow for which it was switched on")
      .option("--at-once", "all requests may use providers at once"),
    [
      ["postern contingency off", "providers come back over some minutes"],
      ["postern contingency off --workflow audit --at-once", "one workflow, without the ramp"],
    ],
    async ({ options, output }) => {
      const { withAdmin } = await import("../admin-session.ts");
      const result = await withAdmin(options, (admin) =>
        admin.contingencyOff({ workflow: options.workflow ?? null, isAtOnce: options.atOnce === true }),
      );
      output.result(result, (paint) =>
        [
          ...(result.wasOn ? [] : [`It was not on for ${scopeName(options.workflow ?? null)}.`]),
          renderContingency(result.scopes, paint),
        ].join("\n"),
      );
      return undefined;
    },
  );
}

interface LogOptions {
  since?: string;
  until?: string;
  workflow?: string;
  key?: string;
  model?: string;
  limit?: string;
  csv?: boolean;
}

/** Requests that the log shows unless more are asked for, and the most that one call collects. */
const DEFAULT_LOG = 1000;
const MAX_LOG = 100_000;

function addLogCommand(contingency: Command, commands: CommandSet): void {
  commands.finish<LogOptions>(
    contingency
      .command("log")
      .description("List the requests that ran while providers were skipped for them, newest first.")
      .option("--since <when>", 'only since then: a span back like "24h", or a day like "2026-11-01"', "30d")
      .option("--until <when>", "only until then, written the same way")
      .option("--workflow <name>", "only of this workflow")
      .option("--key <id>", "only of this key, by its public id")
      .option("--model <name>", "only for this model")
      .option("--limit <n>", `how many, at most ${MAX_LOG} (default ${DEFAULT_LOG})`)
      .option("--csv", "comma-separated values"),
    [
      ["postern contingency log --since 24h", "what your own machines answered in the cloud's place today"],
      ["postern contingency log --workflow audit --since 2026-11-01 --csv > november.csv", "for whoever verifies it"],
    ],
    async ({ options, output }) => {
      if (options.csv === true && output.isJson) throw usageError("--csv and --json exclude each other");
      const { readCount, readMoment } = await import("../read-options.ts");
      const { workflow, key, model, since = "30d", until } = options;
      const limit = options.limit === undefined ? DEFAULT_LOG : readCount("--limit", options.limit);
      if (limit > MAX_LOG) throw usageError(`--limit must be at most ${MAX_LOG}, got ${limit}`);
      const nowMs = Date.now();
      const query = {
        contingency: "only" as const,
        sinceMs: readMoment("--since", since, nowMs),
        ...(until === undefined ? {} : { untilMs: readMoment("--until", until, nowMs) }),
        ...(workflow === undefined ? {} : { workflow }),
        ...(key === undefined ? {} : { key }),
        ...(model === undefined ? {} : { model }),
      };
      const { withAdmin } = await import("../admin-session.ts");
      const log = await withAdmin(options, (admin) => collect(admin, query, limit));
      const { renderContingencyLog, renderLogCsv } = await import("../render-contingency-log.ts");
      output.result(log, (paint) =>
        options.csv === true ? renderLogCsv(log.requests) : renderContingencyLog(log, paint),
      );
      return undefined;
    },
  );
}

/** Page after page, up to the limit. */
async function collect(admin: AdminClient, query: Partial<RequestQuery>, limit: number): Promise<RequestPage> {
  const requests: RequestPage["requests"] = [];
  for (let before: string | undefined; ; ) {
    const size = Math.min(200, limit - requests.length);
    const page = await admin.listRequests({ ...query, limit: size, ...(before === undefined ? {} : { before }) });
    requests.push(...page.requests);
    if (page.next === null || requests.length >= limit) return { requests, next: page.next };
    before = page.next;
  }
}

/** The lines for a person. Exported for `status`. */
export function renderContingency(scopes: readonly ContingencyScopeView[], paint: Paint): string {
  if (scopes.length === 0) return `${paint("green", "normal")}: providers are used as policies say.`;
  return scopes.map((scope) => renderScope(scope, paint)).join("\n");
}

function renderScope(scope: ContingencyScopeView, paint: Paint): string {
  const { workflow, state, causes, share, normalAtMs } = scope;
  const name = scopeName(workflow);
  if (state === "returning") {
    const percent = Math.floor(share * 100);
    const until = normalAtMs === null ? "" : `, all of them ${formatRelative(normalAtMs, Date.now())}`;
    return `${paint("yellow", "returning")} for ${name}: ${percent} % of requests may use providers${until}.`;
  }
  const lines = causes.map(({ cause, reason, by, sinceMs, expiresAtMs }) => {
    const until =
      expiresAtMs === null
        ? "until it is ended"
        : `until ${formatTime(expiresAtMs)} (${formatRelative(expiresAtMs, Date.now())})`;
    return `  ${cause} by ${harmless(by)} since ${formatTime(sinceMs)}, ${until}: ${harmless(reason)}`;
  });
  return [`${paint("red", "contingency")} for ${name}: providers are skipped.`, ...lines].join("\n");
}

function scopeName(workflow: string | null): string {
  return workflow === null ? "everything" : `workflow ${harmless(workflow)}`;
}
