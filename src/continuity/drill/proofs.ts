import { FAULTS } from "./fault.ts";
import { coversLabel } from "./measure.ts";
import type { DrillRecord, Proof } from "./record.ts";
import { inSeconds } from "./words.ts";

type Judged = Pick<Proof, "verdict" | "words">;

/**
 * The eight things that a drill proves (reference: operations §10), judged from what was measured. Pure: the same record gives
 * the same verdicts, also years later and after a person has judged its samples.
 */
export function judgeProofs(record: DrillRecord): Proof[] {
  const judges: ReadonlyArray<readonly [string, (record: DrillRecord) => Judged]> = [
    ["It ran in its window, and everything it needs was there", conditions],
    ["Every request was answered, and nothing reached what was blocked", answered],
    ["Detection and switch were measured, and are fast enough", switched],
    ["Alerts were raised and delivered", alerted],
    ["The answers are good enough", quality],
    ["Service came back to normal without flapping", recovered],
    ["The block is gone", unblocked],
    ["Somebody owns the result, and the next drill has a date", owned],
  ];
  return judges.map(([title, judge], at) => ({ number: at + 1, title, ...judge(record) }));
}

/** `passed` unless something failed. What is open or could not be shown is told beside it. */
export function resultOf(proofs: readonly Proof[]): "passed" | "failed" {
  return proofs.some(({ verdict }) => verdict === "failed") ? "failed" : "passed";
}

const passed = (...words: string[]): Judged => ({ verdict: "passed", words });
const failed = (...words: string[]): Judged => ({ verdict: "failed", words });
const open = (...words: string[]): Judged => ({ verdict: "open", words });
const notShown = (...words: string[]): Judged => ({ verdict: "not-shown", words });

function conditions({ checks }: DrillRecord): Judged {
  const words = checks.map(({ ok, text, forced }) => (ok ? text : `${text}${forced ? " (started all the same)" : ""}`));
  return checks.every(({ ok }) => ok) ? passed(...words) : notShown(...words);
}

function answered(record: DrillRecord): Judged {
  const { requests, errors, servedBy } = record.figures.during;
  if (requests === 0)
    return failed("No request that began while the block was up came to its end, so nothing is proved.");
  const words = [`${requests - errors} of ${requests} requests got a good answer${byWhom(servedBy)}.`];
  if (errors > 0) {
    const named = record.workflows.filter(({ figures }) => figures.during.errors > 0);
    for (const { workflow, figures } of named)
      words.push(`${figures.during.errors} of ${figures.during.requests} failed in ${workflowName(workflow)}.`);
    return failed(...words);
  }
  if (!FAULTS[record.fault].blocks) return passed(...words, "This fault lets requests through by its nature.");
  if (record.leaks > 0) return failed(...words, `${record.leaks} were answered by what should have been blocked.`);
  if (record.scope.share < 1)
    return passed(...words, `The fault was for ${Math.round(record.scope.share * 100)} % of the requests.`);
  return passed(...words, "None of them was answered by what was blocked.");
}

function switched({ times, fault, rules }: DrillRecord): Judged {
  const { switchWithinMs } = rules;
  if (times.detectMs === null || times.switches === 0) {
    if (times.detectMs !== null) return failed("Requests met the fault, and none was answered elsewhere.");
    const why = FAULTS[fault].blocks
      ? "No request met the fault: what was blocked was not in use."
      : "The fault made no attempt fail, so nothing had to switch.";
    return notShown(why);
  }
  const words = [
    `The first request that met the fault noticed it after ${inSeconds(times.detectMs)}.`,
    `${times.switches} requests were moved elsewhere: ${inSeconds(times.switchP50Ms)} (half of them), ${inSeconds(times.switchMaxMs)} (the slowest).`,
  ];
  if (times.knownBadMs !== null)
    words.push(`After ${inSeconds(times.knownBadMs)} it was known to be bad, and requests no longer tried it.`);
  const isSlow = (times.switchMaxMs ?? 0) > switchWithinMs;
  return isSlow ? failed(...words, `Longer than the plan's ${inSeconds(switchWithinMs)}.`) : passed(...words);
}

