import type { Clock, Timer } from "../lib/clock.ts";
import { Contingency } from "./contingency.ts";
import {
  type ContingencyChange,
  type ContingencyRules,
  type Moment,
  type ProviderVerdict,
  readContingency,
  type ScopeView,
  writeContingency,
} from "./contingency-state.ts";

/** Under this name the state is in the store. */
export const CONTINGENCY_SETTING = "contingency";

/** How often it is looked whether something is over. */
const TICK_MS = 1000;
/** A wall clock that moved by more than this against the monotonic one has jumped: the times that were saved are wrong then. */
const JUMP_MS = 5000;
/** Most changes that wait for the store; what is saved is the state, so that only the trail of older ones is lost. */
const MAX_UNSAVED = 256;

export interface ContingencyBookParts {
  rules: ContingencyRules;
  clock: Clock;
  /** What was saved; null: nothing yet. */
  saved: Uint8Array | null;
  /** Told of every change at once, whoever made it. Must not throw. */
  onChange(change: ContingencyChange): void;
  /** Keeps the state, with what changed by itself since the last time (nothing, where only the clock jumped). */
  save(bytes: Uint8Array, changes: readonly ContingencyChange[]): Promise<void>;
  /** The store did not take it; it is tried again with the next tick. */
  onFailure(error: unknown): void;
}

/** The contingency of one gateway, in step with what is saved of it: an order counts once the store has it. */
export class ContingencyBook {
  readonly #parts: ContingencyBookParts;
  readonly #state: Contingency;
  /** Whether what was saved could be read. */
  readonly isReadable: boolean;
  #unsaved: ContingencyChange[] = [];
  #isOrder = false;
  #isSaving = false;
  #needsSave = false;
  #driftMs: number;
  #timer: Timer | null = null;
  #last: Promise<unknown> = Promise.resolve();

  constructor(parts: ContingencyBookParts) {
    this.#parts = parts;
    this.#state = new Contingency(parts.rules, (change) => this.#changed(change));
    const at = this.#at();
    this.#driftMs = at.nowMs - at.monotonicMs;
    const saved = readContingency(parts.saved);
    this.isReadable = saved !== null;
    if (saved !== null) this.#state.restore(saved, at);
    this.#state.tick(at);
  }

  /** Begins to look at the clock; `stop` ends it. */
  start(): void {
    this.#timer = this.#parts.clock.after(TICK_MS, () => this.#tick());
  }

  /** Resolves when what was begun is written, and what changed since the last tick. */
  async stop(): Promise<void> {
    this.#timer?.cancel();
    this.#timer = null;
    await this.#inTurn(async () => {
      if (this.#needsSave) await this.#save();
    });
  }

  /** See `Contingency.verdict`. For every request: while everything is normal it does not even look at the clock. */
  verdict(workflow: string | undefined, hasProviders: boolean): ProviderVerdict | null {
    return this.#state.isNormal ? null : this.#state.verdict(workflow, hasProviders, this.#at());
  }

  /** See `Contingency.outcome`. */
  outcome(isFailure: boolean, canSwitch: () => boolean): void {
    this.#state.outcome(isFailure, this.#at(), canSwitch);
  }

  view(): ScopeView[] {
    return this.#state.view(this.#at());
  }

  /**
   * Makes a change that somebody ordered: it is tried on a copy, written, and only then made. One at a time.
   *
   * @param apply What to do; called twice, with equal states unless something changed by itself between. What it throws ends the change.
   * @param write Keeps the state and what the order was, in one transaction. Rejects where it cannot; nothing has changed then.
   */
  change<T>(
    apply: (state: Contingency, at: Moment) => T,
    write: (bytes: Uint8Array, before: ScopeView[], after: ScopeView[]) => Promise<void>,
  ): Promise<T> {
    return this.#inTurn(async () => {
      const at = this.#at();
      const copy = new Contingency(this.#parts.rules);
      copy.restore(this.#state.saved(at), at);
      copy.tick(at);
      const before = copy.view(at);
      apply(copy, at);
      await write(writeContingency(copy.saved(at)), before, copy.view(at));
      this.#isOrder = true;
      try {
        return apply(this.#state, this.#at());
      } finally {
        this.#isOrder = false;
      }
    });
  }

  #changed(change: ContingencyChange): void {
    if (!this.#isOrder && this.#unsaved.length < MAX_UNSAVED) this.#unsaved.push(change);
    if (!this.#isOrder) this.#needsSave = true;
    this.#parts.onChange(change);
  }

  #tick(): void {
    if (this.#timer === null) return;
    this.#timer = this.#parts.clock.after(TICK_MS, () => this.#tick());
    const at = this.#at();
    this.#state.tick(at);
    const driftMs = at.nowMs - at.monotonicMs;
    if (Math.abs(driftMs - this.#driftMs) > JUMP_MS) {
      this.#driftMs = driftMs;
      this.#needsSave = true;
    }
    if (!this.#needsSave || this.#isSaving) return;
    this.#isSaving = true;
    void this.#inTurn(() => this.#save());
  }

  async #save(): Promise<void> {
    const changes = this.#unsaved;
    this.#unsaved = [];
    this.#needsSave = false;
    try {
      await this.#parts.save(writeContingency(this.#state.saved(this.#at())), changes);
    } catch (error) {
      this.#unsaved = [...changes, ...this.#unsaved].slice(-MAX_UNSAVED);
      this.#needsSave = true;
      this.#parts.onFailure(error);
    } finally {
      this.#isSaving = false;
    }
  }

  #inTurn<T>(act: () => Promise<T>): Promise<T> {
    const mine = this.#last.then(act);
    this.#last = mine.catch(() => {});
    return mine;
  }

  #at(): Moment {
    const { clock } = this.#parts;
    return { nowMs: clock.nowMs(), monotonicMs: clock.monotonicMs() };
  }
}
