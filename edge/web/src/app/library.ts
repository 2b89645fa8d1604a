/** The list of chats: kept up to date, and tidied by its owner. */

import { api } from "../api/client.ts";
import type { Chat } from "../api/types.ts";
import { withChat } from "./chats.ts";
import type { Parley } from "./parley.ts";

export class Library {
  readonly #parley: Parley;

  constructor(parley: Parley) {
    this.#parley = parley;
  }

  /** Takes the newest page of the list, and all pinned chats, over what is shown. */
  async refresh(): Promise<void> {
    const [page, pinned] = await Promise.all([api.chats(), api.pinnedChats()]);
    const ids = new Set(page.data.map((chat) => chat.chatId));
    const fresh = [...page.data, ...pinned.filter((chat) => !ids.has(chat.chatId))];
    this.#merge(fresh, page.nextCursor ?? null);
  }

  /** Loads the next page of the list. */
  async loadMore(): Promise<void> {
    const { store } = this.#parley;
    await this.#parley.guarded(async () => {
      const page = await api.chats(store.state.moreChats);
      const known = new Set(store.state.chats.map((chat) => chat.chatId));
      const more = page.data.filter((chat) => !known.has(chat.chatId));
      store.set({ chats: [...store.state.chats, ...more], moreChats: page.nextCursor ?? null });
    });
  }

  /** Puts `change` over one chat of the list; `touch` moves it to the top. */
  mark(chatId: string, change: Partial<Chat>, touch = false): void {
    const { store } = this.#parley;
    store.set({ chats: withChat(store.state.chats, chatId, change, touch) });
  }

  async rename(chatId: string, title: string): Promise<void> {
    await this.#change(chatId, { title });
  }

  async pin(chatId: string, pinned: boolean): Promise<void> {
    await this.#change(chatId, { pinned });
  }

  /** Deletes a chat for good; one that answers is stopped first. */
  async remove(chatId: string): Promise<void> {
    const { store } = this.#parley;
    await this.#parley.guarded(async () => {
      const running = store.state.chats.find((chat) => chat.chatId === chatId)?.activeRunId;
      if (running) await api.cancel(chatId, running);
      await api.deleteChat(chatId);
      store.set({ chats: store.state.chats.filter((chat) => chat.chatId !== chatId) });
      if (store.state.chatId === chatId) this.#parley.open(null);
      this.#parley.tellTabs();
    });
  }

  /** The chat `step` places further down the list; null at its ends. */
  beside(step: number): string | null {
    const { chats, chatId } = this.#parley.store.state;
    const at = chats.findIndex((chat) => chat.chatId === chatId);
    return chats[at < 0 ? 0 : at + step]?.chatId ?? null;
  }

  async #change(chatId: string, change: { title?: string; pinned?: boolean }): Promise<void> {
    await this.#parley.guarded(async () => {
      const { title, pinned = false } = await api.changeChat(chatId, change);
      this.mark(chatId, { title, pinned });
      this.#parley.tellTabs();
    });
  }

  #merge(fresh: readonly Chat[], more: string | null): void {
    const { store } = this.#parley;
    const ids = new Set(fresh.map((chat) => chat.chatId));
    const { chats, moreChats } = store.state;
    const tail = chats.length > fresh.length ? chats.filter((chat) => !ids.has(chat.chatId)) : [];
    const deeper = tail.length > 0 && more !== null;
    store.set({
      chats: deeper ? [...fresh, ...tail] : fresh,
      moreChats: deeper ? moreChats : more,
    });
  }
}
