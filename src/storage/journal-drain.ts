import { type PosternError, toPosternError } from "../errors.ts";
import type { Clock, Timer } from "../lib/clock.ts";
import { readLines } from "./journal-files.ts";
import type { JournalWriter } from "./journal-writer.ts";
import type { UsageStore } from "./store.ts";

export interface JournalDrainOptions {
  writer: JournalWriter;
  usage: Pick<UsageStore, "ingest">;
  clock: Clock;
  /** How long closed records are collected before they are taken in together. */
  intervalMs: number;
  /** Bytes per call of the store; the drain never holds more. */
  blockBytes: number;
  /** Writes the requests that are still open and were opened in that file or before into the active one; false if it cannot. */
  carryOpen: (fileNumber: number) => boolean;
}

/** Waits after the store refused a block: doubled each time up to the second figure. */
const RETRY_MS = 1_000;
const RETRY_MAX_MS = 30_000;

/**
 * Takes the journal into the store, block by block, oldest file first, and deletes each file once all of it is in the store
 * and the store has it on the disk.
 *
 * Only one run at a time. Where it stands is kept in memory only: after a start it begins at the beginning, and the store knows
 * what it has. A store that is slow, locked or gone holds it up and nothing else.
 */
export class JournalDrain {
  readonly #options: JournalDrainOptions;
  #offset = 0;
  #running: Promise<void> | null = null;
  #timer: Timer | null = null;
  #retryMs = RETRY_MS;
  #trouble: PosternError | null = null;
  #unreadable = 0;
  #isStopped = false;

  constructor(options: JournalDrainOptions) {
    this.#options = options;
  }

  /** Why the last run ended early, or null. */
  get trouble(): PosternError | null {
    return this.#trouble;
  }

  /** Lines passed over since the start because they are no records. */
  get unreadable(): number {
    return this.#unreadable;
  }

  /** Bytes of the journal that are not in the store yet. */
  get behindBytes(): number {
    return this.#options.writer.totalBytes - this.#offset;
  }

  /** Sees to it that a run comes within `intervalMs`, or after the wait that the last failure asked for. */
  schedule(): void {
    if (this.#timer !== null || this.#isStopped) return;
    const waitMs = this.#trouble === null ? this.#options.intervalMs : this.#retryMs;
    this.#timer = this.#options.clock.after(waitMs, () => {
      this.#timer = null;
      // The failure is kept in `trouble`, and the next run is scheduled there.
      this.run().catch(() => undefined);
    });
  }

  /** Takes in everything that is in the journal when it is called. Rejects with the store's refusal. */
  async run(): Promise<void> {
    // A run that is under way may be past what the caller wants to see taken in.
    await this.#running?.catch(() => undefined);
    this.#running ??= this.#takeAll().finally(() => {
      this.#running = null;
    });
    await this.#running;
  }

  /** Ends the schedule. A run under way goes on. */
  stop(): void {
    this.#isStopped = true;
    this.#timer?.cancel();
    this.#timer = null;
  }

  async #takeAll(): Promise<void> {
    try {
      // What comes meanwhile is left for the next run: under load there is always a little more, and a little costs as many
      // waits, messages and transactions as a whole block.
      const last = this.#options.writer.files.at(-1);
      const end = { number: last?.number ?? 0, bytes: last?.bytes ?? 0 };
      while (await this.#takeBlock(end));
      this.#trouble = null;
      this.#retryMs = RETRY_MS;
    } catch (error) {
      if (this.#trouble !== null) this.#retryMs = Math.min(this.#retryMs * 2, RETRY_MAX_MS);
      this.#trouble = toPosternError(error);
      this.schedule();
      throw this.#trouble;
    }
  }

  /** One step towards a place in the journal; false when there is nothing left to do. */
  async #takeBlock(end: { number: number; bytes: number }): Promise<boolean> {
    const { writer, usage, blockBytes, carryOpen } = this.#options;
    const file = writer.files[0];
    if (file === undefined || file.number > end.number) return false;
    const isGrowing = writer.isActive(file);
    if (this.#offset < file.bytes) {
      if (file.number === end.number && this.#offset >= end.bytes) return false;
      const block = await readLines(file, this.#offset, blockBytes, isGrowing).catch(unlessGone);
      if (block === null) {
        this.#unreadable += 1;
        writer.removeOldest();
        this.#offset = 0;
        return true;
      }
      if (block.isTorn) this.#unreadable += 1;
      else if (block.nextOffset === this.#offset) return false;
      if (block.lines.byteLength > 0) this.#unreadable += (await usage.ingest(block.lines)).unreadable;
      this.#offset = block.nextOffset;
      return true;
    }
    if (isGrowing || !carryOpen(file.number)) return false;
    // What was carried over, and what settles this file's interrupted requests, must be on the disk before the file goes.
    await writer.sync();
    writer.removeOldest();
    this.#offset = 0;
    return true;
  }
}

/** Null when somebody has deleted the file under us: what it held is lost, and waiting for it would hold up all the rest. */
function unlessGone(error: unknown): null {
  if ((error as NodeJS.ErrnoException).code === "ENOENT") return null;
  throw error;
}
