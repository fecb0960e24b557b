import type { OpenAiFormat } from "./codec.ts";
import { EMBEDDINGS_FIELDS } from "./fields.ts";

/** POST /v1/embeddings: never a stream. */
export const EMBEDDINGS: OpenAiFormat = { dialect: "openai-embeddings", fields: EMBEDDINGS_FIELDS, carrier: "data" };
