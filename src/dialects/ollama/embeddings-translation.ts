import { PosternError } from "../../errors.ts";
import type { AttemptFormat } from "../attempt-format.ts";
import { believableUsage } from "../believable-usage.ts";
import type { SaidError } from "../conversation.ts";
import type { Usage } from "../dialect.ts";
import type { Family } from "../error-body.ts";
import { errorWords, readChatError } from "../openai/conversation-error.ts";
import type { Operation } from "../operations.ts";
import { isPassableError } from "../pass-through.ts";
import { isJsonObject } from "../request-member.ts";
import { readError } from "./conversation-error.ts";
import {
  type EmbeddingRequest,
  type EmbeddingWire,
  OLLAMA_EMBED,
  OLLAMA_EMBEDDINGS,
  OPENAI_EMBEDDINGS,
} from "./embeddings-wire.ts";

const WIRES: ReadonlyMap<string, EmbeddingWire> = new Map([
  ["openai.embeddings", OPENAI_EMBEDDINGS],
  ["ollama.embed", OLLAMA_EMBED],
  ["ollama.embeddings", OLLAMA_EMBEDDINGS],
]);

/**
 * The format of an attempt whose target has another format of embeddings than its caller. For one attempt: it remembers how
 * many vectors were asked for, and in which encoding (the `openai` package asks for base64 unless told otherwise).
 *
 * @throws TypeError for an operation that makes no embeddings; PosternError from `encode`: `untranslatable`, `body_invalid`, with `param`.
 */
export function embeddingsTranslation(caller: Operation, engine: Operation): AttemptFormat {
  const callerWire = wireOf(caller);
  const engineWire = wireOf(engine);
  let asked: EmbeddingRequest | null = null;
  return {
    operation: engine,
    isTranslated: true,
    streamType: "application/json",
    encode({ bytes }, facts, edits) {
      const tree: unknown = JSON.parse(bytes.toString("utf8"));
      if (!isJsonObject(tree)) throw new PosternError("body_not_json");
      asked = callerWire.readRequest(tree);
      const removedFields = asked.droppedFields.filter((name) => !facts.removedFields.includes(name));
      return { body: Buffer.from(JSON.stringify(engineWire.writeRequest(asked, edits.model))), removedFields };
    },
    tap() {
      throw new PosternError("internal", { detail: { reason: "embeddings are no stream" } });
    },
    readAnswer(body, requestBytes, context) {
      const tree = parse(body);
      if (asked === null || !isJsonObject(tree) || saysError(tree["error"])) return null;
      const answer = engineWire.readAnswer(tree);
      if (answer === null || answer.vectors.length !== asked.inputs.length) return null;
      const usage = usageOf(answer.tokensIn, requestBytes);
      return { body: Buffer.from(JSON.stringify(callerWire.writeAnswer(answer, usage, asked, context))), usage };
    },
    readError(status, contentType, body) {
      if (!isPassableError(status, contentType, body)) return null;
      const tree = parse(body);
      if (tree === undefined) return null;
      const error = engine.family === "ollama" ? readError(status, tree) : readChatError(status, tree);
      if (error.kind === "auth") return null;
      return { status: error.status, body: Buffer.from(JSON.stringify(writeError(caller.family, error))) };
    },
  };
}

function wireOf({ id }: Operation): EmbeddingWire {
  const wire = WIRES.get(id);
  if (wire === undefined) throw new TypeError(`no embeddings are made by ${id}`);
  return wire;
}

function usageOf(tokensIn: number | null, requestBytes: number): Usage {
  const told = { tokensIn: tokensIn ?? 0, tokensInCached: 0, tokensOut: 0, tokensReasoning: null, isEstimated: false };
  return believableUsage(told, requestBytes, 0);
}

function writeError(family: Family, error: SaidError): Record<string, unknown> {
  return { error: family === "ollama" ? error.message : errorWords(error) };
}

function saysError(error: unknown): boolean {
  return isJsonObject(error) || (typeof error === "string" && error !== "");
}

function parse(body: Buffer): unknown {
  try {
    return JSON.parse(body.toString("utf8"));
  } catch {
    return undefined;
  }
}
