import { readFileSync, writeFileSync } from "node:fs";
import { resolve } from "node:path";
import { openApi, ROUTES } from "../src/admin/routes/table.ts";
import { renderCliReference } from "../src/cli/reference.ts";
import { renderStolenParts } from "../src/cli/stolen-parts.ts";
import { listConfigSettings, renderConfigReference } from "../src/config/reference.ts";
import { renderAlertRules } from "../src/config/reference-alerts.ts";
import { ERRORS, type ErrorEntry } from "../src/errors.ts";
import { Metrics } from "../src/gateway/metrics.ts";
import { formatDuration } from "../src/lib/duration.ts";
import {
  BACKOFF_CAP_MS,
  DEAD_AFTER_MS,
  DIRECT_RETRY_MS,
  DRAIN_MS,
  HANDSHAKE_TIMEOUT_MS,
  PING_INTERVAL_MS,
  PROBE_INTERVAL_MS,
  PROBE_TIMEOUT_MS,
  SUSPECT_AFTER_MS,
} from "../src/tunnel/constants.ts";

/** Root of the repository. */
export const ROOT = resolve(import.meta.dirname, "..");

/** Pages of which the code writes a part, each with its function from the page as it is to the page as it should be. */
export const GENERATED_PAGES: ReadonlyMap<string, (page: string) => string> = new Map([
  ["docs/reference/errors.md", writeErrorRows],
  ["docs/reference/config.md", (page) => writePart(page, "settings", renderConfigReference())],
  ["docs/reference/cli.md", (page) => writePart(page, "commands", renderCliReference())],
  ["docs/reference/metrics.md", (page) => writePart(page, "metrics", renderMetrics())],
  ["docs/reference/timeouts.md", writeTimes],
  ["docs/reference/alerts.md", (page) => writePart(page, "rules", renderAlertRules())],
  ["docs/reference/admin-api.md", (page) => writePart(page, "routes", renderRoutes())],
  ["docs/reference/openapi.json", () => `${JSON.stringify(openApi(), null, 1)}\n`],
  ["SECURITY.md", (page) => writePart(page, "stolen", renderStolenParts())],
]);

/** A page or another file of the repository. */
export function readPage(path: string): string {
  return readFileSync(resolve(ROOT, path), "utf8");
}

/**
 * Replaces what stands between `<!-- generated: NAME -->` and `<!-- end -->`.
 *
 * @throws Error when the page has no such part.
 */
export function writePart(page: string, name: string, text: string): string {
  const start = `<!-- generated: ${name} -->\n`;
  const from = page.indexOf(start);
  const to = page.indexOf("\n<!-- end -->", from);
  if (from < 0 || to < 0) throw new Error(`the page has no part "${name}"`);
  return `${page.slice(0, from + start.length)}\n${text.trim()}\n${page.slice(to)}`;
}

const ERROR_ROW = /^\| `([a-z_]+)` \|.*\| ([^|]*) \|$/;

/** Rewrites the facts in each error's row and leaves its last cell, which people write. */
function writeErrorRows(page: string): string {
  const lines = page.split("\n").map((line) => {
    const [, code = "", meaning = ""] = ERROR_ROW.exec(line) ?? [];
    const entry: ErrorEntry | undefined = (ERRORS as Record<string, ErrorEntry>)[code];
    return entry === undefined ? line : errorRow(code, entry, meaning);
  });
  return lines.join("\n");
}

function errorRow(code: string, { status, retryable, openai, message }: ErrorEntry, meaning: string): string {
  const retry = retryable ? "yes" : "no";
  return `| \`${code}\` | ${status} | ${retry} | \`${openai.type}\` / \`${openai.code}\` | ${message} | ${meaning} |`;
}

/** Codes that have a row, in the order of the page. */
export function listErrorRows(page: string): Array<{ code: string; meaning: string }> {
  return page.split("\n").flatMap((line) => {
    const [, code, meaning = ""] = ERROR_ROW.exec(line) ?? [];
    return code === undefined ? [] : [{ code, meaning }];
  });
}

