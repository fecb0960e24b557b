import type { Edit } from "../../lib/byte-splice.ts";
import { splice } from "../../lib/byte-splice.ts";
import { elementsOf, findMember, membersOf, readString, scanBody } from "../../lib/json-scan.ts";

const THINKING = Buffer.from('"thinking"');
/** The body's own size is bounded by who read it. */
const ANSWER_LIMITS = { maxDepth: 64, maxValues: 50_000_000 };

/**
 * Gives every thought of a whole message a `signature`, an empty one where the engine left it out: Ollama does (0.17.4, recorded),
 * and the AI SDK then refuses the whole answer ("Invalid JSON response"). llama-server says an empty one itself.
 *
 * @param body A message that `readWholeMessage` has accepted.
 * @returns The same buffer where nothing is missing.
 */
export function signThinking(body: Buffer): Buffer {
  if (!body.includes(THINKING)) return body;
  const { bytes, members } = scanBody(body, ANSWER_LIMITS);
  const content = findMember(members, "content");
  if (content === undefined) return body;
  const edits: Edit[] = [];
  for (const block of elementsOf(bytes, content)) {
    const parts = membersOf(bytes, block);
    const type = findMember(parts, "type");
    if (type === undefined || readString(bytes, type) !== "thinking" || findMember(parts, "signature")) continue;
    const at = block.valueEnd - 1;
    edits.push({ start: at, end: at, text: ',"signature":""' });
  }
  return edits.length === 0 ? body : splice(bytes, edits);
}
