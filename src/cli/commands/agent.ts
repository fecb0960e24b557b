import type { Command } from "commander";
import { type CommandSet, usageError } from "../invocation.ts";

/** Options of `agent` and `agent join`. */
export interface AgentCommandOptions {
  engine?: string;
  model?: string;
  gateway?: string;
  codeFile?: string;
}

/**
 * `agent` and `agent join`.
 *
 * @param engineEntry See `AgentRun`; null where the engine's script is a file of its own.
 */
export function addAgentCommand(program: Command, commands: CommandSet, engineEntry: URL | null = null): void {
  const agent = withEngineOptions(
    program
      .command("agent")
      .description(
        "Run the agent beside the engines of this machine, in the foreground. It dials out; nothing is opened.",
      ),
  )
    .option("--gateway <url>", "gateway to dial; left out: the one that was joined")
    // `agent` and `agent join` share option names: without this, commander gives those after `join` to `agent`.
    .enablePositionalOptions();

  commands.finish<AgentCommandOptions>(
    agent,
    [
      ["postern agent", "once this machine has joined"],
      ["postern agent --engine http://10.0.0.2:11434", "serve an Ollama elsewhere in the network"],
    ],
    async ({ options, output }) => {
      const { runAgent } = await import("../run-agent.ts");
      const gateway = options.gateway === undefined ? null : readGateway(options.gateway);
      return runAgent(options, { invitation: null, gateway, engineEntry }, output);
    },
  );

  commands.finish<AgentCommandOptions>(
    withEngineOptions(
      agent
        .command("join <url> [code]")
        .description("Join a gateway with an invitation, then run. The code may be -, for standard input, or @FILE."),
    ).option("--code-file <file>", "file with the invitation, - for standard input"),
    [
      ["postern agent join https://ai.example.org pstn_...", "the code is good once, so a command line may hold it"],
      ["postern agent join https://ai.example.org - < code.txt", "from standard input"],
      ["postern agent join https://ai.example.org --code-file /run/secrets/invitation", "from a mounted secret"],
    ],
    async ({ options, args, output }) => {
      const { runAgent } = await import("../run-agent.ts");
      const gateway = readGateway(args[0] ?? "");
      const invitation = await readCode(args[1], options.codeFile);
      return runAgent(options, { invitation, gateway, engineEntry }, output);
    },
  );
}

function withEngineOptions(command: Command): Command {
  return command
    .option(
      "--engine <what>",
      "auto: find engines, else the embedded one; none: never the embedded one; or an engine's URL",
      "auto",
    )
    .option("--model <file.gguf>", "serve this model file with the embedded engine");
}

function readGateway(text: string): URL {
  const url = URL.parse(text);
  if (
    url === null ||
    !/^https?:$/.test(url.protocol) ||
    url.pathname !== "/" ||
    url.search !== "" ||
    url.username !== ""
  ) {
    throw usageError(
      `The gateway must be an origin like https://ai.example.org, got ${JSON.stringify(text.replace(/\/\/[^/]*@/, "//***@"))}`,
    );
  }
  return url;
}

async function readCode(code: string | undefined, file: string | undefined) {
  const { readSecretFile } = await import("../read-secret.ts");
  const { Secret } = await import("../../lib/secret.ts");
  if (code !== undefined && file !== undefined)
    throw usageError("The invitation was given twice: as an argument and with --code-file");
  if (file !== undefined) return readSecretFile(file, "invitation");
  if (code === undefined || code === "-") return readSecretFile("-", "invitation");
  return code.startsWith("@") ? readSecretFile(code.slice(1), "invitation") : new Secret(code);
}