/** The metrics as a table. */
function renderMetrics(): string {
  const { registry } = new Metrics({
    links: () => [],
    providers: () => [],
    breakers: () => [],
    queues: () => [],
    contingency: () => [],
    approvals: () => 0,
    engines: () => [],
  });
  const rows = registry.getMetricsAsArray().map((metric) => {
    // prom-client keeps labels on the metric without a type for them.
    const names: unknown = Reflect.get(metric, "labelNames");
    const labels = Array.isArray(names) ? names.map((name) => `\`${String(name)}\``).join(", ") : "";
    return `| \`${metric.name}\` | ${String(metric.type)} | ${labels} | ${metric.help} |`;
  });
  return ["| Metric | Type | Labels | What it is |", "|---|---|---|---|", ...rows].join("\n");
}

/** The table of the admin API's routes. */
function renderRoutes(): string {
  const rows = ROUTES.map(({ method, path, role, resource, access, summary }) => {
    const scope = resource === "self" ? "–" : `\`${resource}:${access}\``;
    return `| ${method} | \`${path}\` | ${role} | ${scope} | ${summary} |`;
  });
  return ["| Method | Path | Role | Scope | What it does |", "|---|---|---|---|---|", ...rows].join("\n");
}

/** Times of the tunnel that no setting changes, with what they are for. */
const TUNNEL_TIMES = [
  ["HANDSHAKE_TIMEOUT_MS", HANDSHAKE_TIMEOUT_MS, "A whole handshake of an agent, and the life of a nonce."],
  ["PING_INTERVAL_MS", PING_INTERVAL_MS, "Both ends ping this often."],
  ["SUSPECT_AFTER_MS", SUSPECT_AFTER_MS, "Without an answer to pings for this long, a link gets no new requests."],
  ["DEAD_AFTER_MS", DEAD_AFTER_MS, "Without an answer for this long, the link is destroyed."],
  ["PROBE_INTERVAL_MS", PROBE_INTERVAL_MS, "A small request travels the data path of each link this often."],
  ["PROBE_TIMEOUT_MS", PROBE_TIMEOUT_MS, "Longest wait for its answer."],
  ["DRAIN_MS", DRAIN_MS, "Running requests may finish for this long when a link drains."],
  ["BACKOFF_CAP_MS", BACKOFF_CAP_MS, "Longest wait between two dials, before jitter."],
  ["DIRECT_RETRY_MS", DIRECT_RETRY_MS, "While a link runs inside WebSocket, the direct way is tried again this often."],
] as const;

function writeTimes(page: string): string {
  const settings = listConfigSettings()
    .filter(({ path }) => path.startsWith("gateway.timeouts."))
    .map((one) => `| \`${one.path}\` | \`${one.default}\` | ${one.description} |`);
  const fixed = TUNNEL_TIMES.map(([name, ms, what]) => `| \`${name}\` | \`${formatDuration(ms)}\` | ${what} |`);
  const head = (first: string): string[] => [`| ${first} | Default | What it bounds |`, "|---|---|---|"];
  const preset = readPage("examples/times-like-haproxy.yaml").trim();
  let next = writePart(page, "settings", [...head("Setting"), ...settings].join("\n"));
  next = writePart(next, "tunnel", [...head("Constant"), ...fixed].join("\n"));
  return writePart(next, "preset", `\`\`\`yaml\n${preset}\n\`\`\``);
}

if (import.meta.main) {
  for (const [path, write] of GENERATED_PAGES) {
    const before = readPage(path);
    const after = write(before);
    if (after !== before) writeFileSync(resolve(ROOT, path), after);
    console.log(`${after === before ? "unchanged" : "written  "} ${path}`);
  }
  const rows = new Set(listErrorRows(readPage("docs/reference/errors.md")).map(({ code }) => code));
  for (const code of Object.keys(ERRORS)) {
    if (!rows.has(code)) console.log(`missing   a row for \`${code}\` in docs/reference/errors.md: write one by hand`);
  }
}
