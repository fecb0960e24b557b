import type { Moment } from "../contingency-state.ts";
import type { Alert } from "./alert-book.ts";
import { definitionOf, RULE_NAMES, type RuleName, SEVERITIES, type Severity } from "./rules.ts";

/** What is told at one time about one rule. */
export interface Notification {
  /** UUIDv7; receivers know a repetition by it. */
  id: string;
  /** `refresh`: the same again for a receiver that forgets what it is not told. `test`: nothing is wrong. */
  kind: "change" | "repeat" | "refresh" | "test";
  rule: RuleName | "test";
  /** `firing` as long as one of its alerts does. */
  status: "firing" | "resolved";
  atMs: number;
  alerts: readonly Alert[];
}

/** How often is told. */
export interface GroupingTimes {
  /** From a rule's first alert to the message, so that what fires together is told together. */
  groupWaitMs: number;
  /** Least time between two messages about one rule. */
  groupIntervalMs: number;
  /** After which what still fires is told again. */
  repeatMs: number;
}

interface Group {
  /** Ids of alerts that somebody was told fire. */
  told: Set<string>;
  waitingSinceMs: number | null;
  lastToldMs: number | null;
}

/**
 * When is told of what: alerts of one rule in one message, after a moment in which more of them may come, not more often than
 * the interval, and again after the repeat time while one of them fires that nobody has acknowledged. A resolution is told where the
 * alert was. Pure: told of the time, sends nothing.
 */
export class Grouping {
  readonly #times: GroupingTimes;
  readonly #newId: () => string;
  readonly #groups = new Map<RuleName, Group>();
  /** Resolved, and to be told. */
  #ended: Alert[] = [];

  constructor(times: GroupingTimes, newId: () => string) {
    this.#times = times;
    this.#newId = newId;
  }

  /** Takes up alerts of which somebody was told before this process began. */
  restore(alerts: Iterable<Alert>, at: Moment): void {
    for (const { rule, id, toldAtMs } of alerts) {
      if (toldAtMs === null) continue;
      const group = this.#group(rule);
      group.told.add(id);
      // Not known to the millisecond, and it need not be: it only says when to repeat.
      const toldMs = at.monotonicMs - Math.max(0, at.nowMs - toldAtMs);
      group.lastToldMs = Math.max(group.lastToldMs ?? toldMs, toldMs);
    }
  }

  /** Alerts that resolved since the last call of `due`. */
  resolved(alerts: Iterable<Alert>): void {
    for (const alert of alerts) if (this.#group(alert.rule).told.has(alert.id)) this.#ended.push(alert);
  }

  /**
   * What is to be told now.
   *
   * @param firing All that fires.
   * @param isQuiet Whether nobody shall be told of it now (silenced).
   */
  due(firing: readonly Alert[], isQuiet: (alert: Alert) => boolean, at: Moment): Notification[] {
    const notifications: Notification[] = [];
    for (const rule of RULE_NAMES) {
      const group = this.#groups.get(rule);
      const { inhibitedBy } = definitionOf(rule);
      const isInhibited = inhibitedBy !== null && firing.some((one) => one.rule === inhibitedBy);
      const loud = firing.filter((one) => one.rule === rule && !isInhibited && !isQuiet(one));
      const ended = this.#ended.filter((one) => one.rule === rule);
      if (group === undefined && loud.length === 0) continue;
      const kind = this.#kindDue(this.#group(rule), loud, ended, at);
      if (kind === null) continue;
      this.#ended = this.#ended.filter((one) => one.rule !== rule);
      notifications.push(this.#tell(rule, kind, loud, ended, at));
    }
    return notifications;
  }

  #kindDue(group: Group, loud: readonly Alert[], ended: readonly Alert[], at: Moment): "change" | "repeat" | null {
    const { groupWaitMs, groupIntervalMs, repeatMs } = this.#times;
    const sinceToldMs = group.lastToldMs === null ? Infinity : at.monotonicMs - group.lastToldMs;
    const hasNew = loud.some((one) => !group.told.has(one.id)) || ended.length > 0;
    if (!hasNew) {
      group.waitingSinceMs = null;
      return loud.some((one) => one.ack === null) && sinceToldMs >= repeatMs ? "repeat" : null;
    }
    group.waitingSinceMs ??= at.monotonicMs;
    return at.monotonicMs - group.waitingSinceMs >= groupWaitMs && sinceToldMs >= groupIntervalMs ? "change" : null;
  }

  #tell(
    rule: RuleName,
    kind: "change" | "repeat",
    loud: readonly Alert[],
    ended: readonly Alert[],
    at: Moment,
  ): Notification {
    const group = this.#group(rule);
    for (const { id } of loud) group.told.add(id);
    for (const { id } of ended) group.told.delete(id);
    group.waitingSinceMs = null;
    group.lastToldMs = at.monotonicMs;
    return {
      id: this.#newId(),
      kind,
      rule,
      status: loud.length > 0 ? "firing" : "resolved",
      atMs: at.nowMs,
      alerts: [...loud, ...ended],
    };
  }

  #group(rule: RuleName): Group {
    let group = this.#groups.get(rule);
    if (group === undefined) {
      group = { told: new Set(), waitingSinceMs: null, lastToldMs: null };
      this.#groups.set(rule, group);
    }
    return group;
  }
}

/** Which alerts a channel wants. */
export interface ChannelFilter {
  /** Least severity. */
  severity: Severity;
  /** Null: all. */
  rules: readonly RuleName[] | null;
}

/** The part of a notification that a channel wants, or null where that is nothing. */
export function partFor(notification: Notification, { severity, rules }: ChannelFilter): Notification | null {
  const { rule, kind } = notification;
  if (kind === "test") return notification;
  const least = SEVERITIES.indexOf(severity);
  const alerts = notification.alerts.filter(
    (alert) => SEVERITIES.indexOf(alert.severity) >= least && (rules === null || rules.includes(alert.rule)),
  );
  if (alerts.length === 0) return null;
  const isFiring = alerts.some((alert) => alert.resolvedAtMs === null);
  return { ...notification, rule, alerts, status: isFiring ? "firing" : "resolved" };
}
