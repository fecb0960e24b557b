import { PosternError } from "../../errors.ts";
import { type Edit, splice } from "../../lib/byte-splice.ts";
import { type BodyScan, elementsOf, findMember, type Member, readBoolean, readString } from "../../lib/json-scan.ts";
import { MAX_MODEL_ID_LENGTH } from "../classify.ts";
import type { RequestFacts, TargetEdits } from "../dialect.ts";
import type { FieldPolicy, FieldTable } from "../field-policy.ts";
import type { ChunkKind } from "./chunk.ts";
import { refuseRemoteImages } from "./images.ts";
import { judgeFields } from "./judge-fields.ts";
import { isUnload } from "./keep-alive.ts";

/** Members that hold the prompt; where all are empty the request only loads the model. */
export const PROMPT_MEMBERS: Record<ChunkKind, readonly string[]> = {
  chat: ["messages"],
  generate: ["prompt", "suffix", "images"],
};

/**
 * Reads what policy needs from a body of Ollama's dialect and applies the field table to it.
 *
 * An empty prompt loads the model, which costs what any request may cost, and passes. With `keep_alive: 0` it would unload
 * it for everybody and is refused: without its `keep_alive` it would do the opposite.
 *
 * @param content Members of which one at least holds the prompt; empty where the operation does not load models.
 * @throws PosternError `model_missing`, `field_refused`, `body_invalid`, `body_ambiguous`.
 */
export function inspectRequest(
  scan: BodyScan,
  table: FieldTable,
  policy: FieldPolicy,
  content: readonly string[],
): RequestFacts {
  const model = readModel(scan, "model");
  if (content.length > 0) refuseUnload(scan, policy, content);
  const { removedFields, clampedFields } = judgeFields(scan.bytes, scan.members, table, policy);
  refuseRemoteImages(scan);
  const stream = findMember(scan.members, "stream");
  return {
    model,
    // A stream unless the caller says no: the other way round than elsewhere.
    isStream: table.listed.has("stream") && (stream === undefined || readBoolean(stream) !== false),
    // The last line has it, asked or not.
    wantsUsage: true,
    hasManyChoices: false,
    removedFields,
    clampedFields,
  };
}

/** The bytes for a target: what the table takes out is gone, clamps and the model's name are in place. Other bytes unchanged. */
export function rewriteRequest(
  scan: BodyScan,
  facts: RequestFacts,
  edits: TargetEdits,
  table: FieldTable,
  policy: FieldPolicy,
): Buffer {
  const model = findMember(scan.members, "model");
  if (model === undefined) throw new PosternError("model_missing", { param: "model" });
  const splices: Edit[] =
    facts.removedFields.length + facts.clampedFields.length === 0
      ? []
      : judgeFields(scan.bytes, scan.members, table, policy).edits;
  if (edits.model !== facts.model) {
    splices.push({ start: model.valueStart, end: model.valueEnd, text: JSON.stringify(edits.model) });
  }
  return splice(scan.bytes, splices);
}

/**
 * The model that a member names.
 *
 * @throws PosternError `model_missing`; `model_not_found` for a name that is too long to be one.
 */
export function readModel({ bytes, members }: BodyScan, ...names: readonly string[]): string {
  for (const name of names) {
    const member = findMember(members, name);
    const model = member === undefined ? null : readString(bytes, member);
    if (model === null || model === "") continue;
    if (model.length <= MAX_MODEL_ID_LENGTH) return model;
    throw new PosternError("model_not_found", { param: "model", message: "The model's name is too long" });
  }
  throw new PosternError("model_missing", { param: "model" });
}

function refuseUnload({ bytes, members }: BodyScan, policy: FieldPolicy, content: readonly string[]): void {
  const keepAlive = findMember(members, "keep_alive");
  if (keepAlive === undefined || policy.allow.includes("keep_alive")) return;
  const value =
    readString(bytes, keepAlive) ?? Number(bytes.toString("latin1", keepAlive.valueStart, keepAlive.valueEnd));
  if (!isUnload(value) || content.some((name) => !isEmptyMember(bytes, findMember(members, name)))) return;
  throw new PosternError("field_refused", {
    message: "Models are not unloaded by callers: others may be using it",
    param: "keep_alive",
  });
}

/** Whether a member holds no prompt: absent, null, an empty text or list. */
export function isEmptyMember(bytes: Buffer, member: Member | undefined): boolean {
  if (member === undefined || member.kind === "null") return true;
  return member.kind === "array" ? elementsOf(bytes, member).length === 0 : member.valueEnd - member.valueStart === 2;
}
