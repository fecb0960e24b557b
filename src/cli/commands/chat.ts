import type { Command } from "commander";
import type { CommandSet } from "../invocation.ts";

/** Options of `chat`. */
export interface ChatOptions {
  model?: string;
  system?: string;
  url?: string;
  keyFile?: string;
}

/** `chat`: try it from the terminal. */
export function addChatCommand(program: Command, commands: CommandSet): void {
  commands.finish<ChatOptions>(
    program
      .command("chat [message...]")
      .description(
        "Ask a model through the gateway and stream its answer. Without a message: a conversation, or standard input.",
      )
      .option("--model <name>", "model to ask; left out: the first that the key may use")
      .option("--system <text>", "what the model is told first")
      .option("--url <url>", "gateway (POSTERN_URL; default: the one of this machine)")
      .option("--key-file <file>", "file with the key, - for standard input; left out: POSTERN_KEY, or you are asked"),
    [
      ["POSTERN_KEY=pst_... postern chat Why is the sky blue?", "one answer"],
      [
        "postern chat --key-file ~/.postern-key --model llama3.1:8b",
        "a conversation; Ctrl-C stops an answer, Ctrl-D ends it",
      ],
      ["git diff | POSTERN_KEY=pst_... postern chat --system 'Review this.'", "the message from standard input"],
    ],
    async ({ options, args, output }) => {
      const { runChat } = await import("../run-chat.ts");
      return runChat(options, args, output);
    },
  );
}
