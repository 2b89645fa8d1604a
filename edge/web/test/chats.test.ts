import assert from "node:assert/strict";
import { test } from "node:test";
import type { Message } from "../src/api/types.ts";
import {
  finishedAnswer,
  joined,
  refreshed,
  sentMessage,
  shownPage,
  titleFrom,
  withChat,
} from "../src/app/chats.ts";
import { newRun } from "../src/stream/run.ts";
import { safeLink } from "../src/ui/links.ts";

function message(messageId: string, change: Partial<Message> = {}): Message {
  const createdAt = "2026-01-01T00:00:00Z";
  return { messageId, role: "user", content: messageId, createdAt, status: "complete", ...change };
}

test("a page is read oldest first and leaves out the answer in flight", () => {
  const pending = message("m3", { role: "assistant", status: "pending", runId: "r2" });
  const old = message("m1", { role: "assistant", runId: "r1" });
  const activeRun = { runId: "r2", messageId: "m3" };
  const shown = shownPage({ data: [pending, message("m2"), old], activeRun });
  assert.deepEqual(shown.map((each) => each.key), ["answer r1", "m2"]);
});

test("a streamed answer keeps its key and its recoveries when the stored one arrives", () => {
  const view = { ...newRun("r1"), phase: "completed" as const, text: "Hi", recoveries: 1 };
  const local = joined([sentMessage({ key: "local", content: "Hello" })], [finishedAnswer(view)]);
  const stored = shownPage({
    data: [message("a", { role: "assistant", content: "Hi", runId: "r1" }), message("u")],
  });
  const merged = refreshed(local, stored);
  assert.deepEqual(merged.map((each) => each.key), ["u", "answer r1"]);
  assert.equal(merged[1]?.recoveries, 1);
  assert.deepEqual(refreshed(merged, stored), merged);
});

test("a failed answer keeps the reason that the edge states", () => {
  const error = { code: "worker_lost", title: "Lost", detail: "Three workers died.", status: 500 };
  const failed = message("a", { role: "assistant", status: "failed", runId: "r1", error });
  const { error: _, ...bare } = failed;
  assert.equal(shownPage({ data: [failed] })[0]?.problem, "Three workers died.");
  assert.equal(shownPage({ data: [bare] })[0]?.problem, "The answer failed for an unknown reason");
});

test("a fresh newest page keeps the older messages already loaded", () => {
  const all = ["m1", "m2", "m3", "m4"].map((id) => message(id));
  const shown = shownPage({ data: [...all].reverse() });
  const newest = shownPage({ data: [message("m5"), ...all.slice(2).reverse()] });
  const keys = refreshed(shown, newest).map((each) => each.key);
  assert.deepEqual(keys, ["m1", "m2", "m3", "m4", "m5"]);
});

test("a title is the first line, cut at a word", () => {
  assert.equal(titleFrom("  ## Hello   there\nmore"), "Hello there");
  const long = titleFrom("word ".repeat(40));
  assert.ok(long.length <= 61 && long.endsWith("word…"), long);
  assert.equal(titleFrom("\n\n"), "");
});

test("a touched chat moves to the top, another change leaves it in place", () => {
  const chats = ["a", "b"].map((chatId) => ({ chatId, title: chatId, createdAt: "" }));
  assert.deepEqual(withChat(chats, "b", {}, true).map((chat) => chat.chatId), ["b", "a"]);
  assert.deepEqual(withChat(chats, "b", { title: "B" }).map((chat) => chat.title), ["a", "B"]);
});

test("only absolute web and mail addresses become links", () => {
  assert.equal(safeLink(" https://example.org/a b "), "https://example.org/a%20b");
  assert.equal(safeLink("mailto:a@example.org"), "mailto:a@example.org");
  for (const bad of ["javascript:alert(1)", "JaVaScRiPt:x", "java\nscript:x", "data:text/html,x",
    "vbscript:x", "file:///etc/passwd", "/logout", "//", "#x", ""]) {
    assert.equal(safeLink(bad), null, bad);
  }
});
