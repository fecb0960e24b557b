import { PosternError } from "../errors.ts";
import type { AnswerEvent, AnswerWriter, SaidError } from "./conversation.ts";
import type { Usage } from "./dialect.ts";

/** Longest text that another target is asked to go on with, in characters. A longer answer is not rescued. */
export const MAX_CONTINUED_LENGTH = 256 * 1024;

/** So much of a continuation is held back until it is clear that it does not begin the answer anew. */
const GUARD_LENGTH = 24;

/**
 * The writer of an answer that more than one target may write: remembers the text that has gone to the caller, adds up usage,
 * and holds the beginning of each continuation until it is clear that it is one.
 */
export class ContinuedWriter implements AnswerWriter {
  readonly #writer: AnswerWriter;
  /** What the caller has. Emptied once it is too long. */
  text = "";
  /** Tokens of those that wrote before. */
  carried: Usage | null = null;
  /** Something other than text has come, or too much of it: nobody can go on with that. */
  isBeyondText = false;
  hasFinished = false;
  /** Beginning of a continuation; null where none is held. */
  #guarded: string | null = null;
  #isContinued = false;

  constructor(writer: AnswerWriter) {
    this.#writer = writer;
  }

  /** The beginning of a continuation is held back. */
  get isGuarding(): boolean {
    return this.#guarded !== null;
  }

  /** Another target goes on from here. */
  continues(usage: Usage): void {
    this.carried = usage;
    this.#guarded = "";
    this.#isContinued = true;
  }

  write(event: Exclude<AnswerEvent, { type: "error" }>): string {
    switch (event.type) {
      case "text":
        return this.#writeText(event.text);
      case "usage":
        return this.#writer.write({ type: "usage", usage: addUsage(this.carried, event.usage) });
      case "finish":
        this.hasFinished = true;
        return this.#flush() + this.#writer.write(event);
      default:
        this.isBeyondText = true;
        return this.#flush() + this.#writer.write(event);
    }
  }

  end(): string {
    const out = this.#flush() + this.#writer.end();
    return this.#isContinued ? markLast(out) : out;
  }

  keepAlive(nowMs: number): string {
    return this.#writer.keepAlive(nowMs);
  }

  error(error: PosternError | SaidError): string {
    return this.#writer.error(error);
  }

  #writeText(text: string): string {
    if (this.#guarded === null) return this.#say(text);
    this.#guarded += text;
    return this.#guarded.length < GUARD_LENGTH ? "" : this.#flush();
  }

  #flush(): string {
    const held = this.#guarded;
    this.#guarded = null;
    if (held === null || held === "") return "";
    if (beginsAnew(this.text, held)) {
      throw new PosternError("engine_bad_answer", { detail: { reason: "it began the answer anew" } });
    }
    return this.#say(held);
  }

  #say(text: string): string {
    if (this.text.length + text.length > MAX_CONTINUED_LENGTH) this.isBeyondText = true;
    this.text = this.isBeyondText ? "" : this.text + text;
    return this.#writer.write({ type: "text", text });
  }
}

/** Usage of all who wrote: the prompt once, the text of each. */
export function addUsage(carried: Usage | null, usage: Usage): Usage {
  if (carried === null) return usage;
  return {
    tokensIn: carried.tokensIn,
    tokensInCached: carried.tokensInCached,
    tokensOut: carried.tokensOut + usage.tokensOut,
    tokensReasoning: null,
    isEstimated: true,
  };
}

/** Whether a continuation is the beginning of the text over again. A text that repeats itself may go on so. */
function beginsAnew(text: string, continuation: string): boolean {
  const start = continuation.trimStart().slice(0, GUARD_LENGTH);
  const begun = text.trimStart();
  return start.length >= GUARD_LENGTH && begun.startsWith(start) && !begun.includes(start, 1);
}

/** Says in the last record that the answer has more than one author. Records of every dialect are objects of one line. */
function markLast(records: string): string {
  const at = Math.max(records.lastIndexOf("\ndata: {"), records.lastIndexOf("\n{"));
  const open = at < 0 ? records.indexOf("{") : records.indexOf("{", at);
  return open < 0 ? records : `${records.slice(0, open + 1)}"postern":{"rescued":true},${records.slice(open + 1)}`;
}
