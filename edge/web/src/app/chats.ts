/** What a chat's page holds, and how it changes. Pure. */

import type { Ask } from "../api/client.ts";
import type { Attachment, Chat, Message, MessagePage } from "../api/types.ts";
import type { RunView } from "../stream/run.ts";
import { problemWords } from "../stream/words.ts";

const TITLE_MAX = 60;
const DAY_MS = 86_400_000;

/** A message as the page keeps it: `key` stays when a streamed answer becomes a stored one, so
 * that what is drawn is not drawn again. */
export interface Shown {
  readonly key: string;
  /** The message's id; empty until history has been asked. */
  readonly id: string;
  readonly parentId: string | null;
  readonly role: "user" | "assistant";
  readonly text: string;
  readonly status: Message["status"];
  readonly finishReason: string | null;
  readonly recoveries: number;
  readonly problem: string;
  readonly model: string;
  readonly degraded: readonly string[];
  readonly files: readonly Attachment[];
  /** Ids of the messages that stand in this one's place, itself among them; empty: alone. */
  readonly beside: readonly string[];
}

/** One question with what was answered; either may be missing at a page's edge. */
export interface Exchange {
  readonly key: string;
  readonly question: Shown | null;
  readonly answer: Shown | null;
}

/** The key of a run's answer. */
export function answerKey(runId: string): string {
  return `answer ${runId}`;
}

/** A page of messages (newest first) in reading order, without the answer in flight. */
export function shownPage(page: MessagePage): readonly Shown[] {
  const live = page.activeRun?.messageId;
  return page.data
    .filter((message) => message.messageId !== live)
    .map(shown)
    .reverse();
}

function shown(message: Message): Shown {
  const isAnswer = message.role === "assistant" && Boolean(message.runId);
  return {
    key: isAnswer ? answerKey(message.runId ?? "") : message.messageId,
    id: message.messageId,
    parentId: message.parentId ?? null,
    role: message.role,
    text: message.content,
    status: message.status,
    finishReason: message.finishReason ?? null,
    recoveries: 0,
    problem: message.status === "failed" ? problemWords(message.error ?? null) : "",
    model: message.model ?? "",
    degraded: message.usage?.degraded ?? [],
    files: message.attachments ?? [],
    beside: message.alternatives?.map((each) => each.messageId) ?? [],
  };
}

const BLANK: Shown = {
  key: "",
  id: "",
  parentId: null,
  role: "user",
  text: "",
  status: "complete",
  finishReason: null,
  recoveries: 0,
  problem: "",
  model: "",
  degraded: [],
  files: [],
  beside: [],
};

/** The user's message while its prompt is on the way. */
export function sentMessage({ key, content, files }: Ask): Shown {
  return { ...BLANK, key, text: content, files: files ?? [] };
}

const ENDINGS: Readonly<Record<string, Message["status"]>> = {
  completed: "complete",
  cancelled: "cancelled",
  failed: "failed",
};

/** A run that has ended, as the message that it left. */
export function finishedAnswer(view: RunView): Shown {
  return {
    ...BLANK,
    key: answerKey(view.runId),
    id: view.messageId,
    role: "assistant",
    text: view.text,
    status: ENDINGS[view.phase] ?? "pending",
    finishReason: view.finishReason,
    recoveries: view.recoveries,
    problem: view.phase === "failed" ? problemWords(view.problem) : "",
    model: view.model,
    degraded: view.degraded,
  };
}

/** What stays shown when an answer is asked for at another place than the end. */
export function upTo(messages: readonly Shown[], ask: Ask): readonly Shown[] {
  const { place } = ask;
  if (place === undefined) return messages;
  if ("beside" in place) {
    const at = messages.findIndex((message) => message.id === place.beside);
    return at < 0 ? messages : messages.slice(0, at);
  }
  if (place.parentId === null) return [];
  const at = messages.findIndex((message) => message.id === place.parentId);
  return at < 0 ? messages : messages.slice(0, at + 1);
}

/** `earlier` in front of `later`, each message once. */
export function joined(earlier: readonly Shown[], later: readonly Shown[]): readonly Shown[] {
  const known = new Set(later.map((message) => message.key));
  return [...earlier.filter((message) => !known.has(message.key)), ...later];
}

/** A fresh newest page put over what is shown: its messages replace the shown ones from its
 * oldest on, older ones stay while they are on the same path. What only this page knows (moves
 * between workers, the key under which a prompt was drawn) is kept, and a message in which
 * nothing changed stays the same value. */
