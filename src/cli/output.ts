import { styleText } from "node:util";
import type { PosternError } from "../errors.ts";

type Style = Parameters<typeof styleText>[0];

/** Paints for one stream: colour only on a terminal, never with `NO_COLOR`. */
export type Paint = (style: Style, text: string) => string;

/**
 * Where a command's words go: its result once on stdout, as text for people or as exactly one JSON value with `--json`;
 * everything else on stderr.
 */
export class Output {
  readonly isJson: boolean;
  readonly isTerminal: boolean;

  constructor(isJson: boolean) {
    this.isJson = isJson;
    this.isTerminal = process.stdout.isTTY === true;
  }

  /** The command's result. `render` is not called with `--json`. */
  result(value: unknown, render: (paint: Paint) => string): void {
    const text = this.isJson ? JSON.stringify(value) : render(paintFor(process.stdout));
    process.stdout.write(text.endsWith("\n") ? text : `${text}\n`);
  }

  /** A part of a result that is too long to be held as a whole. */
  piece(text: string): void {
    process.stdout.write(text);
  }

  /** A word about progress or a warning, for people. */
  note(text: string, style: Style = "dim"): void {
    process.stderr.write(`${paintFor(process.stderr)(style, text)}\n`);
  }

  /** One clear line and the next step; with `--json` the error is also the value on stdout. */
  error(error: PosternError): void {
    const paint = paintFor(process.stderr);
    process.stderr.write(`${paint("red", "postern:")} ${error.message}\n`);
    if (error.hint !== undefined) process.stderr.write(`${paint("dim", "Next step:")} ${error.hint}\n`);
    if (this.isJson) {
      const { faults } = error.detail;
      const body = { code: error.code, message: error.message, hint: error.hint ?? null };
      process.stdout.write(`${JSON.stringify({ error: faults === undefined ? body : { ...body, faults } })}\n`);
    }
  }
}

function paintFor(stream: NodeJS.WriteStream): Paint {
  return (style, text) => styleText(style, text, { stream });
}
