import { ContextOverflowError } from "@langchain/core/errors";
import {
  type AIMessage,
  type AIMessageChunk,
  type BaseMessageLike,
  HumanMessage,
  ToolMessage,
} from "@langchain/core/messages";
import { tool as makeTool } from "@langchain/core/tools";
import { ChatOllama, OllamaEmbeddings } from "@langchain/ollama";
import { ChatOpenAI, OpenAIEmbeddings } from "@langchain/openai";
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
import { readOllamaFailure } from "./ollama.ts";
import { readOpenAIFailure } from "./openai.ts";

/** LangChain.js over the two packages that have a base URL. */
export const LANGCHAIN_CLIENTS: readonly ClientKind[] = [
  {
    packages: ["@langchain/openai", "@langchain/core"],
    dialect: "OpenAI chat",
    operation: "openai.chat",
    connect: (door) => converse((of) => openai(door, of, false), readFailure),
  },
  {
    packages: ["@langchain/openai", "@langchain/core"],
    dialect: "OpenAI responses",
    operation: "openai.responses",
    connect: (door) => converse((of) => openai(door, of, true), readFailure),
  },
  {
    packages: ["@langchain/ollama", "@langchain/core"],
    dialect: "Ollama chat",
    operation: "ollama.chat",
    connect: (door) => converse((of) => ollama(door, of), readOllamaFailure),
  },
  {
    packages: ["@langchain/openai", "@langchain/core"],
    dialect: "OpenAI embeddings",
    operation: "openai.embeddings",
    connect: ({ origin, key, fetch }) => ({
      failure: readFailure,
      embed: (model, texts) =>
        new OpenAIEmbeddings({
          model,
          apiKey: key,
          maxRetries: 0,
          configuration: { baseURL: `${origin}/v1`, fetch },
        }).embedDocuments([...texts]),
    }),
  },
  {
    packages: ["@langchain/ollama", "@langchain/core"],
    dialect: "Ollama embed",
    operation: "ollama.embed",
    connect: ({ origin, key, fetch }) => ({
      failure: readOllamaFailure,
      embed: (model, texts) =>
        new OllamaEmbeddings({
          model,
          baseUrl: origin,
          headers: { authorization: `Bearer ${key}` },
          maxRetries: 0,
          fetch,
        }).embedDocuments([...texts]),
    }),
  },
];

/** It has an error of its own for a prompt that does not fit, and lets the others through. */
function readFailure(error: unknown): Failure {
  return readOpenAIFailure(ContextOverflowError.isInstance(error) ? error.cause : error);
}

function openai({ origin, key, fetch }: Door, { model, maxTokens }: Ask, useResponsesApi: boolean): ChatOpenAI {
  return new ChatOpenAI({
    model,
    maxTokens,
    apiKey: key,
    useResponsesApi,
    maxRetries: 0,
    configuration: { baseURL: `${origin}/v1`, fetch },
  });
}

function ollama({ origin, key, fetch }: Door, { model, maxTokens }: Ask): ChatOllama {
  return new ChatOllama({
    model,
    numPredict: maxTokens,
    baseUrl: origin,
    headers: { authorization: `Bearer ${key}` },
    maxRetries: 0,
    fetch,
  });
}

function converse(open: (of: Ask) => ChatOpenAI | ChatOllama, failure: Client["failure"]): Client {
  const optionsOf = ({ signal }: Ask) => (signal === undefined ? {} : { signal });

  async function gather(
    stream: AsyncIterable<AIMessageChunk>,
    onPiece: (text: string) => void,
  ): Promise<AIMessageChunk> {
    let all: AIMessageChunk | null = null;
    for await (const chunk of stream) {
      onPiece(chunk.text);
      all = all === null ? chunk : all.concat(chunk);
    }
    if (all === null) throw new Error("a stream without a chunk");
    return all;
  }

  return {
    failure,
    async whole(of) {
      return said(await open(of).invoke(of.prompt, optionsOf(of)));
    },
    async stream(of, onPiece) {
      return said(await gather(await open(of).stream(of.prompt, optionsOf(of)), onPiece));
    },
    async useTool(of, run, isStream) {
      const weather = makeTool((input: { city: string }) => run(input), {
        name: WEATHER.name,
        description: WEATHER.description,
        schema: WEATHER.schema,
      });
      const model = open(of).bindTools([weather]);
      const messages: BaseMessageLike[] = [new HumanMessage(of.prompt)];
      for (let step = 0; step < MAX_STEPS; step += 1) {
        const message = isStream
          ? await gather(await model.stream(messages, optionsOf(of)), () => {})
          : await model.invoke(messages, optionsOf(of));
        const calls = message.tool_calls ?? [];
        if (calls.length === 0) return said(message);
        messages.push(message);
        for (const call of calls) {
          const content = run(call.args as { city: string });
          messages.push(new ToolMessage({ content, tool_call_id: call.id ?? "", name: call.name }));
        }
      }
      throw new Error("calls tools without end");
    },
  };
}

function said({ text, response_metadata, usage_metadata: usage }: AIMessage | AIMessageChunk): Said {
  const { finish_reason, done_reason, status } = response_metadata as Record<string, string | undefined>;
  return {
    text,
    finish: finish_reason ?? done_reason ?? status ?? null,
    tokensIn: count(usage, "input_tokens"),
    tokensOut: count(usage, "output_tokens"),
  };
}

/** LangChain's types lose the usage of a message whose content is of any kind. */
function count(usage: object | undefined, name: string): number | null {
  const tokens: unknown = usage === undefined ? null : Reflect.get(usage, name);
  return typeof tokens === "number" ? tokens : null;
}
