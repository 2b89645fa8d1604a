import assert from "node:assert/strict";
import { test } from "node:test";
import { newRun, type RunView } from "../src/stream/run.ts";
import { duration, ordinal, recoveryNote, runWords } from "../src/stream/words.ts";

function words(change: Partial<RunView>, nowMs = 0): string | undefined {
  return runWords({ ...newRun("r"), connection: "open", ...change }, nowMs)?.text;
}

test("every state has its words", () => {
  const problem = { code: "worker_lost", title: "Lost", detail: "All workers died", status: 500 };
  const table: [Partial<RunView>, string | undefined][] = [
    [{ phase: "sending" }, "Sending…"],
    [{ phase: "queued", position: 1, etaMs: null }, "Next in the queue"],
    [{ phase: "queued", position: 3, etaMs: 3_600 }, "3rd in the queue, about 4 s"],
    [
      { phase: "queued", position: 12, etaMs: null, degraded: ["shortened"] },
      "12th in the queue (with a shorter answer because of load)",
    ],
    [{ phase: "starting" }, "Starting…"],
    [{ phase: "thinking" }, "Thinking…"],
    [{ phase: "writing" }, "Writing…"],
    [{ phase: "writing", stopping: true }, "Stopping…"],
    [{ phase: "writing", connection: "reconnecting" }, "Connection lost. Reconnecting…"],
    [{ phase: "completed", finishReason: "stop" }, undefined],
    [{ phase: "completed", finishReason: "length" }, "Ended at the length limit"],
    [{ phase: "cancelled" }, "Stopped"],
    [{ phase: "failed", problem }, "All workers died"],
    [{ phase: "failed", problem: { ...problem, detail: "" } }, "Lost"],
  ];
  for (const [change, expected] of table) assert.equal(words(change), expected);
});

test("being offline says what becomes of the answer or the prompt", () => {
  assert.match(words({ phase: "writing", connection: "offline" }) ?? "", /answer goes on/);
  assert.match(words({ phase: "sending", connection: "offline" }) ?? "", /is sent when/);
});

test("a recovery is said for a while, then the writing goes on", () => {
  const moved: Partial<RunView> = { phase: "writing", recoveries: 1, recoveredAtMs: 10_000 };
  assert.equal(words(moved, 11_000), "Moved to another worker, going on");
  assert.equal(words(moved, 20_000), "Writing…");
  assert.equal(recoveryNote(2), "Moved between workers 2 times");
});

test("numbers read as people say them", () => {
  const said = [1, 2, 3, 4, 11, 12, 13, 21, 102, 111].map(ordinal).join(" ");
  assert.equal(said, "1st 2nd 3rd 4th 11th 12th 13th 21st 102nd 111th");
  assert.deepEqual([0, 1_001, 89_000, 100_000].map(duration), ["1 s", "2 s", "89 s", "2 min"]);
});
