import { readFile, stat } from "node:fs/promises";
import type { Clock, Timer } from "../lib/clock.ts";
import { readKeySet, type SigningKey } from "./access-jwt.ts";

/** Keys are read again after this long. Cloudflare changes them every six weeks, and keeps the old one for a week. */
const REFRESH_MS = 60 * 60_000;
/** Least time between two readings, whatever assertions say they are signed with. */
const LEAST_MS = 60_000;
/** Keys that could not be read again for this long are no longer believed. */
const LONGEST_MS = 24 * 60 * 60_000;
/** Largest key set. */
const MAX_BYTES = 256 * 1024;
const FETCH_TIMEOUT_MS = 10_000;

export interface AccessKeysParts {
  /** Reads the key set's text. */
  load(): Promise<string>;
  clock: Clock;
  onFailure(error: unknown): void;
}

/**
 * The keys of an Access team, in memory. Asking never waits: a key that is not known starts a reading, at most one a minute, and
 * the request that brought it is refused.
 */
export class AccessKeys {
  readonly #parts: AccessKeysParts;
  #keys = new Map<string, SigningKey>();
  #readAtMs: number | null = null;
  #triedAtMs: number | null = null;
  #reading: Promise<void> | null = null;
  #timer: Timer | null = null;
  #isStopped = false;

  constructor(parts: AccessKeysParts) {
    this.#parts = parts;
  }

  /** Reads the keys for the first time, and from then on every hour. Resolves also when they could not be read. */
  start(): Promise<void> {
    return this.#read();
  }

  stop(): void {
    this.#isStopped = true;
    this.#timer?.cancel();
  }

  find(kid: string): SigningKey | undefined {
    const nowMs = this.#parts.clock.monotonicMs();
    const isFresh = this.#readAtMs !== null && nowMs - this.#readAtMs < LONGEST_MS;
    const key = isFresh ? this.#keys.get(kid) : undefined;
    if (key === undefined && (this.#triedAtMs === null || nowMs - this.#triedAtMs >= LEAST_MS)) void this.#read();
    return key;
  }

  #read(): Promise<void> {
    this.#reading ??= this.#readOnce().finally(() => {
      this.#reading = null;
    });
    return this.#reading;
  }

  async #readOnce(): Promise<void> {
    const { clock, load, onFailure } = this.#parts;
    this.#triedAtMs = clock.monotonicMs();
    let nextMs = REFRESH_MS;
    try {
      this.#keys = readKeySet(await load());
      this.#readAtMs = clock.monotonicMs();
    } catch (error) {
      nextMs = LEAST_MS;
      onFailure(error);
    }
    this.#timer?.cancel();
    if (!this.#isStopped) this.#timer = clock.after(nextMs, () => void this.#read());
  }
}

/** The key set in a file. Rejects when it is too large or cannot be read. */
export async function readKeyFile(path: string): Promise<string> {
  if ((await stat(path)).size > MAX_BYTES) throw new Error(`${path} is larger than a key set`);
  return readFile(path, "utf8");
}

/** The key set that a team publishes. Rejects for anything but a 200 of a bounded size from that very address. */
export async function fetchKeys(url: string): Promise<string> {
  // Only where keys are fetched: the library is 7 MB of memory.
  const { request } = await import("undici");
  const answer = await request(url, {
    headersTimeout: FETCH_TIMEOUT_MS,
    bodyTimeout: FETCH_TIMEOUT_MS,
    signal: AbortSignal.timeout(FETCH_TIMEOUT_MS),
  });
  const parts: Buffer[] = [];
  let length = 0;
  for await (const part of answer.body) {
    length += (part as Buffer).length;
    if (length > MAX_BYTES) {
      answer.body.destroy();
      throw new Error("the key set is too large");
    }
    parts.push(part as Buffer);
  }
  if (answer.statusCode !== 200) throw new Error(`the key set's address answered with ${answer.statusCode}`);
  return Buffer.concat(parts).toString("utf8");
}
