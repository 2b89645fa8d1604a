/** Follows one run to its end over any number of connections. Time, chance and the network come
 * in as arguments, so the tests drive it without either. */

import type { Problem, RunEvent } from "../api/types.ts";
import { readProblem } from "../api/problem.ts";
import type { Connection } from "./run.ts";
import { place } from "./run.ts";
import { SseParser } from "./sse.ts";

/** The edge pings every 15 s; a connection silent for longer than this is dead. */
export const STALL_MS = 25_000;
/** Longer than the edge ever is silent: on doubt, a connection this quiet is taken for dead. */
export const QUIET_MS = 16_000;
const BACKOFF_BASE_MS = 250;
const BACKOFF_MAX_MS = 8_000;

export interface FollowPorts {
  /** Opens the stream after event `after` (0: from the start, or by sending the prompt).
   * Rejects with a TypeError when the edge can't be reached, as `fetch` does. */
  open(after: number, signal: AbortSignal): Promise<Response>;
  /** Whether a refusal is worth another try. */
  retryable(problem: Problem): boolean;
  onEvent(event: RunEvent): void;
  onConnection(connection: Connection): void;
  online(): boolean;
  /** Has `check` called whenever the connection may have died unnoticed (the page was asleep, the
   * network changed), until the returned function is called. `sure`: it has. */
  onDoubt(check: (sure: boolean) => void): () => void;
  /** Wall-clock milliseconds. */
  nowMs(): number;
  /** Resolves after `ms`, or earlier when there is reason to try now. */
  pause(ms: number, signal: AbortSignal): Promise<void>;
  /** In [0, 1). */
  random(): number;
}

export type FollowEnd =
  | { readonly kind: "ended" }
  /** 204: the run is over and there is nothing after the cursor. */
  | { readonly kind: "nothing-left" }
  | { readonly kind: "refused"; readonly problem: Problem }
  /** The caller aborted; the run itself goes on. */
  | { readonly kind: "left" };

/** Exponential with full jitter, never under a quarter of its step. `attempt` counts from 0. */
export function backoffMs(attempt: number, random: number, baseMs = BACKOFF_BASE_MS): number {
  const step = Math.min(BACKOFF_MAX_MS, baseMs * 2 ** Math.min(attempt, 16));
  return Math.round(step * (0.25 + 0.75 * random));
}

/** Reads until the run's terminal event, a refusal that no retry mends, or `signal`. Every event
 * is given on exactly once and in order, across reconnections. */
export async function follow(ports: FollowPorts, signal: AbortSignal): Promise<FollowEnd> {
  let seq = 0;
  let failures = 0;
  while (!signal.aborted) {
    const attempt = new AbortController();
    const giveUp = (): void => attempt.abort();
    signal.addEventListener("abort", giveUp);
    let heardAtMs = ports.nowMs();
    const trust = ports.onDoubt((sure) => {
      if (sure || ports.nowMs() - heardAtMs > QUIET_MS) giveUp();
    });
    let waitMs: number | null = null;
    try {
      const response = await ports.open(seq, attempt.signal);
      if (response.status === 204) return { kind: "nothing-left" };
      if (!response.ok || response.body === null) {
        const problem = await readProblem(response);
        if (!ports.retryable(problem)) return { kind: "refused", problem };
        waitMs = problem.retryAfterMs ?? null;
      } else {
        ports.onConnection("open");
        const heard = (): void => void (heardAtMs = ports.nowMs());
        for await (const event of events(response.body, attempt, heard)) {
          const where = place(seq, event);
          if (where === "gap") break;
          if (where === "known") continue;
          seq = event.seq;
          failures = 0;
          ports.onEvent(event);
          if (terminal(event)) return { kind: "ended" };
        }
      }
    } catch (error) {
      if (!lost(error)) throw error;
    } finally {
      trust();
      signal.removeEventListener("abort", giveUp);
      attempt.abort();
    }
    if (signal.aborted) break;
    ports.onConnection(ports.online() ? "reconnecting" : "offline");
    await ports.pause(waitMs ?? backoffMs(failures++, ports.random()), signal);
  }
  return { kind: "left" };
}

/** The numbered events of one connection; ends when it closes, aborts it when it stalls. */
async function* events(
  body: ReadableStream<Uint8Array<ArrayBuffer>>,
  attempt: AbortController,
  heard: () => void,
): AsyncGenerator<RunEvent> {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  const parser = new SseParser();
  // One listener a connection: an answer comes in thousands of pieces.
  attempt.signal.addEventListener("abort", () => void reader.cancel().catch(() => undefined));
  for (;;) {
    const stall = setTimeout(() => attempt.abort(), STALL_MS);
    const { done, value } = await reader.read().finally(() => clearTimeout(stall));
    if (done) return;
    heard();
    for (const { data } of parser.feed(value)) {
      const event: unknown = JSON.parse(data);
      if (numbered(event)) yield event;
    }
  }
}

function numbered(event: unknown): event is RunEvent {
  return typeof event === "object" && event !== null && "seq" in event && "type" in event;
}

function terminal(event: RunEvent): boolean {
  return (
    event.type === "run.completed" || event.type === "run.cancelled" || event.type === "run.failed"
  );
}

/** Whether an error means that the connection is gone: `fetch` gives a TypeError, an abort a
 * DOMException; JSON cut short by a dying proxy gives a SyntaxError. */
function lost(error: unknown): boolean {
  return (
    error instanceof TypeError || error instanceof DOMException || error instanceof SyntaxError
  );
}
