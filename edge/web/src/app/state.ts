/** What the page shows, as one value. */

import type { Abilities } from "../api/abilities.ts";
import type { Ask } from "../api/client.ts";
import type { Chat, Model, Problem, UsageView, User } from "../api/types.ts";
import type { RunView } from "../stream/run.ts";
import type { Shown } from "./chats.ts";

/** A prompt that was not taken: why, when to try again, and what to send. */
export interface Refusal {
  readonly problem: Problem;
  readonly ask: Ask;
  /** Wall-clock milliseconds from which another try makes sense; 0: at once. */
  readonly againAtMs: number;
}

/** Which dialog is open; `chatId` is the chat that it is about. */
export type OpenDialog =
  | { readonly kind: "search" | "settings" | "help" }
  | { readonly kind: "share" | "rename" | "delete"; readonly chatId: string };

export interface PageState {
  readonly session: "loading" | "out" | "in";
  /** The edge could not be reached at the last try. */
  readonly unreachable: boolean;
  readonly user: User | null;
  readonly abilities: Abilities;
  readonly models: readonly Model[];
  readonly model: string | null;
  readonly usage: UsageView | null;
  readonly chats: readonly Chat[];
  readonly moreChats: string | null;
  readonly dialog: OpenDialog | null;
  /** The open chat; null: a new one that the first prompt makes. */
  readonly chatId: string | null;
  readonly loading: boolean;
  readonly missing: boolean;
  readonly messages: readonly Shown[];
  readonly earlier: string | null;
  /** The run being read: its id, empty until it has one; null when there is none. */
  readonly answering: string | null;
  /** The question under which this page has seen an answer grow: it stays near the top. */
  readonly pinned: string | null;
  /** The message whose text is being changed. */
  readonly editing: string | null;
  /** The message that a search led to. */
  readonly sought: string | null;
  readonly refusal: Refusal | null;
  readonly notice: string;
  /** How the last run read here ended, for screen readers; empty before. */
  readonly ending: string;
}

/** The answer in flight, apart from the rest since it changes with every frame. */
export interface RunState {
  readonly view: RunView | null;
}

export const EMPTY_CHAT = {
  loading: false,
  missing: false,
  messages: [],
  earlier: null,
  answering: null,
  pinned: null,
  editing: null,
  sought: null,
  refusal: null,
  notice: "",
  ending: "",
} as const;

export const AT_FIRST: PageState = {
  session: "loading",
  unreachable: false,
  user: null,
  abilities: new Set(),
  models: [],
  model: null,
  usage: null,
  chats: [],
  moreChats: null,
  dialog: null,
  chatId: null,
  ...EMPTY_CHAT,
};
