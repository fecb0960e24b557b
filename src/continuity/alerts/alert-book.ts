import type { Moment } from "../contingency-state.ts";
import { type AlertRules, RULE_NAMES, type RuleName, type Severity } from "./rules.ts";

/** Something that a rule finds wrong now. */
export interface Finding {
  rule: RuleName;
  /** What it is about, like a node's name; empty where a rule is about one thing only. With the rule it is the dedup key. */
  key: string;
  /** For people, in one sentence without a full stop. */
  summary: string;
  /** Bounded in number and length; no prompts, no keys, no secrets. */
  labels: Readonly<Record<string, string>>;
  /** Instead of the rule's. */
  severity?: Severity;
}

/** One time that a rule fired for one thing. */
export interface Alert {
  /** UUIDv7. */
  id: string;
  rule: RuleName;
  key: string;
  severity: Severity;
  summary: string;
  labels: Readonly<Record<string, string>>;
  /** Since when its condition held. */
  startedAtMs: number;
  firedAtMs: number;
  /** Null while it fires. */
  resolvedAtMs: number | null;
  /** When a message about it was first taken; null: none was. */
  toldAtMs: number | null;
  /** Somebody looks after it: no more repeats. */
  ack: AlertAck | null;
}

export interface AlertAck {
  atMs: number;
  by: string;
  note: string | null;
}

/** What became of one look. */
export interface BookChanges {
  fired: Alert[];
  resolved: Alert[];
}

/** Alerts of one rule that are kept, at most; what is beyond is counted and not listed. Names come from agents and callers. */
export const MAX_ALERTS_PER_RULE = 100;
/** Longest summary and label that is kept. */
const MAX_TEXT = 300;

interface Entry {
  finding: Finding;
  sinceMs: number;
  sinceMonotonicMs: number;
  lastSeenMonotonicMs: number;
  lastSeenRound: number;
  alert: Alert | null;
}

/**
 * What is wrong, over time: a finding becomes an alert when it held for the rule's `forMs`, and the alert resolves when the
 * finding was gone for `resolveAfterMs`. One alert per rule and key, however often it is found. Pure: told of the time, does nothing.
 */
export class AlertBook {
  readonly #rules: AlertRules;
  readonly #newId: () => string;
  readonly #entries = new Map<string, Entry>();
  /** Counts looks; two may come at one time. */
  #round = 0;

  constructor(rules: AlertRules, newId: () => string) {
    this.#rules = rules;
    this.#newId = newId;
  }

  /** Takes up alerts that fired before this process began. Those whose finding does not come back resolve in their time. */
  restore(alerts: Iterable<Alert>, at: Moment): void {
    for (const alert of alerts) {
      const { rule, key, summary, labels, startedAtMs } = alert;
      this.#entries.set(nameOf(alert), {
        finding: { rule, key, summary, labels },
        sinceMs: startedAtMs,
        sinceMonotonicMs: at.monotonicMs,
        lastSeenMonotonicMs: at.monotonicMs,
        lastSeenRound: this.#round,
        alert,
      });
    }
  }

  /** @param findings Everything that is wrong now; what is not among it is not wrong. */
  observe(findings: Iterable<Finding>, at: Moment): BookChanges {
    this.#round += 1;
    for (const finding of this.#bounded(findings)) this.#see(finding, at);
    const changes: BookChanges = { fired: [], resolved: [] };
    for (const [name, entry] of this.#entries) {
      const { isEnabled, forMs, resolveAfterMs, severity } = this.#rules[entry.finding.rule];
      const isSeen = entry.lastSeenRound === this.#round && isEnabled;
      if (entry.alert === null) {
        if (!isSeen) this.#entries.delete(name);
        else if (at.monotonicMs - entry.sinceMonotonicMs >= forMs) {
          entry.alert = this.#fire(entry, entry.finding.severity ?? severity, at);
          changes.fired.push(entry.alert);
        }
        continue;
      }
      if (isSeen) {
        entry.alert.summary = entry.finding.summary;
        entry.alert.labels = entry.finding.labels;
      } else if (!isEnabled || at.monotonicMs - entry.lastSeenMonotonicMs >= resolveAfterMs) {
        entry.alert.resolvedAtMs = at.nowMs;
        changes.resolved.push(entry.alert);
        this.#entries.delete(name);
      }
    }
    return changes;
  }

  /** Alerts that fire, oldest first. */
  firing(): Alert[] {
    return [...this.#entries.values()].flatMap(({ alert }) => (alert === null ? [] : [alert]));
  }

  /** What holds, but not yet long enough. */
  pending(): Array<Finding & { sinceMs: number }> {
    return [...this.#entries.values()].flatMap(({ alert, finding, sinceMs }) =>
      alert === null ? [{ ...finding, sinceMs }] : [],
    );
  }

  isFiring(rule: RuleName, key: string): boolean {
    return (this.#entries.get(nameOf({ rule, key }))?.alert ?? null) !== null;
  }

  find(id: string): Alert | null {
    return this.firing().find((alert) => alert.id === id) ?? null;
  }

  #see(finding: Finding, at: Moment): void {
    const name = nameOf(finding);
    const entry = this.#entries.get(name);
    if (entry === undefined) {
      this.#entries.set(name, {
        finding,
        sinceMs: at.nowMs,
        sinceMonotonicMs: at.monotonicMs,
        lastSeenMonotonicMs: at.monotonicMs,
        lastSeenRound: this.#round,
        alert: null,
      });
      return;
    }
    entry.finding = finding;
    entry.lastSeenMonotonicMs = at.monotonicMs;
    entry.lastSeenRound = this.#round;
  }

  #fire({ finding, sinceMs }: Entry, severity: Severity, at: Moment): Alert {
    const { rule, key, summary, labels } = finding;
    return {
      id: this.#newId(),
      rule,
      key,
      severity,
      summary,
      labels,
      startedAtMs: sinceMs,
      firedAtMs: at.nowMs,
      resolvedAtMs: null,
      toldAtMs: null,
      ack: null,
    };
  }

  /** As many of each rule as may be kept, those that are known first: a flood must not push out what fires. */
  #bounded(findings: Iterable<Finding>): Finding[] {
    const byRule = Map.groupBy(findings, ({ rule }) => rule);
    const kept = new Map<RuleName, number>();
    for (const { finding } of this.#entries.values()) kept.set(finding.rule, (kept.get(finding.rule) ?? 0) + 1);
    return RULE_NAMES.flatMap((rule) => {
      const found = Map.groupBy((byRule.get(rule) ?? []).map(shortened), (one) => this.#entries.has(nameOf(one)));
      const room = Math.max(0, MAX_ALERTS_PER_RULE - (kept.get(rule) ?? 0));
      return [...(found.get(true) ?? []), ...(found.get(false) ?? []).slice(0, room)];
    });
  }
}

function nameOf({ rule, key }: Pick<Finding, "rule" | "key">): string {
  return `${rule}\n${key}`;
}

function shortened(finding: Finding): Finding {
  const labels = Object.entries(finding.labels).map(([name, value]) => [name, cut(value)]);
  return { ...finding, key: cut(finding.key), summary: cut(finding.summary), labels: Object.fromEntries(labels) };
}

/** Short, and on one line: it is shown on terminals and in mails. */
function cut(text: string): string {
  const line = text.replace(/[\p{Cc}\p{Cf}\u2028\u2029]/gu, "\uFFFD");
  return line.length <= MAX_TEXT ? line : `${line.slice(0, MAX_TEXT)}…`;
}
