/** The page's conduct: who is logged in, which chat is open, which run is read. */

import { api, type Credentials } from "../api/client.ts";
import { Refused } from "../api/problem.ts";
import type { Chat, Model, Problem, User } from "../api/types.ts";
import type { FollowEnd } from "../stream/follow.ts";
import { backoffMs } from "../stream/follow.ts";
import { ended, type RunView } from "../stream/run.ts";
import { runWords } from "../stream/words.ts";
import {
  finishedAnswer,
  joined,
  refreshed,
  sentMessage,
  type Shown,
  shownPage,
  titleFrom,
  withChat,
} from "./chats.ts";
import { LiveRun, type LiveWatch, type Prompt } from "./live.ts";
import { Store } from "./store.ts";

const POLL_MS = 15_000;
const RETRY_PENDING_MS = 1_500;
const RETRY_UNREACHABLE_MS = 2_000;

/** A prompt that was not taken: why, when to try again, and what to send. */
export interface Refusal {
  readonly problem: Problem;
  readonly prompt: Prompt;
  /** Wall-clock milliseconds from which another try makes sense; 0: at once. */
  readonly againAtMs: number;
}

const STOPPED: Problem = {
  code: "stopped",
  title: "Stopped before it was sent.",
  detail: "",
  status: 0,
};

export interface PageState {
  readonly session: "loading" | "out" | "in";
  /** The edge could not be reached at the last try. */
  readonly unreachable: boolean;
  readonly user: User | null;
  readonly models: readonly Model[];
  readonly model: string | null;
  readonly chats: readonly Chat[];
  readonly moreChats: string | null;
  /** The open chat; null: a new one that the first prompt makes. */
  readonly chatId: string | null;
  readonly loading: boolean;
  readonly missing: boolean;
  readonly messages: readonly Shown[];
  readonly earlier: string | null;
  readonly run: RunView | null;
  readonly refusal: Refusal | null;
  readonly notice: string;
  /** How the last run read here ended, for screen readers; empty before. */
  readonly ending: string;
}

const EMPTY_CHAT = {
  loading: false,
  missing: false,
  messages: [],
  earlier: null,
  run: null,
  refusal: null,
  notice: "",
  ending: "",
} as const;

export class Parley {
  readonly store = new Store<PageState>({
    session: "loading",
    unreachable: false,
    user: null,
    models: [],
    model: null,
    chats: [],
    moreChats: null,
    chatId: null,
    ...EMPTY_CHAT,
  });
  readonly drafts = new Map<string, string>();
  readonly #tabs = new BroadcastChannel("parley");
  #live: LiveRun | null = null;
  /** Grows with every change to the open chat, so that an answer to an old question is dropped. */
  #edition = 0;
  #retry: ReturnType<typeof setTimeout> | undefined;

