import assert from "node:assert/strict";
import { test } from "node:test";
import { SseParser } from "../src/stream/sse.ts";

const STREAM =
  "retry: 750\r\n\r\n" +
  ": a comment\n" +
  "id: 1\nevent: message.delta\ndata: {\"a\":1}\n\n" +
  "event: ping\ndata: {}\r\r" +
  "data: two\ndata: lines\n\n" +
  "event: empty\n\n" +
  "data:unspaced\r\n\r\n";

const EVENTS = [
  { event: "message.delta", data: '{"a":1}' },
  { event: "ping", data: "{}" },
  { event: "message", data: "two\nlines" },
  { event: "message", data: "unspaced" },
];

test("a stream in one piece gives its events", () => {
  const parser = new SseParser();
  assert.deepEqual(parser.feed(STREAM), EVENTS);
  assert.equal(parser.retryMs, 750);
});

test("a stream cut anywhere gives the same events", () => {
  for (let size = 1; size <= STREAM.length; size++) {
    const parser = new SseParser();
    const seen = [];
    for (let at = 0; at < STREAM.length; at += size) {
      seen.push(...parser.feed(STREAM.slice(at, at + size)));
    }
    assert.deepEqual(seen, EVENTS, `pieces of ${size}`);
  }
});

test("an event cut off by the end is never given", () => {
  assert.deepEqual(new SseParser().feed("data: half"), []);
  assert.deepEqual(new SseParser().feed("data: half\n"), []);
});
