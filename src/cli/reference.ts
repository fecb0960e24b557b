import type { Command } from "commander";
import { buildProgram } from "./program.ts";

const WIDTH = 100;

/** One command as docs/reference/cli.md shows it. */
export interface CommandHelp {
  /** `postern keys create`. */
  name: string;
  /** What `--help` prints, without colour, 100 columns wide. */
  help: string;
}

/** The help of every command, in the order of the program's own. */
export function listCommandHelp(): CommandHelp[] {
  const program = buildProgram({ exitCode: 0 });
  return visit(program, "");
}

/** Every command's help as Markdown, for docs/reference/cli.md and its in-step test. */
export function renderCliReference(): string {
  return listCommandHelp()
    .map(({ name, help }) => `## \`${name}\`\n\n\`\`\`text\n${help.trimEnd()}\n\`\`\`\n`)
    .join("\n");
}

function visit(command: Command, path: string): CommandHelp[] {
  const name = path === "" ? command.name() : `${path} ${command.name()}`;
  return [{ name, help: capture(command) }, ...command.commands.flatMap((child) => visit(child as Command, name))];
}

function capture(command: Command): string {
  let text = "";
  command.configureOutput({
    writeOut: (piece) => {
      text += piece;
    },
    getOutHelpWidth: () => WIDTH,
    getOutHasColors: () => false,
  });
  command.outputHelp();
  return text;
}
