/** The page's conduct: who is logged in, which chat is open, what is shown of it. */

import { abilitiesOf } from "../api/abilities.ts";
import { api, type Credentials } from "../api/client.ts";
import { Refused } from "../api/problem.ts";
import type { Problem, User } from "../api/types.ts";
import { backoffMs } from "../stream/follow.ts";
import { joined, refreshed, shownPage } from "./chats.ts";
import { Files } from "./files.ts";
import { drafts } from "./keeping.ts";
import { Library } from "./library.ts";
import { AT_FIRST, EMPTY_CHAT, type OpenDialog, type PageState, type RunState } from "./state.ts";
import { Store } from "./store.ts";
import { Talk } from "./talk.ts";

const POLL_MS = 15_000;
const RETRY_PENDING_MS = 1_500;
const RETRY_UNREACHABLE_MS = 2_000;
const ADDRESS = /^#\/chat\/([^/]+)(?:\/(.+))?$/;

export class Parley {
  readonly store = new Store<PageState>(AT_FIRST);
  readonly run = new Store<RunState>({ view: null });
  readonly talk: Talk = new Talk(this);
  readonly library: Library = new Library(this);
  readonly files: Files = new Files(this);
  readonly #tabs = new BroadcastChannel("parley");
  /** Grows with every change to the open chat, so that an answer to an old question is dropped. */
  #edition = 0;
  #retry: ReturnType<typeof setTimeout> | undefined;

  /** Finds out who is here, and from then on keeps up with other tabs and devices. */
  async start(): Promise<void> {
    window.addEventListener("hashchange", () => this.#openFromAddress());
    window.addEventListener("online", () => void this.refresh());
    window.addEventListener("focus", () => void this.refresh());
    document.addEventListener("visibilitychange", () => void this.refresh());
    this.#tabs.addEventListener("message", () => void this.#hear());
    setInterval(() => void this.refresh(), POLL_MS);
    for (let tries = 0; this.store.state.session === "loading"; tries++) {
      await this.guarded(async () => this.#enter(await api.me()));
      if (this.store.state.session === "loading") {
        await new Promise((resolve) => setTimeout(resolve, backoffMs(tries, Math.random())));
      }
    }
  }

  /** Logs in by `way`; rejects with `Refused` or a TypeError for the form to show. */
  async logIn(way: "guest" | "login" | "signup", credentials: Credentials): Promise<void> {
    const user = way === "guest" ? await api.guest() : await api[way](credentials);
    await this.#enter(user);
    this.tellTabs();
  }

  async logOut(): Promise<void> {
    await this.guarded(() => api.logout());
    this.out();
    this.tellTabs();
  }

  /** Another name or tier of the same user. */
  known(user: User): void {
    this.store.set({ user });
    this.tellTabs();
  }

  /** Opens a dialog, or closes the one that is open. */
  show(dialog: OpenDialog | null): void {
    this.store.set({ dialog });
  }

  /** Opens a chat, at a message of it if one is named; null: a new chat. */
  open(chatId: string | null, messageId = ""): void {
    const place = chatId === null ? "#/" : `#/chat/${chatId}${messageId && `/${messageId}`}`;
    if (location.hash === place) this.#openFromAddress();
    else location.hash = place;
  }

  setModel(model: string): void {
    this.store.set({ model });
  }

  /** Loads the page of messages before the oldest shown. */
  async loadEarlier(): Promise<void> {
    const { chatId, earlier } = this.store.state;
    if (chatId === null || earlier === null) return;
    await this.guarded(async () => {
      const page = await api.messages(chatId, earlier);
      const { state } = this.store;
      if (state.chatId !== chatId || state.earlier !== earlier) return;
      const messages = joined(shownPage(page), state.messages);
      this.store.set({ messages, earlier: page.nextCursor ?? null });
    });
  }

  /** Prints the open chat with all its messages, once those that were not loaded are here; with
   * what there is if they can't be had. */
  async print(): Promise<void> {
    const { chatId } = this.store.state;
    for (let at = ""; this.store.state.earlier !== null && this.store.state.earlier !== at; ) {
      at = this.store.state.earlier;
      await this.loadEarlier();
    }
    if (this.store.state.chatId !== chatId) return;
    requestAnimationFrame(() => setTimeout(() => print()));
  }

  /** Shows the path that the message `id` is on. */
  async switchTo(id: string): Promise<void> {
    const { chatId, answering } = this.store.state;
    if (chatId === null) return;
    if (answering !== null) return this.store.set({ notice: "Still answering. Stop it first." });
    this.moved();
    await this.guarded(async () => {
      await api.changeChat(chatId, { leafId: id });
      await this.load(chatId);
      this.tellTabs();
    });
  }

  /** Asks again for what may have changed elsewhere: the list, and the open chat if it moved. */
  async refresh(): Promise<void> {
    if (document.hidden || this.store.state.session !== "in") return;
    await this.guarded(async () => {
      await this.library.refresh();
      if (this.store.state.abilities.size === 0) await this.#learn();
      const { chatId, answering } = this.store.state;
      if (chatId !== null && answering === null) await this.load(chatId);
    });
  }

  /** Asks what is left of the budget; one that can't be told just now stays as it was shown. */
  async refreshUsage(): Promise<void> {
    if (!this.store.state.abilities.has("usage")) return;
    try {
      this.store.set({ usage: await api.usage() });
    } catch (error) {
      if (!(error instanceof Refused || error instanceof TypeError)) throw error;
    }
  }

  /** Says to the other tabs of this browser that something changed. */
  tellTabs(): void {
    this.#tabs.postMessage(null);
  }

  /** What is on its way about the open chat is old from now on. */
  moved(): void {
    this.#edition++;
  }

  /** Shows that nobody is logged in. */
  out(): void {
    this.talk.leave();
    this.files.clear();
    drafts.clear();
    const { models, model, abilities } = this.store.state;
    this.store.set({ ...AT_FIRST, models, model, abilities, session: "out" });
  }

  /** Does `work`; an edge that can't be reached and an ended login become the page's state, any
   * other refusal its notice. Returns whether it was done. */
  async guarded(work: () => Promise<void>): Promise<boolean> {
    try {
      await work();
      if (this.store.state.unreachable) this.store.set({ unreachable: false });
      return true;
    } catch (error) {
      const problem = problemOf(error);
      if (problem.status === 401) this.out();
      else if (problem.status === 0 || problem.status >= 500) this.#lostTouch();
      else this.store.set({ notice: problem.detail || problem.title });
      return false;
    }
  }

  /** Shows the chat as the edge has it, and joins the run in flight. */
  async load(chatId: string): Promise<void> {
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
      if (page.activeRun) this.talk.join(chatId, page.activeRun.runId);
      else if (messages.at(-1)?.status === "pending") {
        setTimeout(() => void this.refresh(), RETRY_PENDING_MS);
      }
      await this.#seek(chatId);
    } catch (error) {
      if (!(error instanceof Refused && error.problem.status === 404)) throw error;
      if (this.store.state.chatId === chatId) this.store.set({ ...EMPTY_CHAT, missing: true });
    }
  }

  /** Loads until the message that the address names is shown; one on another path is switched
   * to, once. */
  async #seek(chatId: string): Promise<void> {
    const sought = ADDRESS.exec(location.hash)?.[2] ?? "";
    const here = (): boolean => this.store.state.messages.some((message) => message.id === sought);
    if (sought === "" || this.store.state.sought !== null) return;
    this.store.set({ sought });
    while (!here() && this.store.state.chatId === chatId && this.store.state.earlier !== null) {
      await this.loadEarlier();
    }
    if (!here() && this.store.state.chatId === chatId && this.store.state.answering === null) {
      await api.changeChat(chatId, { leafId: sought });
      await this.load(chatId);
    }
  }

