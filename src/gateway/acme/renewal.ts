import { X509Certificate } from "node:crypto";
import { createSecureContext } from "node:tls";
import { toPosternError } from "../../errors.ts";
import type { Clock, Timer } from "../../lib/clock.ts";
import type { CertificateState } from "../certificate-state.ts";
import type { AcmeFiles } from "./acme-files.ts";
import type { PemPair } from "./challenges.ts";

/** Longest time between two looks at the wall clock. Timers cannot wait for months, and machines sleep. */
const LOOK_EVERY_MS = 3_600_000;
const SHORTEST_WAIT_MS = 1_000;
/** Pauses after failures. Authorities allow some five failures an hour for each name. */
const FIRST_PAUSE_MS = 5 * 60_000;
const LONGEST_PAUSE_MS = 6 * 3_600_000;
/** A certificate is renewed after this part of its life, and up to `RENEW_SPREAD` of it later. */
const RENEW_AFTER = 2 / 3;
const RENEW_SPREAD = 0.05;

export interface RenewalParts {
  domains: readonly string[];
  files: AcmeFiles;
  clock: Clock;
  /** 0 to 1. */
  random: () => number;
  /** Orders a certificate; see `orderCertificate`. */
  order(signal: AbortSignal): Promise<PemPair>;
  /** A new certificate to show. */
  onCertificate(pair: PemPair): void;
  /** For the log: what went wrong, and that it is tried again. */
  onFailure(problem: string, nextTryAtMs: number): void;
}

/**
 * Keeps one certificate fresh: orders it when there is none, when its names changed and ahead of its end, and keeps the old
 * one whatever goes wrong.
 */
export class Renewal {
  readonly #parts: RenewalParts;
  readonly #stop = new AbortController();
  #pair: PemPair | null;
  #leaf: X509Certificate | null;
  #renewAtMs: number;
  #failures = 0;
  #problem: string | null = null;
  #nextTryAtMs: number | null = null;
  #isOrdering = false;
  #timer: Timer | null = null;

  constructor(parts: RenewalParts) {
    this.#parts = parts;
    this.#pair = parts.files.certificate();
    this.#leaf = leafOf(this.#pair);
    if (this.#leaf === null) this.#pair = null;
    this.#renewAtMs = this.#dueAtMs();
  }

  /** The certificate to show; null while there never was one. */
  get pair(): PemPair | null {
    return this.#pair;
  }

  start(): void {
    if (this.#stop.signal.aborted) return;
    const leftMs = this.#renewAtMs - this.#parts.clock.nowMs();
    if (leftMs <= 0) void this.#renew();
    else this.#wait(Math.min(LOOK_EVERY_MS, Math.max(SHORTEST_WAIT_MS, leftMs)));
  }

  stop(): void {
    this.#timer?.cancel();
    this.#stop.abort();
  }

  state(): CertificateState {
    return {
      source: "acme",
      names: [...this.#parts.domains],
      notAfterMs: this.#leaf === null ? null : this.#leaf.validToDate.getTime(),
      problem: this.#problem,
      nextTryAtMs: this.#isOrdering ? null : (this.#nextTryAtMs ?? (this.#pair === null ? null : this.#renewAtMs)),
    };
  }

  #wait(delayMs: number): void {
    this.#timer = this.#parts.clock.after(delayMs, () => this.start());
  }

  async #renew(): Promise<void> {
    const { files, order, onCertificate } = this.#parts;
    this.#isOrdering = true;
    this.#nextTryAtMs = null;
    try {
      const pair = await order(this.#stop.signal);
      if (this.#stop.signal.aborted) return;
      const leaf = leafOf(pair);
      if (leaf === null) throw new Error("the authority's certificate and our key do not belong together");
      this.#pair = pair;
      this.#leaf = leaf;
      this.#renewAtMs = this.#dueAtMs();
      this.#failures = 0;
      this.#problem = null;
      onCertificate(pair);
      files.keepCertificate(pair);
      this.#wait(SHORTEST_WAIT_MS);
    } catch (error) {
      if (!this.#stop.signal.aborted) this.#fail(error);
    } finally {
      this.#isOrdering = false;
    }
  }

  #fail(error: unknown): void {
    const { clock, random, onFailure } = this.#parts;
    const longestMs = Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** Math.min(this.#failures, 16));
    this.#failures += 1;
    const pauseMs = Math.round(longestMs * (0.75 + random() / 2));
    this.#problem = inWords(error);
    this.#nextTryAtMs = clock.nowMs() + pauseMs;
    onFailure(this.#problem, this.#nextTryAtMs);
    this.#wait(pauseMs);
  }

  /** Wall time from which the certificate must be ordered; 0: at once. */
  #dueAtMs(): number {
    const leaf = this.#leaf;
    if (leaf === null || !this.#parts.domains.every((name) => leaf.checkHost(name) !== undefined)) return 0;
    const fromMs = leaf.validFromDate.getTime();
    const lifeMs = leaf.validToDate.getTime() - fromMs;
    return Math.round(fromMs + lifeMs * (RENEW_AFTER + this.#parts.random() * RENEW_SPREAD));
  }
}

/** The certificate itself, or null where the pair is of no use. */
function leafOf(pair: PemPair | null): X509Certificate | null {
  if (pair === null) return null;
  try {
    createSecureContext({ cert: pair.cert, key: pair.key });
    return new X509Certificate(pair.cert);
  } catch {
    return null;
  }
}

function inWords(error: unknown): string {
  const known = toPosternError(error);
  if (known.code !== "internal") return known.message;
  return error instanceof Error ? error.message : String(error);
}
