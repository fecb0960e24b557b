import type { Alert } from "../../continuity/alerts/alert-book.ts";
import type { Clock, Timer } from "../../lib/clock.ts";
import type { AlertDeliveryRecord, AlertStore } from "../../storage/alert-store.ts";

/** Alerts and messages that wait to be written, at most: while the store is in trouble the oldest are given up. */
const MAX_WAITING = 2_000;
/** Alerts that are kept, at most, however short the time since. */
const MAX_KEPT = 20_000;
const PRUNE_AFTER_MS = 10 * 60_000;
const PRUNE_EVERY_MS = 6 * 60 * 60_000;

export interface HistoryParts {
  store: AlertStore;
  clock: Clock;
  historyMs: number;
  /** Must not throw. */
  onFailure(what: string, error: unknown): void;
}

/** Writes down what became of alerts, in its own time. What the store does not take waits for the next write. */
export class AlertHistory {
  readonly #parts: HistoryParts;
  readonly #alerts = new Map<string, Alert>();
  #deliveries: AlertDeliveryRecord[] = [];
  /** Under way; null: none is. */
  #writing: Promise<void> | null = null;
  #timer: Timer | null = null;

  constructor(parts: HistoryParts) {
    this.#parts = parts;
  }

  /** Begins to delete what is old. */
  start(): void {
    this.#timer = this.#parts.clock.after(PRUNE_AFTER_MS, () => this.#prune());
  }

  changed(alert: Alert): void {
    // The first of a map is the oldest.
    const [oldest] = this.#alerts.keys();
    if (this.#alerts.size >= MAX_WAITING && oldest !== undefined) this.#alerts.delete(oldest);
    this.#alerts.set(alert.id, alert);
  }

  delivered(delivery: AlertDeliveryRecord): void {
    if (this.#deliveries.length >= MAX_WAITING) this.#deliveries.shift();
    this.#deliveries.push(delivery);
  }

  /** Writes what waits, one write at a time. Does not throw. */
  write(): void {
    if (this.#writing !== null || (this.#alerts.size === 0 && this.#deliveries.length === 0)) return;
    this.#writing = this.#write().finally(() => {
      this.#writing = null;
    });
  }

  async #write(): Promise<void> {
    const alerts = [...this.#alerts.values()];
    const deliveries = this.#deliveries;
    this.#alerts.clear();
    this.#deliveries = [];
    try {
      await this.#parts.store.save(alerts.map(recordOf), deliveries);
    } catch (error) {
      this.#parts.onFailure("alerts not written", error);
      // What changed meanwhile is newer.
      for (const alert of alerts) if (!this.#alerts.has(alert.id)) this.changed(alert);
      this.#deliveries = [...deliveries, ...this.#deliveries].slice(-MAX_WAITING);
    }
  }

  /** Writes what waits, once more. Does not reject. */
  async stop(): Promise<void> {
    this.#timer?.cancel();
    // What came while a write was under way is not in it.
    await this.#writing;
    this.write();
    await this.#writing;
  }

  #prune(): void {
    const { store, clock, historyMs, onFailure } = this.#parts;
    this.#timer = clock.after(PRUNE_EVERY_MS, () => this.#prune());
    store
      .prune(clock.nowMs() - historyMs, MAX_KEPT)
      .catch((error: unknown) => onFailure("old alerts not deleted", error));
  }
}

/** As it is now: the alert goes on changing. */
function recordOf(alert: Alert): Alert {
  return { ...alert, labels: { ...alert.labels } };
}
