import type { ConversationDialect } from "../conversation.ts";
import type { ChunkKind } from "./chunk.ts";
import { readWholeAnswer, writeWholeAnswer } from "./conversation-answer.ts";
import { readError } from "./conversation-error.ts";
import { readChatRequest, readGenerateRequest } from "./conversation-reader.ts";
import { OllamaStreamReader } from "./conversation-stream-reader.ts";
import { OllamaStreamWriter } from "./conversation-stream-writer.ts";
import { writeChatRequest, writeGenerateRequest } from "./conversation-writer.ts";

/** Ollama's `/api/chat` as one half of a translation. */
export const ollamaChatConversation: ConversationDialect = {
  dialect: "ollama-chat",
  readRequest: readChatRequest,
  writeRequest: writeChatRequest,
  ...answers("chat"),
};

/** Ollama's `/api/generate` as one half of a translation: conversations of a single prompt. */
export const ollamaGenerateConversation: ConversationDialect = {
  dialect: "ollama-generate",
  readRequest: readGenerateRequest,
  writeRequest: writeGenerateRequest,
  ...answers("generate"),
};

function answers(kind: ChunkKind): Omit<ConversationDialect, "dialect" | "readRequest" | "writeRequest"> {
  return {
    streamType: "application/x-ndjson",
    reader: () => new OllamaStreamReader(),
    writer: (context) => new OllamaStreamWriter(kind, context),
    readAnswer: (body) => readWholeAnswer(kind, body),
    writeAnswer: (answer, context) => writeWholeAnswer(kind, answer, context),
    readError,
    writeError: ({ message }) => ({ error: message }),
  };
}
