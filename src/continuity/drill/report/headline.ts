import { FAULTS } from "../fault.ts";
import type { DrillRecord, Proof } from "../record.ts";
import { inSeconds } from "../words.ts";

const RESULTS = { passed: "passed", failed: "failed", aborted: "was ended early", refused: "did not start" } as const;

/** What the eight proofs are about, in the middle of a sentence. */
const SUBJECTS = [
  "its preconditions",
  "answers to every request",
  "how fast requests move elsewhere",
  "alerts",
  "the quality of the answers",
  "the return to normal service",
  "the end of the block",
  "an owner and a next date",
] as const;

/** What a manager reads first: how it ended, and why that matters, in whole sentences. */
export function headline(record: DrillRecord): { verdict: string; sentences: string[] } {
  const { result, reason, figures, times, state } = record;
  if (result === null) return { verdict: "The drill runs", sentences: [`It is in the phase "${state}".`] };
  const verdict = `The drill ${RESULTS[result]}`;
  if (result === "refused") return { verdict, sentences: [`${reason ?? "A precondition was not met."}`] };
  const { requests, errors, servedBy } = figures.during;
  const sentences: string[] = [];
  if (reason !== null) sentences.push(`${capital(reason)}.`);
  if (record.blockedAtMs !== null) {
    const length = inSeconds((record.unblockedAtMs ?? record.blockedAtMs) - record.blockedAtMs);
    const who = Object.keys(servedBy).join(", ");
    sentences.push(`For ${length} we made ${scopeInWords(record)} fail (${faultInWords(record)}).`);
    sentences.push(
      requests === 0
        ? "No request that began in that time came to its end."
        : errors === 0
          ? `All ${requests} requests of that time got their answer${who === "" ? "" : `, from ${who}`}.`
          : `${errors} of the ${requests} requests of that time got no good answer.`,
    );
  }
  if (times.switches > 0)
    sentences.push(
      `Moving a request elsewhere took ${inSeconds(times.switchP50Ms)}, at most ${inSeconds(times.switchMaxMs)}.`,
    );
  if (times.recoveryMs !== null)
    sentences.push(`Normal service was back ${inSeconds(times.recoveryMs)} after the end of the block.`);
  const named = (wanted: Proof["verdict"]) =>
    record.proofs.filter(({ verdict: shown }) => shown === wanted).map(({ number }) => SUBJECTS[number - 1] ?? "");
  const failures = named("failed");
  if (failures.length > 0) sentences.push(`Not good: ${failures.join("; ")}.`);
  const waiting = named("open");
  if (waiting.length > 0) sentences.push(`Still open: ${waiting.join("; ")}.`);
  return { verdict, sentences };
}

/** How it failed, for people. */
export function faultInWords({ block, fault }: Pick<DrillRecord, "block" | "fault">): string {
  return block === "system" ? "the operating system resets every connection to it" : FAULTS[fault].text;
}

/** What the drill blocked, for people. */
export function scopeInWords({ scope }: DrillRecord): string {
  const { providers, nodes, models, workflows, share } = scope;
  const backends = [
    ...(providers ?? []).map((name) => (name === "*" ? "every provider" : `provider ${name}`)),
    ...(nodes ?? []).map((name) => (name === "*" ? "every node" : `node ${name}`)),
  ];
  const parts = [backends.length === 0 ? "everything" : backends.join(" and ")];
  if (models !== null) parts.push(`for ${models.join(", ")}`);
  if (workflows !== null) parts.push(`for the workflow ${workflows.join(", ")}`);
  if (share < 1) parts.push(`for ${Math.round(share * 100)} % of the requests`);
  return parts.join(" ");
}

export const VERDICT_WORDS = { passed: "yes", failed: "no", open: "open", "not-shown": "not shown" } as const;

function capital(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}
