import { type BodyScan, findMember, mayHoldName } from "../../lib/json-scan.ts";
import { tokensFromBytes } from "../../lib/token-estimate.ts";
import { atOnce } from "../../lib/turns.ts";
import { findFolded, placesOf, visitBlocks } from "./content-blocks.ts";

/** What an image or a document costs at most, roughly: their base64 has nothing to do with it. */
const TOKENS_PER_MEDIUM = 1600;

/**
 * How many tokens a request to count_tokens or messages has, by its bytes: an estimate, for targets that cannot count
 * (Ollama, LM Studio) and before there is a target. Never a refusal: without this answer Claude Code counts by sending the
 * whole prompt to `/v1/messages` (reference: engine-apis §2, d).
 *
 * About four bytes to a token over `system`, `messages` and `tools`, JSON and all, which tends to count too many: clients use
 * the number to stay below a limit.
 *
 * @throws PosternError `body_ambiguous`, `body_too_deep`: for scans that the codec's `inspect` has not seen.
 */
export function countTokensEstimate(scan: BodyScan): number {
  let bytes = 0;
  let media = 0;
  for (const name of ["system", "messages", "tools"]) {
    const member = findMember(scan.members, name);
    if (member !== undefined) bytes += member.valueEnd - member.valueStart;
  }
  const messages = findMember(scan.members, "messages");
  if (messages !== undefined && mayHoldName(scan, "ata")) {
    const blocks = visitBlocks(scan.bytes, messages, placesOf(scan.bytes, messages, ['data"']), (_block, source) => {
      const data = source === null ? undefined : findFolded(source, "data");
      const kind = source === null ? undefined : findFolded(source, "type");
      if (data === undefined || kind === undefined) return;
      // `{"type":"text","data":…}` is a document in plain text.
      if (scan.bytes.toString("latin1", kind.valueStart, kind.valueEnd) === '"text"') return;
      bytes -= data.valueEnd - data.valueStart;
      media++;
    });
    atOnce(blocks);
  }
  return tokensFromBytes(bytes) + media * TOKENS_PER_MEDIUM;
}

/** The answer of count_tokens. */
export function countTokensBody(tokens: number): Buffer {
  return Buffer.from(JSON.stringify({ input_tokens: tokens }));
}
