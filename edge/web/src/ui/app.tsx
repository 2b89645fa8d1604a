import { useEffect, useLayoutEffect, useState } from "preact/hooks";
import { useSelected, useStore } from "../app/store.ts";
import type { PageState } from "../app/state.ts";
import type { Parley } from "../app/parley.ts";
import { IconButton } from "./buttons.tsx";
import { Composer } from "./composer.tsx";
import { Conversation } from "./conversation.tsx";
import { Dialogs } from "./dialogs.tsx";
import { useDrops } from "./drops.ts";
import { Icon } from "./icons.tsx";
import { commandOf, type Command } from "./keys.ts";
import { fetchAhead } from "./lazily.ts";
import { Sidebar } from "./sidebar.tsx";
import { Welcome } from "./welcome.tsx";

/** The whole page. */
export function App({ parley }: { readonly parley: Parley }) {
  const session = useSelected(parley.store, (state) => state.session);
  const unreachable = useSelected(parley.store, (state) => state.unreachable);
  if (session === "out") return <Welcome parley={parley} />;
  if (session === "in") return <Chats parley={parley} />;
  return (
    <main class="welcome">
      <p role="status">{unreachable ? "Parley can't be reached. Trying again…" : ""}</p>
    </main>
  );
}

function Chats({ parley }: { readonly parley: Parley }) {
  const state = useStore(parley.store);
  const [drawer, setDrawer] = useState(false);
  const [folded, setFolded] = useState(false);
  const dropping = useDrops(parley);
  const chat = state.chats.find((each) => each.chatId === state.chatId);
  const title = chat?.title || nameless(state);

  useEffect(() => {
    document.title = state.chatId === null ? "Parley" : `${title} · Parley`;
  }, [title, state.chatId]);
  useEffect(fetchAhead, []);
  // With the first drawing, not after it: a key may follow at once.
  useLayoutEffect(() => {
    const onKeyDown = (event: KeyboardEvent): void => {
      const command = commandOf(event);
      const modal = parley.store.state.dialog !== null || openMenu() || event.defaultPrevented;
      if (command === null || (modal && command !== "search")) return;
      if (command === "stop" && drawer) return setDrawer(false);
      if (command !== "stop") event.preventDefault();
      perform(parley, command);
    };
    document.addEventListener("keydown", onKeyDown);
    return () => document.removeEventListener("keydown", onKeyDown);
  }, [drawer]);

  const empty = isEmpty(state);
  return (
    <div class={folded ? "chats folded" : "chats"}>
      <a class="skip" href="#prompt" onClick={toPrompt}>
        To the message field
      </a>
      <Sidebar
        parley={parley}
        state={state}
        open={drawer}
        onClose={() => setDrawer(false)}
        onFold={() => setFolded(true)}
      />
      {drawer && <div class="veil" onClick={() => setDrawer(false)} />}
      <main class={empty ? "empty-chat" : undefined} data-dropping={dropping ? "" : undefined}>
        <header>
          <button
            class="quiet small only-narrow"
            aria-label="Chats"
            aria-expanded={drawer}
            aria-controls="sidebar"
            onClick={() => setDrawer(true)}
          >
            <Icon name="menu" />
          </button>
          {folded && (
            <span class="only-wide">
              <IconButton icon="panel" label="Show the chat list" onClick={() => setFolded(false)} />
            </span>
          )}
          <h1 dir="auto">{title}</h1>
          {state.chatId !== null && state.abilities.has("share") && state.messages.length > 0 && (
            <button
              class="quiet"
              onClick={() => parley.show({ kind: "share", chatId: state.chatId ?? "" })}
            >
              <Icon name="share" /> Share
            </button>
          )}
        </header>
        <Conversation parley={parley} state={state} />
        <Composer parley={parley} state={state} />
      </main>
      <Dialogs parley={parley} state={state} />
    </div>
  );
}

function isEmpty({ messages, answering, loading, missing }: PageState): boolean {
  return messages.length === 0 && answering === null && !loading && !missing;
}

function nameless({ chatId, missing }: PageState): string {
  if (missing) return "No such chat";
  return chatId === null ? "New chat" : "Untitled chat";
}

function openMenu(): boolean {
  return document.querySelector("[popover]:popover-open") !== null;
}

function perform(parley: Parley, command: Command): void {
  switch (command) {
    case "new":
      return parley.open(null);
    case "search":
      return parley.store.state.abilities.has("search") ? parley.show({ kind: "search" }) : undefined;
    case "help":
      return parley.show({ kind: "help" });
    case "previous":
    case "next": {
      const chatId = parley.library.beside(command === "next" ? 1 : -1);
      return chatId === null ? undefined : parley.open(chatId);
    }
    case "edit":
      return void editLast(parley);
    case "copy":
      return document.querySelector<HTMLButtonElement>(LAST_COPY)?.click();
    case "print":
      return void parley.print();
    case "field":
      return document.getElementById("prompt")?.focus();
    case "stop":
      if (parley.store.state.editing !== null) parley.store.set({ editing: null });
      else parley.talk.stop();
  }
}

const LAST_COPY = ".stretch:last-child > .exchange:last-child .turn.answer [data-copies]";

/** Opens the last question for a change; one just answered when history has told its id. */
export async function editLast(parley: Parley): Promise<void> {
  const { chatId, messages } = parley.store.state;
  const asked = messages.findLast((message) => message.role === "user");
  if (asked === undefined || chatId === null || !mayEdit(parley)) return;
  if (asked.id === "") await parley.guarded(() => parley.load(chatId));
  const last = parley.store.state.messages.find((message) => message.key === asked.key);
  if (last?.id && mayEdit(parley)) parley.store.set({ editing: last.id });
}

function mayEdit({ store: { state } }: Parley): boolean {
  return state.answering === null && state.abilities.has("edit");
}

/** Focus without changing the address, which names the open chat. */
function toPrompt(event: Event): void {
  event.preventDefault();
  document.getElementById("prompt")?.focus();
}
