import type { OpenAiFormat } from "./codec.ts";
import { CHAT_FIELDS } from "./fields.ts";

/** POST /v1/chat/completions. */
export const CHAT: OpenAiFormat = { dialect: "openai-chat", fields: CHAT_FIELDS, carrier: "choices" };
