/** Files that go out with the next prompt: sent to the edge as soon as they are chosen. */

import { api } from "../api/client.ts";
import type { Attachment } from "../api/types.ts";
import { problemWords } from "../stream/words.ts";
import { type Parley, problemOf } from "./parley.ts";
import { Store } from "./store.ts";

/** Text pasted in one piece that is longer than this becomes a file. */
const LONG_TEXT = 6_000;

export interface Pending {
  readonly key: number;
  readonly name: string;
  readonly bytes: number;
  /** The file as the edge has it; null while it is on its way, or was refused. */
  readonly file: Attachment | null;
  readonly problem: string;
}

export class Files {
  readonly store = new Store<{ readonly pending: readonly Pending[] }>({ pending: [] });
  readonly #parley: Parley;
  readonly #ways = new Map<number, AbortController>();
  #last = 0;

  constructor(parley: Parley) {
    this.#parley = parley;
  }

  get offered(): boolean {
    return this.#parley.store.state.abilities.has("upload");
  }

  /** Sends files to the edge. */
  add(files: Iterable<File>): void {
    for (const file of files) void this.#send(file);
  }

  /** Takes what is pasted if it is files or long text; false leaves it to the field. */
  paste(data: DataTransfer): boolean {
    if (!this.offered) return false;
    const text = data.getData("text/plain");
    if (data.files.length > 0 && text === "") {
      this.add(data.files);
      return true;
    }
    if (text.length <= LONG_TEXT) return false;
    this.add([new File([text], "pasted.txt", { type: "text/plain" })]);
    return true;
  }

  remove(key: number): void {
    this.#ways.get(key)?.abort();
    this.#ways.delete(key);
    this.store.set({ pending: this.store.state.pending.filter((each) => each.key !== key) });
  }

  clear(): void {
    for (const way of this.#ways.values()) way.abort();
    this.#ways.clear();
    this.store.set({ pending: [] });
  }

  /** The name of a picture among the files, if there is one. */
  picture(): string | undefined {
    return this.store.state.pending.find((each) => each.file?.kind === "image")?.name;
  }

  /** The files that are ready, which then are nobody's here; null while one is on its way. */
  take(): readonly Attachment[] | null {
    const { pending } = this.store.state;
    if (pending.some((each) => each.file === null && each.problem === "")) return null;
    const ready = pending.flatMap((each) => each.file ?? []);
    this.clear();
    return ready;
  }

  /** Gives files back that were taken for a prompt which was then refused. */
  giveBack(files: readonly Attachment[]): void {
    const back = files.map((file) => ({
      key: ++this.#last,
      name: file.name,
      bytes: file.bytes ?? 0,
      file,
      problem: "",
    }));
    this.store.set({ pending: [...back, ...this.store.state.pending] });
  }

  async #send(file: File): Promise<void> {
    const key = ++this.#last;
    const way = new AbortController();
    this.#ways.set(key, way);
    const pending: Pending = { key, name: file.name, bytes: file.size, file: null, problem: "" };
    this.store.set({ pending: [...this.store.state.pending, pending] });
    try {
      this.#change(key, { file: await api.upload(file, way.signal) });
    } catch (error) {
      if (way.signal.aborted) return;
      this.#change(key, { problem: problemWords(problemOf(error)) });
    } finally {
      this.#ways.delete(key);
    }
  }

  #change(key: number, change: Partial<Pending>): void {
    const { pending } = this.store.state;
    this.store.set({ pending: pending.map((each) => (each.key === key ? { ...each, ...change } : each)) });
  }
}
