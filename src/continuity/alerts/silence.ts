import type { Alert } from "./alert-book.ts";

/** Nobody is told of what it names, until its time is over. The alerts themselves are there and in the history. */
export interface Silence {
  id: string;
  /** Name of a rule, or `*` for every rule. */
  rule: string;
  /** Only this one, like a node's name; null: whatever the rule finds. */
  key: string | null;
  reason: string;
  createdBy: string;
  createdAtMs: number;
  untilMs: number;
}

/** The silence under which nobody is told of the alert, or null. */
export function silenceOf(
  alert: Pick<Alert, "rule" | "key">,
  silences: Iterable<Silence>,
  nowMs: number,
): Silence | null {
  for (const silence of silences) {
    if (silence.untilMs <= nowMs) continue;
    const isOfRule = silence.rule === "*" || silence.rule === alert.rule;
    if (isOfRule && (silence.key === null || silence.key === alert.key)) return silence;
  }
  return null;
}
