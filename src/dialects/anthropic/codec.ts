import type { PosternError } from "../../errors.ts";
import type { BodyScan } from "../../lib/json-scan.ts";
import { atOnce } from "../../lib/turns.ts";
import type { DialectCodec, RequestFacts, StreamTap, TargetEdits, Usage } from "../dialect.ts";
import { errorBody } from "../error-body.ts";
import type { FieldPolicy, FieldTable } from "../field-policy.ts";
import { adaptMessagesError } from "./error.ts";
import { COUNT_TOKENS_FIELDS, MESSAGES_FIELDS } from "./fields.ts";
import { inspectMessages, rewriteMessages } from "./request.ts";
import { AnthropicStreamTap } from "./stream-tap.ts";
import { signThinking } from "./thinking-signature.ts";
import { readCount, readWholeMessage } from "./usage.ts";

/** Clients skip it, and it may stand anywhere, also before `message_start` (reference: engine-apis §7.3). */
const PING = Buffer.from('event: ping\ndata: {"type":"ping"}\n\n');

/** The codec of POST /v1/messages under one field policy. */
export function anthropicMessagesCodec(policy: FieldPolicy): DialectCodec {
  return { ...messagesCodec(MESSAGES_FIELDS, policy, readWholeMessage), adaptAnswer: signThinking };
}

/** The codec of POST /v1/messages/count_tokens under one field policy. Counting is free: its answer is no usage. */
export function countTokensCodec(policy: FieldPolicy): DialectCodec {
  return messagesCodec(COUNT_TOKENS_FIELDS, policy, (body) => (readCount(body) === null ? null : NO_USAGE));
}

const NO_USAGE: Usage = { tokensIn: 0, tokensInCached: 0, tokensOut: 0, tokensReasoning: null, isEstimated: false };

function messagesCodec(
  fields: FieldTable,
  policy: FieldPolicy,
  readAnswer: (body: Buffer, requestBytes: number) => Usage | null,
): DialectCodec {
  return {
    dialect: "anthropic-messages",
    keepAlive: () => PING,
    inspect: (scan: BodyScan) => atOnce(inspectMessages(scan, fields, policy)),
    inspectInPieces: (scan: BodyScan) => inspectMessages(scan, fields, policy),
    rewrite(scan: BodyScan, facts: RequestFacts, edits: TargetEdits): Buffer {
      return rewriteMessages(scan, facts, edits, fields, policy);
    },
    tap(_facts: RequestFacts, requestBytes: number): StreamTap {
      return new AnthropicStreamTap(requestBytes);
    },
    readAnswer,
    inBandError(error: PosternError): Buffer {
      return Buffer.from(`event: error\ndata: ${errorBody("anthropic", error)}\n\n`);
    },
    adaptError: adaptMessagesError,
  };
}
