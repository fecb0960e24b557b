import { PosternError } from "../../errors.ts";
import { type Edit, removalEdits } from "../../lib/byte-splice.ts";
import { type Member, membersOf, readInteger, readString } from "../../lib/json-scan.ts";
import { type ClampedField, MAX_NAMED_FIELDS } from "../dialect.ts";
import type { FieldPolicy, FieldRule, FieldTable } from "../field-policy.ts";
import { judgeKeepAlive } from "./keep-alive.ts";

/** What a field table says of one body. */
export interface Judgement {
  removedFields: string[];
  clampedFields: ClampedField[];
  /** Removed members and clamped numbers, as edits of the body. */
  edits: Edit[];
}

/**
 * Applies a field table to the members of a body, and the tables that it names for nested objects to theirs.
 *
 * Members that are dangerous but say nothing (null, false, empty) are only taken out, because clients send their defaults.
 *
 * @throws PosternError `field_refused` (naming the field), `body_invalid` (a kind or number that the table does not accept), `body_ambiguous`.
 */
export function judgeFields(
  bytes: Buffer,
  members: readonly Member[],
  table: FieldTable,
  policy: FieldPolicy,
): Judgement {
  const judgement: Judgement = { removedFields: [], clampedFields: [], edits: [] };
  judge(bytes, members, table, policy, "", judgement);
  return judgement;
}

function judge(
  bytes: Buffer,
  members: readonly Member[],
  table: FieldTable,
  policy: FieldPolicy,
  prefix: string,
  into: Judgement,
): void {
  const isGone = new Set<Member>();
  for (const member of members) {
    const path = prefix + member.name;
    const rule = table.listed.get(member.name);
    if (rule === undefined) {
      if (policy.allow.includes(path)) continue;
      refuseUnlisted(member, path, table, policy);
      isGone.add(member);
      name(into.removedFields, path);
      continue;
    }
    if (rule.kinds !== undefined && !rule.kinds.includes(member.kind)) {
      throw invalid(path, `"${path}" must be ${rule.kinds.join(" or ")}, got ${member.kind}`);
    }
    if (rule.nested !== undefined) judge(bytes, membersOf(bytes, member), rule.nested, policy, `${path}.`, into);
    const to = changeTo(bytes, member, path, rule, policy);
    if (to === "remove") {
      isGone.add(member);
      name(into.removedFields, path);
    } else if (to !== null) {
      into.clampedFields.push({ name: path, to });
      into.edits.push({ start: member.valueStart, end: member.valueEnd, text: String(to) });
    }
  }
  if (isGone.size > 0) into.edits.push(...removalEdits(members, (member) => isGone.has(member)));
}

function refuseUnlisted(member: Member, path: string, table: FieldTable, policy: FieldPolicy): void {
  const reason = table.dangerous.get(member.name);
  if (reason !== undefined) {
    if (!saysNothing(member)) throw refused(path, reason);
    return;
  }
  if (policy.unknown === "refuse" && table.removed?.has(member.name) !== true) throw refused(path, "is not known here");
}

/** Null, false, and anything empty. A number says something. */
function saysNothing({ kind, valueStart, valueEnd }: Member): boolean {
  return kind === "null" || kind === "false" || (kind !== "number" && valueEnd - valueStart === 2);
}

function changeTo(
  bytes: Buffer,
  member: Member,
  path: string,
  rule: FieldRule,
  policy: FieldPolicy,
): number | "remove" | null {
  if (rule.isKeepAlive === true) {
    if (policy.allow.includes(path) || member.kind === "null") return null;
    const value = member.kind === "string" ? readString(bytes, member) : readNumber(bytes, member);
    const verdict = judgeKeepAlive(value ?? 0, policy.maxKeepAliveSeconds);
    if (verdict === "pass") return null;
    return verdict === "remove" ? "remove" : verdict.clampToSeconds;
  }
  if (rule.clamp === undefined || member.kind !== "number") return null;
  const bound = policy[rule.clamp];
  if (bound === null && rule.steps === undefined) return null;
  const value = readInteger(bytes, member);
  if (value === null) throw invalid(path, `"${path}" must be a whole number`);
  const to = rule.steps === undefined ? capped(value, bound) : stepped(value, rule.steps, bound);
  return to === value ? null : to;
}

/** Engines read a negative number as "no limit". */
function capped(value: number, bound: number | null): number {
  return bound !== null && (value > bound || value < 0) ? bound : value;
}

/** The smallest step that is large enough, within the bound. Sizes that have been brought to it stay as they are. */
function stepped(value: number, steps: readonly number[], bound: number | null): number {
  const step = steps.find((one) => one >= value) ?? steps.at(-1) ?? value;
  return bound === null ? step : Math.min(step, bound);
}

function readNumber(bytes: Buffer, member: Member): number {
  return Number(bytes.toString("latin1", member.valueStart, member.valueEnd));
}

const PLAIN_NAME = /^[A-Za-z0-9_.-]{1,64}$/;

function name(names: string[], path: string): void {
  const safe = PLAIN_NAME.test(path) ? path : "?";
  if (names.length < MAX_NAMED_FIELDS && !names.includes(safe)) names.push(safe);
}

function refused(path: string, reason: string): PosternError {
  const safe = PLAIN_NAME.test(path) ? path : "?";
  return new PosternError("field_refused", {
    message: `The field "${safe}" is not accepted: it ${reason}`,
    param: safe,
  });
}

function invalid(param: string, message: string): PosternError {
  return new PosternError("body_invalid", { message, param });
}
