import type { OpenAiFormat } from "./codec.ts";
import { RERANK_FIELDS } from "./fields.ts";

/** POST /v1/rerank: never a stream. Not OpenAI's own, but its errors are. Documents are texts: media would be fetched. */
export const RERANK: OpenAiFormat = { dialect: "openai-rerank", fields: RERANK_FIELDS, carrier: "results" };
