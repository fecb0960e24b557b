import { join } from "node:path";
import { PosternError } from "../errors.ts";
import { type Clock, systemClock, type Timer } from "../lib/clock.ts";
import { LiveSet, type Placed } from "../lib/live-set.ts";
import type { Ledger, LedgerHealth, OpenRecord, RequestClosed, RequestOpened } from "../usage/record.ts";
import { JournalDrain } from "./journal-drain.ts";
import { type JournalDisk, listJournalFiles, systemDisk } from "./journal-files.ts";
import { closedLine, encodeOpened, openedLine } from "./journal-line.ts";
import { findInterrupted, settleInterrupted } from "./journal-recovery.ts";
import { isDiskFull, JournalFull, JournalWriter } from "./journal-writer.ts";
import type { UsageStore } from "./store.ts";

export interface JournalOptions {
  /** The data folder, which this process has locked (`openSqliteStore` does). The files lie in `journal` below it. */
  folder: string;
  usage: Pick<UsageStore, "ingest">;
  clock?: Clock;
  /** Longest time that a record stays out of reach of a power cut; null leaves it to the operating system. Default 1 s. */
  fsyncIntervalMs?: number | null;
  /** How long closed records are collected before they go into the store together. Default 1 s. */
  drainIntervalMs?: number;
  /** Bytes per call of the store. Default 1 MiB, some 2,000 records: a fifth less work for each than in blocks of 256 KiB. */
  blockBytes?: number;
  /** Size of a file. Default 8 MiB. */
  rotateBytes?: number;
  /** All files together, while the store takes nothing. Default 512 MiB, some 1,000,000 records. */
  maxBytes?: number;
  /** Records in memory, while the disk takes nothing. Default 16 MiB, some 45,000 records; further ones are lost and counted. */
  spoolBytes?: number;
  disk?: JournalDisk;
}

export interface JournalHealth extends LedgerHealth {
  /** Bytes on the disk that the store has not taken yet. */
  behindBytes: number;
  /** Lines passed over since the start because they are no records. */
  unreadable: number;
}

/** The ledger of a gateway: what the data plane writes, and how it gets into the store. */
export interface Journal extends Ledger {
  health(): JournalHealth;
  /** Takes everything that is closed by now into the store. Rejects with the store's refusal; nothing is lost then. */
  drain(): Promise<void>;
  /** Takes what it can into the store and closes the files. What the store did not take stays for the next start. */
  stop(): Promise<void>;
}

/** Requests open at once. Far above what an instance serves; those above it are not known after a kill, unless they have been closed. */
const OPEN_MAX = 100_000;
/** Age at which a file is followed by the next one. Far below any retention. */
const ROTATE_MS = 10 * 60 * 1_000;
/** Bytes that may wait for the end of the turn. */
const BATCH_BYTES = 64 * 1024;
/** How often a disk that took nothing is tried again. */
const RESUME_MS = 1_000;
/** In place of a file's number: the opened line could not be written. */
const NOT_WRITTEN = -1;

/**
 * Opens the journal: settles what a killed gateway left open as `interrupted`, begins a new file and goes on taking old ones
 * into the store in the background.
 *
 * A record costs two lines; those of one turn of the event loop are one `write(2)`, without waiting for the disk. The opened line is
 * repeated inside the closed one, so that taking records in needs no pairing. A SIGKILL between any two instructions loses no
 * record whose `close` has called back, and doubles none: the store knows records by their id.
 *
 * @throws PosternError `store_readonly` or `store_failed` when the files cannot be read or made. A full disk is no reason not to
 *   start: `health` says it.
 */
export async function openJournal(options: JournalOptions): Promise<Journal> {
  const folder = join(options.folder, "journal");
  try {
    const files = listJournalFiles(folder);
    const interrupted = await findInterrupted(files);
    const journal = new DiskJournal(folder, files, options);
    for (const opened of interrupted.opened) journal.settle(opened, settleInterrupted(opened, interrupted.lastSeenMs));
    return journal;
  } catch (error) {
    throw cannotOpen(folder, error);
  }
}

