import { close, fsync, mkdirSync, rmSync } from "node:fs";
import { open } from "node:fs/promises";
import type { Clock, Timer } from "../lib/clock.ts";
import { type JournalDisk, type JournalFile, journalPath } from "./journal-files.ts";

export interface JournalWriterOptions {
  folder: string;
  clock: Clock;
  disk: JournalDisk;
  /** Longest time that a line stays out of reach of a power cut; null leaves it to the operating system. */
  fsyncIntervalMs: number | null;
  /** A file that has grown so large is followed by the next one. */
  rotateBytes: number;
  /**
   * A file that has held lines so long is let go, full or not, so that it can be deleted: a record must not lie in the journal
   * of a quiet gateway until the store has pruned it, and count again after a kill.
   */
  rotateMs: number;
  /** All files together; above it lines are refused. */
  maxBytes: number;
  /** Called once when lines begin to be refused, and again after each `resume` that did not help. */
  onTrouble: () => void;
  /** Called when a file has been let go because of its age. */
  onAged: () => void;
}

/** What `append` and the drain see while the journal itself is full. */
export class JournalFull extends Error {}

/** Room for the lines of one turn, so that writing them leaves no garbage; more than fits has a buffer of its own. */
const BUFFER_BYTES = 256 * 1024;
const MOST_BYTES_PER_CHARACTER = 3;

interface ActiveFile {
  file: JournalFile;
  fd: number;
  /** Whole lines in it. A file without any is thrown away rather than kept with its torn end. */
  lines: number;
}

/**
 * Appends to the newest file of the journal, with one `write(2)` for all lines that come together.
 *
 * After the first failure it refuses everything until `resume`, which begins a new file: a torn line can therefore only be the
 * last one of a file, and nothing is ever written behind it.
 */
export class JournalWriter {
  /** Oldest first; the newest is the active one. */
  readonly files: JournalFile[];
  readonly #options: JournalWriterOptions;
  readonly #buffer = Buffer.allocUnsafeSlow(BUFFER_BYTES);
  #active: ActiveFile | null = null;
  #trouble: unknown = null;
  #nextNumber: number;
  #totalBytes: number;
  #syncTimer: Timer | null = null;
  #ageTimer: Timer | null = null;
  /** Files let go that are still being synced and closed. */
  #lettingGo: Promise<void> = Promise.resolve();

  constructor(files: JournalFile[], options: JournalWriterOptions) {
    this.files = files;
    this.#options = options;
    this.#nextNumber = (files.at(-1)?.number ?? 0) + 1;
    this.#totalBytes = files.reduce((sum, file) => sum + file.bytes, 0);
  }

  /** Makes the first file. A full disk is trouble like later ones; anything else throws. */
  start(): void {
    try {
      this.#startFile();
    } catch (error) {
      if (!isDiskFull(error)) throw error;
      this.#fail(error);
    }
  }

  /** Why lines are refused, or null. */
  get trouble(): unknown {
    return this.#trouble;
  }

  get totalBytes(): number {
    return this.#totalBytes;
  }

  /** Number of the file that the last line went into; 0 before the first. */
  get activeNumber(): number {
    return this.#active?.file.number ?? 0;
  }

