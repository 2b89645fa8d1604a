/** What a chat's page holds, and how it changes. Pure. */

import type { Chat, Message, MessagePage } from "../api/types.ts";
import type { RunView } from "../stream/run.ts";
import { problemWords } from "../stream/words.ts";

const TITLE_MAX = 60;

/** A message as the page keeps it: `key` stays when a streamed answer becomes a stored one, so
 * that what is drawn is not drawn again. */
export interface Shown {
  readonly key: string;
  readonly role: "user" | "assistant";
  readonly text: string;
  readonly status: Message["status"];
  readonly finishReason: string | null;
  readonly recoveries: number;
  readonly problem: string;
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
    role: message.role,
    text: message.content,
    status: message.status,
    finishReason: message.finishReason ?? null,
    recoveries: 0,
    problem: message.status === "failed" ? problemWords(message.error ?? null) : "",
  };
}

/** The user's message while its prompt is on the way. */
export function sentMessage(key: string, text: string): Shown {
  return {
    key,
    role: "user",
    text,
    status: "complete",
    finishReason: null,
    recoveries: 0,
    problem: "",
  };
}

const ENDINGS: Readonly<Record<string, Message["status"]>> = {
  completed: "complete",
  cancelled: "cancelled",
  failed: "failed",
};

/** A run that has ended, as the message that it left. */
export function finishedAnswer(view: RunView): Shown {
  return {
    key: answerKey(view.runId),
    role: "assistant",
    text: view.text,
    status: ENDINGS[view.phase] ?? "pending",
    finishReason: view.finishReason,
    recoveries: view.recoveries,
    problem: view.phase === "failed" ? problemWords(view.problem) : "",
  };
}

/** `earlier` in front of `later`, each message once. */
export function joined(earlier: readonly Shown[], later: readonly Shown[]): readonly Shown[] {
  const known = new Set(later.map((message) => message.key));
  return [...earlier.filter((message) => !known.has(message.key)), ...later];
}

/** A fresh newest page put over what is shown: its messages replace the shown ones from its
 * oldest on, older ones stay, and what only this page knows (moves between workers) is kept. */
export function refreshed(old: readonly Shown[], fresh: readonly Shown[]): readonly Shown[] {
  const before = new Map(old.map((message) => [message.key, message]));
  const merged = fresh.map((message) => {
    const known = before.get(message.key);
    if (known === undefined) return message;
    return { ...message, recoveries: known.recoveries, problem: known.problem || message.problem };
  });
  const oldest = fresh[0];
  const at = oldest ? old.findIndex((message) => message.key === oldest.key) : -1;
  return at > 0 ? joined(old.slice(0, at), merged) : merged;
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
