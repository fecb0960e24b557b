import { chmodSync, mkdirSync, readdirSync, rmSync, statSync } from "node:fs";
import { readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { PosternError } from "../errors.ts";
import type { Capture, CapturedPart, CaptureStore } from "./store.ts";

const FOLDER = "captures";
/** Most captures at one time; beyond it, and beyond the sum of bytes, the oldest go. */
export const MAX_CAPTURES = 100_000;
/** `REQUEST.EXPIRY.json` in a folder named for the key: when a capture ends must be known without reading it. */
const FILE_NAME = /^([0-9a-f-]{36})\.(\d{1,15})\.json$/;
const KEY_FOLDER = /^[0-9A-Za-z]{1,64}$/;

interface Kept {
  keyId: string;
  expiresAtMs: number;
  bytes: number;
}

export interface CaptureFilesOptions {
  /** The data folder. */
  folder: string;
  /** Sum of all files. */
  totalBytes: number;
}

/**
 * Prompts and answers in files of their own, 0600 in the data folder: not in the store, so that no backup carries them away, and
 * so that deleting one leaves nothing of it in a database's free pages.
 *
 * Everything that changes files runs one after the other; a key that was forgotten gets no capture that was begun before.
 */
export class CaptureFiles implements CaptureStore {
  readonly #root: string;
  readonly #totalBytes: number;
  /** Oldest first. */
  readonly #kept = new Map<string, Kept>();
  #bytes = 0;
  #last: Promise<unknown> = Promise.resolve();

  /** Looks at what is there. @throws PosternError `data_folder`. */
  constructor({ folder, totalBytes }: CaptureFilesOptions) {
    this.#root = join(folder, FOLDER);
    this.#totalBytes = totalBytes;
    try {
      this.#look();
    } catch (cause) {
      throw failure("read", this.#root, cause);
    }
  }

  /** How many there are, and how large they are together. */
  get size(): { count: number; bytes: number } {
    return { count: this.#kept.size, bytes: this.#bytes };
  }

  /** Ids of keys that have captures. */
  keys(): string[] {
    return [...new Set([...this.#kept.values()].map(({ keyId }) => keyId))];
  }

  /** @param isWanted Asked at the moment of writing. @returns Whether it was written. */
  write(capture: Capture, isWanted: () => boolean): Promise<boolean> {
    return this.#oneByOne(async () => {
      if (!isWanted()) return false;
      const { id, keyId, expiresAtMs } = capture;
      if (!FILE_NAME.test(`${id}.${expiresAtMs}.json`) || !KEY_FOLDER.test(keyId)) return false;
      const text = JSON.stringify({ ...capture, request: encode(capture.request), answer: encode(capture.answer) });
      try {
        mkdirSync(join(this.#root, keyId), { recursive: true, mode: 0o700 });
        await writeFile(this.#pathOf(id, capture), text, { mode: 0o600 });
      } catch (cause) {
        throw failure("write", this.#root, cause);
      }
      const bytes = Buffer.byteLength(text);
      this.#kept.set(id, { keyId, expiresAtMs, bytes });
      this.#bytes += bytes;
      await this.#makeRoom();
      return true;
    });
  }

  async read(id: string): Promise<Capture | null> {
    await this.#last;
    const kept = this.#kept.get(id);
    if (kept === undefined) return null;
    try {
      return decode(await readFile(this.#pathOf(id, kept), "utf8"));
    } catch (cause) {
      if ((cause as NodeJS.ErrnoException).code === "ENOENT") return null;
      throw failure("read", this.#root, cause);
    }
  }

  forgetKey(keyId: string): Promise<number> {
    return this.#oneByOne(async () => {
      const ids = [...this.#kept].flatMap(([id, kept]) => (kept.keyId === keyId ? [id] : []));
      for (const id of ids) this.#drop(id);
      // The folder as a whole: also what this process has not counted.
      if (KEY_FOLDER.test(keyId)) await this.#remove(join(this.#root, keyId));
      return ids.length;
    });
  }

  /** Deletes what is over. @returns how many that were. */
  forgetExpired(nowMs: number): Promise<number> {
    return this.#oneByOne(async () => {
      const over = [...this.#kept].filter(([, { expiresAtMs }]) => expiresAtMs <= nowMs);
      for (const [id, kept] of over) {
        await this.#remove(this.#pathOf(id, kept));
        this.#drop(id);
      }
      return over.length;
    });
  }

  #look(): void {
    for (const keyId of list(this.#root).filter((name) => KEY_FOLDER.test(name))) {
      const folder = join(this.#root, keyId);
      for (const name of list(folder)) {
        const [, id, expiresAtMs] = FILE_NAME.exec(name) ?? [];
        // What a crash left half-written has another name only where somebody put it there; it is not ours to keep.
        if (id === undefined) rmSync(join(folder, name), { recursive: true, force: true });
        else this.#kept.set(id, { keyId, expiresAtMs: Number(expiresAtMs), bytes: statSync(join(folder, name)).size });
      }
    }
    // Request ids are UUIDv7: their order is that of time.
    const ordered = [...this.#kept].sort(([a], [b]) => (a < b ? -1 : 1));
    this.#kept.clear();
    for (const [id, kept] of ordered) this.#kept.set(id, kept);
    this.#bytes = ordered.reduce((sum, [, { bytes }]) => sum + bytes, 0);
  }

  async #makeRoom(): Promise<void> {
    for (const [id, kept] of this.#kept) {
      if (this.#bytes <= this.#totalBytes && this.#kept.size <= MAX_CAPTURES) return;
      await this.#remove(this.#pathOf(id, kept));
      this.#drop(id);
    }
  }

  #drop(id: string): void {
    this.#bytes -= this.#kept.get(id)?.bytes ?? 0;
    this.#kept.delete(id);
  }

  async #remove(path: string): Promise<void> {
    try {
      await rm(path, { recursive: true, force: true });
    } catch (cause) {
      throw failure("delete", path, cause);
    }
  }

  #pathOf(id: string, { keyId, expiresAtMs }: Pick<Kept, "keyId" | "expiresAtMs">): string {
    return join(this.#root, keyId, `${id}.${expiresAtMs}.json`);
  }

  #oneByOne<T>(task: () => Promise<T>): Promise<T> {
    const mine = this.#last.then(task);
    this.#last = mine.catch(() => {});
    return mine;
  }
}

/** Names in a folder, which others may not read; none where it is not there. */
function list(folder: string): string[] {
  try {
    if (process.platform !== "win32") chmodSync(folder, 0o700);
    return readdirSync(folder);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "ENOENT" || code === "ENOTDIR") return [];
    throw error;
  }
}

function encode(part: CapturedPart | null) {
  return part === null ? null : { ...part, kept: part.kept.toString("base64") };
}

function decode(text: string): Capture {
  const { request, answer, ...about } = JSON.parse(text) as Capture & Record<"request" | "answer", EncodedPart | null>;
  const part = (one: EncodedPart | null) => (one === null ? null : { ...one, kept: Buffer.from(one.kept, "base64") });
  return { ...about, request: part(request), answer: part(answer) };
}

type EncodedPart = Omit<CapturedPart, "kept"> & { kept: string };

function failure(action: string, path: string, cause: unknown): PosternError {
  const code = (cause as NodeJS.ErrnoException).code ?? "unknown";
  return new PosternError("data_folder", {
    message: `Cannot ${action} captures in "${path}" (${code})`,
    hint: "The user who runs Postern must own the data folder, and the disk must have room.",
    cause,
  });
}
