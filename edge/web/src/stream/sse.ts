/** An incremental reader of `text/event-stream` (WHATWG HTML, section 9.2.6). */

export interface SseEvent {
  readonly event: string;
  readonly data: string;
}

/** Turns decoded text, cut anywhere, into events. `retryMs` is the last `retry:` seen. Ids are
 * not kept: every Parley event repeats its own as `seq`. */
export class SseParser {
  retryMs: number | null = null;
  #line = "";
  #afterReturn = false;
  #event = "";
  #data: string[] = [];

  /** Takes the next piece and returns the events that it completes, in order. */
  feed(text: string): SseEvent[] {
    const done: SseEvent[] = [];
    let from = 0;
    if (this.#afterReturn && text !== "") {
      if (text[0] === "\n") from = 1;
      this.#afterReturn = false;
    }
    for (let at = from; at < text.length; at++) {
      const char = text[at];
      if (char !== "\n" && char !== "\r") continue;
      this.#take(this.#line + text.slice(from, at), done);
      this.#line = "";
      if (char === "\r") {
        if (at + 1 === text.length) this.#afterReturn = true;
        else if (text[at + 1] === "\n") at++;
      }
      from = at + 1;
    }
    this.#line += text.slice(from);
    return done;
  }

  #take(line: string, done: SseEvent[]): void {
    if (line === "") {
      if (this.#data.length > 0) {
        done.push({ event: this.#event || "message", data: this.#data.join("\n") });
      }
      this.#event = "";
      this.#data = [];
      return;
    }
    const colon = line.indexOf(":");
    if (colon === 0) return;
    const field = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
    if (field === "event") this.#event = value;
    else if (field === "data") this.#data.push(value);
    else if (field === "retry" && /^\d+$/.test(value)) this.retryMs = Number(value);
  }
}
