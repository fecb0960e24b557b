import { PosternError } from "../errors.ts";
import { FairQueue, type Queued } from "../routing/fair-queue.ts";
import type { WaitReason } from "../routing/plan.ts";
import type { Sweeper, Watched } from "./sweeper.ts";

/** Bounds of the waiting room. */
export interface WaitingLimits {
  /** Most requests that wait at one time. */
  requests: number;
  /** Most bytes of their bodies. */
  bytes: number;
  /** Longest wait for each reason, from the request's arrival; 0: none. */
  waitMs: Readonly<Record<WaitReason, number>>;
}

/** A request that waits until a target can take it. */
export interface Waiter extends Queued {
  /** Public name: requests for one model wait in one queue. */
  readonly model: string;
  /** Of its body. */
  readonly bytes: number;
  /** Monotonic time of its arrival. */
  readonly startedMs: number;
  /** What it waits for, as of the last look. Written by the room. */
  reason: WaitReason;
  /** Plans again. Null: it has begun its attempt. Throws what ends the wait. */
  tryToGo(): WaitReason | null;
  /** It waits no longer: it is refused. */
  refuse(error: unknown): void;
}

/** How many wait for one model. */
export interface QueueDepth {
  model: string;
  depth: number;
}

interface Room {
  model: string;
  queue: FairQueue<Waiter>;
  /** Running mean of the time between two that went; null until two did. */
  intervalMs: number | null;
  lastWentMs: number | null;
}

/** Weight of the newest interval in the running mean. */
const INTERVAL_WEIGHT = 0.2;
/** Models whose intervals are remembered while nobody waits for them. */
const MAX_IDLE_ROOMS = 64;
/** Suggested wait of a caller that is turned away, where nothing better is known, and the longest that is suggested. */
const RETRY_AFTER_SECONDS = 5;
const LONGEST_RETRY_AFTER_SECONDS = 300;

/**
 * Where requests wait for a slot, a cold load or a waking machine: bounded, fair between keys (`FairQueue`), one queue for each
 * model. `targetsChanged` lets those go that can; a sweep notices what changes with time alone, and ends waits that are over.
 */
export class WaitingRoom implements Watched {
  /** In the sweeper. */
  place = -1;
  readonly #limits: WaitingLimits;
  readonly #sweeper: Sweeper;
  readonly #monotonicMs: () => number;
  readonly #rooms: Room[] = [];
  #size = 0;
  #bytes = 0;
  #isWakeSet = false;

  constructor(limits: WaitingLimits, sweeper: Sweeper, monotonicMs: () => number) {
    this.#limits = limits;
    this.#sweeper = sweeper;
    this.#monotonicMs = monotonicMs;
  }

  /** Whether others wait for the model: whoever comes now stands behind them. */
  isAwaited(model: string): boolean {
    return this.#size > 0 && (this.#roomOf(model)?.queue.size ?? 0) > 0;
  }

  depths(): QueueDepth[] {
    return this.#rooms.map(({ model, queue }) => ({ model, depth: queue.size })).filter(({ depth }) => depth > 0);
  }

