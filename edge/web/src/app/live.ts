/** One run being read: sends the prompt or joins, keeps the view, stops on request. */

import { api, type Ask } from "../api/client.ts";
import { Refused } from "../api/problem.ts";
import type { Problem } from "../api/types.ts";
import type { FollowEnd } from "../stream/follow.ts";
import { backoffMs, follow } from "../stream/follow.ts";
import type { RunAction, RunView } from "../stream/run.ts";
import { ended, newRun, reduce } from "../stream/run.ts";
import { FrameGate } from "./frame.ts";

const STOP_TRIES = 6;

export interface LiveWatch {
  /** The view changed; called at most once a frame. */
  onChange(): void;
  /** The edge has named the run that was sent; called once. */
  onNamed(runId: string): void;
}

export class LiveRun {
  readonly chatId: string;
  readonly ask: Ask | null;
  view: RunView;
  readonly #left = new AbortController();
  readonly #gate: FrameGate;
  readonly #onNamed: (runId: string) => void;
  #wake: () => void = () => undefined;
  #leaveWhenNamed = false;
  /** A connection was lost: a prompt sent over it may have been taken. */
  #lost = false;

  /** Follows `from`: what to ask, or the id of a run to join. */
  constructor(
    chatId: string,
    from: Ask | string,
    watch: LiveWatch,
  ) {
    this.chatId = chatId;
    this.ask = typeof from === "string" ? null : from;
    this.view = newRun(typeof from === "string" ? from : "");
    this.#gate = new FrameGate(watch.onChange);
    this.#onNamed = (runId) => watch.onNamed(runId);
  }

  /** Reads to the end. Resolves with how the reading ended; the view then is final. */
  async read(): Promise<FollowEnd> {
    const wake = (): void => this.#wake();
    window.addEventListener("online", wake);
    document.addEventListener("visibilitychange", wake);
    try {
      const end = await follow(
        {
          open: (after, signal) => this.#open(after, signal),
          retryable: (problem) => this.#retryable(problem),
          onEvent: (event) => this.#take({ kind: "event", event, nowMs: Date.now() }),
          onConnection: (connection) => {
            this.#lost ||= connection !== "open";
            this.#take({ kind: "connection", connection });
          },
          online: () => navigator.onLine,
          onDoubt: doubts,
          nowMs: Date.now,
          pause: (ms, signal) => this.#pause(ms, signal),
          random: Math.random,
        },
        this.#left.signal,
      );
      return end;
    } finally {
      window.removeEventListener("online", wake);
      document.removeEventListener("visibilitychange", wake);
      this.#gate.flush();
    }
  }

  /** Stops reading; the run goes on. A prompt still on its way is first seen into the edge. */
  leave(): void {
    if (this.view.runId === "") this.#leaveWhenNamed = true;
    else this.#left.abort();
  }

  /** Asks the edge to stop the run, again until it has heard. The stream then brings the end. */
  async stop(): Promise<void> {
    if (this.view.stopping || ended(this.view)) return;
    this.#take({ kind: "stopping", stopping: true });
    for (let tries = 0; tries < STOP_TRIES && !ended(this.view); tries++) {
      try {
        const runId = this.view.runId || (await this.#lookUp());
        if (runId !== "") {
          await api.cancel(this.chatId, runId);
          return;
        }
      } catch (error) {
        if (!(error instanceof TypeError || error instanceof Refused)) throw error;
      }
      await this.#pause(backoffMs(tries, Math.random()), this.#left.signal);
    }
    if (this.view.runId === "") this.#left.abort();
    this.#take({ kind: "stopping", stopping: false });
  }

  /** Whether to try again by itself. A prompt that is refused at once is its sender's to send
   * again; one that was sent into a connection that broke is tried until the edge knows. */
  #retryable({ status, code }: Problem): boolean {
    if (this.view.runId !== "") return status >= 500 || status === 429 || status === 408;
    if (status === 502 || status === 504) return true;
    return this.#lost && (code === "unavailable" || code === "no_worker" || code === "expired");
  }

  #open(after: number, signal: AbortSignal): Promise<Response> {
    const { runId } = this.view;
    if (runId !== "" || this.ask === null) {
      return api.events(this.chatId, runId, after, signal);
    }
    return api.ask(this.chatId, this.ask, signal);
  }

  /** The id of the chat's run when the stream has not said it yet; empty if there is none. */
  async #lookUp(): Promise<string> {
    const { activeRun } = await api.messages(this.chatId);
    const runId = activeRun?.runId ?? "";
    if (runId !== "") this.#take({ kind: "named", runId });
    return runId;
  }

  #take(action: RunAction): void {
    const before = this.view;
    this.view = reduce(before, action);
    if (this.view === before) return;
    if (before.runId === "" && this.view.runId !== "") {
      this.#onNamed(this.view.runId);
      if (this.#leaveWhenNamed) this.#left.abort();
    }
    if (ended(this.view)) this.#gate.flush();
    else this.#gate.request();
  }

  #pause(ms: number, signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const done = (): void => {
        clearTimeout(timer);
        signal.removeEventListener("abort", done);
        resolve();
      };
      const timer = setTimeout(done, ms);
      signal.addEventListener("abort", done);
      this.#wake = done;
    });
  }
}

/** Calls `check` when this page comes back to sight or to a network, or loses the one it had. */
function doubts(check: (sure: boolean) => void): () => void {
  const seen = (): void => {
    if (!document.hidden) check(false);
  };
  const moved = (): void => check(true);
  document.addEventListener("visibilitychange", seen);
  window.addEventListener("pageshow", seen);
  window.addEventListener("online", moved);
  window.addEventListener("offline", moved);
  return () => {
    document.removeEventListener("visibilitychange", seen);
    window.removeEventListener("pageshow", seen);
    window.removeEventListener("online", moved);
    window.removeEventListener("offline", moved);
  };
}
