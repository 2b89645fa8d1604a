/** Events of a run, for the tests. */

import type { RunEvent } from "../src/api/types.ts";

const RUN = "run-1";

/** A whole answer, numbered from 1: queued, started, the words one by one, completed. */
export function answer(words: readonly string[]): RunEvent[] {
  return numbered([
    { type: "run.queued", position: 2, etaMs: 1_500 },
    { type: "run.started", model: "m", messageId: "a" },
    ...words.map((delta) => ({ type: "message.delta", delta })),
    { type: "run.completed", finish_reason: "stop", usage: {}, messageId: "a" },
  ]);
}

/** Bodies with run id and place put in, as the edge does. */
export function numbered(bodies: readonly object[], from = 1): RunEvent[] {
  return bodies.map((body, index) => ({ runId: RUN, seq: from + index, ...body }) as RunEvent);
}

/** The stream that an edge sends for `events`, with a heartbeat in front. */
export function wire(events: readonly RunEvent[]): string {
  const lines = events.map(
    (event) => `id: ${event.seq}\nevent: ${event.type}\ndata: ${JSON.stringify(event)}\n\n`,
  );
  return `retry: 1000\n\nevent: ping\ndata: {"type":"ping"}\n\n${lines.join("")}`;
}
