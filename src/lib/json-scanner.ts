import { PosternError } from "../errors.ts";
import { decodedName, plainName } from "./json-name.ts";
import type { Member, ScanLimits, ValueKind } from "./json-scan.ts";

/** Most members of one object whose members are listed. Names are decoded and kept for these alone. */
export const MAX_LISTED_MEMBERS = 256;

/** Longest name of a listed member, as written. No dialect has one that is near it, and names are decoded and folded. */
export const MAX_NAME_BYTES = 1024;

/** In bodies from this size on, values of at least so many bytes are remembered with their ends: policy does not pass over them again. */
const REMEMBERING_FROM_BYTES = 2 * 1024 * 1024;
const REMEMBERED_BYTES = 256;
/** Most values that are remembered. Beyond it policy reads again what it looks into. */
const MAX_REMEMBERED = 131_072;

/** Ends of long values, by where they begin. */
export type ValueEnds = ReadonlyMap<number, number>;

/** Recursive descent over bytes. Positions in, positions out; nothing is decoded but listed names. */
export class JsonScanner {
  readonly #bytes: Buffer;
  readonly #limits: ScanLimits;
  /** The whole backing store as 32-bit words, made when the first long string is met. */
  #words: Int32Array | null = null;
  #values = 0;
  #escapes = 0;
  /** Whether a string since the last reset had an escape. */
  #hasEscape = false;
  /** What an earlier scan of the same bytes has found; then nothing is remembered again. */
  readonly #known: ValueEnds | null;
  readonly #rememberedBytes: number;
  #ends: Map<number, number> | null = null;
  /** See `BodyScan.nestedNames`. */
  readonly nestedNames: number[];

  /** @param known Of a scan that has accepted these bytes: its values are stepped over. */
  constructor(bytes: Buffer, limits: ScanLimits, known: ValueEnds | null = null) {
    this.#bytes = bytes;
    this.#limits = limits;
    this.#known = known;
    const isRemembering = known === null && bytes.length >= REMEMBERING_FROM_BYTES;
    this.#rememberedBytes = isRemembering ? REMEMBERED_BYTES : Number.MAX_SAFE_INTEGER;
    this.nestedNames = NO_NAMES.slice();
  }

  get ends(): ValueEnds | null {
    return this.#ends;
  }

  /** Escapes in strings passed over so far. */
  get escapes(): number {
    return this.#escapes;
  }

  /** Values passed over so far. */
  get values(): number {
    return this.#values;
  }

  fail(at: number): never {
    const where = at >= this.#bytes.length ? "it ends too early" : `byte ${at}`;
    throw new PosternError("body_not_json", { message: `The request body is not valid JSON (${where})` });
  }

  skipSpace(from: number): number {
    const bytes = this.#bytes;
    let at = from;
    for (; at < bytes.length; at++) {
      const byte = bytes[at];
      if (byte !== 0x20 && byte !== 0x0a && byte !== 0x0d && byte !== 0x09) break;
    }
    return at;
  }

  /** Passes over the object that begins at `from`; lists its members in `members` where given. Returns the position after it. */
  object(from: number, depth: number, members: Member[] | null): number {
    this.#enter(depth);
    const bytes = this.#bytes;
    let at = this.skipSpace(from + 1);
    if (bytes[at] === CLOSE_BRACE) return at + 1;
    const seen = members === null ? null : new SeenNames();
    for (;;) {
      if (bytes[at] !== QUOTE) this.fail(at);
      const nameStart = at;
      this.#hasEscape = false;
      const nameEnd = this.#string(at);
      if (members === null) this.#noteName(nameStart, nameEnd);
      else if (nameEnd - nameStart > MAX_NAME_BYTES) throw nameTooLong();
      const isPlain = !this.#hasEscape;
      at = this.skipSpace(nameEnd);
      if (bytes[at] !== COLON) this.fail(at);
      const valueStart = this.skipSpace(at + 1);
      const valueEnd = this.#value(valueStart, depth);
      if (members !== null && seen !== null) {
        const { text, folded } = isPlain
          ? plainName(bytes, nameStart + 1, nameEnd - 1)
          : decodedName(decodeString(bytes, nameStart, nameEnd));
        if (!seen.add(folded)) throw ambiguous(text);
        if (members.length === MAX_LISTED_MEMBERS) throw tooMany();
        members.push({ name: text, folded, kind: kindOf(bytes, valueStart), nameStart, valueStart, valueEnd });
      }
      at = this.skipSpace(valueEnd);
      const byte = bytes[at];
      if (byte === CLOSE_BRACE) return at + 1;
      if (byte !== COMMA) this.fail(at);
      at = this.skipSpace(at + 1);
    }
  }

