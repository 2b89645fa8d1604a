import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import type { PageState, Parley } from "../app/parley.ts";
import { Icon } from "./icons.tsx";
import { RefusalNote, Status } from "./status.tsx";

interface ComposerProps {
  readonly parley: Parley;
  readonly state: PageState;
}

/** Where a prompt is written. Enter sends, Shift+Enter breaks the line; while the chat answers,
 * the button stops it and what is typed stays. Drafts are kept per chat. */
export function Composer({ parley, state }: ComposerProps) {
  const field = useRef<HTMLTextAreaElement>(null);
  const draftOf = state.chatId ?? "";
  const [text, setText] = useState(parley.drafts.get(draftOf) ?? "");
  const answering = state.run !== null;

  const change = (next: string): void => {
    parley.drafts.set(draftOf, next);
    setText(next);
  };
  const send = async (): Promise<void> => {
    const content = text.trim();
    if (content === "") return;
    const from = draftOf;
    parley.drafts.delete(from);
    setText("");
    if (await parley.send(content)) return;
    parley.drafts.set(from, text);
    setText(text);
  };

  useLayoutEffect(() => {
    setText(parley.drafts.get(draftOf) ?? "");
    if (matchMedia("(pointer: fine)").matches) field.current?.focus();
  }, [draftOf]);
  useEffect(() => {
    if (state.refusal !== null) setText((now) => now || (state.refusal?.prompt.content ?? ""));
  }, [state.refusal]);
  useLayoutEffect(() => {
    const element = field.current;
    if (element === null) return;
    element.style.height = "auto";
    element.style.height = `${element.scrollHeight}px`;
  }, [text]);

  const onKeyDown = (event: KeyboardEvent): void => {
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    void send();
  };

  return (
    <div class="composer">
      {state.refusal !== null && (
        <RefusalNote refusal={state.refusal} onAgain={() => void send()} />
      )}
      <Status state={state} />
      <form
        onSubmit={(event) => {
          event.preventDefault();
          void send();
        }}
      >
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
        />
        {answering ? (
          <button class="round stop" type="button" onClick={() => parley.stop()}>
            <Icon name="stop" />
            <span class="unseen">Stop (Esc)</span>
          </button>
        ) : (
          <button class="round primary" type="submit" disabled={text.trim() === ""}>
            <Icon name="send" />
            <span class="unseen">Send</span>
          </button>
        )}
      </form>
      <p class="hint">
        <kbd>Enter</kbd> sends, <kbd>Shift</kbd>+<kbd>Enter</kbd> breaks the line, <kbd>Esc</kbd>{" "}
        stops
      </p>
    </div>
  );
}
