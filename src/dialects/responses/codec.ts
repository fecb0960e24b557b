import { PosternError } from "../../errors.ts";
import { type Edit, removalEdits } from "../../lib/byte-splice.ts";
import { type BodyScan, findMember } from "../../lib/json-scan.ts";
import { atOnce, type Pieces } from "../../lib/turns.ts";
import type { AnswerContext } from "../conversation.ts";
import {
  type DialectCodec,
  MAX_NAMED_FIELDS,
  type RequestFacts,
  type StreamTap,
  type TargetEdits,
} from "../dialect.ts";
import type { FieldPolicy } from "../field-policy.ts";
import { adaptOpenAiError } from "../openai/error.ts";
import { inspectFields, rewriteFields } from "../openai/request.ts";
import { ResponsesStreamWriter } from "./conversation-stream-writer.ts";
import { KEEPING_ENGINES, responsesFields, STATEFUL_FIELDS } from "./fields.ts";
import { refuseRemoteInput } from "./media.ts";
import { ResponsesStreamTap } from "./stream-tap.ts";
import { type JudgedTools, judgeTools } from "./tools.ts";
import { readWholeResponse } from "./usage.ts";

/**
 * Before `response.created`. It only moves bytes: a typed event would have to be that first one, and Codex's watchdog counts
 * events (reference: engine-apis §4.3, §7.3).
 */
const KEEP_ALIVE = Buffer.from(": ping\n\n");

/** The codec of POST /v1/responses under one field policy. Stateless: nothing is kept, and nothing that was kept is used. */
export function responsesCodec(policy: FieldPolicy): DialectCodec {
  const fields = responsesFields(policy);
  return {
    dialect: "openai-responses",
    keepAlive: () => KEEP_ALIVE,
    inspect: (scan: BodyScan) => atOnce(inspect(scan)),
    inspectInPieces: inspect,
    rewrite(scan: BodyScan, facts: RequestFacts, edits: TargetEdits): Buffer {
      const further = [...toolEdits(judgeTools(scan, policy), edits.engineKind), ...storeEdits(scan, edits.engineKind)];
      return rewriteFields(scan, facts, edits, fields, policy, further);
    },
    tap(_facts: RequestFacts, requestBytes: number): StreamTap {
      return new ResponsesStreamTap(requestBytes);
    },
    readAnswer: readWholeResponse,
    adaptError: adaptOpenAiError,
    // Codex and the openai package read `response.failed` only from a stream that ends well.
    isErrorAnEnd: true,
    inBandError: (error: PosternError, context: AnswerContext) =>
      Buffer.from(new ResponsesStreamWriter(context).error(error)),
  };

  function* inspect(scan: BodyScan): Pieces<RequestFacts> {
    const facts = inspectFields(scan, fields, policy);
    refuseState(scan, policy);
    const input = findMember(scan.members, "input");
    if (input === undefined) {
      throw new PosternError("body_invalid", { message: '"input" is missing', param: "input" });
    }
    yield* refuseRemoteInput(scan, input, policy.remoteMedia);
    const removed = [...facts.removedFields, ...judgeTools(scan, policy).names];
    if (findMember(scan.members, "store")?.kind === "true") removed.push("store");
    // Usage is part of every last event, and there is one answer.
    return {
      ...facts,
      wantsUsage: true,
      hasManyChoices: false,
      removedFields: removed.slice(0, MAX_NAMED_FIELDS),
    };
  }
}

function refuseState({ members }: BodyScan, { allow }: FieldPolicy): void {
  for (const [name, reason] of STATEFUL_FIELDS) {
    const member = findMember(members, name);
    if (member === undefined || member.kind === "null" || member.kind === "false" || allow.includes(name)) continue;
    throw new PosternError("field_refused", {
      message: `The field "${name}" is not accepted: it ${reason}`,
      param: name,
    });
  }
}

/** Groups of functions pass to OpenAI alone: other servers refuse the type, or the whole request with it. */
function toolEdits({ elements, removed, groups }: JudgedTools, engineKind: string | undefined): Edit[] {
  const hasGroups = engineKind === undefined || engineKind === "openai";
  return removalEdits(elements, (element) => removed.has(element) || (!hasGroups && groups.has(element)));
}

/** Servers that would keep the answer are told not to. */
function storeEdits({ members }: BodyScan, engineKind: string | undefined): Edit[] {
  const isKeeping = KEEPING_ENGINES.some((kind) => kind === engineKind);
  if (!isKeeping && engineKind !== undefined) return [];
  const store = findMember(members, "store");
  if (store !== undefined) {
    return store.kind === "false" ? [] : [{ start: store.valueStart, end: store.valueEnd, text: "false" }];
  }
  const model = findMember(members, "model");
  return model === undefined || !isKeeping
    ? []
    : [{ start: model.valueEnd, end: model.valueEnd, text: ',"store":false' }];
}
