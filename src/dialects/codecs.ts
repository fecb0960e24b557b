import type { DialectCodec } from "./dialect.ts";
import { DEFAULT_FIELD_POLICY, type FieldPolicy } from "./field-policy.ts";
import { CHAT } from "./openai/chat.ts";
import { openAiCodec } from "./openai/codec.ts";
import { COMPLETIONS } from "./openai/completions.ts";
import { EMBEDDINGS } from "./openai/embeddings.ts";
import type { Dialect } from "./operations.ts";

/** The codec of every dialect under one field policy. Made once per configuration, not per request. */
export function createCodecs(policy: FieldPolicy): ReadonlyMap<Dialect, DialectCodec> {
  return new Map([CHAT, COMPLETIONS, EMBEDDINGS].map((format) => [format.dialect, openAiCodec(format, policy)]));
}

const DEFAULT_CODECS = createCodecs(DEFAULT_FIELD_POLICY);

/**
 * The codec of a dialect under the default field policy.
 *
 * @throws TypeError for a dialect without one: no operation in the table has such a dialect.
 */
export function codecFor(dialect: Dialect): DialectCodec {
  const codec = DEFAULT_CODECS.get(dialect);
  if (codec === undefined) throw new TypeError(`no codec for dialect ${dialect}`);
  return codec;
}
