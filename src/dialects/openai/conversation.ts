import type { ConversationDialect } from "../conversation.ts";
import { readChatAnswer, writeChatAnswer } from "./conversation-answer.ts";
import { errorWords, readChatError } from "./conversation-error.ts";
import { readChatRequest } from "./conversation-reader.ts";
import { ChatStreamReader } from "./conversation-stream-reader.ts";
import { ChatStreamWriter } from "./conversation-stream-writer.ts";
import { writeChatRequest } from "./conversation-writer.ts";

/** OpenAI chat completions as one half of a translation. */
export const openAiChatConversation: ConversationDialect = {
  dialect: "openai-chat",
  streamType: "text/event-stream",
  readRequest: readChatRequest,
  writeRequest: writeChatRequest,
  reader: () => new ChatStreamReader(),
  writer: (context) => new ChatStreamWriter(context),
  readAnswer: readChatAnswer,
  writeAnswer: writeChatAnswer,
  readError: readChatError,
  writeError: (error) => ({ error: errorWords(error) }),
};
