import { createAnthropic } from "@ai-sdk/anthropic";
import { createOpenAI } from "@ai-sdk/openai";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import {
  APICallError,
  embedMany,
  generateText,
  isStepCount,
  jsonSchema,
  type LanguageModel,
  streamText,
  tool,
} from "ai";
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

/** Vercel's AI SDK with its three providers that have a base URL. It runs the tools itself. */
export const AI_SDK_CLIENTS: readonly ClientKind[] = [
  {
    packages: ["@ai-sdk/openai-compatible", "ai"],
    dialect: "OpenAI chat",
    operation: "openai.chat",
    connect: (door) => converse(compatible(door).chatModel),
  },
  {
    packages: ["@ai-sdk/openai", "ai"],
    dialect: "OpenAI responses",
    operation: "openai.responses",
    connect: ({ origin, key, fetch }) =>
      converse(createOpenAI({ baseURL: `${origin}/v1`, apiKey: key, fetch }).responses),
  },
  {
    packages: ["@ai-sdk/anthropic", "ai"],
    dialect: "Anthropic messages",
    operation: "anthropic.messages",
    connect: ({ origin, key, fetch }) => converse(createAnthropic({ baseURL: `${origin}/v1`, apiKey: key, fetch })),
  },
  {
    packages: ["@ai-sdk/openai-compatible", "ai"],
    dialect: "OpenAI embeddings",
    operation: "openai.embeddings",
    connect: (door) => ({
      failure,
      async embed(model, texts, signal) {
        const { embeddings } = await embedMany({
          model: compatible(door).embeddingModel(model),
          values: [...texts],
          maxRetries: 0,
          ...(signal === undefined ? {} : { abortSignal: signal }),
        });
        return embeddings;
      },
    }),
  },
];

function compatible({ origin, key, fetch }: Door) {
  return createOpenAICompatible({
    name: "postern",
    baseURL: `${origin}/v1`,
    apiKey: key,
    includeUsage: true,
    fetch,
  });
}

/** A status where there was one; in the middle of a stream the SDK hands out what the provider said. */
function failure(error: unknown): Failure {
  if (APICallError.isInstance(error)) {
    return { status: error.statusCode ?? null, code: codeOf(error.data), message: error.message };
  }
  if (error instanceof Error) return { status: null, code: null, message: error.message };
  return { status: null, code: codeOf({ error }), message: JSON.stringify(error) };
}

/** `code` of OpenAI's error body, `type` of Anthropic's. */
function codeOf(data: unknown): string | null {
  const { error } = (data ?? {}) as { error?: { code?: string | null; type?: string | null } };
  return error?.code ?? error?.type ?? null;
}

function converse(modelOf: (name: string) => LanguageModel): Client {
  function settings(of: Ask) {
    return {
      model: modelOf(of.model),
      prompt: of.prompt,
      maxOutputTokens: of.maxTokens,
      maxRetries: 0,
      ...(of.signal === undefined ? {} : { abortSignal: of.signal }),
    };
  }

  async function stream(options: Parameters<typeof streamText>[0], onPiece: (text: string) => void): Promise<Said> {
    const result = streamText({ ...options, onError() {} });
    for await (const part of result.fullStream) {
      if (part.type === "text-delta") onPiece(part.text);
      // A cancelled stream ends with a part of its own, and rejects nothing.
      if (part.type === "abort") throw new DOMException("cancelled", "AbortError");
      if (part.type === "error") throw part.error;
    }
    return said(await result.text, await result.finishReason, await result.usage);
  }

  return {
    failure,
    async whole(of) {
      const { text, finishReason, usage } = await generateText(settings(of));
      return said(text, finishReason, usage);
    },
    stream: (of, onPiece) => stream(settings(of), onPiece),
    async useTool(of, run, isStream) {
      const options = {
        ...settings(of),
        stopWhen: isStepCount(MAX_STEPS),
        tools: {
          [WEATHER.name]: tool({
            description: WEATHER.description,
            inputSchema: jsonSchema<{ city: string }>(WEATHER.schema),
            execute: async (input) => run(input),
          }),
        },
      };
      if (isStream) return stream(options, () => {});
      const { text, finishReason, usage } = await generateText(options);
      return said(text, finishReason, usage);
    },
  };
}

function said(
  text: string,
  finish: string,
  usage: { inputTokens: number | undefined; outputTokens: number | undefined },
): Said {
  return { text, finish, tokensIn: usage.inputTokens ?? null, tokensOut: usage.outputTokens ?? null };
}
