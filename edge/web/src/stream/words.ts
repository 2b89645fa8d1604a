/** The state of a run in words, for the status line that people see and hear. Pure. */

import type { Problem } from "../api/types.ts";
import type { RunView } from "./run.ts";

const RECOVERY_SHOWN_MS = 4_000;
const SILENCE_SAID_MS = 6_000;

export interface Words {
  readonly text: string;
  /** `busy` pulses, `trouble` warns, `rest` is quiet. */
  readonly tone: "busy" | "trouble" | "rest";
}

/** The words for `view` at `nowMs`; null when there is nothing to say (a normal ending). */
export function runWords(view: RunView, nowMs: number): Words | null {
  switch (view.phase) {
    case "completed":
      return view.finishReason === "length"
        ? { text: "Ended at the length limit", tone: "rest" }
        : null;
    case "cancelled":
      return { text: "Stopped", tone: "rest" };
    case "failed":
      return { text: problemWords(view.problem), tone: "trouble" };
    default:
      return inFlight(view, nowMs);
  }
}

function inFlight(view: RunView, nowMs: number): Words {
  if (view.connection === "offline") {
    const where =
      view.phase === "sending"
        ? "You are offline. Your message is sent when you are back"
        : "You are offline. The answer goes on and will be here when you are back";
    return { text: where, tone: "trouble" };
  }
  if (view.connection === "reconnecting") {
    return { text: "Connection lost. Reconnecting…", tone: "trouble" };
  }
  if (view.stopping) return { text: "Stopping…", tone: "busy" };
  if (view.recoveries > 0 && nowMs - view.recoveredAtMs < RECOVERY_SHOWN_MS) {
    return { text: "Moved to another worker, going on", tone: "busy" };
  }
  const silent = view.heardAtMs > 0 && nowMs - view.heardAtMs > SILENCE_SAID_MS;
  switch (view.phase) {
    case "sending":
      return { text: "Sending…", tone: "busy" };
    case "queued":
      return { text: queueWords(view), tone: "busy" };
    case "starting":
      return { text: "Starting…", tone: "busy" };
    case "thinking":
      return { text: silent ? "Thinking, still at it…" : "Thinking…", tone: "busy" };
    default:
      return { text: silent ? "Connected, waiting for the next words…" : "Writing…", tone: "busy" };
  }
}

function queueWords(view: RunView): string {
  const place = view.position <= 1 ? "Next in the queue" : `${ordinal(view.position)} in the queue`;
  const eta = view.etaMs === null ? "" : `, about ${duration(view.etaMs)}`;
  const why = view.degraded.map((name) => DEGRADED[name] ?? name).join(", ");
  return place + eta + (why === "" ? "" : ` (${why})`);
}

const DEGRADED: Readonly<Record<string, string>> = {
  deferred: "put back because your budget is low",
  downgraded: "on a smaller model because of load",
  shortened: "with a shorter answer because of load",
};

const DEGRADED_ANSWER: Readonly<Record<string, string>> = {
  deferred: "Waited because your budget was low",
  downgraded: "By a smaller model because of load",
  shortened: "Kept short because of load",
};

/** In what way an answer is less than usual, and why; empty if it is not. */
export function degradedNote(degraded: readonly string[]): string {
  return degraded.map((name) => DEGRADED_ANSWER[name] ?? name).join(" · ");
}

/** 1 → 1st, 2 → 2nd, 11 → 11th. */
export function ordinal(n: number): string {
  const teen = n % 100 >= 11 && n % 100 <= 13;
  const suffix = teen ? "th" : (["th", "st", "nd", "rd"][n % 10] ?? "th");
  return `${n}${suffix}`;
}

/** A wait in words: whole seconds (at least 1), minutes from 90 s on. */
export function duration(ms: number): string {
  const seconds = Math.max(1, Math.ceil(ms / 1000));
  return seconds < 90 ? `${seconds} s` : `${Math.round(seconds / 60)} min`;
}

/** Why something was refused or failed, as a sentence. */
export function problemWords(problem: Problem | null): string {
  return problem?.detail || problem?.title || "The answer failed for an unknown reason";
}

/** How often a finished answer changed workers; empty if never. */
export function recoveryNote(recoveries: number): string {
  if (recoveries === 0) return "";
  return recoveries === 1 ? "Moved to another worker once" : `Moved between workers ${recoveries} times`;
}

/** When something is, as the reader's clock and calendar say it. */
export function timeOfDay(atMs: number, nowMs: number): string {
  const at = new Date(atMs);
  const time = at.toLocaleTimeString(undefined, { hour: "2-digit", minute: "2-digit" });
  if (at.toDateString() === new Date(nowMs).toDateString()) return time;
  return `${at.toLocaleDateString(undefined, { day: "numeric", month: "short" })}, ${time}`;
}

/** A size in kB or MB. */
export function size(bytes: number): string {
  if (bytes < 1_000) return `${bytes} B`;
  return bytes < 1_000_000 ? `${Math.ceil(bytes / 1_000)} kB` : `${(bytes / 1_000_000).toFixed(1)} MB`;
}
