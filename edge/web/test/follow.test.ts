import assert from "node:assert/strict";
import { mock, test } from "node:test";
import type { RunEvent } from "../src/api/types.ts";
import { backoffMs, follow, type FollowPorts, QUIET_MS, STALL_MS } from "../src/stream/follow.ts";
import { answer, numbered, wire } from "./events.ts";

type Open = (after: number, signal: AbortSignal) => Response | Promise<Response>;

/** Follows over `opens`, one for each connection; what was seen is in the answer. */
async function run(opens: readonly Open[], control = new AbortController()) {
  const seen: RunEvent[] = [];
  const cursors: number[] = [];
  const pauses: number[] = [];
  const connections: string[] = [];
  const ports: FollowPorts = {
    open: async (after, signal) => {
      const open = opens[cursors.length];
      assert.ok(open, "one connection too many");
      cursors.push(after);
      return open(after, signal);
    },
    retryable: ({ status }) => status >= 500,
    onEvent: (event) => seen.push(event),
    onConnection: (connection) => connections.push(connection),
    online: () => true,
    pause: async (ms) => void pauses.push(ms),
    random: () => 1,
    onDoubt: () => () => undefined,
    nowMs: () => 0,
  };
  const end = await follow(ports, control.signal);
  return { end, seen, cursors, pauses, connections };
}

function refuse(status: number, body: object, headers: Record<string, string> = {}): Response {
  return new Response(JSON.stringify(body), { status, headers });
}

const EVENTS = answer(["a", "b", "c", "d"]);

test("a whole stream is given on once and ends", async () => {
  const { end, seen, connections } = await run([() => new Response(wire(EVENTS))]);
  assert.deepEqual(end, { kind: "ended" });
  assert.deepEqual(seen, EVENTS);
  assert.deepEqual(connections, ["open"]);
});

test("a stream cut after any event is resumed from there without gap or duplicate", async () => {
  for (let cut = 0; cut < EVENTS.length; cut++) {
    const { seen, cursors } = await run([
      () => new Response(wire(EVENTS.slice(0, cut))),
      () => Promise.reject(new TypeError("fetch failed")),
      (after) => new Response(wire(EVENTS.filter((event) => event.seq > after))),
    ]);
    assert.deepEqual(seen, EVENTS, `cut after ${cut}`);
    assert.deepEqual(cursors, [0, cut, cut]);
  }
});

test("an edge that repeats or leaves out events is asked again from the place reached", async () => {
  const holed = EVENTS.filter((event) => event.seq !== 4);
  const { seen, cursors } = await run([
    () => new Response(wire(holed)),
    () => new Response(wire(EVENTS)),
  ]);
  assert.deepEqual(seen, EVENTS);
  assert.deepEqual(cursors, [0, 3]);
});

test("a snapshot bridges what is missing", async () => {
  const snapshot = numbered([{ type: "message.snapshot", text: "abc" }], 5);
  const { seen } = await run([() => new Response(wire([...snapshot, ...EVENTS.slice(5)]))]);
  assert.deepEqual(seen.map((event) => event.seq), [5, 6, 7]);
});

test("204 says that the run is over elsewhere", async () => {
  const { end } = await run([() => new Response(null, { status: 204 })]);
  assert.deepEqual(end, { kind: "nothing-left" });
});

test("a refusal that no retry mends is given back as a problem", async () => {
  const body = { code: "run_active", title: "t", detail: "busy", status: 409, activeRunId: "r9" };
  const { end } = await run([() => refuse(409, body)]);
  assert.equal(end.kind, "refused");
  assert.equal(end.kind === "refused" && end.problem.activeRunId, "r9");
});

test("a server in trouble is asked again after the time that it names", async () => {
  const { end, pauses } = await run([
    () => refuse(503, { code: "unavailable" }, { "Retry-After": "3" }),
    () => new Response("<html>bad gateway</html>", { status: 502 }),
    () => new Response(wire(EVENTS)),
  ]);
  assert.deepEqual(end, { kind: "ended" });
  assert.deepEqual(pauses, [3_000, 250]);
});

test("leaving ends the reading", async () => {
  const control = new AbortController();
  const endless = new ReadableStream({
    start: (stream) => {
      stream.enqueue(new TextEncoder().encode(wire(EVENTS.slice(0, 2))));
      setTimeout(() => control.abort(), 5);
    },
  });
  const { end, seen } = await run([() => new Response(endless)], control);
  assert.deepEqual(end, { kind: "left" });
  assert.equal(seen.length, 2);
});

test("a connection that goes silent is given up and resumed", async () => {
  mock.timers.enable({ apis: ["setTimeout"] });
  try {
    const silent = new ReadableStream({
      start: (stream) => stream.enqueue(new TextEncoder().encode(wire(EVENTS.slice(0, 3)))),
    });
    const reading = run([
      () => new Response(silent),
      (after) => new Response(wire(EVENTS.filter((event) => event.seq > after))),
    ]);
    for (let turns = 0; turns < 50; turns++) await new Promise(setImmediate);
    mock.timers.tick(STALL_MS);
    const { seen, cursors } = await reading;
    assert.deepEqual(seen, EVENTS);
    assert.deepEqual(cursors, [0, 3]);
  } finally {
    mock.timers.reset();
  }
});

test("a page that wakes up gives up a connection that has been too quiet, no other", async () => {
  for (const [quietMs, expected] of [[QUIET_MS + 1, 2], [1_000, 1]] as const) {
    let now = 0;
    let check: (sure: boolean) => void = () => undefined;
    let opened = 0;
    const control = new AbortController();
    const silent = new ReadableStream({
      start: (stream) => stream.enqueue(new TextEncoder().encode(wire(EVENTS.slice(0, 2)))),
    });
    const reading = follow(
      {
        open: async () => (opened++ === 0 ? new Response(silent) : new Response(wire(EVENTS))),
        retryable: () => true,
        onEvent: () => undefined,
        onConnection: () => undefined,
        onDoubt: (doubt) => {
          check = doubt;
          return () => undefined;
        },
        nowMs: () => now,
        online: () => true,
        pause: async () => undefined,
        random: () => 0,
      },
      control.signal,
    );
    for (let turns = 0; turns < 50; turns++) await new Promise(setImmediate);
    now = quietMs;
    check(false);
    for (let turns = 0; turns < 50; turns++) await new Promise(setImmediate);
    assert.equal(opened, expected);
    control.abort();
    await reading;
  }
});

test("the wait between tries grows, has a limit, and is spread by chance", () => {
  assert.deepEqual([0, 1, 2, 3, 10, 99].map((n) => backoffMs(n, 1)), [250, 500, 1000, 2000, 8000, 8000]);
  assert.equal(backoffMs(3, 0), 500);
});
