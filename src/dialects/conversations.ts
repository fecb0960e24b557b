import { anthropicConversation } from "./anthropic/conversation.ts";
import type { ConversationDialect } from "./conversation.ts";
import { ollamaChatConversation, ollamaGenerateConversation } from "./ollama/conversation.ts";
import { openAiChatConversation } from "./openai/conversation.ts";
import { responsesConversation } from "./responses/conversation.ts";

/** The dialects of conversations, by id of the operation. Any two of them can be joined. */
export const CONVERSATIONS: ReadonlyMap<string, ConversationDialect> = new Map([
  ["openai.chat", openAiChatConversation],
  ["openai.responses", responsesConversation],
  ["anthropic.messages", anthropicConversation],
  ["ollama.chat", ollamaChatConversation],
  ["ollama.generate", ollamaGenerateConversation],
]);