function cannotOpen(folder: string, error: unknown): PosternError {
  const { code } = error as NodeJS.ErrnoException;
  const isRefused = code === "EACCES" || code === "EPERM" || code === "EROFS";
  return new PosternError(isRefused ? "store_readonly" : "store_failed", {
    message: `Cannot open the journal in ${folder}: ${isRefused ? "this user may not write there" : reasonOf(error)}`,
    hint: "Give this user the data folder and the files in it (chown, chmod 700), or choose another one with --data.",
    detail: { folder },
    cause: error,
  });
}

class OpenRequest implements OpenRecord, Placed {
  /** Among the open ones; -1 where there were too many. */
  place = -1;
  /** The file that holds its opened line, or `NOT_WRITTEN`. */
  file = NOT_WRITTEN;
  readonly json: string;
  readonly #journal: DiskJournal;

  constructor(json: string, journal: DiskJournal) {
    this.json = json;
    this.#journal = journal;
  }

  close(record: RequestClosed, then?: () => void): void {
    this.#journal.close(this, record, then);
  }
}

/** A line that waits for the end of the turn. */
interface WaitingLine {
  line: string;
  /** The request that it opens; null for one that closes. */
  opens: OpenRequest | null;
  then: (() => void) | undefined;
}

class DiskJournal implements Journal {
  readonly #clock: Clock;
  readonly #writer: JournalWriter;
  readonly #drain: JournalDrain;
  readonly #spoolBytes: number;
  readonly #open = new LiveSet<OpenRequest>();
  /** In the order of their arrival; written together at the end of the turn. */
  #batch: WaitingLine[] = [];
  #batchText = "";
  /** Closed lines that the disk has not taken, oldest first. */
  #spool: string[] = [];
  #spooledBytes = 0;
  #lost = 0;
  #isLosing = false;
  #resumeTimer: Timer | null = null;
  #isStopped = false;

