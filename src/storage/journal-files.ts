import { mkdirSync, openSync, readdirSync, statSync, writeSync } from "node:fs";
import { open } from "node:fs/promises";
import { join } from "node:path";

/** One file of the journal. The newest is written, older ones only wait to be taken in. */
export interface JournalFile {
  /** Rises by one per file and start; never used twice. */
  number: number;
  path: string;
  /** Bytes that are in it, a torn end included. */
  bytes: number;
}

/** The two system calls on the request path, replaceable so that tests can fill the disk. */
export interface JournalDisk {
  /** Makes a new file (mode 0600) and gives its descriptor. */
  create(path: string): number;
  /** `write(2)` of the first `length` bytes: returns those that went in, fewer than asked on a disk that is nearly full. */
  append(fd: number, bytes: Uint8Array, length: number): number;
}

/** The machine's disk. */
export const systemDisk: JournalDisk = {
  create: (path) => openSync(path, "ax", 0o600),
  append: (fd, bytes, length) => writeSync(fd, bytes, 0, length),
};

const NAME = /^journal-(\d{10})\.log$/;

/** Where the file of that number is. */
export function journalPath(folder: string, number: number): string {
  return join(folder, `journal-${String(number).padStart(10, "0")}.log`);
}

/** The files that an earlier run left, oldest first. Makes the folder (mode 0700) if there is none. */
export function listJournalFiles(folder: string): JournalFile[] {
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  return readdirSync(folder)
    .flatMap((name) => {
      const digits = NAME.exec(name)?.[1];
      const path = join(folder, name);
      return digits === undefined ? [] : [{ number: Number(digits), path, bytes: statSync(path).size }];
    })
    .sort((first, second) => first.number - second.number);
}

/** What `readLines` found. */
export interface LineBlock {
  /** Whole lines, possibly none. */
  lines: Uint8Array;
  /** Where to read on. */
  nextOffset: number;
  /** Bytes were passed over that are no whole line: a torn end, or a line that is too long to be ours. */
  isTorn: boolean;
}

/**
 * Reads whole lines from a place in a file.
 *
 * @param limitBytes Size of the block; longer lines are passed over.
 * @param isGrowing Whether the file is still written: its end is then not torn but not there yet.
 */
export async function readLines(
  file: JournalFile,
  offset: number,
  limitBytes: number,
  isGrowing: boolean,
): Promise<LineBlock> {
  const wanted = Math.min(limitBytes, file.bytes - offset);
  const block = await readBytes(file.path, offset, wanted);
  const length = block.lastIndexOf(0x0a) + 1;
  if (length === block.byteLength && length > 0) return { lines: block, nextOffset: offset + length, isTorn: false };
  if (length > 0) return { lines: block.slice(0, length), nextOffset: offset + length, isTorn: false };
  const isAtEnd = wanted < limitBytes;
  if (isAtEnd && isGrowing) return { lines: block.slice(0, 0), nextOffset: offset, isTorn: false };
  return { lines: block.slice(0, 0), nextOffset: offset + wanted, isTorn: true };
}

/** A buffer of its own, because it will be handed to another thread. Shorter than asked only if the file was cut. */
async function readBytes(path: string, offset: number, length: number): Promise<Uint8Array> {
  const bytes = new Uint8Array(length);
  const handle = await open(path, "r");
  try {
    let filled = 0;
    while (filled < length) {
      const { bytesRead } = await handle.read(bytes, filled, length - filled, offset + filled);
      if (bytesRead === 0) return bytes.slice(0, filled);
      filled += bytesRead;
    }
    return bytes;
  } finally {
    await handle.close();
  }
}
