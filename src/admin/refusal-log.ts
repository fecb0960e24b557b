import { addressGroup } from "../access/failure-limiter.ts";
import type { Clock, Timer } from "../lib/clock.ts";
import type { AuditActor, AuditDraft } from "../storage/audit-chain.ts";

/** A call that was refused. Nothing in it is the caller's own text. */
export interface Refusal {
  actor: AuditActor;
  /** `POST /keys`; `unknown` where there is no such route. */
  call: string;
  /** Our error code. */
  code: string;
  /** A user whose password was guessed at; null otherwise. */
  user: string | null;
}

/** Refusals with an entry of their own in one window; what comes beyond is counted. */
const SINGLE_ENTRIES = 20;
const WINDOW_MS = 60 * 60_000;
/** Addresses and calls that the entry about the rest names. */
const NAMED_MAX = 10;

export interface RefusalLogParts {
  clock: Clock;
  append(entry: AuditDraft): Promise<void>;
  onFailure(error: unknown): void;
}

/**
 * Puts refused calls into the audit trail, such that nobody fills the disk with them: at most 21 entries an hour, the last of
 * which sums up what the others left out.
 */
export class RefusalLog {
  readonly #parts: RefusalLogParts;
  #timer: Timer | null = null;
  #singles = 0;
  #rest = 0;
  readonly #codes = new Map<string, number>();
  readonly #addresses = new Map<string, number>();

  constructor(parts: RefusalLogParts) {
    this.#parts = parts;
  }

  /** Notes one. Returns at once. */
  refused({ actor, call, code, user }: Refusal): void {
    this.#timer ??= this.#parts.clock.after(WINDOW_MS, () => void this.flush());
    if (this.#singles < SINGLE_ENTRIES) {
      this.#singles += 1;
      const subject = user === null ? call : `user ${user}`;
      void this.#append({ actor, action: "refused", subject, before: null, after: { call, code } });
      return;
    }
    this.#rest += 1;
    count(this.#codes, code);
    count(this.#addresses, actor.address === null ? actor.kind : addressGroup(actor.address));
  }

  /** Writes the sum, if there is one, and begins a new window. */
  async flush(): Promise<void> {
    this.#timer?.cancel();
    this.#timer = null;
    this.#singles = 0;
    if (this.#rest === 0) return;
    const after = {
      count: this.#rest,
      codes: Object.fromEntries(this.#codes),
      addresses: Object.fromEntries(this.#addresses),
    };
    this.#rest = 0;
    this.#codes.clear();
    this.#addresses.clear();
    const actor = { kind: "gateway", id: null, name: "gateway", address: null };
    await this.#append({ actor, action: "refused-more", subject: "admin calls", before: null, after });
  }

  async #append(entry: Omit<AuditDraft, "atMs">): Promise<void> {
    const { append, clock, onFailure } = this.#parts;
    await append({ atMs: clock.nowMs(), ...entry }).catch(onFailure);
  }
}

function count(counts: Map<string, number>, name: string): void {
  const key = counts.has(name) || counts.size < NAMED_MAX ? name : "others";
  counts.set(key, (counts.get(key) ?? 0) + 1);
}
