import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import { drafts } from "../app/keeping.ts";
import type { Parley } from "../app/parley.ts";
import type { PageState } from "../app/state.ts";
import { editLast } from "./app.tsx";
import { Chips } from "./chips.tsx";
import { Icon } from "./icons.tsx";
import { composes } from "./keys.ts";
import { ModelChoice, modelNote } from "./models.tsx";
import { RefusalNote, Status } from "./status.tsx";

const GROWS = typeof CSS !== "undefined" && CSS.supports("field-sizing", "content");

interface ComposerProps {
  readonly parley: Parley;
  readonly state: PageState;
}

/** Where a prompt is written. Enter sends, Shift+Enter breaks the line; while the chat answers,
 * the button stops it and what is typed stays. Drafts are kept per chat. */
export function Composer({ parley, state }: ComposerProps) {
  const field = useRef<HTMLTextAreaElement>(null);
  const draftOf = state.chatId ?? "";
  const [text, setText] = useState(() => drafts.get(draftOf));
  const answering = state.answering !== null;
  const model = state.models.find((each) => each.id === state.model);
  const sees = model?.abilities?.["vision"] === true;

  const change = (next: string): void => {
    drafts.set(draftOf, next);
    setText(next);
  };
  const send = async (): Promise<void> => {
    const content = text.trim();
    if (content === "") return;
    const picture = sees || answering ? undefined : parley.files.picture();
    if (picture !== undefined) return parley.store.set({ notice: unseen(picture, state.model) });
    const files = answering ? [] : parley.files.take();
    if (files === null) return parley.store.set({ notice: "A file is still on its way." });
    const from = draftOf;
    change("");
    if (await parley.talk.send(content, files)) return;
    drafts.set(from, text);
    setText(text);
  };
  const again = (): void => {
    const { refusal } = parley.store.state;
    if (refusal?.ask.place) void parley.talk.ask(refusal.ask);
    else void send();
  };

  useLayoutEffect(() => {
    setText(drafts.get(draftOf));
    if (matchMedia("(pointer: fine)").matches && !state.dialog) field.current?.focus();
  }, [draftOf]);
  useEffect(() => {
    const refused = state.refusal?.ask;
    if (refused && !refused.place) setText((now) => now || refused.content);
  }, [state.refusal]);
  useLayoutEffect(() => {
    const element = field.current;
    if (element === null || GROWS) return;
    element.style.height = "auto";
    element.style.height = `${element.scrollHeight}px`;
  }, [text]);

  const onKeyDown = (event: KeyboardEvent): void => {
    if (composes(event)) return;
    if (event.key === "ArrowUp" && text === "" && !event.altKey) {
      event.preventDefault();
      return void editLast(parley);
    }
    if (event.key !== "Enter" || event.shiftKey) return;
    event.preventDefault();
    void send();
  };
  const attach = (event: Event): void => {
    const input = event.currentTarget as HTMLInputElement;
    parley.files.add(input.files ?? []);
    input.value = "";
  };

  const upload = state.abilities.has("upload");
  const note = modelNote(model);
  return (
    <div class="composer">
      {state.refusal !== null && <RefusalNote refusal={state.refusal} onAgain={again} />}
      <Status parley={parley} state={state} />
      <form
        onSubmit={(event) => {
          event.preventDefault();
          void send();
        }}
      >
        <Chips parley={parley} blind={sees ? null : state.model} />
        <label class="unseen" for="prompt">
          Message
        </label>
        <textarea
          id="prompt"
          ref={field}
          rows={1}
          dir="auto"
          placeholder="Write a message"
          value={text}
          onInput={(event) => change(event.currentTarget.value)}
          onKeyDown={onKeyDown}
          onPaste={(event) => {
            if (event.clipboardData && parley.files.paste(event.clipboardData)) {
              event.preventDefault();
            }
          }}
        />
        <div class="tools">
          {upload && (
            <label class="attach" title="Attach files">
              <input type="file" multiple class="unseen" onChange={attach} />
              <Icon name="clip" />
              <span class="unseen">Attach files</span>
            </label>
          )}
          <ModelChoice parley={parley} state={state} />
          {answering ? (
            <button class="round stop" type="button" onClick={() => parley.talk.stop()}>
              <Icon name="stop" />
              <span class="unseen">Stop (Esc)</span>
            </button>
          ) : (
            <button class="round primary" type="submit" disabled={text.trim() === ""}>
              <Icon name="send" />
              <span class="unseen">Send</span>
            </button>
          )}
        </div>
      </form>
      <p class="hint">{note || "A model can be wrong. Check what matters."}</p>
    </div>
  );
}

function unseen(picture: string, model: string | null): string {
  return `${model ?? "The model"} sees no pictures: leave out ${picture} to send.`;
}