  /** Passes over the array that begins at `from`; lists its elements where `elements` is given. */
  array(from: number, depth: number, elements: Member[] | null): number {
    this.#enter(depth);
    const bytes = this.#bytes;
    let at = this.skipSpace(from + 1);
    if (bytes[at] === CLOSE_BRACKET) return at + 1;
    for (;;) {
      const valueEnd = this.#value(at, depth);
      if (elements !== null) {
        elements.push({ name: "", folded: "", kind: kindOf(bytes, at), nameStart: at, valueStart: at, valueEnd });
      }
      at = this.skipSpace(valueEnd);
      const byte = bytes[at];
      if (byte === CLOSE_BRACKET) return at + 1;
      if (byte !== COMMA) this.fail(at);
      at = this.skipSpace(at + 1);
    }
  }

  #noteName(start: number, end: number): void {
    if (this.#hasEscape) {
      this.nestedNames.fill(0xffff);
    } else if (end - start >= 5) {
      const bytes = this.#bytes;
      const bit = nameBit(bytes[end - 4] as number, bytes[end - 3] as number, bytes[end - 2] as number);
      this.nestedNames[bit >> 4] = (this.nestedNames[bit >> 4] as number) | (1 << (bit & 15));
    }
  }

  #enter(depth: number): void {
    if (depth > this.#limits.maxDepth) {
      throw new PosternError("body_too_deep", {
        message: `The request body is nested deeper than ${this.#limits.maxDepth} levels`,
      });
    }
  }

  #value(at: number, depth: number): number {
    if (++this.#values > this.#limits.maxValues) throw tooMany();
    const end = this.#known?.get(at) ?? this.#pass(at, depth);
    if (end - at >= this.#rememberedBytes) this.#remember(at, end);
    return end;
  }

  #remember(start: number, end: number): void {
    this.#ends ??= new Map();
    if (this.#ends.size < MAX_REMEMBERED) this.#ends.set(start, end);
  }

  #pass(at: number, depth: number): number {
    switch (this.#bytes[at]) {
      case QUOTE:
        return this.#string(at);
      case OPEN_BRACE:
        return this.object(at, depth + 1, null);
      case OPEN_BRACKET:
        return this.array(at, depth + 1, null);
      case 0x74:
        return this.#word(at, TRUE);
      case 0x66:
        return this.#word(at, FALSE);
      case 0x6e:
        return this.#word(at, NULL);
      default:
        return this.#number(at);
    }
  }

  #word(from: number, word: Buffer): number {
    for (let index = 0; index < word.length; index++) {
      if (this.#bytes[from + index] !== word[index]) this.fail(from);
    }
    return from + word.length;
  }

  #number(from: number): number {
    const bytes = this.#bytes;
    let at = bytes[from] === 0x2d ? from + 1 : from;
    if (bytes[at] === 0x30) at++;
    else at = this.#digits(at);
    if (bytes[at] === 0x2e) at = this.#digits(at + 1);
    const exponent = bytes[at];
    if (exponent === 0x65 || exponent === 0x45) {
      const sign = bytes[at + 1];
      at = this.#digits(sign === 0x2b || sign === 0x2d ? at + 2 : at + 1);
    }
    return at;
  }

  /** At least one digit. */
  #digits(from: number): number {
    const bytes = this.#bytes;
    let at = from;
    for (; at < bytes.length; at++) {
      const byte = bytes[at] as number;
      if (byte < 0x30 || byte > 0x39) break;
    }
    if (at === from) this.fail(from);
    return at;
  }

  /** Passes over the string whose opening quote is at `from`. */
  #string(from: number): number {
    const bytes = this.#bytes;
    const end = bytes.length;
    let at = from + 1;
    let runEnd = at + WORDS_FROM_BYTES;
    for (;;) {
      while (at < end && IS_PLAIN[bytes[at] as number] === 1) {
        if (++at === runEnd) at = this.#skipPlain(at);
      }
      if (at >= end) this.fail(end);
      const byte = bytes[at];
      if (byte === QUOTE) return at + 1;
      if (byte !== BACKSLASH) this.fail(at);
      this.#hasEscape = true;
      // Escapes often come in rows: quoted code, line ends.
      do {
        this.#escapes++;
        at = IS_SHORT_ESCAPE[bytes[at + 1] as number] === 1 ? at + 2 : this.#longEscape(at);
      } while (bytes[at] === BACKSLASH);
      runEnd = at + WORDS_FROM_BYTES;
    }
  }

  /** The one escape that is longer than two bytes: `\uXXXX`. */
  #longEscape(at: number): number {
    const bytes = this.#bytes;
    if (bytes[at + 1] !== 0x75) this.fail(at);
    for (let index = at + 2; index < at + 6; index++) if (!isHex(bytes[index])) this.fail(at);
    return at + 6;
  }

  /**
   * Passes over plain bytes, four at a time: the usual "has a byte below" and "has a byte equal to" tricks on 32-bit words.
   * Stops at the first byte that is not plain, or up to three before it; the caller's loop goes on from there.
   */
  #skipPlain(from: number): number {
    const bytes = this.#bytes;
    this.#words ??= new Int32Array(bytes.buffer, 0, bytes.buffer.byteLength >> 2);
    const words = this.#words;
    const base = bytes.byteOffset;
    let at = from;
    for (; at < bytes.length && ((base + at) & 3) !== 0; at++) {
      if (IS_PLAIN[bytes[at] as number] === 0) return at;
    }
    const lastWord = (base + bytes.length) >> 2;
    let word = (base + at) >> 2;
    for (; word < lastWord; word++) {
      const four = words[word] as number;
      const quote = four ^ 0x22222222;
      const backslash = four ^ 0x5c5c5c5c;
      const hit =
        ((four - 0x20202020) & ~four) | ((quote - 0x01010101) & ~quote) | ((backslash - 0x01010101) & ~backslash);
      if ((hit & 0x80808080) !== 0) break;
    }
    return Math.max(at, word * 4 - base);
  }
}

