import { useEffect, useState } from "preact/hooks";
import { api } from "../../api/client.ts";
import type { Found } from "../../api/types.ts";
import { problemOf } from "../../app/parley.ts";
import { problemWords, timeOfDay } from "../../stream/words.ts";
import { Dialog } from "../dialog.tsx";
import type { DialogOf } from "../dialogs.tsx";

const PAUSE_MS = 150;

/** Finds chats by name and messages by their words. */
export function Search({ parley, state }: DialogOf) {
  const [text, setText] = useState("");
  const [found, setFound] = useState<readonly Found[] | null>(null);
  const [trouble, setTrouble] = useState("");
  const words = text.trim();
  const named = words === "" ? [] : state.chats.filter((chat) => includes(chat.title, words));

  useEffect(() => {
    if (words === "") return setFound(null);
    const left = new AbortController();
    const timer = setTimeout(async () => {
      try {
        setFound((await api.search(words, left.signal)).data);
        setTrouble("");
      } catch (error) {
        if (!left.signal.aborted) setTrouble(problemWords(problemOf(error)));
      }
    }, PAUSE_MS);
    return () => {
      clearTimeout(timer);
      left.abort();
    };
  }, [words]);

  const none = found !== null && found.length === 0 && named.length === 0;
  return (
    <Dialog title="Search" class="tall" onClose={() => parley.show(null)}>
      <input
        role="searchbox"
        class="search"
        aria-label="Words in your chats"
        placeholder="Words in your chats"
        dir="auto"
        autofocus
        value={text}
        onInput={(event) => setText(event.currentTarget.value)}
        onKeyDown={onArrow}
      />
      <ul class="found" onKeyDown={onArrow} onClick={() => parley.show(null)}>
        {named.slice(0, 5).map((chat) => (
          <li key={chat.chatId}>
            <a href={`#/chat/${chat.chatId}`}>
              <b dir="auto">{chat.title || "Untitled chat"}</b>
            </a>
          </li>
        ))}
        {found?.map((each) => (
          <li key={each.messageId}>
            <a href={`#/chat/${each.chatId}/${each.messageId}`}>
              <span class="found-head">
                <bdi>{each.title || "Untitled chat"}</bdi>
                <span>{timeOfDay(Date.parse(each.createdAt), Date.now())}</span>
              </span>
              <span dir="auto">{marked(each)}</span>
            </a>
          </li>
        ))}
      </ul>
      <p class={trouble === "" ? "soft" : "trouble"} role="status">
        {trouble || (none ? "Nothing found." : "")}
      </p>
    </Dialog>
  );
}

function includes(title: string, words: string): boolean {
  return title.toLocaleLowerCase().includes(words.toLocaleLowerCase());
}

/** The snippet with the found words marked. Its ranges count code points. */
function marked({ snippet, ranges = [] }: Found) {
  const points = Array.from(snippet);
  const cut = (from: number, to?: number): string => points.slice(from, to).join("");
  let at = 0;
  const parts = ranges.map(([start, end]) => {
    const plain = cut(at, start);
    at = end;
    return [plain, <mark key={start}>{cut(start, end)}</mark>];
  });
  return [...parts, cut(at)];
}

/** Up and down walk from the field through the results and back. */
function onArrow(event: KeyboardEvent): void {
  const step = event.key === "ArrowDown" ? 1 : event.key === "ArrowUp" ? -1 : 0;
  if (step === 0) return;
  const dialog = (event.currentTarget as Element).closest("dialog");
  const stops = [...(dialog?.querySelectorAll<HTMLElement>(".search, .found a") ?? [])];
  const at = stops.indexOf(document.activeElement as HTMLElement);
  event.preventDefault();
  stops[at + step]?.focus();
}
