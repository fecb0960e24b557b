import type { OpenAiFormat } from "./codec.ts";
import { COMPLETIONS_FIELDS } from "./fields.ts";

/** POST /v1/completions: the older format, whose chunks carry `text` instead of `delta`. */
export const COMPLETIONS: OpenAiFormat = {
  dialect: "openai-completions",
  fields: COMPLETIONS_FIELDS,
  carrier: "choices",
};
