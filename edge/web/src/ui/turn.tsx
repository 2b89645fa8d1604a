import { useEffect, useRef, useState } from "preact/hooks";
import type { Abilities } from "../api/abilities.ts";
import type { Model } from "../api/types.ts";
import type { Shown } from "../app/chats.ts";
import type { Parley } from "../app/parley.ts";
import type { RunState } from "../app/state.ts";
import { Store, useSelected } from "../app/store.ts";
import { degradedNote, recoveryNote } from "../stream/words.ts";
import { CopyButton, IconButton } from "./buttons.tsx";
import { Attached } from "./chips.tsx";
import { Icon } from "./icons.tsx";
import { composes } from "./keys.ts";
import { Markdown } from "./markdown.tsx";
import { memo } from "./memo.ts";
import { Menu } from "./menu.tsx";

const LONG_CHARS = 1_200;
/** What a stored answer watches: nothing ever happens to it. */
const AT_REST = new Store<RunState>({ view: null });

interface TurnsProps {
  readonly parley: Parley;
  readonly question: Shown | null;
  readonly answer: Shown | null;
  /** The key of the answer being written here; null when none is. */
  readonly live: string | null;
  readonly pinned: boolean;
  readonly last: boolean;
  readonly editing: boolean;
  readonly sought: string | null;
  readonly busy: boolean;
  readonly abilities: Abilities;
  readonly models: readonly Model[];
}

/** A question and its answer. */
export const Turns = memo(function Turns(props: TurnsProps) {
  const { parley, question, answer, live, pinned, editing, sought } = props;
  const key = live ?? answer?.key;
  return (
    <div class="exchange" data-pinned={pinned ? "" : undefined}>
      {question !== null && editing && <Editor parley={parley} question={question} />}
      {question !== null && !editing && (
        <Question {...props} question={question} sought={sought === question.id && sought !== ""} />
      )}
      {key !== undefined && (
        <Answer key={key} {...props} sought={answer !== null && sought === answer.id} />
      )}
    </div>
  );
});

type Sought = { readonly sought: boolean };

function Question(props: Omit<TurnsProps, "question" | "sought"> & Sought & { question: Shown }) {
  const { parley, question, busy, abilities, sought } = props;
  const [whole, setWhole] = useState(false);
  const long = question.text.length > LONG_CHARS || question.text.split("\n").length > 16;
  return (
    <article
      class="turn user"
      aria-label="You"
      data-id={question.id}
      data-sought={sought ? "" : undefined}
    >
      <Attached files={question.files} />
      <div class={long && !whole ? "bubble cut" : "bubble"} dir="auto">
        {question.text}
      </div>
      <div class="foot">
        {long && (
          <button class="quiet small" onClick={() => setWhole(!whole)}>
            {whole ? "Show less" : "Show all"}
          </button>
        )}
        <Beside parley={parley} message={question} busy={busy} />
        <CopyButton text={question.text} label="Copy question" />
        {abilities.has("edit") && question.id !== "" && !busy && (
          <IconButton
            icon="edit"
            label="Edit question"
            onClick={() => parley.store.set({ editing: question.id })}
          />
        )}
      </div>
    </article>
  );
}

/** The question as a field; what was asked before is kept beside what is sent. */
function Editor({ parley, question }: { readonly parley: Parley; readonly question: Shown }) {
  const field = useRef<HTMLTextAreaElement>(null);
  const close = (): void => parley.store.set({ editing: null });
  useEffect(() => {
    field.current?.focus();
    field.current?.setSelectionRange(question.text.length, question.text.length);
  }, []);
  const send = (): void => {
    const content = field.current?.value.trim() ?? "";
    if (content === "") return;
    document.getElementById("prompt")?.focus();
    void parley.talk.edit(question.id, content);
  };
  return (
    <form
      class="editor"
      onSubmit={(event) => {
        event.preventDefault();
        send();
      }}
    >
      <textarea
        ref={field}
        aria-label="Edit question"
        dir="auto"
        rows={2}
        defaultValue={question.text}
        onKeyDown={(event) => {
          if (composes(event) || event.key !== "Enter" || event.shiftKey) return;
          event.preventDefault();
          send();
        }}
      />
      <div class="row end">
        <button type="button" onClick={close}>
          Cancel
        </button>
        <button class="primary">Send edited</button>
      </div>
    </form>
  );
}