export function refreshed(old: readonly Shown[], fresh: readonly Shown[]): readonly Shown[] {
  const before = new Map(old.map((message) => [message.key, message]));
  const drawn = drawnKeys(old, fresh);
  const named = new Map(old.map((message) => [message.id, message.key]));
  const merged = fresh.map((message, at) => {
    const key = drawn.get(at) ?? named.get(message.id) ?? message.key;
    const known = before.get(key);
    if (known === undefined) return message;
    const { recoveries } = known;
    const degraded = message.degraded.length > 0 ? message.degraded : known.degraded;
    const problem = message.status === "failed" ? known.problem || message.problem : "";
    const next = { ...message, key, recoveries, degraded, problem };
    return same(known, next) ? known : next;
  });
  const oldest = merged[0];
  const at = oldest ? old.findIndex((message) => message.key === oldest.key) : -1;
  return at > 0 ? joined(old.slice(0, at), merged) : merged;
}

/** The keys of prompts that this page sent before history named them, by place in `fresh`: known
 * by the message that stands before or after them. */
function drawnKeys(old: readonly Shown[], fresh: readonly Shown[]): Map<number, string> {
  const sent = old.flatMap((message, at) => (message.id === "" && message.role === "user" ? at : []));
  const keys = new Map<number, string>();
  for (const at of sent) {
    const [before, prompt, after] = [old[at - 1], old[at] as Shown, old[at + 1]];
    const place = fresh.findIndex((message, index) => {
      if (message.role !== "user" || message.text !== prompt.text) return false;
      if (after !== undefined) return fresh[index + 1]?.key === after.key;
      return index === 0 ? before === undefined : fresh[index - 1]?.id === before?.id;
    });
    if (place >= 0) keys.set(place, prompt.key);
  }
  return keys;
}

function same(one: Shown, other: Shown): boolean {
  return (Object.keys(other) as (keyof Shown)[]).every((name) => {
    const [a, b] = [one[name], other[name]];
    return a === b || (typeof b === "object" && JSON.stringify(a) === JSON.stringify(b));
  });
}

/** Questions with their answers, in order. */
export function exchanges(messages: readonly Shown[]): readonly Exchange[] {
  const found: Exchange[] = [];
  for (const message of messages) {
    const last = found.at(-1);
    if (message.role === "assistant" && last !== undefined && last.answer === null) {
      found[found.length - 1] = { ...last, answer: message };
    } else if (message.role === "assistant") {
      found.push({ key: message.key, question: null, answer: message });
    } else {
      found.push({ key: message.key, question: message, answer: null });
    }
  }
  return found;
}

/** A title from a first prompt: its first line of words, cut at a word. */
export function titleFrom(prompt: string): string {
  const line = prompt.trim().split("\n", 1)[0] ?? "";
  const plain = line.replace(/\s+/g, " ").replace(/^[#>*\-\s]+/, "").trim();
  if (plain.length <= TITLE_MAX) return plain;
  const cut = plain.slice(0, TITLE_MAX);
  const space = cut.lastIndexOf(" ");
  return `${space > TITLE_MAX / 2 ? cut.slice(0, space) : cut}…`;
}

/** The list with `change` put over one chat, moved to the top when `touch` is set. */
export function withChat(
  chats: readonly Chat[],
  chatId: string,
  change: Partial<Chat>,
  touch = false,
): readonly Chat[] {
  const known = chats.find((chat) => chat.chatId === chatId);
  const base: Chat = known ?? { chatId, title: "", createdAt: "" };
  const chat = { ...base, ...change };
  if (touch || known === undefined) {
    return [chat, ...chats.filter((other) => other.chatId !== chatId)];
  }
  return chats.map((other) => (other.chatId === chatId ? chat : other));
}

export interface ChatGroup {
  readonly name: string;
  readonly chats: readonly Chat[];
}

/** The list under headings: pinned ones, then by the day of the last activity, as days are
 * counted at the reader's place. */
export function grouped(chats: readonly Chat[], nowMs: number): readonly ChatGroup[] {
  const midnight = new Date(nowMs).setHours(0, 0, 0, 0);
  const names = ["Pinned", "Today", "Yesterday", "Last 7 days", "Older"] as const;
  const groups = names.map((name) => ({ name, chats: [] as Chat[] }));
  for (const chat of chats) {
    const at = Date.parse(chat.activeAt ?? chat.createdAt);
    const age = Number.isNaN(at) ? 0 : Math.ceil((midnight - at) / DAY_MS);
    const group = chat.pinned ? 0 : age <= 0 ? 1 : age === 1 ? 2 : age <= 7 ? 3 : 4;
    groups[group]?.chats.push(chat);
  }
  return groups.filter((group) => group.chats.length > 0);
}
