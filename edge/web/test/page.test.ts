import assert from "node:assert/strict";
import { test } from "node:test";
import { abilitiesOf } from "../src/api/abilities.ts";
import { exchanges, grouped, refreshed, sentMessage, shownPage, upTo } from "../src/app/chats.ts";
import type { Message } from "../src/api/types.ts";
import { degradedNote, size } from "../src/stream/words.ts";
import { commandOf, type Press } from "../src/ui/keys.ts";

function message(messageId: string, change: Partial<Message> = {}): Message {
  const createdAt = "2026-01-01T00:00:00Z";
  return { messageId, role: "user", content: messageId, createdAt, status: "complete", ...change };
}

const ANSWER = { role: "assistant" } as const;
const TALK = shownPage({
  data: [
    message("a2", { ...ANSWER, runId: "r2" }),
    message("q2", { parentId: "a1" }),
    message("a1", { ...ANSWER, runId: "r1" }),
    message("q1"),
  ],
});

test("a server offers what its description names, and an older one less", () => {
  const schemas = { NewPrompt: { properties: { parentId: {} } } };
  const paths = { "/search": { get: {} }, "/uploads": { get: {} }, "/me": { delete: {} } };
  assert.deepEqual([...abilitiesOf({ paths })], ["search", "leave"]);
  assert.deepEqual([...abilitiesOf({ paths, components: { schemas } })].at(-1), "edit");
  for (const odd of [null, "no", [], { paths: null }]) assert.equal(abilitiesOf(odd).size, 0);
});

test("messages are read in pairs, and a missing half leaves the other alone", () => {
  const pairs = exchanges(TALK.slice(1)).map(({ question, answer }) => [question?.id, answer?.id]);
  assert.deepEqual(pairs, [[undefined, "a1"], ["q2", "a2"]]);
  const open = exchanges([...TALK, sentMessage({ key: "k", content: "Third" })]);
  assert.equal(open.at(-1)?.answer, null);
});

test("another answer or an edited question keeps what stands before it", () => {
  const ids = (place: object) =>
    upTo(TALK, { key: "k", content: "", place } as never).map(({ id }) => id);
  assert.deepEqual(ids({ beside: "a2" }), ["q1", "a1", "q2"]);
  assert.deepEqual(ids({ parentId: "a1" }), ["q1", "a1"]);
  assert.deepEqual(ids({ parentId: null }), []);
});

test("a sent question keeps the key under which it was drawn when it comes back stored", () => {
  const sent = [...TALK.slice(0, 2), sentMessage({ key: "mine", content: "q2" }), TALK[3] as never];
  const merged = refreshed(sent, TALK);
  assert.deepEqual(merged.map(({ key }) => key), ["q1", "answer r1", "mine", "answer r2"]);
  assert.equal(merged[2]?.id, "q2");
  assert.equal(merged[0], sent[0], "what did not change is the same value");
});

test("a path that was switched takes the other's place", () => {
  const other = shownPage({ data: [message("b2", { ...ANSWER, runId: "r9" }), message("q2")] });
  const merged = refreshed(TALK, other);
  assert.deepEqual(merged.map(({ id }) => id), ["q1", "a1", "q2", "b2"]);
});

test("chats stand under the day of their last activity, pinned ones first", () => {
  const now = new Date(2026, 5, 15, 12).getTime();
  const days = (n: number) => new Date(2026, 5, 15 - n, 9).toISOString();
  const chats = [0, 1, 5, 40].map((n) => ({ chatId: `c${n}`, title: "", createdAt: days(n) }));
  const pinned = { chatId: "p", title: "", createdAt: days(90), pinned: true };
  const groups = grouped([...chats, pinned], now);
  const names = groups.map(({ name }) => name);
  assert.deepEqual(names, ["Pinned", "Today", "Yesterday", "Last 7 days", "Older"]);
});

test("keys are commands only with a modifier, and never inside a composed word", () => {
  const bare = { ctrlKey: false, metaKey: false, shiftKey: false, altKey: false };
  const press = (key: string, change: Partial<Press> = {}) =>
    commandOf({ key, ...bare, isComposing: false, keyCode: 0, ...change });
  assert.equal(press("k", { ctrlKey: true }), "search");
  assert.equal(press("p", { ctrlKey: true }), "print");
  assert.equal(press("p", { ctrlKey: true, shiftKey: true }), null);
  assert.equal(press("O", { metaKey: true, shiftKey: true }), "new");
  assert.equal(press("ArrowDown", { altKey: true }), "next");
  assert.equal(press("Escape"), "stop");
  assert.equal(press("Escape", { isComposing: true }), null);
  assert.equal(press("Escape", { keyCode: 229 }), null);
  for (const letter of "abcknoe/?") assert.equal(press(letter), null, letter);
});

test("what an answer lacks and what a file weighs is said in words", () => {
  assert.equal(degradedNote(["shortened"]), "Kept short because of load");
  assert.equal(degradedNote([]), "");
  assert.deepEqual([12, 1_234, 5_600_000].map(size), ["12 B", "2 kB", "5.6 MB"]);
});
