import { PosternError } from "../errors.ts";
import { type Amount, type BudgetState, isDaily, isMoney, Spending, type SpentBefore } from "./budget.ts";
import { type Lease, Leases } from "./leases.ts";
import type { BudgetName, KeyPolicy } from "./policy.ts";
import { SlidingWindow } from "./sliding-window.ts";

/** What a key's policy bounds. */
export type LimitRules = Pick<
  KeyPolicy,
  "requestsPerMinute" | "tokensPerMinute" | "concurrency" | "budgets" | "shadow"
>;

/** What a key had used before the process began, and when that was asked. */
export interface Seed extends SpentBefore {
  atMs: number;
}

/** Where a caller stands with one rate, for the headers that its dialect has for that. */
interface RateState {
  limit: number;
  remaining: number;
  /** Milliseconds until all of it is there again. */
  resetMs: number;
}

export interface Rates {
  requests: RateState | null;
  tokens: RateState | null;
}

/** When a request asks. */
export interface Moment {
  /** Monotonic: for rates and leases. */
  monotonicMs: number;
  /** UTC: for budgets. */
  nowMs: number;
}

/** A bound that stood in the way, as it is told. */
type LimitCode =
  | "request_rate_limited"
  | "token_rate_limited"
  | "token_rate_exceeded"
  | "too_many_requests"
  | "budget_spent"
  | "budget_reserved";

/** Whether a key has a rate of either kind. */
export function hasRates({ requestsPerMinute, tokensPerMinute }: LimitRules): boolean {
  return requestsPerMinute !== undefined || tokensPerMinute !== undefined;
}

/** What one key holds and has used. */
class KeyState {
  readonly open = new Leases();
  readonly running = new Leases();
  readonly spending: Spending;
  requests: SlidingWindow | null = null;
  tokens: SlidingWindow | null = null;
  /** Of the token rate, by requests that run. */
  reservedTokens = 0;

  constructor(nowMs: number, seed: Seed | undefined) {
    this.spending = seed === undefined ? new Spending(nowMs) : new Spending(seed.atMs, seed);
  }
}

/**
 * Rates, concurrency and budgets of all keys, in memory.
 *
 * Checking and taking are one step of one thread, so that requests in parallel never get more than there is. What a request took
 * it holds in an `Admission`, which gives it back whole when the request is refused, and books what was really used when it was served.
 *
 * There is one state for each key that was used, at most as many as there are keys; `forget` drops one.
 */
export class KeyLimits {
  readonly #states = new Map<string, KeyState>();
  readonly #seeds: Map<string, Seed>;

  /** @param seeds What keys had used today and this month, by id. Taken over. */
  constructor(seeds: Map<string, Seed> = new Map()) {
    this.#seeds = seeds;
  }

  /**
   * Lets a request in whose head is known: request rate, and requests of the key that are there at all, waiting bodies included.
   *
   * @param maxOpen Bound of the process for any one key.
   * @param bodyMs Longest time that its body may take; the lease lives that long without being renewed.
   * @throws PosternError `request_rate_limited`, `too_many_requests`; nothing is held then.
   */
  admit(keyId: string, rules: LimitRules, maxOpen: number, bodyMs: number, at: Moment): Admission {
    const state = this.#stateOf(keyId, at.nowMs);
    const lease = state.open.acquire(maxOpen, at.monotonicMs, bodyMs);
    if (lease === null) throw new PosternError("too_many_requests", { retryAfterSeconds: 1 });
    const admission = new Admission(state, rules, lease);
    try {
      admission.countRequest(at);
    } catch (error) {
      admission.cancel();
      throw error;
    }
    return admission;
  }

  /** Where a key stands with its rates, reservations counted. */
  rates(keyId: string, { requestsPerMinute, tokensPerMinute }: LimitRules, monotonicMs: number): Rates {
    const state = this.#states.get(keyId);
    return {
      requests: rateState(requestsPerMinute, state?.requests ?? null, 0, monotonicMs),
      tokens: rateState(tokensPerMinute, state?.tokens ?? null, state?.reservedTokens ?? 0, monotonicMs),
    };
  }

  /** What a key used in the running day and month. */
  spent(keyId: string, nowMs: number): SpentBefore {
    return this.#stateOf(keyId, nowMs).spending.spent(nowMs);
  }

