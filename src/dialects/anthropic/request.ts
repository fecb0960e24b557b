import { PosternError } from "../../errors.ts";
import { type Edit, removalEdits, splice } from "../../lib/byte-splice.ts";
import { type BodyScan, findMember } from "../../lib/json-scan.ts";
import type { Pieces } from "../../lib/turns.ts";
import type { RequestFacts, TargetEdits } from "../dialect.ts";
import type { FieldPolicy, FieldTable } from "../field-policy.ts";
import { inspectFields } from "../openai/request.ts";
import { attributedSystem } from "./attribution.ts";
import { refuseRemoteSources } from "./media.ts";
import { refuseServerTools } from "./server-tools.ts";

/**
 * Reads what policy needs and applies it: field table, tools that the server would run, media that it would fetch.
 *
 * @throws PosternError `model_missing`, `field_refused`, `body_invalid`, `body_ambiguous`.
 */
export function* inspectMessages(scan: BodyScan, table: FieldTable, policy: FieldPolicy): Pieces<RequestFacts> {
  const facts = inspectFields(scan, table, policy);
  refuseServerTools(scan, policy);
  const messages = findMember(scan.members, "messages");
  if (messages === undefined) {
    throw new PosternError("body_invalid", { message: '"messages" is missing', param: "messages" });
  }
  yield* refuseRemoteSources(scan, messages, policy.remoteMedia);
  attributedSystem(scan);
  // Usage is part of every stream of this dialect, and there is one answer.
  return { ...facts, wantsUsage: true, hasManyChoices: false };
}

/**
 * The bytes for a target: unlisted members gone, clamps and the model's name in place, and for an own engine no attribution
 * block. Other bytes unchanged; the same buffer where nothing changes.
 */
export function rewriteMessages(
  scan: BodyScan,
  facts: RequestFacts,
  { model, engineKind }: TargetEdits,
  table: FieldTable,
  policy: FieldPolicy,
): Buffer {
  const { bytes, members } = scan;
  const system = isOwn(engineKind) ? attributedSystem(scan) : null;
  const splices: Edit[] = removalEdits(
    members,
    ({ name }) => !isKept(name, table, policy, engineKind) || (name === "system" && system?.length === 1),
  );
  if (system !== null && system.length > 1) splices.push(...removalEdits(system, (block) => block === system[0]));
  for (const { name, to } of facts.clampedFields) replace(name, String(to));
  if (model !== facts.model) replace("model", JSON.stringify(model));
  return splice(bytes, splices);

  function replace(name: string, text: string): void {
    const member = findMember(members, name);
    if (member !== undefined) splices.push({ start: member.valueStart, end: member.valueEnd, text });
  }
}

/** Anthropic wants its own attribution; nobody else does. Unset: not known yet, so nothing is taken away. */
function isOwn(engineKind: string | undefined): boolean {
  return engineKind !== undefined && engineKind !== "anthropic";
}

function isKept(name: string, table: FieldTable, policy: FieldPolicy, engineKind: string | undefined): boolean {
  const rule = table.listed.get(name);
  if (rule === undefined) return policy.allow.includes(name);
  return rule.only === undefined || engineKind === undefined || rule.only.includes(engineKind);
}
