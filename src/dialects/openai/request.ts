import { PosternError } from "../../errors.ts";
import { type Edit, removalEdits, splice } from "../../lib/byte-splice.ts";
import {
  type BodyScan,
  findMember,
  type Member,
  membersOf,
  readBoolean,
  readInteger,
  readString,
} from "../../lib/json-scan.ts";
import { MAX_MODEL_ID_LENGTH } from "../classify.ts";
import { type ClampedField, MAX_NAMED_FIELDS, type RequestFacts, type TargetEdits } from "../dialect.ts";
import type { FieldPolicy, FieldRule, FieldTable } from "../field-policy.ts";
import { STREAM_OPTIONS } from "./fields.ts";

/**
 * Reads what policy needs from the members of a body and applies the field table to their names.
 *
 * @throws PosternError `model_missing`, `field_refused` (naming the field), `body_invalid` (a kind that the table does not accept).
 */
export function inspectFields(scan: BodyScan, table: FieldTable, policy: FieldPolicy): RequestFacts {
  const { bytes, members } = scan;
  const removedFields: string[] = [];
  const clampedFields: ClampedField[] = [];
  for (const member of members) {
    const rule = table.listed.get(member.name);
    if (rule === undefined) {
      if (judgeUnlisted(member.name, table, policy) === "remove") name(removedFields, member.name);
      continue;
    }
    if (rule.kinds !== undefined && !rule.kinds.includes(member.kind)) {
      if (member.name === "model") break;
      throw invalid(member.name, `"${member.name}" must be ${rule.kinds.join(" or ")}, got ${member.kind}`);
    }
    const to = clampTo(bytes, member, rule, policy);
    if (to !== null) clampedFields.push({ name: member.name, to });
  }
  const model = readModel(scan);
  const streamMember = findMember(members, "stream");
  const isStream = streamMember !== undefined && table.listed.has("stream") && readBoolean(streamMember) === true;
  const options = streamOptions(scan, table);
  for (const option of options) {
    if (isPassing(option.name, policy)) continue;
    if (policy.unknown === "refuse") throw refuse(`stream_options.${option.name}`, "is not known here");
    name(removedFields, `stream_options.${option.name}`);
  }
  const includeUsage = findMember(options, "include_usage");
  return {
    model,
    isStream,
    wantsUsage: isStream && includeUsage !== undefined && readBoolean(includeUsage) === true,
    hasManyChoices: mayHaveManyChoices(scan),
    removedFields,
    clampedFields,
  };
}

/**
 * The bytes for a target: unlisted members gone, clamps and the model's name in place, usage asked for. Other bytes unchanged.
 *
 * @param further Edits of the dialect's own, outside of what is edited here.
 */
export function rewriteFields(
  scan: BodyScan,
  facts: RequestFacts,
  edits: TargetEdits,
  table: FieldTable,
  policy: FieldPolicy,
  further: readonly Edit[] = [],
): Buffer {
  const { bytes, members } = scan;
  const splices: Edit[] = removalEdits(members, (member) => !isKept(member.name, table, policy, edits.engineKind));
  splices.push(...further);
  for (const { name, to } of facts.clampedFields) {
    const member = findMember(members, name);
    if (member !== undefined) splices.push(replace(member, String(to)));
  }
  rename(splices, scan, table, edits.engineKind);
  const model = findMember(members, "model");
  if (model === undefined) throw new PosternError("model_missing", { param: "model" });
  let added = "";
  const options = findMember(members, "stream_options");
  const optionMembers = streamOptions(scan, table);
  if (facts.isStream && edits.forceUsage && !facts.wantsUsage) {
    const asked = findMember(optionMembers, "include_usage");
    if (options === undefined) added = ',"stream_options":{"include_usage":true}';
    else if (options.kind !== "object") splices.push(replace(options, '{"include_usage":true}'));
    else if (asked !== undefined) splices.push(replace(asked, "true"));
    else {
      const text = optionMembers.some((option) => isPassing(option.name, policy))
        ? '"include_usage":true,'
        : '"include_usage":true';
      splices.push({ start: options.valueStart + 1, end: options.valueStart + 1, text });
    }
  }
  if (options !== undefined) splices.push(...removalEdits(optionMembers, (option) => !isPassing(option.name, policy)));
  if (added !== "" || edits.model !== facts.model) {
    const name = edits.model === facts.model ? null : JSON.stringify(edits.model);
    if (name !== null) splices.push(replace(model, name + added));
    else splices.push({ start: model.valueEnd, end: model.valueEnd, text: added });
  }
  return splice(bytes, splices);
}

