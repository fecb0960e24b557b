import { createInterface } from "node:readline/promises";
import { loadConfig, publicUrlOf } from "../config/load.ts";
import { PosternError } from "../errors.ts";
import { Secret } from "../lib/secret.ts";
import { connectLocal } from "./admin-session.ts";
import { type ChatAnswer, type ChatMessage, listModelNames, streamChat } from "./chat-stream.ts";
import type { ChatOptions } from "./commands/chat.ts";
import { type CommonOptions, usageError } from "./invocation.ts";
import type { Output } from "./output.ts";
import { readSecretFile } from "./read-secret.ts";

/** Most characters of a message from standard input. */
const MAX_MESSAGE_CHARACTERS = 8 * 1024 * 1024;
/** Exit code of a program that Ctrl-C ended is 130 by custom; ours are 0, 1 and 2. */
const CANCELLED = 1;

/** One answer, or a conversation. @returns the exit code. */
export async function runChat(options: ChatOptions & CommonOptions, words: string[], output: Output): Promise<number> {
  const baseUrl = await findBaseUrl(options);
  const key = await findKey(options);
  const question = words.length > 0 ? words.join(" ") : process.stdin.isTTY ? null : await readMessage(options);
  const model = options.model ?? (await firstModel(baseUrl, key));
  const history: ChatMessage[] = options.system === undefined ? [] : [{ role: "system", content: options.system }];
  if (question === null) return converse({ baseUrl, key, model, history, output });
  const answer = await askOnce({ baseUrl, key, model, history, output }, question);
  if (answer === null) return CANCELLED;
  output.result({ model, ...answer }, () => "");
  return 0;
}

interface Conversation {
  baseUrl: string;
  key: Secret;
  model: string;
  history: ChatMessage[];
  output: Output;
}

/** Null when Ctrl-C stopped it. */
async function askOnce(
  { baseUrl, key, model, history, output }: Conversation,
  question: string,
): Promise<ChatAnswer | null> {
  const cancel = new AbortController();
  const onInterrupt = (): void => cancel.abort();
  process.once("SIGINT", onInterrupt);
  history.push({ role: "user", content: question });
  try {
    const answer = await streamChat({
      baseUrl,
      key,
      model,
      messages: history,
      signal: cancel.signal,
      onText: (text) => void (output.isJson || process.stdout.write(output.isTerminal ? withoutControl(text) : text)),
    });
    history.push({ role: "assistant", content: answer.text });
    return answer;
  } catch (error) {
    if (!cancel.signal.aborted) throw error;
    output.note("\nstopped");
    return null;
  } finally {
    process.off("SIGINT", onInterrupt);
  }
}

async function converse(conversation: Conversation): Promise<number> {
  const { output, model } = conversation;
  if (output.isJson)
    throw usageError("--json needs a message", 'Say it on the command line: postern chat --json "Hello".');
  output.note(`Talking to ${model}. Ctrl-C stops an answer, Ctrl-D ends the conversation.`);
  const lines = createInterface({ input: process.stdin, output: process.stdout });
  try {
    for (;;) {
      lines.setPrompt("> ");
      lines.prompt();
      const { value: question, done } = await lines[Symbol.asyncIterator]().next();
      if (done === true || question === undefined) return 0;
      if (question.trim() === "") continue;
      // Readline in raw mode takes Ctrl-C for itself; while an answer streams, it is the answer's.
      lines.once("SIGINT", () => process.emit("SIGINT"));
      try {
        await askOnce(conversation, question);
      } catch (error) {
        if (!(error instanceof PosternError)) throw error;
        output.error(error);
      }
      lines.removeAllListeners("SIGINT");
      process.stdout.write("\n");
    }
  } finally {
    lines.close();
  }
}

async function findBaseUrl(options: ChatOptions & CommonOptions): Promise<string> {
  const given = options.url ?? process.env["POSTERN_URL"];
  if (given !== undefined && given !== "") {
    if (!URL.canParse(given) || !/^https?:/.test(given))
      throw usageError(`--url must be an http or https URL, got ${JSON.stringify(given)}`);
    const url = given.replace(/\/+$/, "");
    return url.endsWith("/v1") ? url : `${url}/v1`;
  }
  const config = loadConfig({ part: "none", flags: options });
  const admin = await connectLocal(config);
  const status = await admin?.status();
  return `${status?.gateway?.publicUrl ?? publicUrlOf(config)}/v1`;
}

async function findKey(options: ChatOptions): Promise<Secret> {
  if (options.keyFile !== undefined) return readSecretFile(options.keyFile, "key");
  const fromEnvironment = process.env["POSTERN_KEY"];
  if (fromEnvironment !== undefined && fromEnvironment !== "") return new Secret(fromEnvironment);
  if (process.stdin.isTTY && process.stderr.isTTY) {
    const { isCancel, password } = await import("@clack/prompts");
    const typed = await password({ message: "Key (pst_...)", output: process.stderr });
    if (!isCancel(typed) && typed !== "") return new Secret(typed);
  }
  throw usageError("No key", "Pass one in POSTERN_KEY or --key-file; `postern keys create NAME` makes one.");
}

async function readMessage(options: ChatOptions): Promise<string> {
  if (options.keyFile === "-")
    throw usageError("Standard input holds the key already, so the message must be on the command line");
  let text = "";
  process.stdin.setEncoding("utf8");
  for await (const piece of process.stdin) {
    text += piece;
    if (text.length > MAX_MESSAGE_CHARACTERS) throw usageError("The message on standard input is too large");
  }
  if (text.trim() === "") throw usageError("There is no message", 'Say it on the command line: postern chat "Hello".');
  return text;
}

async function firstModel(baseUrl: string, key: Secret): Promise<string> {
  const [name] = await listModelNames({ baseUrl, key, signal: AbortSignal.timeout(30_000) });
  if (name !== undefined) return name;
  throw new PosternError("no_target", {
    message: "There is no model that this key may use",
    hint: "`postern models list` shows what nodes offer; `postern nodes list` shows which are connected.",
  });
}

/** A terminal obeys escape sequences, whoever writes them; line breaks and tabs are text. */
function withoutControl(text: string): string {
  return text.replace(/[^\P{Cc}\n\t]/gu, "\uFFFD");
}
