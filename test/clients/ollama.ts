import { type ChatResponse, type GenerateResponse, type Message, Ollama } from "ollama";
import {
  type Ask,
  type Client,
  type ClientKind,
  type Door,
  type Failure,
  MAX_STEPS,
  type Said,
  WEATHER,
} from "./client.ts";

/** The `ollama` package. It has no setting for a key but headers, and no way to cancel but `abort()`. */
export const OLLAMA_CLIENTS: readonly ClientKind[] = [
  { packages: ["ollama"], dialect: "Ollama chat", operation: "ollama.chat", connect: chat },
  { packages: ["ollama"], dialect: "Ollama generate", operation: "ollama.generate", connect: generate },
  { packages: ["ollama"], dialect: "Ollama embed", operation: "ollama.embed", connect: embed },
];

const TOOLS = [
  {
    type: "function",
    function: {
      name: WEATHER.name,
      description: WEATHER.description,
      parameters: WEATHER.schema,
    },
  },
];

function open({ origin, key, fetch }: Door): Ollama {
  return new Ollama({ host: origin, headers: { authorization: `Bearer ${key}` }, fetch });
}

/** What `ollama` throws: an error with the status, or, in the middle of a stream, a plain one. LangChain lets both through. */
export function readOllamaFailure(error: unknown): Failure {
  if (!(error instanceof Error)) throw error;
  if (error.name !== "ResponseError") return { status: null, code: null, message: error.message };
  const status: unknown = Reflect.get(error, "status_code");
  return { status: typeof status === "number" ? status : null, code: null, message: error.message };
}

const optionsOf = ({ maxTokens }: Ask) => ({ num_predict: maxTokens });

function said(text: string, last: ChatResponse | GenerateResponse): Said {
  return {
    text,
    finish: last.done_reason ?? null,
    tokensIn: last.prompt_eval_count,
    tokensOut: last.eval_count,
  };
}

/** The library's streams are aborted one by one; a signal is what apps have. */
function abortWith(signal: AbortSignal | undefined, stream: { abort(): void }): void {
  signal?.addEventListener("abort", () => stream.abort(), { once: true });
}

function chat(door: Door): Client {
  const client = open(door);

  async function ask(messages: Message[], of: Ask, extra: object, onPiece: ((text: string) => void) | null) {
    const body = { model: of.model, messages, options: optionsOf(of), ...extra };
    if (onPiece === null) return client.chat({ ...body, stream: false });
    const stream = await client.chat({ ...body, stream: true });
    abortWith(of.signal, stream);
    let content = "";
    const calls: NonNullable<Message["tool_calls"]> = [];
    let last: ChatResponse | null = null;
    for await (const part of stream) {
      onPiece(part.message.content);
      content += part.message.content;
      calls.push(...(part.message.tool_calls ?? []));
      last = part;
    }
    if (last === null) throw new Error("a stream without a line");
    const message: Message = { role: "assistant", content, ...(calls.length > 0 ? { tool_calls: calls } : {}) };
    return { ...last, message };
  }

  return {
    failure: readOllamaFailure,
    async whole(of) {
      const answer = await ask([{ role: "user", content: of.prompt }], of, {}, null);
      return said(answer.message.content, answer);
    },
    async stream(of, onPiece) {
      const answer = await ask([{ role: "user", content: of.prompt }], of, {}, onPiece);
      return said(answer.message.content, answer);
    },
    async useTool(of, run, isStream) {
      const messages: Message[] = [{ role: "user", content: of.prompt }];
      for (let step = 0; step < MAX_STEPS; step += 1) {
        const answer = await ask(messages, of, { tools: TOOLS }, isStream ? () => {} : null);
        const calls = answer.message.tool_calls ?? [];
        if (calls.length === 0) return said(answer.message.content, answer);
        messages.push(answer.message);
        for (const { function: called } of calls) {
          const content = run(called.arguments as { city: string });
          messages.push({ role: "tool", tool_name: called.name, content });
        }
      }
      throw new Error("calls tools without end");
    },
  };
}

function generate(door: Door): Client {
  const client = open(door);
  return {
    failure: readOllamaFailure,
    async whole(of) {
      const answer = await client.generate({
        model: of.model,
        prompt: of.prompt,
        options: optionsOf(of),
        stream: false,
      });
      return said(answer.response ?? "", answer);
    },
    async stream(of, onPiece) {
      const stream = await client.generate({
        model: of.model,
        prompt: of.prompt,
        options: optionsOf(of),
        stream: true,
      });
      abortWith(of.signal, stream);
      let text = "";
      let last: GenerateResponse | null = null;
      for await (const part of stream) {
        onPiece(part.response ?? "");
        text += part.response ?? "";
        last = part;
      }
      if (last === null) throw new Error("a stream without a line");
      return said(text, last);
    },
  };
}

function embed(door: Door): Client {
  const client = open(door);
  return {
    failure: readOllamaFailure,
    embed: async (model, texts) => (await client.embed({ model, input: [...texts] })).embeddings,
  };
}
