import { type DrillRecord, type Figures, PHASES, type Proof } from "../record.ts";
import { inSeconds, inUtc } from "../words.ts";
import { answersChart, latencyChart } from "./chart.ts";
import { faultInWords, headline, scopeInWords, VERDICT_WORDS } from "./headline.ts";
import { REPORT_STYLE } from "./style.ts";

const PHASE_WORDS = { before: "Before", during: "While blocked", after: "After" } as const;

/** The report of a drill as one page that needs nothing else: no script, no font, no picture from anywhere. */
export function renderHtml(record: DrillRecord): string {
  const { verdict, sentences } = headline(record);
  const { figures, times } = record;
  const { requests, errors } = figures.during;
  const cards: ReadonlyArray<readonly [string, string]> = [
    ["Answered while blocked", requests === 0 ? "–" : `${requests - errors} of ${requests}`],
    ["Moved elsewhere in", inSeconds(times.switchP50Ms)],
    [
      "Typical answer, before and while blocked",
      `${inSeconds(figures.before.p50Ms)} → ${inSeconds(figures.during.p50Ms)}`,
    ],
    ["Back to normal after", inSeconds(times.recoveryMs)],
  ];
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Failover drill ${safe(record.plan)}: ${record.result ?? "running"}</title>
<style>${REPORT_STYLE}</style>
</head>
<body>
<header class="${record.result ?? "running"}">
<p class="kind">Failover drill · ${safe(record.plan)} · ${inUtc(record.startedAtMs)}</p>
<h1>${verdict}</h1>
<p class="lead">${safe(sentences.join(" "))}</p>
</header>
<main>
<section class="cards">${cards.map(([name, value]) => `<div><span>${name}</span><strong>${safe(value)}</strong></div>`).join("")}</section>
<section><h2>What it proves</h2>
<table><tbody>${record.proofs.map(proofRow).join("")}</tbody></table></section>
${record.series.points.length === 0 ? "" : charts(record)}
<section><h2>Requests</h2>${figuresTable(record.figures)}
<p class="small">${record.synthetic} of them were sent by the drill itself. ${record.injected} attempts met the fault. Requests that their caller gave up are not counted.</p></section>
${each("By workflow", record.workflows, ({ workflow, figures }) => `<h3>${safe(workflow ?? "Without a workflow")}</h3>${figuresTable(figures)}`)}
${each("Alerts", record.alerts ?? [], ({ rule, summary, raisedAtMs, deliveries }) => `<p><strong>${safe(rule)}</strong> ${safe(summary)} <span class="small">${inUtc(raisedAtMs)} · ${safe(deliveries.map(({ channel, ok }) => `${channel}: ${ok ? "delivered" : "not delivered"}`).join(", ") || "sent nowhere")}</span></p>`)}
${each("Answers to judge", record.samples, (sample) => sampleBlock(record.id, sample))}
${each("Surprises and notes", record.notes, ({ atMs, by, text }) => `<p>${safe(text)} <span class="small">${safe(by)}, ${inUtc(atMs)}</span></p>`)}
${each("Actions", record.actions, ({ text, owner, dueOn }) => `<p>${safe(text)} <span class="small">${safe(owner ?? "nobody yet")}, ${safe(dueOn ?? "no date")}</span></p>`)}
<section><h2>How it was done</h2>
<table><tbody>${[
    ["Hypothesis", record.hypothesis ?? "–"],
    ["Blocked", scopeInWords(record)],
    ["Fault", record.block === "system" ? faultInWords(record) : `${faultInWords(record)} (${record.fault})`],
    ["Where", record.block === "gateway" ? "in the gateway, where attempts begin" : "in the operating system"],
    ["Started by", record.startedBy],
    ["From, to", `${inUtc(record.blockedAtMs)}, ${inUtc(record.unblockedAtMs)}`],
    ["Owner", record.owner ?? "–"],
    ["Next drill", inUtc(record.nextAtMs)],
    ["Id", record.id],
  ]
    .map(([name = "", value = ""]) => `<tr><th>${name}</th><td>${safe(value)}</td></tr>`)
    .join("")}</tbody></table></section>
${each("Timeline", record.timeline, ({ atMs, text }) => `<p class="line-up"><span class="small">${inUtc(atMs)}</span> ${safe(text)}</p>`)}
</main>
</body>
</html>
`;
}

function charts(record: DrillRecord): string {
  return `<section><h2>What happened</h2>
<p class="legend"><i class="blocked"></i>answered by what was blocked (${safe(scopeInWords(record))}) <i class="others"></i>answered by others <i class="errors"></i>no good answer</p>
${answersChart(record)}
<p class="legend">Time to the whole answer (95 % were faster than this)</p>
${latencyChart(record)}</section>`;
}

function proofRow({ number, title, verdict, words }: Proof): string {
  return `<tr class="proof"><td class="number">${number}</td><td><strong>${safe(title)}</strong><ul>${words
    .map((word) => `<li>${safe(word)}</li>`)
    .join("")}</ul></td><td><span class="badge ${verdict}">${VERDICT_WORDS[verdict]}</span></td></tr>`;
}

function figuresTable(figures: Record<(typeof PHASES)[number], Figures>): string {
  const rows = PHASES.map((phase) => {
    const { requests, errors, p50Ms, p95Ms, servedBy } = figures[phase];
    const by = Object.entries(servedBy).map(([label, count]) => `${label} (${count})`);
    const cells = [String(requests), String(errors), inSeconds(p50Ms), inSeconds(p95Ms), by.join(", ") || "–"];
    return `<tr><th>${PHASE_WORDS[phase]}</th>${cells.map((text) => `<td>${safe(text)}</td>`).join("")}</tr>`;
  });
  const head = ["", "Requests", "No good answer", "Half within", "95 % within", "Answered by"];
  return `<table class="figures"><thead><tr>${head.map((text) => `<th>${text}</th>`).join("")}</tr></thead><tbody>${rows.join("")}</tbody></table>`;
}

function sampleBlock(id: string, sample: DrillRecord["samples"][number]): string {
  const { number, phase, workflow, servedBy, durationMs, prompt, answer, judgement } = sample;
  const judged =
    judgement === null
      ? `Not judged yet: <code>postern drill judge ${safe(id)} --sample ${number} --ok</code>`
      : `Judged ${judgement.ok ? "good" : "bad"} by ${safe(judgement.by)}${judgement.note === null ? "" : `: ${safe(judgement.note)}`}`;
  return `<article><p class="small">${number} · ${PHASE_WORDS[phase].toLowerCase()} · ${safe(workflow ?? "no workflow")} · ${safe(servedBy ?? "nobody")} · ${inSeconds(durationMs)}</p>
<blockquote>${safe(prompt)}</blockquote><blockquote class="answer">${safe(answer)}</blockquote><p class="small">${judged}</p></article>`;
}

function each<T>(title: string, entries: readonly T[], render: (entry: T) => string): string {
  return entries.length === 0 ? "" : `<section><h2>${title}</h2>${entries.map(render).join("")}</section>`;
}

const ENTITIES: Readonly<Record<string, string>> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  '"': "&quot;",
  "'": "&#39;",
};

function safe(text: string): string {
  return text.replace(/[&<>"']/g, (character) => ENTITIES[character] ?? "");
}