  /** Another tab of this browser changed something: a login, a chat, a run. */
  async #hear(): Promise<void> {
    if (this.store.state.session === "in") await this.refresh();
    else await this.guarded(async () => this.#enter(await api.me()));
  }

  async #enter(user: User): Promise<void> {
    const [models] = await Promise.all([api.models(), this.library.refresh()]);
    const usual = models.find((model) => model.default) ?? models[0];
    this.store.set({ session: "in", user, models, model: usual?.id ?? null, notice: "" });
    this.#openFromAddress();
    await this.#learn();
  }

  /** Learns what this server offers and what the user set; the chat itself does not wait. */
  async #learn(): Promise<void> {
    await this.guarded(async () => {
      const abilities = abilitiesOf(await api.description());
      this.store.set({ abilities });
      if (abilities.has("settings")) {
        const { model } = await api.settings();
        if (model && this.store.state.models.some((each) => each.id === model)) this.setModel(model);
      }
      await this.refreshUsage();
    });
  }

  #openFromAddress(): void {
    const [, chatId = null, messageId = ""] = ADDRESS.exec(location.hash) ?? [];
    const { session, chatId: before } = this.store.state;
    if (session !== "in" || (chatId === before && messageId === "")) return;
    if (chatId === before && chatId !== null) {
      this.store.set({ sought: null });
      return void this.guarded(() => this.#seek(chatId));
    }
    this.talk.leave();
    this.files.clear();
    this.moved();
    this.store.set({ ...EMPTY_CHAT, chatId, loading: chatId !== null });
    if (chatId !== null) void this.guarded(() => this.load(chatId));
  }

  #lostTouch(): void {
    this.store.set({ unreachable: true });
    clearTimeout(this.#retry);
    this.#retry = setTimeout(() => void this.refresh(), RETRY_UNREACHABLE_MS);
  }
}

/** The problem in an error of `api`; status 0 when the edge could not be reached. */
export function problemOf(error: unknown): Problem {
  if (error instanceof Refused) return error.problem;
  if (!(error instanceof TypeError)) throw error;
  const title = "Parley can't be reached. Check the connection and try again.";
  return { code: "unreachable", title, detail: "", status: 0 };
}
