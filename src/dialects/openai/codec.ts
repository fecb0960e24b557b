import type { PosternError } from "../../errors.ts";
import { type BodyScan, elementsOf, findMember, type Member } from "../../lib/json-scan.ts";
import { atOnce, type Pieces } from "../../lib/turns.ts";
import type { DialectCodec, RequestFacts, StreamTap, TargetEdits, Usage } from "../dialect.ts";
import { errorBody } from "../error-body.ts";
import type { FieldPolicy, FieldTable } from "../field-policy.ts";
import type { Dialect } from "../operations.ts";
import { adaptOpenAiError } from "./error.ts";
import { refuseRemoteMedia } from "./media.ts";
import { inspectFields, refuseObjects, rewriteFields } from "./request.ts";
import { OpenAiStreamTap } from "./stream-tap.ts";
import { type AnswerCarrier, readWholeAnswer } from "./usage.ts";

/** What tells the OpenAI formats of one shape apart. */
export interface OpenAiFormat {
  dialect: Dialect;
  fields: FieldTable;
  /** Member of a whole answer that carries it. */
  carrier: AnswerCarrier;
}

/** A comment line: every client skips it, and every byte resets the watchdogs on the way (reference: engine-apis §7.3). */
const KEEP_ALIVE = Buffer.from(": ping\n\n");

/** The codec of one OpenAI format under one field policy. */
export function openAiCodec(format: OpenAiFormat, policy: FieldPolicy): DialectCodec {
  const { dialect, fields, carrier } = format;
  return {
    dialect,
    keepAlive: () => KEEP_ALIVE,
    inspect: (scan: BodyScan) => atOnce(inspect(scan)),
    inspectInPieces: inspect,
    rewrite(scan: BodyScan, facts: RequestFacts, edits: TargetEdits): Buffer {
      return rewriteFields(scan, facts, edits, fields, policy);
    },
    tap(facts: RequestFacts, requestBytes: number): StreamTap {
      return new OpenAiStreamTap(facts, requestBytes);
    },
    readAnswer(body: Buffer, requestBytes: number): Usage | null {
      return readWholeAnswer(body, requestBytes, carrier);
    },
    adaptError: adaptOpenAiError,
    inBandError(error: PosternError): Buffer {
      return Buffer.from(`data: ${errorBody("openai", error)}\n\n`);
    },
  };

  function* inspect(scan: BodyScan): Pieces<RequestFacts> {
    const facts = inspectFields(scan, fields, policy);
    const messages = listed("messages", scan);
    if (messages !== undefined && !policy.remoteMedia) yield* refuseRemoteMedia(scan, messages);
    for (const name of ["prompt", "input", "documents"]) {
      const member = listed(name, scan);
      if (member !== undefined) refuseObjects(scan.bytes, member, (list) => elementsOf(scan.bytes, list));
    }
    return facts;
  }

  function listed(name: string, { members }: BodyScan): Member | undefined {
    return fields.listed.has(name) ? findMember(members, name) : undefined;
  }
}
