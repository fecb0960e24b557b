import type { ConversationDialect } from "../conversation.ts";
import { MessagesStreamReader } from "./answer-reader.ts";
import { MessagesStreamWriter } from "./answer-writer.ts";
import { readMessagesRequest } from "./conversation-reader.ts";
import { writeMessagesRequest } from "./conversation-writer.ts";
import { readMessagesError, writeMessagesError } from "./error.ts";
import { readMessage, writeMessage } from "./whole-answer.ts";

/** Anthropic messages as one half of a translation. */
export const anthropicConversation: ConversationDialect = {
  dialect: "anthropic-messages",
  streamType: "text/event-stream",
  readRequest: readMessagesRequest,
  writeRequest: writeMessagesRequest,
  reader: () => new MessagesStreamReader(),
  writer: (context) => new MessagesStreamWriter(context),
  readAnswer: readMessage,
  writeAnswer: writeMessage,
  readError: readMessagesError,
  writeError: (error, { id }) => ({ ...writeMessagesError(error), request_id: id }),
};
