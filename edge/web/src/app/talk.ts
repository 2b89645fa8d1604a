/** Asking and answering in the open chat: one run at a time, read to its end. */

import { api, type Ask } from "../api/client.ts";
import type { Attachment, Problem } from "../api/types.ts";
import type { FollowEnd } from "../stream/follow.ts";
import { ended, newRun } from "../stream/run.ts";
import { runWords } from "../stream/words.ts";
import { finishedAnswer, joined, sentMessage, titleFrom, upTo } from "./chats.ts";
import { LiveRun, type LiveWatch } from "./live.ts";
import { type Parley, problemOf } from "./parley.ts";

const STOPPED: Problem = {
  code: "stopped",
  title: "Stopped before it was sent.",
  detail: "",
  status: 0,
};
const GO_ON = "Go on where you stopped.";

export class Talk {
  readonly #parley: Parley;
  #live: LiveRun | null = null;
  /** The chat of a first prompt is being made. */
  #start: { stopped: boolean } | null = null;

  constructor(parley: Parley) {
    this.#parley = parley;
  }

  /** Sends `content` in the open chat, making the chat first if it is new. A chat that answers
   * takes nothing more; the caller keeps the text then. */
  async send(content: string, files: readonly Attachment[] = []): Promise<boolean> {
    const { refusal } = this.#parley.store.state;
    const again = refusal?.ask.content === content && !refusal.ask.place ? refusal.ask.key : null;
    const attached = files.length > 0 ? { files } : {};
    return this.ask({ content, key: again ?? newKey(), ...this.#model(), ...attached });
  }

  /** Sends `content` in the place of the question `id`, which is kept beside it. */
  async edit(id: string, content: string): Promise<boolean> {
    const { messages } = this.#parley.store.state;
    const question = messages.find((message) => message.id === id);
    if (question === undefined) return false;
    const place = { parentId: question.parentId };
    const attached = question.files.length > 0 ? { files: question.files } : {};
    return this.ask({ content, key: newKey(), place, ...this.#model(), ...attached });
  }

  /** Asks for another answer in the place of the answer `id`, which is kept beside it. */
  async regenerate(id: string, model?: string): Promise<boolean> {
    const named = model === undefined ? this.#model() : { model };
    return this.ask({ content: "", key: newKey(), place: { beside: id }, ...named });
  }

  /** Asks for the rest of an answer that was stopped or cut. */
  async goOn(): Promise<boolean> {
    return this.send(GO_ON);
  }

  /** Asks, and reads the answer. False: nothing was asked, and what is shown says why. */
  async ask(ask: Ask): Promise<boolean> {
    const { store } = this.#parley;
    if (store.state.answering !== null) {
      store.set({ notice: "Still answering. Stop it, or send when it has finished." });
      return false;
    }
    const kept = upTo(store.state.messages, ask);
    const isNew = ask.place === undefined || !("beside" in ask.place);
    const messages = isNew ? [...kept, sentMessage(ask)] : kept;
    this.#parley.moved();
    store.set({ refusal: null, notice: "", editing: null, messages });
    const chatId = store.state.chatId ?? (await this.#newChat(ask));
    if (chatId === null) return false;
    this.#follow(new LiveRun(chatId, ask, this.#watch(chatId)));
    return true;
  }

  /** Reads a run that somebody else began. */
  join(chatId: string, runId: string): void {
    if (this.#live === null) this.#follow(new LiveRun(chatId, runId, this.#watch(chatId)));
  }

  /** Stops the answer in flight; nothing else if there is none. */
  stop(): void {
    if (this.#start !== null) this.#start.stopped = true;
    if (this.#live === null) return;
    this.#parley.store.set({ notice: "" });
    void this.#live.stop();
  }

  /** Reads no more; the run goes on. */
  leave(): void {
    const live = this.#live;
    this.#live = null;
    this.#start = null;
    this.#parley.run.set({ view: null });
    live?.leave();
  }

  #model(): { model?: string } {
    const { model } = this.#parley.store.state;
    return model === null ? {} : { model };
  }

  /** Makes the chat of a first prompt; null when that was refused or stopped (and is shown), or
   * the user has gone elsewhere. */
  async #newChat(ask: Ask): Promise<string | null> {
    const { store, run } = this.#parley;
    const start = { stopped: false };
    this.#start = start;
    run.set({ view: newRun() });
    store.set({ answering: "", pinned: ask.key });
    try {
      const chat = await api.createChat(titleFrom(ask.content));
      const { chatId } = chat;
      this.#parley.library.mark(chatId, chat, true);
      if (this.#start !== start) return null;
      this.#parley.moved();
      store.set({ chatId });
      history.pushState(null, "", `#/chat/${chatId}`);
      if (!start.stopped) return chatId;
      this.#notBegun(STOPPED, ask);
    } catch (error) {
      if (this.#start === start) this.#notBegun(problemOf(error), ask);
    } finally {
      if (this.#start === start) this.#start = null;
    }
    return null;
  }

  #notBegun(problem: Problem, ask: Ask): void {
    const { store, run } = this.#parley;
    run.set({ view: null });
    const messages = store.state.messages.filter((message) => message.key !== ask.key);
    store.set({ answering: null, pinned: null, messages });
    this.#refuse(problem, ask);
  }

  #watch(chatId: string): LiveWatch {
    return {
      onChange: () => {
        const live = this.#live;
        if (live?.chatId !== chatId) return;
        this.#parley.run.set({ view: live.view });
        const { store } = this.#parley;
        if (store.state.answering !== live.view.runId) store.set({ answering: live.view.runId });
      },
      onNamed: (activeRunId) => {
        const activeAt = new Date().toISOString();
        this.#parley.library.mark(chatId, { activeRunId, activeAt }, true);
        this.#parley.tellTabs();
      },
    };
  }

  #follow(live: LiveRun): void {
    this.#live = live;
    const { store, run } = this.#parley;
    run.set({ view: live.view });
    const pinned = store.state.messages.at(-1)?.key ?? null;
    store.set({ answering: live.view.runId, pinned, notice: "" });
    void live.read().then((end) => this.#finished(live, end));
  }

  /** Puts the outcome of a run into the page, if its chat is still the open one. */
  #finished(live: LiveRun, end: FollowEnd): void {
    if (end.kind === "ended") this.#parley.library.mark(live.chatId, { activeRunId: null });
    if (this.#live !== live) return;
    this.#live = null;
    const { store, run } = this.#parley;
    this.#parley.moved();
    if (ended(live.view)) {
      const ending = runWords(live.view, Date.now())?.text ?? "Answer finished";
      const messages = joined(store.state.messages, [finishedAnswer(live.view)]);
      store.set({ answering: null, notice: "", ending, messages });
      run.set({ view: null });
      this.#parley.tellTabs();
      void this.#parley.guarded(() => this.#parley.load(live.chatId));
      void this.#parley.refreshUsage();
      return;
    }
    store.set({ answering: null, notice: "" });
    run.set({ view: null });
    if (live.ask !== null && live.view.runId === "") this.#unsent(live.chatId, live.ask, end);
    else void this.#parley.guarded(() => this.#parley.load(live.chatId));
  }

  /** A prompt that was refused, or given up by the user before the edge took it. */
  #unsent(chatId: string, ask: Ask, end: FollowEnd): void {
    const { store } = this.#parley;
    store.set({ messages: store.state.messages.filter((message) => message.key !== ask.key) });
    this.#refuse(end.kind === "refused" ? end.problem : STOPPED, ask);
    if (ask.place !== undefined) void this.#parley.guarded(() => this.#parley.load(chatId));
    if (end.kind === "refused" && end.problem.code === "run_active") void this.#parley.refresh();
  }

  #refuse(problem: Problem, ask: Ask): void {
    if (problem.status === 401) return this.#parley.out();
    const waitMs = problem.retryAfterMs ?? 0;
    const againAtMs = waitMs > 0 ? Date.now() + waitMs : 0;
    if (ask.files && ask.place === undefined) this.#parley.files.giveBack(ask.files);
    this.#parley.store.set({ refusal: { problem, ask, againAtMs } });
    if (problem.status === 429) void this.#parley.refreshUsage();
  }
}

function newKey(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