/** One answer, stored or being written. */
function Answer(props: Omit<TurnsProps, "sought"> & Sought) {
  const { parley, answer, live, sought } = props;
  const isLive = live !== null;
  const text = useSelected(isLive ? parley.run : AT_REST, ({ view }) => view?.text ?? "");
  const status = isLive ? "live" : (answer?.status ?? "pending");
  return (
    <article
      class="turn answer"
      aria-label="Answer"
      aria-busy={isLive}
      data-status={status}
      data-id={answer?.id}
      data-sought={sought ? "" : undefined}
    >
      <Markdown text={isLive ? text : (answer?.text ?? "")} done={!isLive} />
      {isLive && <span class="caret" aria-hidden="true" />}
      {!isLive && answer !== null && <AnswerFoot {...props} answer={answer} />}
    </article>
  );
}

function AnswerFoot(props: Omit<TurnsProps, "answer" | "sought"> & { readonly answer: Shown }) {
  const { parley, answer, busy, last, abilities, models } = props;
  const notes = [note(answer), degradedNote(answer.degraded), recoveryNote(answer.recoveries)];
  const cut = answer.status === "cancelled" || answer.finishReason === "length";
  return (
    <div class={answer.status === "failed" ? "foot trouble" : "foot"}>
      {answer.text !== "" && <CopyButton text={answer.text} label="Copy answer" />}
      {abilities.has("regenerate") && answer.id !== "" && !busy && (
        <Again parley={parley} answer={answer} models={models} />
      )}
      <Beside parley={parley} message={answer} busy={busy} />
      {last && !busy && cut && answer.text !== "" && (
        <button class="quiet small" onClick={() => void parley.talk.goOn()}>
          Continue
        </button>
      )}
      <p>{notes.filter((words) => words !== "").join(" · ")}</p>
    </div>
  );
}

interface AgainProps {
  readonly parley: Parley;
  readonly answer: Shown;
  readonly models: readonly Model[];
}

/** Another answer; with another model where there are several. */
function Again({ parley, answer, models }: AgainProps) {
  const ask = (model?: string): void => {
    document.getElementById("prompt")?.focus();
    void parley.talk.regenerate(answer.id, model);
  };
  const label = answer.status === "failed" ? "Try again" : "Another answer";
  const ready = models.filter((model) => model.healthy);
  if (ready.length < 2) {
    return (
      <IconButton icon="again" label={label} onClick={() => ask()} />
    );
  }
  return (
    <Menu class="quiet small" label={label} button={<Icon name="again" />}>
      {ready.map((model) => (
        <button key={model.id} onClick={() => ask(model.id)}>
          {model.id === answer.model ? `${model.id} again` : `With ${model.id}`}
        </button>
      ))}
    </Menu>
  );
}

interface BesideProps {
  readonly parley: Parley;
  readonly message: Shown;
  readonly busy: boolean;
}

/** Which of several messages in one place this is, and the way to the others. */
function Beside({ parley, message, busy }: BesideProps) {
  const at = message.beside.indexOf(message.id);
  if (message.beside.length < 2 || at < 0) return null;
  const to = (step: number): void => {
    const id = message.beside[at + step];
    if (id !== undefined) void parley.switchTo(id);
  };
  const kind = message.role === "user" ? "question" : "answer";
  return (
    <span class="beside" role="group" aria-label={`Versions of this ${kind}`}>
      <IconButton
        icon="left"
        label={`Earlier ${kind}`}
        disabled={at === 0 || busy}
        onClick={() => to(-1)}
      />
      <span>
        {at + 1}/{message.beside.length}
      </span>
      <IconButton
        icon="right"
        label={`Later ${kind}`}
        disabled={at + 1 === message.beside.length || busy}
        onClick={() => to(1)}
      />
    </span>
  );
}

function note(answer: Shown): string {
  switch (answer.status) {
    case "cancelled":
      return "Stopped";
    case "failed":
      return answer.problem;
    case "pending":
      return "Waiting for the answer…";
    default:
      return answer.finishReason === "length" ? "Ended at the length limit" : "";
  }
}
