import { type BodyScan, findMember, type Member, membersOf, readInteger } from "../lib/json-scan.ts";
import { tokensFromBytes } from "../lib/token-estimate.ts";
import type { RequestFacts } from "./dialect.ts";
import type { Operation } from "./operations.ts";

/** What an answer is taken to need where the caller sets no bound. */
export const ASSUMED_OUTPUT_TOKENS = 1024;
/** What an image or a document costs at most, roughly: its base64 has nothing to do with it. */
const TOKENS_PER_MEDIUM = 1600;
/** A string that is at least this long and begins like base64 is a medium. Text has spaces or other characters long before. */
const LEAST_MEDIUM_BYTES = 2048;
const PROBE_BYTES = 256;
/** Strings of a body that are looked at, at most; the rest counts as text. */
const MAX_STRINGS = 200_000;

/**
 * What a request may use at most, before it runs: about four bytes of text to a token, and as many tokens of output as the
 * caller allows. Reserved, and put right by what was really used. Of a scan that the codec's `inspect` has accepted.
 */
export function estimateTokens(
  scan: BodyScan,
  facts: RequestFacts,
  operation: Pick<Operation, "canStream">,
): { tokensIn: number; tokensOut: number } {
  const tokensIn = facts.textBytes === undefined ? textTokens(scan.bytes) : tokensFromBytes(facts.textBytes);
  // What cannot stream (embeddings, rerank) writes nothing.
  return { tokensIn, tokensOut: operation.canStream ? outputTokens(scan, facts) : 0 };
}

function outputTokens({ bytes, members }: BodyScan, { clampedFields }: RequestFacts): number {
  // The largest bound: which of several an engine obeys is its own affair. A negative one means "as many as you like".
  let bound = -1;
  let choices = 1;
  for (const member of members) {
    switch (member.name) {
      case "max_tokens":
      case "max_completion_tokens":
      case "max_output_tokens":
        bound = Math.max(bound, read(member.name, member));
        break;
      case "options": {
        const nested = findMember(membersOf(bytes, member), "num_predict");
        if (nested !== undefined) bound = Math.max(bound, read("options.num_predict", nested));
        break;
      }
      case "n":
      case "best_of":
        choices = Math.max(choices, read(member.name, member));
        break;
    }
  }
  return (bound < 0 ? ASSUMED_OUTPUT_TOKENS : bound) * Math.min(MAX_CHOICES, choices);

  /** As the field policy leaves it; -1 where it is no whole number. */
  function read(name: string, member: Member): number {
    const clamped = clampedFields.length === 0 ? undefined : clampedFields.find((one) => one.name === name);
    return clamped?.to ?? readInteger(bytes, member) ?? -1;
  }
}

/** No field policy lets more answers through. */
const MAX_CHOICES = 1024;

function textTokens(bytes: Buffer): number {
  if (bytes.length < LEAST_MEDIUM_BYTES) return tokensFromBytes(bytes.length);
  let mediaBytes = 0;
  let media = 0;
  let start = bytes.indexOf(QUOTE);
  for (let strings = 0; start !== -1 && strings < MAX_STRINGS; strings++) {
    const end = bytes.indexOf(QUOTE, start + 1);
    if (end === -1) break;
    if (end - start > LEAST_MEDIUM_BYTES && beginsLikeBase64(bytes, start + 1)) {
      mediaBytes += end - start;
      media++;
    }
    start = end;
  }
  return tokensFromBytes(bytes.length - mediaBytes) + media * TOKENS_PER_MEDIUM;
}

const QUOTE = 0x22;
const BASE64 = /^(?:data:[a-z0-9.+-]+\/[a-z0-9.+-]+;base64,)?[A-Za-z0-9+/_\\-]+$/;

function beginsLikeBase64(bytes: Buffer, start: number): boolean {
  return BASE64.test(bytes.toString("latin1", start, start + PROBE_BYTES));
}