  /** Forgets a key that will not be used again. */
  forget(keyId: string): void {
    this.#states.delete(keyId);
    this.#seeds.delete(keyId);
  }

  /** Requests of a key that are there now. */
  open(keyId: string): number {
    return this.#states.get(keyId)?.open.size ?? 0;
  }

  /** Keys of which a state is kept. */
  get size(): number {
    return this.#states.size;
  }

  #stateOf(keyId: string, nowMs: number): KeyState {
    let state = this.#states.get(keyId);
    if (state === undefined) {
      state = new KeyState(nowMs, this.#seeds.get(keyId));
      this.#seeds.delete(keyId);
      this.#states.set(keyId, state);
    }
    return state;
  }
}

interface RefusalFields {
  message: string;
  retryAfterSeconds?: number;
  hint?: string;
  detail?: { budget: BudgetName };
}

/** What one request holds of its key's limits. Ends exactly once: `settle` when it was served, else `cancel`. */
export class Admission {
  readonly #state: KeyState;
  readonly #rules: LimitRules;
  readonly #open: Lease;
  #running: Lease | null = null;
  /** Of the request window; -1 while nothing was counted. */
  #stamp = -1;
  #reserved: Amount | null = null;
  #isEnded = false;
  /** Limits in shadow that stood in the way of it. */
  #shadow: LimitCode[] | null = null;

  constructor(state: KeyState, rules: LimitRules, open: Lease) {
    this.#state = state;
    this.#rules = rules;
    this.#open = open;
  }

