import { closeSync, fstatSync, openSync, readSync } from "node:fs";

/** Bytes per element of the fixed-size metadata types of GGUF, by type number; strings (8) and arrays (9) have none. */
const FIXED_SIZES: Readonly<Record<number, number>> = {
  0: 1,
  1: 1,
  2: 2,
  3: 2,
  4: 4,
  5: 4,
  6: 4,
  7: 1,
  10: 8,
  11: 8,
  12: 8,
};
const STRING = 8;
const ARRAY = 9;
/** More entries or tensors than this no model has. */
const MAX_ENTRIES = 100_000;
const MAX_ARRAY_LENGTH = 16_000_000;
const MAX_KEY_BYTES = 65_535;
const BLOCK_BYTES = 1024 * 1024;

/**
 * Says why a file cannot be a whole GGUF model, in plain words, or returns null when its header is sound.
 *
 * Walks the metadata only; tensors are llama.cpp's business. It exists because the library's own reader takes any garbage for
 * lengths and works on it for minutes, and because a download that was cut short is the most common fault of all. Synchronous,
 * because a vocabulary is hundreds of thousands of small steps: a few MB are read, in some 20 ms.
 *
 * @throws the file system's error when the file cannot be read.
 */
export function faultOfGguf(path: string): string | null {
  const file = openSync(path, "r");
  try {
    return walk(new Reader(file, fstatSync(file).size));
  } catch (error) {
    if (error instanceof CutShort) return "the file is cut short";
    throw error;
  } finally {
    closeSync(file);
  }
}

function walk(reader: Reader): string | null {
  if (reader.take(4).toString("latin1") !== "GGUF") return "it is not a GGUF file";
  const version = reader.take(4).readUInt32LE();
  if (version !== 2 && version !== 3) return `it is GGUF version ${version}, which is not supported`;
  const tensors = reader.uint64();
  const entries = reader.uint64();
  if (tensors > MAX_ENTRIES || entries > MAX_ENTRIES) return "its header is damaged";
  for (let entry = 0; entry < entries; entry += 1) {
    const keyBytes = reader.uint64();
    if (keyBytes > MAX_KEY_BYTES) return "its header is damaged";
    reader.skip(keyBytes);
    if (!skipValue(reader, reader.take(4).readUInt32LE())) return "its header is damaged";
  }
  return null;
}

function skipValue(reader: Reader, type: number): boolean {
  if (type === STRING) {
    reader.skip(reader.uint64());
    return true;
  }
  if (type !== ARRAY) return skipFixed(reader, type, 1);
  const elementType = reader.take(4).readUInt32LE();
  const length = reader.uint64();
  if (length > MAX_ARRAY_LENGTH) return false;
  if (elementType !== STRING) return skipFixed(reader, elementType, length);
  for (let index = 0; index < length; index += 1) reader.skip(reader.uint64());
  return true;
}

function skipFixed(reader: Reader, type: number, count: number): boolean {
  const size = FIXED_SIZES[type];
  if (size === undefined) return false;
  reader.skip(size * count);
  return true;
}

class CutShort extends Error {}

/** Reads a file forwards in blocks. */
class Reader {
  readonly #file: number;
  readonly #size: number;
  #block: Buffer = Buffer.alloc(0);
  #blockStart = 0;
  #at = 0;

  constructor(file: number, size: number) {
    this.#file = file;
    this.#size = size;
  }

  take(length: number): Buffer {
    const offset = this.#at - this.#blockStart;
    if (offset < 0 || offset + length > this.#block.length) {
      if (this.#at + length > this.#size) throw new CutShort();
      const block = Buffer.alloc(Math.min(BLOCK_BYTES, this.#size - this.#at));
      const bytesRead = readSync(this.#file, block, 0, block.length, this.#at);
      if (bytesRead < length) throw new CutShort();
      this.#block = block.subarray(0, bytesRead);
      this.#blockStart = this.#at;
      return this.take(length);
    }
    this.#at += length;
    return this.#block.subarray(offset, offset + length);
  }

  uint64(): number {
    return Number(this.take(8).readBigUInt64LE());
  }

  skip(length: number): void {
    if (this.#at + length > this.#size) throw new CutShort();
    this.#at += length;
  }
}
