import { PosternError } from "../../errors.ts";
import { elementsOf, type Member, membersOf } from "../../lib/json-scan.ts";
import { foldName } from "../../lib/json-scanner.ts";

/** Deepest content inside content: message, tool result, document, its blocks. */
const MAX_BLOCK_DEPTH = 4;

/** What a visitor is shown: the members of one block, and those of its `source` where that is an object. */
export type BlockVisitor = (block: readonly Member[], source: readonly Member[] | null) => void;

/**
 * Shows every content block of a list of messages, those inside tool results and documents included. Reads spans only.
 *
 * Names are matched as engines written in Go match them: without regard to case.
 *
 * @throws PosternError `body_ambiguous` (a block names something twice), `body_too_deep`.
 */
export function visitBlocks(bytes: Buffer, messages: Member, visit: BlockVisitor): void {
  for (const message of elementsOf(bytes, messages)) {
    const content = findFolded(membersOf(bytes, message), "content");
    if (content !== undefined) visitContent(bytes, content, visit, 1);
  }
}

/** The member whose name is this one when case is folded, as Go's encoding/json finds it; the name is in lower case. */
export function findFolded(members: readonly Member[], name: string): Member | undefined {
  return members.find((member) => member.name === name || foldName(member.name) === name);
}

function visitContent(bytes: Buffer, content: Member, visit: BlockVisitor, depth: number): void {
  if (content.kind !== "array") return;
  if (depth > MAX_BLOCK_DEPTH) {
    throw new PosternError("body_too_deep", { message: "Content is nested too deep", param: "messages" });
  }
  for (const element of elementsOf(bytes, content)) {
    const block = membersOf(bytes, element);
    if (block.length === 0) continue;
    const sourceMember = findFolded(block, "source");
    const source = sourceMember?.kind === "object" ? membersOf(bytes, sourceMember) : null;
    visit(block, source);
    for (const holder of [block, source]) {
      const inner = holder === null ? undefined : findFolded(holder, "content");
      if (inner !== undefined) visitContent(bytes, inner, visit, depth + 1);
    }
  }
}
