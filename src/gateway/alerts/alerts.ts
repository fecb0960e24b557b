import type { AlertsConfig } from "../../config/alerts.ts";
import { type Alert, AlertBook, type Finding } from "../../continuity/alerts/alert-book.ts";
import { Grouping, type Notification, partFor } from "../../continuity/alerts/grouping.ts";
import { isRuleName, type RuleName, type Severity } from "../../continuity/alerts/rules.ts";
import { type Silence, silenceOf } from "../../continuity/alerts/silence.ts";
import type { Moment } from "../../continuity/contingency-state.ts";
import type { Clock, Timer } from "../../lib/clock.ts";
import type { AlertRecord, AlertStore } from "../../storage/alert-store.ts";
import type { Channel, SendOutcome } from "./channel.ts";
import { ChannelQueue, type Delivery } from "./channel-queue.ts";
import { AlertHistory } from "./history.ts";

/** How often it is looked whether something is wrong. */
export const EVALUATE_EVERY_MS = 5_000;
/** After silences changed. */
const EVALUATE_SOON_MS = 100;

export interface AlertsParts {
  config: Pick<AlertsConfig, "rules" | "groupWaitMs" | "groupIntervalMs" | "repeatMs" | "historyMs">;
  channels: readonly Channel[];
  /** Each says all that it finds wrong at the moment it is asked. Must not throw. */
  sources: ReadonlyArray<(isFiring: (rule: RuleName, key: string) => boolean) => Iterable<Finding>>;
  store: AlertStore;
  clock: Clock;
  random: () => number;
  newId: () => string;
  /** Must not throw. */
  onFiring(alert: Alert): void;
  onResolved(alert: Alert): void;
  onTrouble(what: string, detail: Record<string, unknown>): void;
}

/** How a channel is doing. */
export interface ChannelState {
  name: string;
  type: Channel["type"];
  severity: Severity;
  rules: readonly RuleName[] | null;
  waiting: number;
  /** The last message that was taken or given up; null before the first since the start. */
  last: { atMs: number; isDelivered: boolean; detail: string } | null;
  /** Why messages do not get through now; null when they do. */
  trouble: string | null;
}

/** What a test of a channel came to. */
export interface ChannelTest {
  channel: string;
  type: Channel["type"];
  outcome: SendOutcome;
  durationMs: number;
}

/**
 * Looks every few seconds whether something is wrong, keeps what fires, and tells the channels. Nothing here is on the way of a
 * request, and no channel waits for another.
 */
export class Alerts {
  readonly #parts: AlertsParts;
  readonly #book: AlertBook;
  readonly #grouping: Grouping;
  readonly #history: AlertHistory;
  readonly #queues: readonly ChannelQueue[];
  readonly #refreshedMs = new Map<string, number>();
  #silences: readonly Silence[] = [];
  #timer: Timer | null = null;
  #soon: Timer | null = null;
  #isStopped = false;

