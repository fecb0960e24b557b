import { PosternError } from "../../errors.ts";
import { elementsOf, type Member, membersOf } from "../../lib/json-scan.ts";
import { PIECE_PARTS, type Pieces } from "../../lib/turns.ts";

/** Deepest content inside content: message, tool result, document, its blocks. */
const MAX_BLOCK_DEPTH = 4;

/** Offsets into a body, ascending; null stands for everywhere. */
export type Places = readonly number[] | null;

/** What a visitor is shown: the members of one block, and those of its `source` where that is an object. */
export type BlockVisitor = (block: readonly Member[], source: readonly Member[] | null) => void;

/**
 * Shows the content blocks of a list of messages that hold one of these places, those inside tool results and documents
 * included. Reads spans only, and looks into nothing that holds none: most of a long prompt is passed over once.
 *
 * Names are matched as engines written in Go match them: without regard to case.
 *
 * @param places Offsets into the bytes, ascending; null for every block.
 * @throws PosternError `body_ambiguous` (a block names something twice), `body_too_deep`.
 */
export function* visitBlocks(bytes: Buffer, messages: Member, places: Places, visit: BlockVisitor): Pieces<void> {
  if (places?.length === 0) return;
  let looked = 0;
  for (const message of elementsOf(bytes, messages)) {
    if (!holdsOne(places, message)) continue;
    if (++looked % PIECE_PARTS === 0) yield;
    const content = findFolded(membersOf(bytes, message), "content");
    if (content !== undefined) yield* visitContent(bytes, content, places, visit, 1);
  }
}

/** Longest value that is searched: a text that is made for it costs several nanoseconds for each of its bytes. */
const MAX_SEARCHED_BYTES = 2 * 1024 * 1024;

/**
 * Where any of these texts stands in a member's value, ascending; null, for everywhere, in a value that is too long to be searched.
 *
 * @param texts Such as cannot stand inside a JSON string, so that no prompt can be full of them.
 */
export function placesOf(bytes: Buffer, { valueStart, valueEnd }: Member, texts: readonly string[]): Places {
  if (valueEnd - valueStart > MAX_SEARCHED_BYTES) return null;
  const span = bytes.subarray(valueStart, valueEnd);
  const places: number[] = [];
  for (const text of texts) {
    for (let at = span.indexOf(text, 0, "latin1"); at !== -1; at = span.indexOf(text, at + text.length, "latin1")) {
      places.push(valueStart + at);
    }
  }
  return texts.length === 1 ? places : places.sort((a, b) => a - b);
}

/** The member whose name is this one when case is folded, as Go's encoding/json finds it; the name is in lower case. */
export function findFolded(members: readonly Member[], name: string): Member | undefined {
  return members.find(({ folded }) => folded === name);
}

function* visitContent(
  bytes: Buffer,
  content: Member,
  places: Places,
  visit: BlockVisitor,
  depth: number,
): Pieces<void> {
  if (content.kind !== "array") return;
  if (depth > MAX_BLOCK_DEPTH) {
    throw new PosternError("body_too_deep", { message: "Content is nested too deep", param: "messages" });
  }
  let looked = 0;
  for (const element of elementsOf(bytes, content)) {
    if (!holdsOne(places, element)) continue;
    if (++looked % PIECE_PARTS === 0) yield;
    const block = membersOf(bytes, element);
    if (block.length === 0) continue;
    const sourceMember = findFolded(block, "source");
    const source = sourceMember?.kind === "object" ? membersOf(bytes, sourceMember) : null;
    visit(block, source);
    for (const holder of [block, source]) {
      const inner = holder === null ? undefined : findFolded(holder, "content");
      if (inner !== undefined && holdsOne(places, inner)) yield* visitContent(bytes, inner, places, visit, depth + 1);
    }
  }
}

/** Whether one of the places lies in the value. */
function holdsOne(places: Places, { valueStart, valueEnd }: Member): boolean {
  if (places === null) return true;
  let low = 0;
  let high = places.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((places[middle] ?? 0) < valueStart) low = middle + 1;
    else high = middle;
  }
  const first = places[low];
  return first !== undefined && first < valueEnd;
}
