import { randomBytes } from "node:crypto";
import { PosternError } from "../../errors.ts";
import type { TemplateLibrary } from "./library.ts";

export interface ChatMessage {
  role: "system" | "user" | "assistant";
  content: string;
}

/** A stretch of a rendered prompt: `isMarkup` says whether the names of control tokens in it stand for those tokens. */
export interface PromptPart {
  text: string;
  isMarkup: boolean;
}

export interface TemplateTokens {
  bos: string;
  eos: string;
  /** Texts of all control tokens of the vocabulary. */
  control: readonly string[];
}

/**
 * A model's own chat template.
 *
 * Callers' text is data: where it contains the name of a control token (`<|im_end|>`), that name stays text, so that nobody can
 * forge a turn of another role.
 */
export class ChatTemplate {
  readonly #template: { render(variables: Record<string, unknown>): string };
  readonly #tokens: TemplateTokens;
  readonly #control: RegExp | null;
  /** Marks the places of control token names in callers' text while the template runs. Not guessable from outside. */
  readonly #mark = `\uE000${randomBytes(6).toString("hex")}`;

  /** @throws whatever the template library throws when the template cannot be parsed. */
  constructor(source: string, library: TemplateLibrary, tokens: TemplateTokens) {
    this.#template = new library.Template(source);
    this.#tokens = tokens;
    const names = tokens.control.filter((name) => name !== "").sort((a, b) => b.length - a.length);
    this.#control =
      names.length === 0
        ? null
        : new RegExp(names.map((name) => name.replace(/[\\^$.*+?()[\]{}|/-]/g, "\\$&")).join("|"), "g");
  }

  /**
   * The prompt for these messages, ending where the assistant's answer begins; or within it, where the last message is the
   * assistant's: what llama-server does too.
   *
   * @throws PosternError `body_invalid` when the template refuses the messages (roles that must alternate, for example).
   */
  render(messages: readonly ChatMessage[]): PromptPart[] {
    const names: string[] = [];
    const last = messages.at(-1);
    const begun = last?.role === "assistant" ? last : null;
    const asked = begun === null ? messages : messages.slice(0, -1);
    const safe = asked.map(({ role, content }) => ({ role, content: this.#hideControlNames(content, names) }));
    let text: string;
    try {
      text = this.#template.render({
        messages: safe,
        bos_token: this.#tokens.bos,
        eos_token: this.#tokens.eos,
        add_generation_prompt: true,
      });
    } catch (cause) {
      throw new PosternError("body_invalid", {
        message: "The model's chat template does not accept these messages",
        hint: "Many templates want user and assistant messages to alternate, and a system message only at the start.",
        param: "messages",
        cause,
      });
    }
    return this.#split(begun === null ? text : text + this.#hideControlNames(begun.content, names), names);
  }

  #hideControlNames(content: string, names: string[]): string {
    if (this.#control === null) return content;
    return content.replace(this.#control, (name) => `${this.#mark}${names.push(name) - 1}\uE001`);
  }

  #split(text: string, names: readonly string[]): PromptPart[] {
    const parts: PromptPart[] = [];
    const pieces = text.split(this.#mark);
    pieces.forEach((piece, index) => {
      const end = index === 0 ? -1 : piece.indexOf("\uE001");
      const name = names[Number(piece.slice(0, Math.max(0, end)))];
      if (end !== -1 && name !== undefined) parts.push({ text: name, isMarkup: false });
      const rest = piece.slice(end + 1);
      if (rest !== "") parts.push({ text: rest, isMarkup: true });
    });
    return parts;
  }
}
