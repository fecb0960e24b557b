import type { WholeAnswer } from "../dialects/attempt-format.ts";
import type { AttemptFailure } from "../routing/classify-failure.ts";

/** Whom an attempt tells what becomes of it. After `onStreamEnd`, `onWhole`, `onErrorAnswer` and `onTrouble` nothing more comes. */
export interface AttemptEvents {
  /** A part of a stream that has content; what was held back before it is in `takeHeld`. */
  onContent(out: Buffer): void;
  /** Something came that has no content: comments, roles. It is in `takeHeld`. */
  onPrelude(): void;
  /** The stream ended as it should. @param tail What is still to be written. */
  onStreamEnd(tail: Buffer): void;
  onWhole(answer: WholeAnswer, type: string): void;
  /** The target answered with an error, from 400. */
  onErrorAnswer(status: number, type: string, body: Buffer): void;
  /**
   * It is of no use.
   *
   * @param lastWords What the caller reads where this is the end: the target's own in-band error, empty where it has it already;
   *   null: an error of ours.
   */
  onTrouble(failure: AttemptFailure, detail: Record<string, unknown> | null, lastWords: Buffer | null): void;
}
