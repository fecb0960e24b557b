import type { StoreReading } from "../../continuity/alerts/upkeep-findings.ts";
import type { LedgerHealth } from "../../usage/record.ts";

/** How often the store is asked: after trouble, asking is a write. */
const ASK_EVERY_MS = 30_000;

/** Whether what is written down is written down. The store is asked now and then, and what it said last counts. */
export class StoreWatch {
  readonly #health: () => Promise<string | null>;
  readonly #journal: () => LedgerHealth;
  #said: string | null = null;
  #askedMs = Number.NEGATIVE_INFINITY;
  #isAsking = false;

  constructor(health: () => Promise<string | null>, journal: () => LedgerHealth) {
    this.#health = health;
    this.#journal = journal;
  }

  read(monotonicMs: number): StoreReading {
    if (!this.#isAsking && monotonicMs - this.#askedMs >= ASK_EVERY_MS) this.#ask(monotonicMs);
    const { state, reason } = this.#journal();
    return { store: this.#said, journal: state === "ok" ? null : (reason ?? state) };
  }

  #ask(monotonicMs: number): void {
    this.#isAsking = true;
    this.#askedMs = monotonicMs;
    this.#health()
      .then(
        (said) => {
          this.#said = said;
        },
        (error: unknown) => {
          this.#said = String(error);
        },
      )
      .finally(() => {
        this.#isAsking = false;
      });
  }
}
