import { memo } from "./memo.ts";
import { recoveryNote } from "../stream/words.ts";
import { copyText } from "./copy.ts";
import { Markdown } from "./markdown.tsx";

interface TurnProps {
  readonly role: "user" | "assistant";
  readonly text: string;
  readonly status: "complete" | "pending" | "cancelled" | "failed" | "live";
  readonly note: string;
  readonly recoveries: number;
}

/** One message. An answer in flight has the status `live`. */
export const Turn = memo(function Turn({ role, text, status, note, recoveries }: TurnProps) {
  if (role === "user") {
    return (
      <article class="turn user" aria-label="You">
        <div class="bubble" dir="auto">
          {text}
        </div>
      </article>
    );
  }
  const notes = [note, recoveryNote(recoveries)].filter((words) => words !== "");
  return (
    <article class="turn answer" aria-label="Answer" data-status={status}>
      <Markdown text={text} done={status !== "live"} />
      {status === "live" && <span class="caret" aria-hidden="true" />}
      {status !== "live" && (notes.length > 0 || text !== "") && (
        <div class={status === "failed" ? "foot trouble" : "foot"}>
          {text !== "" && (
            <button
              class="quiet"
              onClick={(event) => copyText(event.currentTarget, text, "Copy answer")}
            >
              Copy answer
            </button>
          )}
          <p>{notes.join(" · ")}</p>
        </div>
      )}
    </article>
  );
});
