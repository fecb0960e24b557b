import type { Command } from "commander";
import type { Risk } from "../../config/refuse-unsafe-listen.ts";
import { acceptRiskOption } from "../accept-risk.ts";
import type { CommandSet } from "../invocation.ts";

/** Options of `up`. */
export interface UpOptions {
  engine?: string;
  model?: string;
  listen?: string;
  adminListen?: string;
  acceptRisk?: Risk[];
}

/** `up`: gateway, agent and engine of this machine, as supervised processes. */
export function addUpCommand(program: Command, commands: CommandSet): void {
  commands.finish<UpOptions>(
    program
      .command("up")
      .description(
        "Run gateway, agent and engine on this machine, in the foreground. Engines that run already are found and served; without one, a small llama.cpp is installed into the data folder.",
      )
      .option(
        "--engine <what>",
        "auto: find engines, else the embedded one; none: never the embedded one; or an engine's URL",
        "auto",
      )
      .option("--model <file.gguf>", "serve this model file with the embedded engine")
      .option("--listen <address>", "public listener (POSTERN_LISTEN; default 127.0.0.1:8400)")
      .option(
        "--admin-listen <address>",
        "health, metrics and the admin API (POSTERN_ADMIN_LISTEN; default 127.0.0.1:8401)",
      )
      .addOption(acceptRiskOption()),
    [
      ["postern up", "everything on this machine"],
      ["postern up --model ~/models/qwen3-8b.gguf", "serve a model file"],
      ["postern up --engine http://192.168.1.20:8000", "serve an engine elsewhere in the network"],
      ["postern up --engine none --json", "for programs: one JSON line once it serves"],
    ],
    async ({ options, output }) => {
      const { runUp } = await import("../run-up.ts");
      return runUp(options, output);
    },
  );
}