function alerted({ alerts, rules }: DrillRecord): Judged {
  const expected = rules.alerts;
  if (expected === "none") return notShown("The plan looks for no alerts.");
  if (alerts === null) {
    const word = "No alerts are set up (`alerts` in postern.yaml), so nobody would have been told.";
    return expected === "any" ? notShown(word) : failed(word);
  }
  const delivered = alerts.filter(({ deliveries }) => deliveries.some(({ ok }) => ok));
  const words = alerts.map(({ rule, summary, deliveries }) => {
    const good = deliveries.filter(({ ok }) => ok).map(({ channel }) => channel);
    return `${rule}: ${summary} — ${good.length === 0 ? "not delivered" : `delivered to ${[...new Set(good)].join(", ")}`}.`;
  });
  if (expected === "any") {
    if (delivered.length > 0) return passed(...words);
    return failed(...words, alerts.length === 0 ? "No alert was raised." : "No alert was delivered.");
  }
  const missing = expected.filter((rule) => !delivered.some((one) => one.rule === rule));
  return missing.length === 0 ? passed(...words) : failed(...words, `Missing: ${missing.join(", ")}.`);
}

function quality({ samples }: DrillRecord): Judged {
  const during = samples.filter(({ phase }) => phase === "during");
  if (during.length === 0) return notShown("No answers of the drill's own prompts were kept.");
  const bad = during.filter(({ judgement, expected }) => (judgement === null ? expected === false : !judgement.ok));
  const judged = during.filter(({ judgement }) => judgement !== null);
  const words = [`${judged.length} of ${during.length} answers were judged by a person.`];
  for (const { number, judgement } of bad) {
    const why = judgement === null ? "does not contain what the plan expects" : (judgement.note ?? "judged bad");
    words.push(`Answer ${number}: ${why}.`);
  }
  if (bad.length > 0) return failed(...words);
  const waiting = [...new Set(during.map(({ workflow }) => workflow))].filter((workflow) =>
    during.every((one) => one.workflow !== workflow || one.judgement === null),
  );
  if (waiting.length === 0) return passed(...words);
  return open(...words, `Not judged yet: ${waiting.map(workflowName).join(", ")}.`);
}

function recovered({ times, figures, scope, result, rules }: DrillRecord): Judged {
  const usedBefore = Object.keys(figures.before.servedBy).some((label) => coversLabel(scope, label));
  if (!usedBefore)
    return notShown("What was blocked had answered nothing before, so there was nothing to come back to.");
  if (times.recoveryMs === null) {
    const word = "What was blocked has answered nothing since.";
    return result === "aborted" ? notShown(word) : failed(word);
  }
  const words = [`It answered again ${inSeconds(times.recoveryMs)} after the block was lifted.`];
  if (times.relapses > 0) return failed(...words, `It failed ${times.relapses} times after that.`);
  const again = Object.entries(figures.after.servedBy)
    .filter(([label]) => coversLabel(scope, label))
    .reduce((sum, [, one]) => sum + one, 0);
  if (again < rules.recoveries && result !== "aborted")
    return failed(...words, `Only ${again} good answers came from there; the plan asks for ${rules.recoveries}.`);
  return passed(...words, `${again} good answers came from there, and no failure.`);
}

function unblocked({ unblockedAtMs, blockedAtMs, probes }: DrillRecord): Judged {
  if (blockedAtMs === null) return passed("There was no block to lift.");
  if (unblockedAtMs === null) return failed("The block was not lifted.");
  const bad = probes.filter(({ ok }) => !ok);
  if (bad.length > 0)
    return failed(...bad.map(({ target, reason }) => `${target} does not answer: ${reason ?? "no reason"}.`));
  if (probes.length === 0) return failed("Nothing that was blocked could be asked whether it answers.");
  return passed(...probes.map(({ target }) => `${target} answers.`));
}

function owned({ owner, nextAtMs, notes, actions }: DrillRecord): Judged {
  const words = [
    owner === null ? "Nobody owns it: name an `owner` in the plan." : `Owner: ${owner}.`,
    nextAtMs === null
      ? "There is no next date: give the plan a `schedule`."
      : `Next: ${new Date(nextAtMs).toISOString().slice(0, 10)}.`,
    `Notes: ${notes.length}. Actions: ${actions.length}.`,
  ];
  return owner === null || nextAtMs === null ? open(...words) : passed(...words);
}

function byWhom(servedBy: Record<string, number>): string {
  const labels = Object.keys(servedBy);
  return labels.length === 0 ? "" : `, from ${labels.join(", ")}`;
}

function workflowName(workflow: string | null): string {
  return workflow === null ? "requests without a workflow" : `the workflow ${workflow}`;
}