  /** Finds out who is here, and from then on keeps up with other tabs and devices. */
  async start(): Promise<void> {
    window.addEventListener("hashchange", () => this.#openFromAddress());
    window.addEventListener("online", () => void this.refresh());
    document.addEventListener("visibilitychange", () => void this.refresh());
    this.#tabs.addEventListener("message", () => void this.#hear());
    setInterval(() => void this.refresh(), POLL_MS);
    for (let tries = 0; this.store.state.session === "loading"; tries++) {
      await this.#guarded(async () => this.#enter(await api.me()));
      if (this.store.state.session === "loading") {
        await new Promise((resolve) => setTimeout(resolve, backoffMs(tries, Math.random())));
      }
    }
  }

  /** Logs in by `way`; rejects with `Refused` or a TypeError for the form to show. */
  async logIn(way: "guest" | "login" | "signup", credentials: Credentials): Promise<void> {
    const user = way === "guest" ? await api.guest() : await api[way](credentials);
    await this.#enter(user);
    this.#tabs.postMessage(null);
  }

  async logOut(): Promise<void> {
    await this.#guarded(() => api.logout());
    this.#out();
    this.#tabs.postMessage(null);
  }

  setModel(model: string): void {
    this.store.set({ model });
  }

  /** Sends `content` in the open chat, making the chat first if it is new. A chat that answers
   * takes nothing more; the caller keeps the text then. */
  async send(content: string): Promise<boolean> {
    const { run, model, refusal } = this.store.state;
    if (run !== null) {
      this.store.set({ notice: "Still answering. Stop it, or send when it has finished." });
      return false;
    }
    const again = refusal?.prompt.content === content ? refusal.prompt.key : null;
    const prompt: Prompt = { content, key: again ?? newKey(), ...(model ? { model } : {}) };
    this.store.set({ refusal: null, notice: "" });
    const chatId = this.store.state.chatId ?? (await this.#newChat(prompt));
    if (chatId === null) return false;
    this.#edition++;
    const sent = sentMessage(prompt.key, content);
    this.store.set({ messages: [...this.store.state.messages, sent] });
    this.#follow(new LiveRun(chatId, prompt, this.#watch(chatId)));
    return true;
  }

  /** Stops the answer in flight; nothing else if there is none. */
  stop(): void {
    if (this.#live === null) return;
    this.store.set({ notice: "" });
    void this.#live.stop();
  }

  /** Loads the page of messages before the oldest shown. */
  async loadEarlier(): Promise<void> {
    const { chatId, earlier } = this.store.state;
    if (chatId === null || earlier === null) return;
    await this.#guarded(async () => {
      const page = await api.messages(chatId, earlier);
      if (this.store.state.chatId !== chatId) return;
      const messages = joined(shownPage(page), this.store.state.messages);
      this.store.set({ messages, earlier: page.nextCursor ?? null });
    });
  }

  /** Loads the next page of the chat list. */
  async loadMoreChats(): Promise<void> {
    await this.#guarded(async () => {
      const page = await api.chats(this.store.state.moreChats);
      const known = new Set(this.store.state.chats.map((chat) => chat.chatId));
      const more = page.data.filter((chat) => !known.has(chat.chatId));
      const chats = [...this.store.state.chats, ...more];
      this.store.set({ chats, moreChats: page.nextCursor ?? null });
    });
  }

  /** Asks again for what may have changed elsewhere: the list, and the open chat if it moved. */
  async refresh(): Promise<void> {
    if (document.hidden || this.store.state.session !== "in") return;
    await this.#guarded(async () => {
      const page = await api.chats();
      this.#mergeList(page.data, page.nextCursor ?? null);
      const { chatId } = this.store.state;
      if (chatId !== null && this.#live === null) await this.#load(chatId);
    });
  }

  /** Another tab of this browser changed something: a login, a chat, a run. */
  async #hear(): Promise<void> {
    if (this.store.state.session === "in") await this.refresh();
    else await this.#guarded(async () => this.#enter(await api.me()));
  }

  async #enter(user: User): Promise<void> {
    const [models, page] = await Promise.all([api.models(), api.chats()]);
    const usual = models.find((model) => model.default) ?? models[0];
    this.store.set({ session: "in", user, models, model: usual?.id ?? null, notice: "" });
    this.store.set({ chats: page.data, moreChats: page.nextCursor ?? null });
    this.#openFromAddress();
  }

  #out(): void {
    this.#leave();
    const { models, model } = this.store.state;
    const gone = { user: null, chats: [], moreChats: null, chatId: null, models, model };
    this.store.set({ ...EMPTY_CHAT, ...gone, session: "out" });
    this.drafts.clear();
  }

  #openFromAddress(): void {
    const chatId = /^#\/chat\/(.+)$/.exec(location.hash)?.[1] ?? null;
    if (this.store.state.session !== "in" || chatId === this.store.state.chatId) return;
    this.#leave();
    this.#edition++;
    this.store.set({ ...EMPTY_CHAT, chatId, loading: chatId !== null });
    if (chatId !== null) void this.#guarded(() => this.#load(chatId));
  }

  /** Shows the chat as the edge has it, and joins the run in flight. */
  async #load(chatId: string): Promise<void> {
    const edition = this.#edition;
    try {
      const page = await api.messages(chatId);
      if (this.#edition !== edition || this.store.state.chatId !== chatId) return;
      const { messages: old, earlier } = this.store.state;
      const messages = refreshed(old, shownPage(page));
      const kept = messages.length > page.data.length;
      this.store.set({
        messages,
        earlier: kept ? earlier : (page.nextCursor ?? null),
        loading: false,
      });
      if (page.activeRun) {
        this.#follow(new LiveRun(chatId, page.activeRun.runId, this.#watch(chatId)));
      } else if (messages.at(-1)?.status === "pending") {
        setTimeout(() => void this.refresh(), RETRY_PENDING_MS);
      }
    } catch (error) {
      if (!(error instanceof Refused && error.problem.status === 404)) throw error;
      if (this.store.state.chatId === chatId) this.store.set({ ...EMPTY_CHAT, missing: true });
    }
  }

  /** Makes the chat of a first prompt; null when that was refused (and is shown). */
  async #newChat(prompt: Prompt): Promise<string | null> {
    try {
      const chat = await api.createChat(titleFrom(prompt.content));
      const { chatId } = chat;
      this.#edition++;
      this.store.set({ chatId, chats: withChat(this.store.state.chats, chatId, chat, true) });
      history.pushState(null, "", `#/chat/${chatId}`);
      return chatId;
    } catch (error) {
      this.#refuse(problemOf(error), prompt);
      return null;
    }
  }

  #watch(chatId: string): LiveWatch {
    return {
      onChange: () => {
        if (this.#live?.chatId === chatId) this.store.set({ run: this.#live.view });
      },
      onNamed: (activeRunId) => {
        const chats = withChat(this.store.state.chats, chatId, { activeRunId }, true);
        this.store.set({ chats });
        this.#tabs.postMessage(null);
      },
    };
  }

  #follow(live: LiveRun): void {
    this.#live = live;
    this.store.set({ run: live.view, notice: "" });
    void live.read().then((end) => this.#finished(live, end));
  }

  #leave(): void {
    const live = this.#live;
    this.#live = null;
    live?.leave();
  }

  /** Puts the outcome of a run into the page, if its chat is still the open one. */
  #finished(live: LiveRun, end: FollowEnd): void {
    if (end.kind === "ended") {
      const chats = withChat(this.store.state.chats, live.chatId, { activeRunId: null });
      this.store.set({ chats });
    }
    if (this.#live !== live) return;
    this.#live = null;
    this.#edition++;
    const { messages } = this.store.state;
    if (ended(live.view)) {
      const answer = finishedAnswer(live.view);
      const ending = runWords(live.view, Date.now())?.text ?? "Answer finished";
      this.store.set({ run: null, notice: "", ending, messages: joined(messages, [answer]) });
      this.#tabs.postMessage(null);
      return;
    }
    this.store.set({ run: null, notice: "" });
    if (live.prompt !== null && live.view.runId === "") this.#unsent(live.prompt, end);
    else void this.#guarded(() => this.#load(live.chatId));
  }

  /** A prompt that was refused, or given up by the user before the edge took it. */
  #unsent(prompt: Prompt, end: FollowEnd): void {
    const messages = this.store.state.messages.filter((message) => message.key !== prompt.key);
    this.store.set({ messages });
    this.#refuse(end.kind === "refused" ? end.problem : STOPPED, prompt);
    if (end.kind === "refused" && end.problem.code === "run_active") void this.refresh();
  }

  #refuse(problem: Problem, prompt: Prompt): void {
    if (problem.status === 401) return this.#out();
    const waitMs = problem.retryAfterMs ?? 0;
    const againAtMs = waitMs > 0 ? Date.now() + waitMs : 0;
    this.store.set({ refusal: { problem, prompt, againAtMs } });
  }

  #mergeList(fresh: readonly Chat[], more: string | null): void {
    const ids = new Set(fresh.map((chat) => chat.chatId));
    const { chats, moreChats } = this.store.state;
    const tail = chats.length > fresh.length ? chats.filter((chat) => !ids.has(chat.chatId)) : [];
    const deeper = tail.length > 0 && more !== null;
    this.store.set({
      chats: deeper ? [...fresh, ...tail] : fresh,
      moreChats: deeper ? moreChats : more,
    });
  }

  #lostTouch(): void {
    this.store.set({ unreachable: true });
    clearTimeout(this.#retry);
    this.#retry = setTimeout(() => void this.refresh(), RETRY_UNREACHABLE_MS);
  }

  /** Does `work`; an edge that can't be reached and an ended login become the page's state, any
   * other refusal its notice. */
  async #guarded(work: () => Promise<void>): Promise<void> {
    try {
      await work();
      if (this.store.state.unreachable) this.store.set({ unreachable: false });
    } catch (error) {
      const problem = problemOf(error);
      if (problem.status === 401) this.#out();
      else if (problem.status === 0 || problem.status >= 500) this.#lostTouch();
      else this.store.set({ notice: problem.detail || problem.title });
    }
  }
}

/** The problem in an error of `api`; status 0 when the edge could not be reached. */
export function problemOf(error: unknown): Problem {
  if (error instanceof Refused) return error.problem;
  if (!(error instanceof TypeError)) throw error;
  const title = "Parley can't be reached. Check the connection and try again.";
  return { code: "unreachable", title, detail: "", status: 0 };
}

function newKey(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
