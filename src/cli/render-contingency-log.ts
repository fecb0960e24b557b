import type { RequestPage } from "../admin/contract-records.ts";
import { csvRow } from "./csv.ts";
import { formatCount, formatTime } from "./format.ts";
import type { Paint } from "./output.ts";
import { renderTable } from "./table.ts";

type Logged = RequestPage["requests"][number];

/** The log of contingency for a person. */
export function renderContingencyLog({ requests, next }: RequestPage, paint: Paint): string {
  if (requests.length === 0) return "No requests ran under contingency in that time.";
  const table = renderTable<Logged>(
    [
      { title: "WHEN", value: (one) => formatTime(one.openedAtMs) },
      { title: "ID", value: (one) => one.id },
      { title: "WORKFLOW", value: (one) => one.workflow },
      { title: "KEY", value: (one) => one.keyId },
      { title: "MODEL", value: (one) => one.model },
      { title: "TARGET", value: (one) => one.servedBy },
      { title: "CAUSE", value: (one) => one.contingency },
      { title: "FALLBACK", value: (one) => one.fallback },
      {
        title: "OUTCOME",
        value: (one) => one.errorCode ?? one.outcome,
        style: (one) => (one.outcome === "ok" ? "green" : "red"),
      },
    ],
    requests,
    paint,
  );
  const more = next === null ? "" : "; there are more: --limit";
  return `${table}\n${paint("dim", `${formatCount(requests.length)} ${requests.length === 1 ? "request" : "requests"}${more}`)}`;
}

/** The same as CSV (RFC 4180) with a header. */
export function renderLogCsv(requests: readonly Logged[]): string {
  const fields = [
    "id",
    "workflow",
    "keyId",
    "model",
    "operation",
    "servedBy",
    "contingency",
    "fallback",
    "outcome",
    "errorCode",
    "status",
    "tokensIn",
    "tokensOut",
  ] as const;
  const lines = requests.map((one) => [
    new Date(one.openedAtMs).toISOString(),
    ...fields.map((field) => one[field] ?? ""),
  ]);
  return [["arrivedAt", ...fields], ...lines].map(csvRow).join("").trimEnd();
}
