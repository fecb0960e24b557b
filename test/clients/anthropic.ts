import Anthropic from "@anthropic-ai/sdk";
import { type Ask, type Client, type ClientKind, type Door, MAX_STEPS, type Said, WEATHER } from "./client.ts";

/** Anthropic's own package. */
export const ANTHROPIC_CLIENTS: readonly ClientKind[] = [
  { packages: ["@anthropic-ai/sdk"], dialect: "Anthropic messages", operation: "anthropic.messages", connect },
];

const TOOLS: Anthropic.Tool[] = [
  { name: WEATHER.name, description: WEATHER.description, input_schema: WEATHER.schema },
];

function connect({ origin, key, fetch }: Door): Client {
  const client = new Anthropic({ baseURL: origin, apiKey: key, maxRetries: 0, fetch });
  const signalOf = ({ signal }: Ask) => (signal === undefined ? {} : { signal });

  function ask(messages: Anthropic.MessageParam[], of: Ask, extra: object, isStream: boolean) {
    const body = { model: of.model, max_tokens: of.maxTokens, messages, ...extra };
    return isStream
      ? client.messages.stream(body, signalOf(of)).finalMessage()
      : client.messages.create({ ...body, stream: false }, signalOf(of));
  }

  return {
    failure(error) {
      if (!(error instanceof Anthropic.APIError)) throw error;
      return { status: error.status ?? null, code: error.type, message: error.message };
    },
    async whole(of) {
      return said(await ask([{ role: "user", content: of.prompt }], of, {}, false));
    },
    async stream(of, onPiece) {
      const stream = client.messages
        .stream(
          { model: of.model, max_tokens: of.maxTokens, messages: [{ role: "user", content: of.prompt }] },
          signalOf(of),
        )
        .on("text", onPiece);
      return said(await stream.finalMessage());
    },
    async useTool(of, run, isStream) {
      const messages: Anthropic.MessageParam[] = [{ role: "user", content: of.prompt }];
      for (let step = 0; step < MAX_STEPS; step += 1) {
        const message = await ask(messages, of, { tools: TOOLS }, isStream);
        const calls = message.content.filter((block) => block.type === "tool_use");
        if (calls.length === 0) return said(message);
        if (message.stop_reason !== "tool_use") throw new Error("called a tool without saying so");
        messages.push({ role: "assistant", content: message.content });
        const results = calls.map(({ id, input }) => ({
          type: "tool_result" as const,
          tool_use_id: id,
          content: run(input as { city: string }),
        }));
        messages.push({ role: "user", content: results });
      }
      throw new Error("calls tools without end");
    },
  };
}

function said({ content, stop_reason, usage }: Anthropic.Message): Said {
  return {
    text: content.map((block) => (block.type === "text" ? block.text : "")).join(""),
    finish: stop_reason,
    // What was read from a cache is not in `input_tokens`.
    tokensIn: usage.input_tokens + (usage.cache_read_input_tokens ?? 0) + (usage.cache_creation_input_tokens ?? 0),
    tokensOut: usage.output_tokens,
  };
}