/** Folded names of one object. Most objects have few, which are compared faster than a set is made. */
class SeenNames {
  readonly #few: string[] = [];
  #many: Set<string> | null = null;

  /** False when the name was there before. */
  add(name: string): boolean {
    if (this.#many !== null) {
      const { size } = this.#many;
      return this.#many.add(name).size > size;
    }
    if (this.#few.includes(name)) return false;
    this.#few.push(name);
    if (this.#few.length > FEW_NAMES) this.#many = new Set(this.#few);
    return true;
  }
}

const FEW_NAMES = 8;

function kindOf(bytes: Buffer, at: number): ValueKind {
  switch (bytes[at]) {
    case QUOTE:
      return "string";
    case OPEN_BRACE:
      return "object";
    case OPEN_BRACKET:
      return "array";
    case 0x74:
      return "true";
    case 0x66:
      return "false";
    case 0x6e:
      return "null";
    default:
      return "number";
  }
}

/** Decodes the string between two quotes; `start` and `end` are around the quotes. */
export function decodeString(bytes: Buffer, start: number, end: number): string {
  const text = bytes.toString("utf8", start + 1, end - 1);
  return text.includes("\\") ? String(JSON.parse(`"${text}"`)) : text;
}

function isHex(byte: number | undefined): boolean {
  if (byte === undefined) return false;
  const lower = byte | 0x20;
  return (byte >= 0x30 && byte <= 0x39) || (lower >= 0x61 && lower <= 0x66);
}

function ambiguous(name: string): PosternError {
  return new PosternError("body_ambiguous", {
    message: `The request body names the field "${name.slice(0, 64)}" twice (case does not tell names apart)`,
    param: name.slice(0, 64),
  });
}

function nameTooLong(): PosternError {
  return new PosternError("body_invalid", {
    message: `The request body has a field whose name is longer than ${MAX_NAME_BYTES} bytes`,
  });
}

function tooMany(): PosternError {
  return new PosternError("body_too_deep", { message: "The request body has too many values" });
}

const NAME_BITS = 1024;
/** Sixteen bits to an element: such numbers need no memory of their own, and a plain array is made far faster than a typed one. */
const NO_NAMES: readonly number[] = new Array<number>(NAME_BITS / 16).fill(0);

/** Which bit of `nestedNames` stands for names that end in these three bytes. */
export function nameBit(first: number, second: number, third: number): number {
  return (first * 289 + second * 17 + third) % NAME_BITS;
}

const QUOTE = 0x22;
const COMMA = 0x2c;
const COLON = 0x3a;
const BACKSLASH = 0x5c;
const OPEN_BRACKET = 0x5b;
const CLOSE_BRACKET = 0x5d;
const OPEN_BRACE = 0x7b;
const CLOSE_BRACE = 0x7d;
const TRUE = Buffer.from("true");
const FALSE = Buffer.from("false");
const NULL = Buffer.from("null");

/** After this many plain bytes in a row the rest of the run is looked at four bytes at a time. */
const WORDS_FROM_BYTES = 12;
/** 1 for bytes that stand for themselves in a string: all but quote, backslash and control characters. */
const IS_PLAIN = Uint8Array.from({ length: 256 }, (_, byte) => (byte < 0x20 || byte === 0x22 || byte === 0x5c ? 0 : 1));

/** 1 for what may follow a backslash as a single byte. */
const IS_SHORT_ESCAPE = Uint8Array.from({ length: 256 }, (_, byte) =>
  '"\\/bfnrt'.includes(String.fromCharCode(byte)) ? 1 : 0,
);
