import type { Notification } from "../../continuity/alerts/grouping.ts";
import type { Clock, Timer } from "../../lib/clock.ts";
import type { Channel, SendOutcome } from "./channel.ts";

/** Messages of one channel that wait, at most; beyond it the oldest is given up. */
export const MAX_WAITING = 100;
/** Longest time that a message is tried. */
const GIVE_UP_AFTER_MS = 60 * 60_000;
const RETRY_BASE_MS = 1_000;
const RETRY_CAP_MS = 60_000;

/** What became of a message. */
export interface Delivery {
  channel: string;
  notification: Notification;
  isDelivered: boolean;
  attempts: number;
  /** In words. */
  detail: string;
  atMs: number;
}

export interface ChannelQueueParts {
  channel: Channel;
  clock: Clock;
  /** From 0 up to, not including, 1: the jitter of retries. */
  random: () => number;
  /** Must not throw. */
  onEnd(delivery: Delivery): void;
  /** A try failed and another follows. Must not throw. */
  onRetry(detail: string, attempts: number): void;
}

/**
 * Messages of one channel, sent one after the other, each tried again with full jitter until it is taken, refused for good, or too
 * old. What waits is bounded, and no channel waits for another.
 */
export class ChannelQueue {
  readonly channel: Channel;
  readonly #parts: ChannelQueueParts;
  readonly #abort = new AbortController();
  #waiting: Array<{ notification: Notification; sinceMs: number }> = [];
  #timer: Timer | null = null;
  #isBusy = false;
  #lastSentMs = Number.NEGATIVE_INFINITY;
  #last: Delivery | null = null;
  /** Of a message that is still tried. */
  #trouble: string | null = null;

  constructor(parts: ChannelQueueParts) {
    this.#parts = parts;
    this.channel = parts.channel;
  }

  get waiting(): number {
    return this.#waiting.length;
  }

  /** The last message that was taken or given up, refreshes included; null before the first. */
  get last(): Delivery | null {
    return this.#last;
  }

  /** Why messages do not get through now, or null. */
  get trouble(): string | null {
    return this.#trouble ?? (this.#last?.isDelivered === false ? this.#last.detail : null);
  }

  /** A test got through: what was given up before says nothing any more. */
  proved(): void {
    if (this.#last?.isDelivered === false) this.#last = null;
  }

  push(notification: Notification): void {
    if (this.#abort.signal.aborted) return;
    this.#waiting.push({ notification, sinceMs: this.#parts.clock.monotonicMs() });
    if (this.#waiting.length > MAX_WAITING) {
      // The first is the one that is being tried.
      const [dropped] = this.#waiting.splice(this.#isBusy ? 1 : 0, 1);
      if (dropped !== undefined) this.#end(dropped.notification, false, 0, "too many messages waited before it");
    }
    this.#next();
  }

  /** Gives up what waits. Idempotent. */
  stop(): void {
    this.#timer?.cancel();
    this.#abort.abort();
    this.#waiting = [];
  }

  #next(): void {
    const [head] = this.#waiting;
    if (this.#isBusy || head === undefined) return;
    this.#isBusy = true;
    const { clock, channel } = this.#parts;
    const gapMs = this.#lastSentMs + channel.minGapMs - clock.monotonicMs();
    if (gapMs > 0) this.#timer = clock.after(gapMs, () => this.#attempt(head, 1));
    else this.#attempt(head, 1);
  }

  #attempt(head: { notification: Notification; sinceMs: number }, attempts: number): void {
    const { clock, channel } = this.#parts;
    const judge = (outcome: SendOutcome): void => {
      if (this.#abort.signal.aborted) return;
      this.#lastSentMs = clock.monotonicMs();
      this.#judge(head, outcome, attempts);
    };
    channel.send(head.notification, this.#abort.signal).then(judge, () => judge(UNSENDABLE));
  }

  #judge(head: { notification: Notification; sinceMs: number }, outcome: SendOutcome, attempts: number): void {
    const { clock, onRetry } = this.#parts;
    const retryMs = outcome.isDelivered ? 0 : this.#retryMs(outcome.retryAfterMs, attempts);
    const isTooOld = clock.monotonicMs() + retryMs - head.sinceMs > GIVE_UP_AFTER_MS;
    if (outcome.isDelivered || outcome.isPermanent || isTooOld) {
      this.#waiting.shift();
      this.#isBusy = false;
      this.#trouble = null;
      this.#end(head.notification, outcome.isDelivered, attempts, outcome.detail);
      this.#next();
      return;
    }
    this.#trouble = outcome.detail;
    onRetry(outcome.detail, attempts);
    this.#timer = clock.after(retryMs, () => this.#attempt(head, attempts + 1));
  }

  #retryMs(retryAfterMs: number | null, attempts: number): number {
    const ceilingMs = Math.min(RETRY_CAP_MS, RETRY_BASE_MS * 2 ** Math.min(attempts, 16));
    return Math.max(retryAfterMs ?? 0, this.#parts.channel.minGapMs, Math.round(this.#parts.random() * ceilingMs));
  }

  #end(notification: Notification, isDelivered: boolean, attempts: number, detail: string): void {
    const atMs = this.#parts.clock.nowMs();
    this.#last = { channel: this.channel.name, notification, isDelivered, attempts, detail, atMs };
    this.#parts.onEnd(this.#last);
  }
}

/** `Channel.send` promises not to reject; a fault of ours must not stop the queue. */
const UNSENDABLE: SendOutcome = {
  isDelivered: false,
  detail: "the message could not be made",
  isPermanent: true,
  retryAfterMs: null,
  nextStep: "This is a fault of Postern: please report it.",
};