/** Lists of prompts or inputs may hold strings and tokens; objects among them name media or tensors. Throws `field_refused`. */
export function refuseObjects(bytes: Buffer, member: Member, elements: (member: Member) => readonly Member[]): void {
  if (member.kind !== "array" || !bytes.subarray(member.valueStart, member.valueEnd).includes(0x7b)) return;
  for (const element of elements(member)) {
    if (
      element.kind === "object" ||
      (element.kind === "array" && elements(element).some((one) => one.kind !== "number"))
    ) {
      throw refuse(member.name, "must hold only text and tokens");
    }
  }
}

function isKept(name: string, table: FieldTable, policy: FieldPolicy, engineKind: string | undefined): boolean {
  const rule = table.listed.get(name);
  if (rule === undefined) return policy.allow.includes(name);
  return rule.only === undefined || engineKind === undefined || rule.only.includes(engineKind);
}

function rename(splices: Edit[], { members }: BodyScan, table: FieldTable, engineKind: string | undefined): void {
  if (engineKind === undefined) return;
  for (const member of members) {
    const renamed = table.listed.get(member.name)?.renamed;
    if (!renamed?.for.includes(engineKind) || findMember(members, renamed.to) !== undefined) continue;
    splices.push({ start: member.nameStart, end: member.valueStart, text: `"${renamed.to}":` });
  }
}

function isPassing(option: string, policy: FieldPolicy): boolean {
  return STREAM_OPTIONS.has(option) || policy.allow.includes(`stream_options.${option}`);
}

function judgeUnlisted(name: string, table: FieldTable, policy: FieldPolicy): "pass" | "remove" {
  if (policy.allow.includes(name)) return "pass";
  const reason = table.dangerous.get(name);
  if (reason !== undefined) throw refuse(name, reason);
  if (policy.unknown === "refuse") throw refuse(name, "is not known here");
  return "remove";
}

function clampTo(bytes: Buffer, member: Member, rule: FieldRule, policy: FieldPolicy): number | null {
  if (rule.clamp === undefined || member.kind !== "number") return null;
  const bound = policy[rule.clamp];
  if (bound === null) return null;
  const value = readInteger(bytes, member);
  if (value === null) throw invalid(member.name, `"${member.name}" must be a whole number`);
  // Engines read a negative number as "no limit".
  return value > bound || value < 0 ? bound : null;
}

function readModel({ bytes, members }: BodyScan): string {
  const member = findMember(members, "model");
  const model = member === undefined ? null : readString(bytes, member);
  if (model === null || model === "") throw new PosternError("model_missing", { param: "model" });
  if (model.length > MAX_MODEL_ID_LENGTH) {
    throw new PosternError("model_not_found", { param: "model", message: "The model's name is too long" });
  }
  return model;
}

function streamOptions({ bytes, members }: BodyScan, table: FieldTable): Member[] {
  const options = findMember(members, "stream_options");
  return options === undefined || !table.listed.has("stream_options") ? [] : membersOf(bytes, options);
}

/** More than one choice comes from `n`, or from a list of prompts. A single prompt written as tokens only looks like one: that costs time, nothing else. */
function mayHaveManyChoices({ bytes, members }: BodyScan): boolean {
  const n = findMember(members, "n");
  const count = n === undefined ? null : readInteger(bytes, n);
  return (count !== null && count > 1) || findMember(members, "prompt")?.kind === "array";
}

function replace(member: Member, text: string): Edit {
  return { start: member.valueStart, end: member.valueEnd, text };
}

const PLAIN_NAME = /^[A-Za-z0-9_.-]{1,64}$/;

function name(names: string[], field: string): void {
  const safe = PLAIN_NAME.test(field) ? field : "?";
  if (names.length < MAX_NAMED_FIELDS && !names.includes(safe)) names.push(safe);
}

function refuse(field: string, reason: string): PosternError {
  const safe = PLAIN_NAME.test(field) ? field : "?";
  return new PosternError("field_refused", {
    message: `The field "${safe}" is not accepted: it ${reason}`,
    param: safe,
  });
}

function invalid(param: string, message: string): PosternError {
  return new PosternError("body_invalid", { message, param });
}
