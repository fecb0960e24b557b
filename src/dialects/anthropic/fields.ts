import { DANGEROUS_FIELDS } from "../dangerous-fields.ts";
import type { FieldRule, FieldTable } from "../field-policy.ts";

const ANY: FieldRule = {};
/**
 * Means something at Anthropic alone: what it costs there, where it runs, or a beta that is switched on by a header as well.
 * Own engines get no such header, and header and field travel as a pair (reference: engine-apis §4.2).
 */
const ANTHROPIC_ONLY: FieldRule = { only: ["anthropic"] };

/** What fills the context, and so counts for both operations. */
const PROMPT: Record<string, FieldRule> = {
  model: { kinds: ["string"] },
  messages: { kinds: ["array"] },
  // Read by policy: Claude Code's attribution block is in it.
  system: { kinds: ["string", "array", "null"] },
  // Read by policy: tools that the server would run are refused.
  tools: { kinds: ["array", "null"] },
  tool_choice: ANY,
  thinking: ANY,
  output_config: ANY,
  cache_control: ANY,
  context_management: ANTHROPIC_ONLY,
};

const DANGEROUS: ReadonlyMap<string, string> = new Map([
  ...DANGEROUS_FIELDS,
  ["mcp_servers", "names hosts to connect to, with credentials"],
  ["container", "runs code in a container of the server's account"],
  ["workspace_id", "chooses which of the server's accounts pays"],
]);

/** POST /v1/messages. Tools that the server itself would run have a rule of their own: `server-tools.ts`. */
export const MESSAGES_FIELDS: FieldTable = {
  listed: new Map(
    Object.entries({
      ...PROMPT,
      max_tokens: { kinds: ["number", "null"], clamp: "maxTokens" },
      stream: { kinds: ["true", "false", "null"] },
      temperature: ANY,
      top_p: ANY,
      top_k: ANY,
      stop_sequences: ANY,
      metadata: ANY,
      service_tier: ANTHROPIC_ONLY,
      inference_geo: ANTHROPIC_ONLY,
    } satisfies Record<string, FieldRule>),
  ),
  dangerous: DANGEROUS,
};

/** POST /v1/messages/count_tokens. */
export const COUNT_TOKENS_FIELDS: FieldTable = { listed: new Map(Object.entries(PROMPT)), dangerous: DANGEROUS };
