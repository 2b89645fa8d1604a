/** Runs the last of many calls once per drawn frame. A hidden tab draws no frames, so there a
 * slow timer stands in and the state stays current. */

const HIDDEN_MS = 250;

export class FrameGate {
  readonly #draw: () => void;
  #pending: (() => void) | null = null;

  constructor(draw: () => void) {
    this.#draw = draw;
  }

  /** Asks for a draw in the next frame; further calls until then are the same one. */
  request(): void {
    if (this.#pending !== null) return;
    if (document.hidden) {
      const timer = setTimeout(() => this.flush(), HIDDEN_MS);
      this.#pending = () => clearTimeout(timer);
    } else {
      const frame = requestAnimationFrame(() => this.flush());
      this.#pending = () => cancelAnimationFrame(frame);
    }
  }

  /** Draws now, in place of whatever was asked for. */
  flush(): void {
    this.#pending?.();
    this.#pending = null;
    this.#draw();
  }
}