  /** Counts the request in its rate. Called by `KeyLimits.admit`. @throws PosternError `request_rate_limited`. */
  countRequest({ monotonicMs }: Moment): void {
    const limit = this.#rules.requestsPerMinute;
    if (limit === undefined) return;
    this.#state.requests ??= new SlidingWindow();
    const window = this.#state.requests;
    if (window.sum(monotonicMs) + 1 > limit) {
      const seconds = secondsOf(window.waitMs(limit - 1, monotonicMs));
      this.#refuse("request_rate_limited", () => ({
        message: `This key may send ${limit} requests a minute. Try again in ${seconds}s`,
        retryAfterSeconds: seconds,
      }));
    }
    this.#stamp = window.add(1, monotonicMs);
  }

  /** Whether `reserve` needs to know what the request may use. */
  get needsAmount(): boolean {
    return this.#rules.tokensPerMinute !== undefined || this.#rules.budgets !== undefined;
  }

  /**
   * Takes what the request needs to run: a place, and as many tokens and as much money as it may use at most.
   *
   * @throws PosternError `too_many_requests`, `token_rate_limited`, `token_rate_exceeded`, `budget_spent`, `budget_reserved` (the last two
   *   name the budget in `detail.budget`). The caller cancels the admission then, or asks for less.
   */
  reserve(amount: Amount, at: Moment): void {
    const { concurrency } = this.#rules;
    if (concurrency !== undefined && this.#running === null) this.#takePlace(concurrency, at.monotonicMs);
    if (!this.needsAmount) return;
    this.#checkRate(amount.tokens, at.monotonicMs);
    this.#checkBudgets(amount, at.nowMs);
    this.#reserved = amount;
    this.#state.reservedTokens += amount.tokens;
    this.#state.spending.reserve(amount);
  }

  /** Says that the request runs. Call it more often than every `LEASE_TTL_MS`. */
  renew(monotonicMs: number): void {
    if (this.#isEnded) return;
    this.#state.open.renew(this.#open, monotonicMs);
    if (this.#running !== null) this.#state.running.renew(this.#running, monotonicMs);
  }

  /** Ends a request that was served: what it reserved is free again, what it used is booked. Idempotent. */
  settle(used: Amount, at: Moment): void {
    if (this.#isEnded) return;
    this.#end();
    if (this.#rules.tokensPerMinute !== undefined) {
      this.#state.tokens ??= new SlidingWindow();
      this.#state.tokens.add(used.tokens, at.monotonicMs);
    }
    this.#state.spending.spend(used, at.nowMs);
  }

  /** Ends a request that was not served: it costs nothing. Idempotent, and does nothing after `settle`. */
  cancel(): void {
    if (this.#isEnded) return;
    this.#end();
    if (this.#stamp !== -1) this.#state.requests?.remove(1, this.#stamp);
  }

  /** Limits in shadow that would have refused the request; null where none. */
  get shadow(): readonly string[] | null {
    return this.#shadow;
  }

  /** The budget whose soft edge is reached, or null. */
  softEdge(nowMs: number): BudgetState | null {
    const { budgets } = this.#rules;
    return budgets === undefined ? null : this.#state.spending.beyondSoft(budgets, nowMs);
  }

  #takePlace(max: number, monotonicMs: number): void {
    this.#running = this.#state.running.acquire(max, monotonicMs);
    if (this.#running !== null) return;
    this.#refuse("too_many_requests", () => ({
      message: `This key may have ${max} requests running at one time`,
      retryAfterSeconds: 1,
    }));
    this.#running = this.#state.running.acquire(Number.POSITIVE_INFINITY, monotonicMs);
  }

  #checkRate(tokens: number, monotonicMs: number): void {
    const limit = this.#rules.tokensPerMinute;
    if (limit === undefined) return;
    if (tokens > limit) {
      return this.#refuse("token_rate_exceeded", () => ({
        message: `The request may use up to ${tokens} tokens, and this key may use ${limit} a minute`,
        hint: "Ask for fewer tokens (`max_tokens`), or raise the key's limit.",
      }));
    }
    this.#state.tokens ??= new SlidingWindow();
    const window = this.#state.tokens;
    const reserved = this.#state.reservedTokens;
    if (window.sum(monotonicMs) + reserved + tokens <= limit) return;
    const room = limit - tokens - reserved;
    // Below zero nobody knows: it depends on when others end.
    const seconds = room < 0 ? 1 : secondsOf(window.waitMs(room, monotonicMs));
    this.#refuse("token_rate_limited", () => ({
      message: `This key may use ${limit} tokens a minute, and the request may use up to ${tokens}. Try again in ${seconds}s`,
      retryAfterSeconds: seconds,
    }));
  }

  #checkBudgets(amount: Amount, nowMs: number): void {
    const { budgets } = this.#rules;
    const beyond = budgets === undefined ? null : this.#state.spending.beyondHard(budgets, amount, nowMs);
    if (beyond === null) return;
    if (!beyond.isFinal) {
      return this.#refuse("budget_reserved", () => ({
        message: "What is left of this key's budget is reserved by requests that run",
        retryAfterSeconds: 5,
        detail: { budget: beyond.name },
      }));
    }
    this.#refuse("budget_spent", () => ({
      message: spentMessage(beyond, amount, nowMs),
      retryAfterSeconds: secondsOf(beyond.resetMs),
      detail: { budget: beyond.name },
    }));
  }

  #refuse(code: LimitCode, fields: () => RefusalFields): void {
    if (this.#rules.shadow !== true) throw new PosternError(code, fields());
    this.#shadow ??= [];
    this.#shadow.push(code);
  }

  #end(): void {
    this.#isEnded = true;
    this.#state.open.release(this.#open);
    if (this.#running !== null) this.#state.running.release(this.#running);
    if (this.#reserved === null) return;
    this.#state.reservedTokens -= this.#reserved.tokens;
    this.#state.spending.unreserve(this.#reserved);
  }
}

function rateState(
  limit: number | undefined,
  window: SlidingWindow | null,
  reserved: number,
  monotonicMs: number,
): RateState | null {
  if (limit === undefined) return null;
  const used = (window?.sum(monotonicMs) ?? 0) + reserved;
  return { limit, remaining: Math.max(0, limit - used), resetMs: window?.waitMs(0, monotonicMs) ?? 0 };
}

/** The wording is one that clients know from Anthropic's own gateway (reference: engine-apis §4.2). */
function spentMessage({ name, spent, limit, resetMs }: BudgetState, amount: Amount, nowMs: number): string {
  const what = isMoney(name) ? "Spend limit" : "Token budget";
  const unit = isMoney(name) ? "micro-dollars" : "tokens";
  const resets = new Date(nowMs + resetMs).toISOString().replace(/\.\d+Z$/, "Z");
  const start = `${what} reached (${isDaily(name) ? "daily" : "monthly"}; resets ${resets})`;
  if (spent >= limit) return start;
  const wanted = isMoney(name) ? amount.costMicros : amount.tokens;
  return `${start}: the request may use up to ${wanted} ${unit}, and ${limit - spent} are left`;
}

function secondsOf(ms: number): number {
  return Math.max(1, Math.ceil(ms / 1000));
}
