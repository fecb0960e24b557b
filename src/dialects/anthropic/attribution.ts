import { type BodyScan, elementsOf, findMember, type Member, membersOf, readString } from "../../lib/json-scan.ts";

/** How the text of Claude Code's attribution block begins. */
const PREFIX = "x-anthropic-billing-header";

/**
 * The blocks of `system` where the first of them is Claude Code's attribution block, else null.
 *
 * The block varies from request to request and comes before everything else, so that an engine's prefix cache never hits
 * (reference: engine-apis §3.4, trap 11). It is meant for Anthropic's billing and for nobody else.
 *
 * @throws PosternError `body_ambiguous` where the block names something twice.
 */
export function attributedSystem({ bytes, members }: BodyScan): readonly Member[] | null {
  const system = findMember(members, "system");
  if (system?.kind !== "array") return null;
  if (!bytes.subarray(system.valueStart, system.valueStart + LOOK_BYTES).includes("x-")) return null;
  const blocks = elementsOf(bytes, system);
  const first = blocks[0];
  if (first === undefined) return null;
  const text = findMember(membersOf(bytes, first), "text");
  return text !== undefined && isAttribution(readString(bytes, text)) ? blocks : null;
}

/** Whether a system block's text is the attribution and no instruction. */
export function isAttribution(text: string | null): boolean {
  return text?.startsWith(PREFIX) === true;
}

/** Where in `system` the attribution must begin: it is the first block, and short. */
const LOOK_BYTES = 256;
