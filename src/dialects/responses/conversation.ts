import type { ConversationDialect } from "../conversation.ts";
import { errorWords, readChatError } from "../openai/conversation-error.ts";
import { readResponsesAnswer, writeResponsesAnswer } from "./conversation-answer.ts";
import { readResponsesRequest } from "./conversation-reader.ts";
import { ResponsesStreamReader } from "./conversation-stream-reader.ts";
import { ResponsesStreamWriter } from "./conversation-stream-writer.ts";
import { writeResponsesRequest } from "./conversation-writer.ts";

/** OpenAI Responses as one half of a translation: Codex against servers that know only chat. */
export const responsesConversation: ConversationDialect = {
  dialect: "openai-responses",
  streamType: "text/event-stream",
  readRequest: readResponsesRequest,
  writeRequest: writeResponsesRequest,
  reader: () => new ResponsesStreamReader(),
  writer: (context) => new ResponsesStreamWriter(context),
  readAnswer: readResponsesAnswer,
  writeAnswer: writeResponsesAnswer,
  readError: readChatError,
  writeError: (error) => ({ error: errorWords(error) }),
};