  /**
   * Whether a request may wait, before it does.
   *
   * @throws PosternError `engine_loading` or `queue_full` with the number of those that wait, where it may not, where its wait would be too
   *   long, or where there is no place for it.
   */
  admit(waiter: Waiter): void {
    const { requests, bytes, waitMs } = this.#limits;
    const limitMs = waitMs[waiter.reason];
    if (limitMs <= 0) throw over(waiter.reason, this.#depthOf(waiter.model));
    if (this.#size + 1 > requests || this.#bytes + waiter.bytes > bytes) {
      const room = this.#roomOf(waiter.model);
      const longest = this.#longest();
      // Whoever has fewer waiting than the one who has most does not pay for it.
      const own = room?.queue.countOf(waiter.keyId) ?? 0;
      if (requests === 0 || longest === null || longest.bytes < waiter.bytes || longest.count <= own + 1)
        throw full(this.#size, this.#retryAfter(room));
    }
    const estimateMs = this.#estimateMs(waiter);
    if (waiter.reason === "busy" && estimateMs > limitMs) throw full(this.#depthOf(waiter.model), seconds(estimateMs));
  }

  /** Takes one in that was admitted. `leave` follows, whatever becomes of it. */
  join(waiter: Waiter): void {
    let room = this.#roomOf(waiter.model);
    if (room === undefined) {
      room = { model: waiter.model, queue: new FairQueue(), intervalMs: null, lastWentMs: null };
      this.#rooms.push(room);
    }
    room.queue.add(waiter);
    this.#size += 1;
    this.#bytes += waiter.bytes;
    this.#sweeper.watch(this);
    while (this.#size > this.#limits.requests || this.#bytes > this.#limits.bytes) {
      const longest = this.#longest();
      if (longest === null) break;
      this.leave(longest.waiter);
      longest.waiter.refuse(full(this.#size, this.#retryAfter(room)));
    }
    // A slot may have become free since it was planned.
    this.targetsChanged();
  }

  /** It waits no longer, for whatever reason. Idempotent. */
  leave(waiter: Waiter): void {
    const room = this.#roomOf(waiter.model);
    if (room?.queue.delete(waiter) !== true) return;
    this.#left(room, waiter);
  }

  /** Something about targets has changed: those that can go do so, once what is running now is done. Cheap when nobody waits. */
  targetsChanged(): void {
    if (this.#size === 0 || this.#isWakeSet) return;
    this.#isWakeSet = true;
    queueMicrotask(() => {
      this.#isWakeSet = false;
      for (const room of this.#rooms.slice()) this.#serve(room);
    });
  }

  /** What a waiting caller can be told of its wait. */
  describe(waiter: Waiter): string {
    const room = this.#roomOf(waiter.model);
    const sinceSeconds = Math.round((this.#monotonicMs() - waiter.startedMs) / 1000);
    switch (waiter.reason) {
      case "busy":
        return `waiting for a free slot: place ${(room?.queue.ahead(waiter) ?? 0) + 1} of ${room?.queue.size ?? 1}`;
      case "loading":
        return `the model is being loaded: ${sinceSeconds} s so far`;
      case "asleep":
        return `the machine is being woken: ${sinceSeconds} s so far`;
      case "approval":
        return `waiting for an operator's approval: ${sinceSeconds} s so far`;
      default:
        return waiter.reason satisfies never;
    }
  }

  /** Ends waits that are over, and looks at those that time alone may help (a breaker, a link). */
  check(nowMs: number): void {
    for (const room of this.#rooms.slice()) {
      for (const waiter of room.queue.all()) {
        if (nowMs - waiter.startedMs < this.#limits.waitMs[waiter.reason]) continue;
        const depth = room.queue.size;
        this.leave(waiter);
        waiter.refuse(over(waiter.reason, depth));
      }
      this.#serve(room);
    }
  }

  #serve(room: Room): void {
    if (room.queue.size === 0) return;
    room.queue.serve((waiter) => {
      try {
        const reason = waiter.tryToGo();
        if (reason !== null) {
          waiter.reason = reason;
          return "stays";
        }
        this.#went(room);
        this.leave(waiter);
        return "went";
      } catch (error) {
        this.leave(waiter);
        waiter.refuse(error);
        return "left";
      }
    });
  }

  #went(room: Room): void {
    const nowMs = this.#monotonicMs();
    if (room.lastWentMs !== null) {
      const interval = nowMs - room.lastWentMs;
      const before = room.intervalMs ?? interval;
      room.intervalMs = before + (interval - before) * INTERVAL_WEIGHT;
    }
    room.lastWentMs = nowMs;
  }

  #left(room: Room, waiter: Waiter): void {
    this.#size -= 1;
    this.#bytes -= waiter.bytes;
    if (this.#size === 0) this.#sweeper.unwatch(this);
    if (room.queue.size > 0) return;
    // The time in which nobody waits says nothing about how fast they go.
    room.lastWentMs = null;
    if (this.#rooms.length > MAX_IDLE_ROOMS) this.#rooms.splice(this.#rooms.indexOf(room), 1);
  }

  #roomOf(model: string): Room | undefined {
    return this.#rooms.find((room) => room.model === model);
  }

  #depthOf(model: string): number {
    return this.#roomOf(model)?.queue.size ?? 0;
  }

  /** Who has most waiting, how many, and which of them came last. */
  #longest(): { waiter: Waiter; count: number; bytes: number } | null {
    let longest: { waiter: Waiter; count: number; bytes: number } | null = null;
    for (const { queue } of this.#rooms) {
      const waiter = queue.newestOfLongest();
      const count = waiter === null ? 0 : queue.countOf(waiter.keyId);
      if (waiter !== null && count > (longest?.count ?? 0)) longest = { waiter, count, bytes: waiter.bytes };
    }
    return longest;
  }

  #estimateMs(waiter: Waiter): number {
    const room = this.#roomOf(waiter.model);
    return room === undefined ? 0 : (room.queue.ahead(waiter) + 1) * (room.intervalMs ?? 0);
  }

  #retryAfter(room: Room | undefined): number {
    const drainMs = (room?.queue.size ?? 0) * (room?.intervalMs ?? 0);
    return drainMs === 0 ? RETRY_AFTER_SECONDS : seconds(drainMs);
  }
}

function seconds(ms: number): number {
  return Math.min(LONGEST_RETRY_AFTER_SECONDS, Math.max(1, Math.ceil(ms / 1000)));
}

/** There is no place, or the wait would be too long. */
function full(depth: number, retryAfterSeconds: number): PosternError {
  return new PosternError("queue_full", {
    message: `The model's inference servers are busy, and as many requests wait as may wait (${depth})`,
    retryAfterSeconds,
    detail: { depth },
  });
}

/** The wait is over, or there may be none. */
function over(reason: WaitReason, depth: number): PosternError {
  const fields = { retryAfterSeconds: RETRY_AFTER_SECONDS, detail: { reason, depth } };
  if (reason === "loading") return new PosternError("engine_loading", fields);
  if (reason === "approval") return new PosternError("approval_timeout", fields);
  if (reason === "asleep") return new PosternError("no_target", fields);
  const message = `The model's inference servers stayed busy for as long as a request may wait (${depth} wait)`;
  return new PosternError("queue_timeout", { ...fields, message });
}
