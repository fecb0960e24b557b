import { styleText } from "node:util";

const FRAMES = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏";
const FRAME_MS = 80;

/** What goes on, on stderr: one moving line on a terminal, otherwise one line for each new step. */
export class Progress {
  readonly #stream = process.stderr;
  readonly #isMoving = process.stderr.isTTY === true;
  #text = "";
  #step = "";
  #frame = 0;
  #timer: NodeJS.Timeout | null = null;

  /**
   * @param step What goes on, in words.
   * @param measure How far it is (`12/40 packages`); on a terminal only, because it changes often.
   */
  update(step: string, measure = ""): void {
    this.#text = measure === "" ? step : `${step} (${measure})`;
    if (this.#isMoving) {
      this.#draw();
      this.#timer ??= setInterval(() => this.#draw(), FRAME_MS);
      this.#timer.unref();
    } else if (step !== this.#step) this.#stream.write(`${step}\n`);
    this.#step = step;
  }

  /** Takes the moving line away. */
  clear(): void {
    if (this.#timer === null) return;
    clearInterval(this.#timer);
    this.#timer = null;
    this.#stream.write("\r\u001b[2K");
  }

  #draw(): void {
    this.#frame = (this.#frame + 1) % FRAMES.length;
    const frame = styleText("cyan", FRAMES[this.#frame] ?? "", { stream: this.#stream });
    const room = Math.max(20, (this.#stream.columns || 80) - 3);
    this.#stream.write(`\r\u001b[2K${frame} ${this.#text.slice(0, room)}`);
  }
}
