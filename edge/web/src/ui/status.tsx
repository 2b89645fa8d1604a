import { useEffect, useState } from "preact/hooks";
import { sendsAgain } from "../app/keeping.ts";
import type { Parley } from "../app/parley.ts";
import type { PageState, Refusal } from "../app/state.ts";
import { useSelected } from "../app/store.ts";
import type { RunView } from "../stream/run.ts";
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
export function Status({ parley, state }: { readonly parley: Parley; readonly state: PageState }) {
  const run = useSelected(parley.run, ({ view }) => view);
  const now = useNow(run !== null);
  const words = stateWords(state, run, now);
  return (
    <p class="status" role="status" data-tone={words.tone}>
      {words.tone !== "rest" && <span class="dot" aria-hidden="true" />}
      {words.text || <span class="unseen">{state.ending}</span>}
    </p>
  );
}

function stateWords(state: PageState, run: RunView | null, nowMs: number): Words {
  if (state.notice !== "") return { text: state.notice, tone: "rest" };
  if (run !== null) return runWords(run, nowMs) ?? { text: "", tone: "rest" };
  if (state.unreachable) {
    return { text: "Parley can't be reached. Trying again…", tone: "trouble" };
  }
  return { text: "", tone: "rest" };
}

interface RefusalProps {
  readonly refusal: Refusal;
  readonly onAgain: () => void;
}

/** Why a prompt was not taken, when another try makes sense, and the button for it. If the user
 * wants, the page presses it itself when the time has come. */
export function RefusalNote({ refusal, onAgain }: RefusalProps) {
  const [byItself, setByItself] = useState(sendsAgain.get());
  const waiting = refusal.againAtMs > 0;
  const leftMs = refusal.againAtMs - useNow(waiting);
  const busy = refusal.problem.code === "at_capacity";
  const due = waiting && byItself && leftMs <= 0;
  useEffect(() => {
    if (due) onAgain();
  }, [due]);
  const choose = (wanted: boolean): void => {
    sendsAgain.set(wanted);
    setByItself(wanted);
  };
  return (
    <div class="refusal" role="alert">
      <p>
        {busy ? "At capacity" : problemWords(refusal.problem)}
        {waiting && leftMs > 0 && (
          <span aria-live="off">
            {byItself ? (busy ? ": sent again in " : " Sent again in ") : again(busy)}
            {duration(leftMs)}
          </span>
        )}
      </p>
      {waiting && (
        <label class="check">
          <input
            type="checkbox"
            checked={byItself}
            onChange={(event) => choose(event.currentTarget.checked)}
          />
          Send by itself
        </label>
      )}
      <button type="button" onClick={onAgain}>
        Send again
      </button>
    </div>
  );
}

function again(busy: boolean): string {
  return busy ? ": try again in " : " Try again in ";
}
