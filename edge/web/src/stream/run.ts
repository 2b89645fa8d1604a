/** One run as its reader sees it: a machine from events to what is shown. Pure. */

import type { Problem, RunEvent } from "../api/types.ts";

export type Phase =
  | "sending"
  | "queued"
  | "starting"
  | "thinking"
  | "writing"
  | "completed"
  | "cancelled"
  | "failed";

export type Connection = "connecting" | "open" | "reconnecting" | "offline";

export interface RunView {
  /** Empty until the edge has named the run. */
  readonly runId: string;
  /** Id of the last event taken in; 0 before the first. */
  readonly seq: number;
  readonly phase: Phase;
  readonly text: string;
  /** The answer's model and message, empty until the edge has named them. */
  readonly model: string;
  readonly messageId: string;
  /** When something was last heard of it, by this page's clock. */
  readonly heardAtMs: number;
  readonly connection: Connection;
  readonly stopping: boolean;
  readonly position: number;
  readonly etaMs: number | null;
  readonly degraded: readonly string[];
  /** How often the run moved to another worker, and when the last move was seen. */
  readonly recoveries: number;
  readonly recoveredAtMs: number;
  readonly finishReason: string | null;
  readonly problem: Problem | null;
}

export type RunAction =
  | { readonly kind: "event"; readonly event: RunEvent; readonly nowMs: number }
  | { readonly kind: "connection"; readonly connection: Connection }
  | { readonly kind: "named"; readonly runId: string }
  | { readonly kind: "stopping"; readonly stopping: boolean };

/** A run that was just sent (no id yet), or one that is joined by its id. */
export function newRun(runId = ""): RunView {
  return {
    runId,
    seq: 0,
    phase: runId === "" ? "sending" : "starting",
    text: "",
    model: "",
    messageId: "",
    heardAtMs: 0,
    connection: "connecting",
    stopping: false,
    position: 0,
    etaMs: null,
    degraded: [],
    recoveries: 0,
    recoveredAtMs: 0,
    finishReason: null,
    problem: null,
  };
}

/** Whether the run has had its one ending. */
export function ended(view: RunView): boolean {
  return view.phase === "completed" || view.phase === "cancelled" || view.phase === "failed";
}

/** What a reader at `seq` does with an event: take it, pass over one it has, or, when events
 * between are missing, ask again from where it stands. A snapshot stands for all before it. */
export function place(seq: number, event: RunEvent): "next" | "known" | "gap" {
  if (event.seq <= seq) return "known";
  return event.type === "message.snapshot" || event.seq === seq + 1 ? "next" : "gap";
}

/** The view after `action`. After the ending nothing changes; an event out of place changes
 * nothing; unknown event types only move the place. */
export function reduce(view: RunView, action: RunAction): RunView {
  if (ended(view)) return view;
  switch (action.kind) {
    case "connection":
      return { ...view, connection: action.connection };
    case "named":
      return {
        ...view,
        runId: action.runId,
        phase: view.phase === "sending" ? "starting" : view.phase,
      };
    case "stopping":
      return { ...view, stopping: action.stopping };
    case "event":
      if (place(view.seq, action.event) !== "next") return view;
      return take(
        { ...view, runId: action.event.runId, seq: action.event.seq, heardAtMs: action.nowMs },
        action,
      );
  }
}

function take(view: RunView, { event, nowMs }: RunAction & { kind: "event" }): RunView {
  switch (event.type) {
    case "run.queued":
      return {
        ...view,
        phase: view.text === "" ? "queued" : view.phase,
        position: event.position,
        etaMs: event.etaMs,
        degraded: event.degraded ?? [],
      };
    case "run.started":
      return {
        ...view,
        phase: view.text === "" ? "thinking" : "writing",
        model: event.model,
        messageId: event.messageId,
      };
    case "message.delta":
      return { ...view, phase: "writing", text: view.text + event.delta };
    case "message.snapshot":
      return { ...view, phase: event.text === "" ? "thinking" : "writing", text: event.text };
    case "run.recovered":
      return { ...view, recoveries: view.recoveries + 1, recoveredAtMs: nowMs };
    case "run.completed":
      return { ...over(view, event), phase: "completed", finishReason: event.finish_reason };
    case "run.cancelled":
      return { ...over(view, event), phase: "cancelled", finishReason: "cancelled" };
    case "run.failed":
      return { ...view, phase: "failed", problem: event.error };
    default:
      return view.phase === "sending" ? { ...view, phase: "starting" } : view;
  }
}

function over(view: RunView, event: RunEvent & { type: "run.completed" | "run.cancelled" }): RunView {
  const degraded = event.usage?.degraded ?? [];
  return {
    ...view,
    messageId: event.messageId,
    degraded: degraded.length > 0 ? degraded : view.degraded,
  };
}
