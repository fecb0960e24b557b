import { isUtf8 } from "node:buffer";
import { PosternError } from "../errors.ts";
import { decodeString, JsonScanner, nameBit, type ValueEnds } from "./json-scanner.ts";

/** Bounds of the strict scan. */
export interface ScanLimits {
  /** Nesting of arrays and objects. Default 64. */
  maxDepth: number;
  /** Values of all kinds together. Default 200,000. */
  maxValues: number;
}

/** Bounds used where the operator sets none. */
export const DEFAULT_SCAN_LIMITS: ScanLimits = { maxDepth: 64, maxValues: 200_000 };

/** What a JSON value is, told by its first byte. */
export type ValueKind = "string" | "number" | "object" | "array" | "true" | "false" | "null";

/** A member of an object: where its value stands, and what kind it is. Offsets are into the scanned bytes. */
export interface Member {
  /** Decoded: `"mod\u0065l"` is `model`. */
  name: string;
  /** The name as the most lenient engine compares it. */
  folded: string;
  kind: ValueKind;
  /** First byte of the name's opening quote. */
  nameStart: number;
  valueStart: number;
  valueEnd: number;
}

/** What the scan found. Policy reads spans; nothing else is decoded. */
export interface BodyScan {
  bytes: Buffer;
  members: readonly Member[];
  /** Values of all kinds, below the top level too. */
  values: number;
  /** Escapes in all its strings: what makes a body of one size several times dearer to decode than another. */
  escapes: number;
  /** Which endings the names of nested members have, as bits. Ask `mayHoldName`. */
  nestedNames: readonly number[];
}

/**
 * Reads a request body once, strictly, and says where its top-level members stand.
 *
 * Accepted is exactly what RFC 8259 calls a JSON object in UTF-8 without a byte order mark. Names that are equal once
 * escapes are decoded and case is folded are refused at the top level (Go's encoding/json takes the last of `model` and
 * `MODEL`, other parsers the exact one); for nested objects `membersOf` does the same where policy looks into them.
 * Escapes of lone surrogates are let through, as the grammar does: policy compares names and models only exactly.
 *
 * @throws PosternError `body_encoding` (not UTF-8, byte order mark), `body_not_json`, `body_ambiguous`, `body_too_deep`.
 */
export function scanBody(bytes: Buffer, limits: ScanLimits = DEFAULT_SCAN_LIMITS): BodyScan {
  if (bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf) {
    throw new PosternError("body_encoding", { message: "The request body must not begin with a byte order mark" });
  }
  if (!isUtf8(bytes)) throw new PosternError("body_encoding", { message: "The request body is not valid UTF-8" });
  const scanner = new JsonScanner(bytes, limits);
  const start = scanner.skipSpace(0);
  if (bytes[start] !== 0x7b) {
    throw new PosternError("body_not_json", { message: "The request body must be a JSON object" });
  }
  const members: Member[] = [];
  const end = scanner.skipSpace(scanner.object(start, 1, members));
  if (end !== bytes.length) scanner.fail(end);
  if (scanner.ends !== null) SCANNERS.set(bytes, new JsonScanner(bytes, UNBOUNDED, scanner.ends));
  const { nestedNames, values, escapes } = scanner;
  return { bytes, members, nestedNames, values, escapes };
}

/**
 * The members of a nested object that policy looks into. An empty list when the member is not an object.
 *
 * @throws PosternError `body_ambiguous` when two names are equal once decoded and folded, `body_too_deep` beyond `MAX_LISTED_MEMBERS`.
 */
export function membersOf(bytes: Buffer, member: Pick<Member, "kind" | "valueStart">): Member[] {
  if (member.kind !== "object") return [];
  const members: Member[] = [];
  scannerOf(bytes).object(member.valueStart, 1, members);
  return members;
}

/** The elements of an array, as unnamed members. An empty list when the value is not an array. For bytes that `scanBody` has accepted. */
export function elementsOf(bytes: Buffer, member: Pick<Member, "kind" | "valueStart">): Member[] {
  if (member.kind !== "array") return [];
  const elements: Member[] = [];
  scannerOf(bytes).array(member.valueStart, 1, elements);
  return elements;
}

/** One scanner for all looks into the same bytes: policy takes thousands of them at the parts of a long conversation. */
function scannerOf(bytes: Buffer): JsonScanner {
  let scanner = SCANNERS.get(bytes);
  if (scanner === undefined) {
    scanner = new JsonScanner(bytes, UNBOUNDED, NOTHING_KNOWN);
    SCANNERS.set(bytes, scanner);
  }
  return scanner;
}

const SCANNERS = new WeakMap<Buffer, JsonScanner>();
const NOTHING_KNOWN: ValueEnds = new Map();

/**
 * Whether a member below the top level may have a name that ends in these three ASCII characters. Never false when one
 * has; now and then true when none has. Policy asks before it looks into a large value.
 *
 * @throws RangeError when the ending is not three characters long.
 */
export function mayHoldName({ nestedNames }: Pick<BodyScan, "nestedNames">, ending: string): boolean {
  if (ending.length !== 3) throw new RangeError("an ending is three characters long");
  const bit = nameBit(ending.charCodeAt(0), ending.charCodeAt(1), ending.charCodeAt(2));
  return ((nestedNames[bit >> 4] as number) & (1 << (bit & 15))) !== 0;
}

/** The member of this exact name, or undefined. */
export function findMember(members: readonly Member[], name: string): Member | undefined {
  for (const member of members) if (member.name === name) return member;
  return undefined;
}

/** Most of a string that is decoded for policy: no word that it knows, and no name of a model, is near that long. */
export const MAX_READ_BYTES = 4096;

/** The string that stands at a member's span, decoded, of a longer one than `MAX_READ_BYTES` its beginning; null when it is not a string. */
export function readString(bytes: Buffer, { kind, valueStart, valueEnd }: Member): string | null {
  if (kind !== "string") return null;
  if (valueEnd - valueStart <= MAX_READ_BYTES) return decodeString(bytes, valueStart, valueEnd);
  return decodeBeginning(bytes.toString("utf8", valueStart + 1, valueStart + MAX_READ_BYTES));
}

/** Decodes a text that may have been cut in the middle of an escape. */
function decodeBeginning(text: string): string {
  for (let end = text.length; end > text.length - MAX_ESCAPE_LENGTH; end--) {
    try {
      return String(JSON.parse(`"${text.slice(0, end)}"`));
    } catch {
      // Cut in the middle of an escape.
    }
  }
  return "";
}

const MAX_ESCAPE_LENGTH = 6;

/** True or false as written; null when the member is neither. */
export function readBoolean(member: Member): boolean | null {
  return member.kind === "true" ? true : member.kind === "false" ? false : null;
}

/** The integer at a member's span; null when it is not a number, not whole, or not exact in a double. */
export function readInteger(bytes: Buffer, member: Member): number | null {
  if (member.kind !== "number" || member.valueEnd - member.valueStart > MAX_INTEGER_BYTES) return null;
  const value = Number(bytes.toString("latin1", member.valueStart, member.valueEnd));
  return Number.isSafeInteger(value) ? value : null;
}

const MAX_INTEGER_BYTES = 32;
const UNBOUNDED: ScanLimits = { maxDepth: Number.POSITIVE_INFINITY, maxValues: Number.POSITIVE_INFINITY };