  constructor(folder: string, files: ReturnType<typeof listJournalFiles>, options: JournalOptions) {
    this.#clock = options.clock ?? systemClock;
    this.#spoolBytes = options.spoolBytes ?? 16 * 1024 * 1024;
    this.#writer = new JournalWriter(files, {
      folder,
      clock: this.#clock,
      disk: options.disk ?? systemDisk,
      fsyncIntervalMs: options.fsyncIntervalMs === undefined ? 1_000 : options.fsyncIntervalMs,
      rotateBytes: options.rotateBytes ?? 8 * 1024 * 1024,
      rotateMs: ROTATE_MS,
      maxBytes: options.maxBytes ?? 512 * 1024 * 1024,
      onTrouble: () => this.#scheduleResume(),
      onAged: () => this.#drain.schedule(),
    });
    this.#drain = new JournalDrain({
      writer: this.#writer,
      usage: options.usage,
      clock: this.#clock,
      intervalMs: options.drainIntervalMs ?? 1_000,
      blockBytes: options.blockBytes ?? 1024 * 1024,
      carryOpen: (fileNumber) => this.#carryOpen(fileNumber),
    });
    if (files.length > 0) this.#drain.schedule();
    this.#writer.start();
  }

  open(record: RequestOpened, then?: () => void): OpenRecord {
    const request = new OpenRequest(encodeOpened(record), this);
    if (this.#open.size >= OPEN_MAX) {
      if (then !== undefined) setImmediate(then);
      return request;
    }
    this.#open.add(request);
    this.#queue(openedLine(request.json), request, then);
    return request;
  }

  close(request: OpenRequest, record: RequestClosed, then?: () => void): void {
    this.#open.delete(request);
    this.#queue(closedLine(request.json, record), null, then);
  }

  /** Opens and closes at once: a request that an earlier run left open. */
  settle(opened: RequestOpened, closed: RequestClosed): void {
    this.#queue(closedLine(encodeOpened(opened), closed), null, undefined);
  }

  health(): JournalHealth {
    const diskTrouble = this.#writer.trouble;
    const storeTrouble = this.#drain.trouble;
    return {
      state: this.#isLosing ? "failing" : diskTrouble !== null || storeTrouble !== null ? "spooling" : "ok",
      reason: diskTrouble !== null ? this.#diskReason(diskTrouble) : storeTrouble !== null ? this.#storeReason() : null,
      waiting: this.#spool.length,
      lost: this.#lost,
      behindBytes: this.#drain.behindBytes,
      unreadable: this.#drain.unreadable,
    };
  }

  async drain(): Promise<void> {
    this.#writeBatch();
    if (this.#writer.trouble !== null) this.#resume();
    await this.#drain.run();
  }

  async stop(): Promise<void> {
    if (this.#isStopped) return;
    this.#isStopped = true;
    this.#writeBatch();
    this.#resumeTimer?.cancel();
    if (this.#writer.trouble !== null) this.#resume();
    this.#drain.stop();
    await this.#writer.close();
    // What the store refuses now is taken in at the next start.
    await this.#drain.run().catch(() => undefined);
    // Requests that are still open were carried into a file of their own; the next start settles them.
    await this.#writer.close();
  }

  #queue(line: string, opens: OpenRequest | null, then: (() => void) | undefined): void {
    this.#batch.push({ line, opens, then });
    this.#batchText += line;
    if (then === undefined || this.#batchText.length >= BATCH_BYTES) this.#writeBatch();
    else if (this.#batch.length === 1) setImmediate(this.#writeBatch);
  }

  readonly #writeBatch = (): void => {
    const batch = this.#batch;
    if (batch.length === 0) return;
    const text = this.#batchText;
    this.#batch = [];
    this.#batchText = "";
    const file = this.#writer.append(text, batch.length) ? this.#writer.activeNumber : NOT_WRITTEN;
    let hasClosed = false;
    for (const { line, opens } of batch) {
      if (opens !== null) opens.file = file;
      else if (file === NOT_WRITTEN) this.#keep(line);
      else hasClosed = true;
    }
    if (hasClosed) this.#drain.schedule();
    for (const { then } of batch) then?.();
  };

  #keep(line: string): void {
    if (this.#spooledBytes + line.length > this.#spoolBytes) {
      this.#lost += 1;
      this.#isLosing = true;
      return;
    }
    this.#spool.push(line);
    this.#spooledBytes += line.length;
  }

  #scheduleResume(): void {
    if (this.#resumeTimer !== null || this.#isStopped) return;
    this.#resumeTimer = this.#clock.after(RESUME_MS, () => {
      this.#resumeTimer = null;
      this.#resume();
    });
  }

  /** Tries the disk again: first what is open, so that a kill from now on finds it, then what is closed. */
  #resume(): void {
    if (!this.#writer.resume()) return;
    for (const request of this.#open.all()) {
      if (request.file === NOT_WRITTEN && !this.#rewrite(request)) return;
    }
    let written = 0;
    while (written < this.#spool.length && this.#writer.append(this.#spool[written] as string)) written += 1;
    for (const line of this.#spool.splice(0, written)) this.#spooledBytes -= line.length;
    if (written > 0) this.#drain.schedule();
    if (this.#writer.trouble === null) this.#isLosing = false;
  }

  /** Called before the files up to that number go. */
  #carryOpen(fileNumber: number): boolean {
    for (const request of this.#open.all()) {
      if (request.file !== NOT_WRITTEN && request.file <= fileNumber && !this.#rewrite(request)) return false;
    }
    return true;
  }

  #rewrite(request: OpenRequest): boolean {
    if (!this.#writer.append(openedLine(request.json))) return false;
    request.file = this.#writer.activeNumber;
    return true;
  }

  #diskReason(trouble: unknown): string {
    if (trouble instanceof JournalFull) return `${this.#storeReason()} The journal is full; records wait in memory.`;
    const what = isDiskFull(trouble)
      ? "The disk of the data folder is full"
      : `The journal cannot be written (${reasonOf(trouble)})`;
    return `${what}: usage records wait in memory. Free some space there; nothing has to be restarted.`;
  }

  #storeReason(): string {
    const trouble = this.#drain.trouble;
    const why = trouble === null ? "" : ` (${trouble.message})`;
    return `The store does not take usage records${why}: they wait in the journal and are tried again by themselves.`;
  }
}

function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
