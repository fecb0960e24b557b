import type { Command } from "commander";
import type { CaptureView } from "../../admin/contract-captures.ts";
import type { RequestView } from "../../admin/contract-usage.ts";
import { formatCount, formatTime } from "../format.ts";
import { type CommandSet, usageError } from "../invocation.ts";
import type { Paint } from "../output.ts";
import { harmless, renderTable } from "../table.ts";

/** Requests that `list` shows unless more are asked for. */
const DEFAULT_LIMIT = 50;
const OUTCOMES = ["ok", "aborted", "failed", "stopped", "interrupted"] as const;

interface ListOptions {
  key?: string;
  model?: string;
  outcome?: string;
  since?: string;
  limit?: string;
}

/** `requests list|show|capture`. */
export function addRequestsCommand(program: Command, commands: CommandSet): void {
  const requests = program.command("requests").description("Single requests: what became of them.");

  commands.finish<ListOptions>(
    requests
      .command("list")
      .description("List finished requests, newest first.")
      .option("--key <id>", "only of this key, by its public id")
      .option("--model <name>", "only for this model")
      .option("--outcome <outcome>", `only with this outcome: ${OUTCOMES.join(", ")}`)
      .option("--since <when>", 'only since then: a span back like "24h", or a day like "2026-11-01"')
      .option("--limit <n>", `how many, at most 200 (default ${DEFAULT_LIMIT})`),
    [["postern requests list --outcome failed --since 24h", "what went wrong today"]],
    async ({ options, output }) => {
      const { readCount, readMoment } = await import("../read-options.ts");
      const { withAdmin } = await import("../admin-session.ts");
      const { key, model, since } = options;
      const outcome = OUTCOMES.find((one) => one === options.outcome);
      if (options.outcome !== undefined && outcome === undefined)
        throw usageError(`--outcome must be one of ${OUTCOMES.join(", ")}, got ${JSON.stringify(options.outcome)}`);
      const query = {
        ...(key === undefined ? {} : { key }),
        ...(model === undefined ? {} : { model }),
        ...(outcome === undefined ? {} : { outcome }),
        ...(since === undefined ? {} : { sinceMs: readMoment("--since", since, Date.now()) }),
        limit: options.limit === undefined ? DEFAULT_LIMIT : readCount("--limit", options.limit),
      };
      const page = await withAdmin(options, (admin) => admin.listRequests(query));
      output.result(page, (paint) => (page.requests.length === 0 ? "No requests." : renderList(page.requests, paint)));
      return undefined;
    },
  );

  commands.finish(
    requests.command("show <id>").description("Show one finished request with its attempts."),
    [["postern requests show 019ad0c4-1b2c-7def-8123-456789abcdef", "its id is in X-Request-Id of the answer"]],
    async ({ options, args, output }) => {
      const { withAdmin } = await import("../admin-session.ts");
      const request = await withAdmin(options, (admin) => admin.request(args[0] ?? ""));
      output.result(request, (paint) => renderRequest(request, paint));
      return undefined;
    },
  );

  commands.finish(
    requests
      .command("capture <id>")
      .description(
        "Show what the caller sent and got, where its key's policy keeps it. That you looked is in the audit trail.",
      ),
    [["postern requests capture 019ad0c4-1b2c-7def-8123-456789abcdef", "for owners only"]],
    async ({ options, args, output }) => {
      const { withAdmin } = await import("../admin-session.ts");
      const capture = await withAdmin(options, (admin) => admin.capture(args[0] ?? ""));
      output.result(capture, (paint) => renderCapture(capture, paint));
      return undefined;
    },
  );
}

function renderList(requests: ReadonlyArray<Omit<RequestView, "attempts">>, paint: Paint): string {
  return renderTable(
    [
      { title: "WHEN", value: (one) => formatTime(one.openedAtMs) },
      { title: "ID", value: (one) => one.id },
      { title: "KEY", value: (one) => one.keyId },
      { title: "MODEL", value: (one) => one.model },
      {
        title: "OUTCOME",
        value: (one) => one.errorCode ?? one.outcome,
        style: (one) => (one.outcome === "ok" ? "green" : "red"),
      },
      { title: "TOKENS", value: (one) => `${one.tokensIn}+${one.tokensOut}`, align: "right" },
      { title: "MS", value: (one) => formatCount(Math.round(one.durationMs)), align: "right" },
    ],
    requests,
    paint,
  );
}

function renderRequest(request: RequestView, paint: Paint): string {
  const { id, keyId, endpointId, operation, model, outcome, errorCode, status } = request;
  const rows: Array<[string, string]> = [
    ["id", id],
    ["key", keyId],
    ["endpoint", endpointId],
    ["operation", operation],
    ["model", model],
    ["arrived", formatTime(request.openedAtMs)],
    ["outcome", `${outcome}${errorCode === null ? "" : ` (${errorCode})`}, status ${status}`],
    ["tokens", `${request.tokensIn} in, ${request.tokensOut} out${request.isEstimated ? " (estimated)" : ""}`],
    ["time", `${Math.round(request.durationMs)} ms`],
    ...(request.timeToFirstTokenMs === null
      ? []
      : [["first token", `${request.timeToFirstTokenMs} ms`] as [string, string]]),
    ...request.attempts.map(({ index, target, engineModel, status, errorCode }): [string, string] => [
      `attempt ${index + 1}`,
      `${target} (${engineModel}): ${errorCode ?? `status ${status}`}`,
    ]),
  ];
  const width = Math.max(...rows.map(([name]) => name.length)) + 2;
  return rows.map(([name, value]) => `${paint("bold", name.padEnd(width))}${harmless(value)}`).join("\n");
}

function renderCapture({ request, answer, keyId, model, expiresAtMs }: CaptureView, paint: Paint): string {
  const head = `${paint("dim", `key ${keyId}, model ${harmless(model)}, deleted ${formatTime(expiresAtMs)}`)}`;
  return [head, renderPart("request", request, paint), renderPart("answer", answer, paint)].join("\n\n");
}

function renderPart(name: string, part: CaptureView["request"], paint: Paint): string {
  if (part === null) return `${paint("bold", name)}: not kept`;
  const cut = part.isCut ? `, only its beginning of ${formatCount(part.bytes)} bytes` : "";
  const form = part.encoding === "base64" ? ", in base64" : "";
  const lines = part.content.split("\n").map((line) => harmless(line));
  return `${paint("bold", name)}${cut}${form}\n${lines.join("\n")}`;
}
