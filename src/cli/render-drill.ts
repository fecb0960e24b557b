import type { DrillPlanView, DrillSummary, DrillWindows } from "../admin/contract-drills.ts";
import type { DrillRecord, Proof } from "../continuity/drill/record.ts";
import { headline, VERDICT_WORDS } from "../continuity/drill/report/headline.ts";
import { inSeconds } from "../continuity/drill/words.ts";
import { formatRelative, formatTime } from "./format.ts";
import type { Paint } from "./output.ts";
import { harmless, renderTable } from "./table.ts";

const DAYS = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"] as const;
const VERDICT_STYLES = { passed: "green", failed: "red", open: "yellow", "not-shown": "dim" } as const;

/** A drill in short: how it ended, what it proves, and what to do next. */
export function renderDrill(record: DrillRecord, paint: Paint): string {
  const { verdict, sentences } = headline(record);
  const style = record.result === "passed" ? "green" : record.result === null ? "bold" : "red";
  const lines = [`${paint(style, `${verdict}.`)} ${harmless(sentences.join(" "))}`];
  if (record.proofs.length > 0) lines.push("", ...record.proofs.flatMap((proof) => proofLines(proof, paint)));
  lines.push("", paint("dim", `Drill ${record.id}`));
  if (record.result !== null && record.result !== "refused")
    lines.push(paint("dim", `The report for others: postern drill show ${record.id} --output drill.html`));
  return lines.join("\n");
}

function proofLines({ number, title, verdict, words }: Proof, paint: Paint): string[] {
  const head = `${number}  ${paint(VERDICT_STYLES[verdict], VERDICT_WORDS[verdict].padEnd(9))}  ${title}`;
  return [head, ...words.map((word) => `              ${paint("dim", harmless(word))}`)];
}

export function renderDrills(drills: readonly DrillSummary[], paint: Paint): string {
  if (drills.length === 0) return "No drill was run yet. What there is to run: postern drill schedule";
  const nowMs = Date.now();
  return renderTable(
    [
      { title: "DRILL", value: (one) => one.id },
      { title: "PLAN", value: (one) => one.plan },
      { title: "STARTED", value: (one) => formatTime(one.startedAtMs) },
      { title: "BY", value: (one) => one.startedBy },
      {
        title: "RESULT",
        value: (one) => one.result ?? `runs (${one.state})`,
        style: (one) => (one.result === "passed" ? "green" : one.result === null ? "yellow" : "red"),
      },
      { title: "TOOK", value: (one) => inSeconds((one.endedAtMs ?? nowMs) - one.startedAtMs) },
      { title: "WHY", value: (one) => one.reason },
    ],
    drills,
    paint,
  );
}

export function renderPlans(plans: readonly DrillPlanView[], paint: Paint): string {
  if (plans.length === 0)
    return "There are no plans. Write one under continuity.drills in postern.yaml: docs/guide/drills.md has one to start from.";
  const nowMs = Date.now();
  return renderTable(
    [
      { title: "PLAN", value: (one) => one.name },
      { title: "FAULT", value: (one) => one.fault },
      { title: "FOR", value: (one) => inSeconds(one.durationMs) },
      { title: "SCHEDULE", value: (one) => one.schedule ?? "by hand" },
      { title: "NEXT", value: (one) => (one.nextAtMs === null ? null : formatTime(one.nextAtMs)) },
      {
        title: "LAST",
        value: (one) =>
          one.last === null ? "never" : `${one.last.result ?? "runs"} ${formatRelative(one.last.startedAtMs, nowMs)}`,
        style: (one) => (one.last?.result === "passed" ? "green" : one.last === null ? null : "red"),
      },
      { title: "OWNER", value: (one) => one.owner },
      {
        title: "OVERDUE",
        value: (one) => (one.overdueSinceMs === null ? "no" : `since ${formatTime(one.overdueSinceMs)}`),
        style: (one) => (one.overdueSinceMs === null ? null : "red"),
      },
    ],
    plans,
    paint,
  );
}

export function renderWindows({ days, requests, windows }: DrillWindows, paint: Paint): string {
  if (requests === 0) return `There were no requests in the last ${days} days: any time is quiet.`;
  const lines = windows.map(({ day, fromHour, hours, requests: had }) => {
    const end = (fromHour + hours) % 24;
    const clock = (hour: number): string => `${String(hour).padStart(2, "0")}:00`;
    const share = ((had / requests) * 100).toFixed(1);
    return `  ${paint("bold", `${DAYS[day]} ${clock(fromHour)}–${clock(end)} UTC`)}  ${had} requests in ${days} days (${share} %)`;
  });
  return [
    "The quietest parts of the week:",
    ...lines,
    paint("dim", "In a plan: window: { from: …, to: …, days: […] }"),
  ].join("\n");
}
