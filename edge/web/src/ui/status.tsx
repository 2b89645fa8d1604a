import { useEffect, useState } from "preact/hooks";
import type { PageState, Refusal } from "../app/parley.ts";
import { duration, problemWords, runWords, type Words } from "../stream/words.ts";

/** The time, again every second while `running`. */
function useNow(running: boolean): number {
  const [now, setNow] = useState(Date.now());
  useEffect(() => {
    if (!running) return;
    const timer = setInterval(() => setNow(Date.now()), 1_000);
    return () => clearInterval(timer);
  }, [running]);
  return running ? Math.max(now, Date.now()) : now;
}

/** One line that says in words what is going on; screen readers hear it when it changes. */
export function Status({ state }: { readonly state: PageState }) {
  const now = useNow(state.run !== null);
  const words = stateWords(state, now);
  return (
    <p class="status" role="status" data-tone={words.tone}>
      {words.tone !== "rest" && <span class="dot" aria-hidden="true" />}
      {words.text || <span class="unseen">{state.ending}</span>}
    </p>
  );
}

function stateWords(state: PageState, nowMs: number): Words {
  if (state.notice !== "") return { text: state.notice, tone: "rest" };
  if (state.run !== null) return runWords(state.run, nowMs) ?? { text: "", tone: "rest" };
  if (state.unreachable) {
    return { text: "Parley can't be reached. Trying again…", tone: "trouble" };
  }
  return { text: "", tone: "rest" };
}

interface RefusalProps {
  readonly refusal: Refusal;
  readonly onAgain: () => void;
}

/** Why a prompt was not taken, when another try makes sense, and the button for it. */
export function RefusalNote({ refusal, onAgain }: RefusalProps) {
  const waiting = refusal.againAtMs > 0;
  const leftMs = refusal.againAtMs - useNow(waiting);
  const busy = refusal.problem.code === "at_capacity";
  const what = busy ? "At capacity" : problemWords(refusal.problem);
  return (
    <div class="refusal" role="alert">
      <p>
        {what}
        {waiting && leftMs > 0 && (
          <span aria-live="off">
            {busy ? ": try again in " : " Try again in "}
            {duration(leftMs)}
          </span>
        )}
      </p>
      <button type="button" onClick={onAgain}>
        Send again
      </button>
    </div>
  );
}