  /**
   * Writes lines. Returns false, never throws, when the disk does not take all of it; then none of them counts, and those
   * that went in are known by their ids when they come again.
   */
  append(text: string, lines = 1): boolean {
    if (this.#trouble !== null) return false;
    try {
      const { disk, rotateBytes, maxBytes } = this.#options;
      if (this.#totalBytes >= maxBytes) throw new JournalFull(`The journal has reached ${maxBytes} bytes`);
      let active = this.#active;
      if (active === null || active.file.bytes >= rotateBytes) active = this.#startFile();
      const fits = text.length * MOST_BYTES_PER_CHARACTER <= BUFFER_BYTES;
      const bytes = fits ? this.#buffer : Buffer.from(text);
      const length = fits ? this.#buffer.write(text) : bytes.length;
      const written = disk.append(active.fd, bytes, length);
      active.file.bytes += written;
      this.#totalBytes += written;
      if (written !== length) throw Object.assign(new Error("short write"), { code: "ENOSPC" });
      if (active.lines === 0) this.#scheduleAge();
      active.lines += lines;
      if (this.#syncTimer === null) this.#scheduleSync();
      return true;
    } catch (error) {
      this.#fail(error);
      return false;
    }
  }

  /**
   * Begins a new file after trouble.
   *
   * @returns whether it is worth trying to write again.
   */
  resume(): boolean {
    if (this.#totalBytes >= this.#options.maxBytes) {
      this.#options.onTrouble();
      return false;
    }
    this.#trouble = null;
    const active = this.#active;
    if (active !== null && active.lines === 0) {
      this.#letGo();
      this.#remove(active.file);
    }
    try {
      this.#startFile();
      return true;
    } catch (error) {
      this.#fail(error);
      return false;
    }
  }

  /** Makes everything that was appended safe from a power cut. */
  async sync(): Promise<void> {
    this.#syncTimer?.cancel();
    this.#syncTimer = null;
    const fd = this.#active?.fd;
    if (fd !== undefined) await syncFile(fd);
    await this.#lettingGo;
  }

  /** Whether the file may still grow. */
  isActive(file: JournalFile): boolean {
    return this.#active?.file === file;
  }

  /** Deletes the oldest file. The caller knows that nothing in it is needed any more, or that somebody else has deleted it. */
  removeOldest(): void {
    const file = this.files[0];
    if (file === undefined) return;
    if (this.isActive(file)) this.#letGo();
    this.#remove(file);
  }

  /** Syncs and closes the active file, which then counts as an old one. */
  async close(): Promise<void> {
    this.#letGo();
    await this.#lettingGo;
  }

  #startFile(): ActiveFile {
    const { disk, folder } = this.#options;
    const number = this.#nextNumber;
    const path = journalPath(folder, number);
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    const fd = disk.create(path);
    this.#nextNumber += 1;
    this.#letGo();
    const file: JournalFile = { number, path, bytes: 0 };
    this.files.push(file);
    const active = { file, fd, lines: 0 };
    this.#active = active;
    syncFolder(folder);
    return active;
  }

  /** Lets the active file go: synced and closed in the background. */
  #letGo(): void {
    this.#syncTimer?.cancel();
    this.#syncTimer = null;
    this.#ageTimer?.cancel();
    const active = this.#active;
    this.#active = null;
    if (active === null) return;
    const before = this.#lettingGo;
    const ended = syncFile(active.fd)
      .catch(() => undefined)
      .then(() => close(active.fd, () => undefined));
    this.#lettingGo = before.then(() => ended);
  }

  #remove(file: JournalFile): void {
    rmSync(file.path, { force: true });
    this.files.splice(this.files.indexOf(file), 1);
    this.#totalBytes -= file.bytes;
  }

  #scheduleSync(): void {
    const { clock, fsyncIntervalMs } = this.#options;
    if (fsyncIntervalMs === null) return;
    this.#syncTimer = clock.after(fsyncIntervalMs, () => {
      this.sync().catch((error: unknown) => this.#fail(error));
    });
  }

  #scheduleAge(): void {
    this.#ageTimer = this.#options.clock.after(this.#options.rotateMs, () => {
      // A torn end must stay the end of its file, and the next try begins a new one anyway.
      if (this.#trouble !== null) return;
      this.#letGo();
      this.#options.onAged();
    });
  }

  #fail(error: unknown): void {
    this.#trouble = error;
    this.#options.onTrouble();
  }
}

/** Whether an error of the file system says that there is no room (or no quota) left. */
export function isDiskFull(error: unknown): boolean {
  const { code } = error as NodeJS.ErrnoException;
  return code === "ENOSPC" || code === "EDQUOT";
}

async function syncFile(fd: number): Promise<void> {
  await new Promise<void>((resolve, reject) => fsync(fd, (error) => (error === null ? resolve() : reject(error))));
}

/** Makes the name of a new file safe from a power cut. Best effort: not every platform can open a folder. */
function syncFolder(folder: string): void {
  open(folder, "r")
    .then((handle) => handle.sync().finally(() => handle.close()))
    .catch(() => undefined);
}