  constructor(parts: AlertsParts) {
    this.#parts = parts;
    const { config, clock, store, newId, onTrouble } = parts;
    this.#book = new AlertBook(config.rules, newId);
    this.#grouping = new Grouping(config, newId);
    this.#history = new AlertHistory({
      store,
      clock,
      historyMs: config.historyMs,
      onFailure: (what, error) => onTrouble(what, { error: String(error) }),
    });
    this.#queues = parts.channels.map(
      (channel) =>
        new ChannelQueue({
          channel,
          clock,
          random: parts.random,
          onEnd: (delivery) => this.#ended(delivery),
          onRetry: (detail, attempts) =>
            onTrouble("alert not delivered yet", { channel: channel.name, detail, attempts }),
        }),
    );
  }

  /** Takes up what fired before, and begins to look. Rejects with `store_*` codes. */
  async start(): Promise<void> {
    const { store } = this.#parts;
    const silences = await store.silences();
    this.#begin((await store.unresolved()).flatMap(toAlert), silences);
  }

  /** Takes over from one that is stopped, in place of `start`. Asks no store: rules may change while that is in trouble. */
  takeOver(before: Alerts): void {
    const firing = before.#book.firing();
    this.#begin(firing, before.#silences);
    // It may not have been able to write them.
    for (const alert of firing) this.#history.changed(alert);
  }

  /** What fires, oldest first, with the silence that it is under. */
  firing(): Array<{ alert: Alert; silence: Silence | null }> {
    const nowMs = this.#parts.clock.nowMs();
    return this.#book.firing().map((alert) => ({ alert, silence: silenceOf(alert, this.#silences, nowMs) }));
  }

  pending(): Array<Finding & { sinceMs: number }> {
    return this.#book.pending();
  }

  channels(): ChannelState[] {
    return this.#queues.map(({ channel, waiting, last, trouble }) => ({
      name: channel.name,
      type: channel.type,
      ...channel.filter,
      waiting,
      last: last === null ? null : { atMs: last.atMs, isDelivered: last.isDelivered, detail: last.detail },
      trouble,
    }));
  }

  /** Sends a test on a channel, or on all, past what waits. One try each. @param name Null: all. */
  async test(name: string | null, signal: AbortSignal): Promise<ChannelTest[]> {
    const { clock, newId } = this.#parts;
    const chosen = this.#parts.channels.filter((channel) => name === null || channel.name === name);
    return Promise.all(
      chosen.map(async (channel) => {
        const startedMs = clock.monotonicMs();
        const outcome = await channel.send(testOf(newId(), clock.nowMs()), signal);
        if (outcome.isDelivered) this.#queues.find((queue) => queue.channel === channel)?.proved();
        return { channel: channel.name, type: channel.type, outcome, durationMs: clock.monotonicMs() - startedMs };
      }),
    );
  }

  /** Reads the silences again. Rejects with `store_*` codes. */
  async silencesChanged(): Promise<void> {
    this.#silences = await this.#parts.store.silences();
    this.#lookSoon();
  }

  /** Somebody looks after an alert that fires; the store has it already. */
  acknowledged(id: string, ack: NonNullable<Alert["ack"]>): void {
    const alert = this.#book.find(id);
    if (alert !== null) alert.ack = ack;
  }

  /** Stops looking and sending; what was not delivered is told after the next start. Does not reject. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    this.#timer?.cancel();
    this.#soon?.cancel();
    for (const queue of this.#queues) queue.stop();
    await this.#history.stop();
  }

  /** Looks now. */
  look(): void {
    const at = this.#now();
    const isFiring = (rule: RuleName, key: string): boolean => this.#book.isFiring(rule, key);
    const findings = this.#parts.sources.flatMap((source) => [...source(isFiring)]);
    const { fired, resolved } = this.#book.observe([...findings, ...this.#channelFindings()], at);
    for (const alert of fired) {
      this.#parts.onFiring(alert);
      this.#history.changed(alert);
    }
    for (const alert of resolved) {
      this.#parts.onResolved(alert);
      this.#history.changed(alert);
    }
    this.#grouping.resolved(resolved);
    const firing = this.#book.firing();
    const isQuiet = (alert: Alert): boolean => silenceOf(alert, this.#silences, at.nowMs) !== null;
    for (const notification of this.#grouping.due(firing, isQuiet, at)) this.#tell(notification);
    this.#refresh(firing, at);
    this.#history.write();
  }

  #begin(alerts: readonly Alert[], silences: readonly Silence[]): void {
    const at = this.#now();
    this.#silences = silences;
    this.#book.restore(alerts, at);
    this.#grouping.restore(alerts, at);
    this.#history.start();
    this.#next();
  }

  #next(): void {
    this.#timer = this.#parts.clock.after(EVALUATE_EVERY_MS, () => {
      this.look();
      this.#next();
    });
  }

  #lookSoon(): void {
    if (this.#isStopped) return;
    this.#soon ??= this.#parts.clock.after(EVALUATE_SOON_MS, () => {
      this.#soon = null;
      this.look();
    });
  }

  #tell(notification: Notification): void {
    for (const queue of this.#queues) {
      // Of a channel's own trouble the others are told.
      const about = notification.alerts.filter(({ rule, key }) => rule !== "channel" || key !== queue.channel.name);
      const part = partFor({ ...notification, alerts: about }, queue.channel.filter);
      if (part !== null) queue.push(part);
    }
  }

  /** Tells receivers that forget what still fires, as far as somebody was told of it. */
  #refresh(firing: readonly Alert[], at: Moment): void {
    for (const queue of this.#queues) {
      const { refreshMs, name, filter } = queue.channel;
      const lastMs = this.#refreshedMs.get(name) ?? Number.NEGATIVE_INFINITY;
      // What waits says the same.
      if (refreshMs === null || at.monotonicMs - lastMs < refreshMs || queue.waiting > 0) continue;
      this.#refreshedMs.set(name, at.monotonicMs);
      const alerts = firing.filter(
        (alert) => alert.toldAtMs !== null && silenceOf(alert, this.#silences, at.nowMs) === null,
      );
      const [first] = alerts;
      if (first === undefined) continue;
      const id = this.#parts.newId();
      const whole: Notification = { id, kind: "refresh", rule: first.rule, status: "firing", atMs: at.nowMs, alerts };
      const part = partFor(whole, filter);
      if (part !== null) queue.push(part);
    }
  }

  #ended({ channel, notification, isDelivered, attempts, detail, atMs }: Delivery): void {
    if (!isDelivered) this.#parts.onTrouble("alert not delivered", { channel, detail, attempts });
    const { kind } = notification;
    if (kind !== "change" && kind !== "repeat") return;
    for (const alert of notification.alerts) {
      if (isDelivered) alert.toldAtMs ??= atMs;
      this.#history.delivered({
        notificationId: notification.id,
        alertId: alert.id,
        channel,
        kind,
        // As the message had it, whatever became of the alert meanwhile.
        status: alert.resolvedAtMs !== null && alert.resolvedAtMs <= notification.atMs ? "resolved" : "firing",
        isDelivered,
        attempts,
        detail,
        atMs,
      });
      this.#history.changed(alert);
    }
  }

  *#channelFindings(): Iterable<Finding> {
    for (const { channel, trouble } of this.#queues) {
      if (trouble === null) continue;
      yield {
        rule: "channel",
        key: channel.name,
        summary: `Alerts are not delivered on channel ${channel.name}: ${trouble}`,
        labels: { channel: channel.name, type: channel.type },
      };
    }
  }

  #now(): Moment {
    const { clock } = this.#parts;
    return { nowMs: clock.nowMs(), monotonicMs: clock.monotonicMs() };
  }
}

function testOf(id: string, nowMs: number): Notification {
  return { id, kind: "test", rule: "test", status: "firing", atMs: nowMs, alerts: [] };
}

/** One of a rule that a newer or older program had is left alone. */
function toAlert(record: AlertRecord): Alert[] {
  const { rule, severity } = record;
  if (!isRuleName(rule)) return [];
  const known = severity === "critical" || severity === "warning" ? severity : "info";
  return [{ ...record, rule, severity: known }];
}
