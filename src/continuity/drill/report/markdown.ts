import { type DrillRecord, type Figures, PHASES } from "../record.ts";
import { inSeconds, inUtc } from "../words.ts";
import { faultInWords, headline, scopeInWords, VERDICT_WORDS } from "./headline.ts";

/** The report of a drill as Markdown. Text of prompts and answers is quoted so that it cannot pass for a part of it. */
export function renderMarkdown(record: DrillRecord): string {
  const { verdict, sentences } = headline(record);
  return [
    `# Failover drill "${record.plan}": ${record.result ?? "running"}`,
    "",
    `**${verdict}.** ${sentences.join(" ")}`,
    "",
    ...table(
      ["", ""],
      [
        ["Id", record.id],
        ["Hypothesis", record.hypothesis ?? "–"],
        ["Scope", scopeInWords(record)],
        ["Fault", record.block === "system" ? faultInWords(record) : `${record.fault}: ${faultInWords(record)}`],
        ["Block", record.block === "gateway" ? "in the gateway" : "by the operating system"],
        ["Started", `${inUtc(record.startedAtMs)} by ${record.startedBy}`],
        ["Blocked", `${inUtc(record.blockedAtMs)} to ${inUtc(record.unblockedAtMs)}`],
        ["Owner", record.owner ?? "–"],
        ["Next drill", inUtc(record.nextAtMs)],
      ],
    ),
    "## What it proves",
    "",
    ...table(
      ["", "Proof", "Shown", "What was seen"],
      record.proofs.map(({ number, title, verdict: shown, words }) => [
        String(number),
        title,
        VERDICT_WORDS[shown],
        words.join(" "),
      ]),
    ),
    "## Requests",
    "",
    ...table(
      ["Phase", "Requests", "Without a good answer", "p50", "p95", "Answered by"],
      PHASES.map((phase) => figureRow(phase, record.figures[phase])),
    ),
    `${record.synthetic} of them were sent by the drill itself. ${record.injected} attempts met the fault.`,
    "",
    "| Time | |",
    "|---|---|",
    `| Noticed by the first request after | ${inSeconds(record.times.detectMs)} |`,
    `| Known to be bad after | ${inSeconds(record.times.knownBadMs)} |`,
    `| Moved elsewhere in (p50 · p95 · slowest) | ${inSeconds(record.times.switchP50Ms)} · ${inSeconds(record.times.switchP95Ms)} · ${inSeconds(record.times.switchMaxMs)} |`,
    `| Back to normal after | ${inSeconds(record.times.recoveryMs)} |`,
    "",
    ...section("Workflows", record.workflows, ({ workflow, figures }) => [
      `### ${workflow ?? "without a workflow"}`,
      "",
      ...table(
        ["Phase", "Requests", "Without a good answer", "p50", "p95", "Answered by"],
        PHASES.map((phase) => figureRow(phase, figures[phase])),
      ),
    ]),
    ...section("Alerts", record.alerts ?? [], ({ rule, summary, raisedAtMs, resolvedAtMs, deliveries }) => [
      `- ${inUtc(raisedAtMs)} **${rule}**: ${summary}; resolved ${inUtc(resolvedAtMs)}; ${
        deliveries
          .map(({ channel, ok, atMs }) => `${channel} ${ok ? "took it" : "did not take it"} ${inUtc(atMs)}`)
          .join(", ") || "sent nowhere"
      }`,
    ]),
    ...section("Answers to judge", record.samples, (sample) => [
      `### ${sample.number}: ${sample.phase}, ${sample.workflow ?? "no workflow"}, ${sample.servedBy ?? "nobody"}, ${inSeconds(sample.durationMs)}`,
      "",
      ...quote(sample.prompt),
      "",
      ...quote(sample.answer),
      "",
      sample.judgement === null
        ? `Not judged: \`postern drill judge ${record.id} --sample ${sample.number} --ok\` or \`--bad --note "…"\`.`
        : `Judged ${sample.judgement.ok ? "good" : "bad"} by ${sample.judgement.by}${sample.judgement.note === null ? "" : `: ${sample.judgement.note}`}.`,
      "",
    ]),
    ...section("Preconditions", record.checks, ({ ok, text, forced }) => [
      `- ${ok ? "✓" : "✗"} ${text}${forced ? " (forced)" : ""}`,
    ]),
    ...section("Surprises and notes", record.notes, ({ atMs, by, text }) => [`- ${inUtc(atMs)} ${by}: ${text}`]),
    ...section("Actions", record.actions, ({ text, owner, dueOn }) => [
      `- ${text} (${owner ?? "nobody yet"}, ${dueOn ?? "no date"})`,
    ]),
    ...section("Timeline", record.timeline, ({ atMs, text }) => [`- ${inUtc(atMs)} ${text}`]),
  ].join("\n");
}

function figureRow(phase: string, { requests, errors, p50Ms, p95Ms, servedBy }: Figures): string[] {
  const by = Object.entries(servedBy).map(([label, count]) => `${label} ${count}`);
  return [phase, String(requests), String(errors), inSeconds(p50Ms), inSeconds(p95Ms), by.join(", ") || "–"];
}

function table(head: readonly string[], rows: ReadonlyArray<readonly string[]>): string[] {
  const line = (cells: readonly string[]): string => `| ${cells.map(cell).join(" | ")} |`;
  return [line(head), `|${head.map(() => "---|").join("")}`, ...rows.map(line), ""];
}

function cell(text: string): string {
  return text.replaceAll("|", "\\|").replaceAll(/\s*\n\s*/g, " ");
}

function section<T>(title: string, entries: readonly T[], render: (entry: T) => string[]): string[] {
  return entries.length === 0 ? [] : [`## ${title}`, "", ...entries.flatMap(render), ""];
}

function quote(text: string): string[] {
  return text.split(/\r?\n/).map((line) => `> ${line}`);
}
