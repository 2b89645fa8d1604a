import assert from "node:assert/strict";
import { test } from "node:test";
import type { RunEvent } from "../src/api/types.ts";
import { ended, newRun, place, reduce, type RunView } from "../src/stream/run.ts";
import { answer, numbered } from "./events.ts";

function play(events: readonly RunEvent[], view: RunView = newRun()): RunView {
  return events.reduce((now, event) => reduce(now, { kind: "event", event, nowMs: 5 }), view);
}

test("a run played through its events shows each phase and the whole text", () => {
  const events = answer(["One ", "two."]);
  const phases = events.map((_, index) => play(events.slice(0, index + 1)).phase);
  assert.deepEqual(phases, ["queued", "thinking", "writing", "writing", "completed"]);
  const view = play(events);
  assert.equal(view.text, "One two.");
  assert.equal(view.runId, "run-1");
  assert.ok(ended(view));
});

test("events seen twice or out of place change nothing", () => {
  const events = answer(["a", "b", "c"]);
  const [queued, started, first, second] = events as [RunEvent, RunEvent, RunEvent, RunEvent];
  const shuffled = [queued, queued, second, started, first, started, first, ...events];
  assert.deepEqual(play(shuffled), play(events));
  assert.equal(place(2, second), "gap");
  assert.equal(place(2, started), "known");
});

test("a snapshot replaces the text and deltas go on after it", () => {
  const snapshot = { ...numbered([{ type: "message.snapshot", text: "All so far" }], 7)[0] };
  const [delta] = numbered([{ type: "message.delta", delta: "." }], 8);
  const view = play([...answer(["x"]).slice(0, 3), snapshot as RunEvent, delta as RunEvent]);
  assert.equal(view.text, "All so far.");
  assert.equal(view.seq, 8);
});

test("nothing follows the ending", () => {
  const stopped = play(
    numbered([
      { type: "message.delta", delta: "Some" },
      { type: "run.cancelled", usage: {}, messageId: "a" },
      { type: "message.delta", delta: " more" },
    ]),
  );
  assert.equal(stopped.phase, "cancelled");
  assert.equal(stopped.text, "Some");
  assert.equal(reduce(stopped, { kind: "connection", connection: "offline" }), stopped);
});

test("an unknown event type moves the place and nothing else", () => {
  const view = play(numbered([{ type: "run.pondered" }, { type: "message.delta", delta: "x" }]));
  assert.equal(view.text, "x");
});

test("a recovery is counted and keeps the text", () => {
  const view = play(
    numbered([
      { type: "message.delta", delta: "half " },
      { type: "run.recovered", gapMs: 400 },
      { type: "run.queued", position: 1, etaMs: null },
      { type: "message.delta", delta: "whole" },
    ]),
  );
  assert.equal(view.text, "half whole");
  assert.equal(view.recoveries, 1);
  assert.equal(view.recoveredAtMs, 5);
  assert.equal(view.phase, "writing");
});
