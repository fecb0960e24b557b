import { PosternError } from "../errors.ts";
import { NO_STEERING, readSteering, type Steering, writeSteering } from "./steering.ts";

/** What the operator has said, in step with what is saved of it: a word counts once the store has it. Changes go one after the other. */
export class SteeringBook {
  #now: Steering;
  readonly #onChange: (steering: Steering) => void;
  #last: Promise<unknown> = Promise.resolve();
  /** Whether what was saved could be read. */
  readonly isReadable: boolean;

  /** @param onChange Told of each change once it is saved. Must not throw. */
  constructor(saved: Uint8Array | null, onChange: (steering: Steering) => void = () => {}) {
    const read = readSteering(saved);
    this.isReadable = read !== null;
    this.#now = read ?? NO_STEERING;
    this.#onChange = onChange;
  }

  get steering(): Steering {
    return this.#now;
  }

  /**
   * @param change Makes the new state from the one that counts then. May throw: nothing is changed then.
   * @param save Rejects where it cannot be kept: nothing is changed then.
   */
  change(change: (now: Steering) => Steering, save: (bytes: Uint8Array) => Promise<void>): Promise<void> {
    const turn = this.#last.then(async () => {
      const next = change(this.#now);
      await save(writeSteering(next));
      this.#now = next;
      this.#onChange(next);
    });
    this.#last = turn.catch(() => {});
    return turn;
  }
}

/** Of a model that was never given weights. */
export function noWeights(model: string): PosternError {
  return new PosternError("invalid_input", {
    message: `The weights of "${model}" were never changed, so there is nothing to go back to`,
    hint: "Give a target a weight: postern models weight MODEL TARGET N.",
  });
}
