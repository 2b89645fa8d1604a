import { useEffect, useState } from "preact/hooks";
import type { PageState, Parley } from "../app/parley.ts";
import { useStore } from "../app/store.ts";
import { Composer } from "./composer.tsx";
import { Conversation } from "./conversation.tsx";
import { Icon } from "./icons.tsx";
import { Sidebar } from "./sidebar.tsx";
import { Welcome } from "./welcome.tsx";

/** The whole page. */
export function App({ parley }: { readonly parley: Parley }) {
  const state = useStore(parley.store);
  if (state.session === "out") return <Welcome parley={parley} />;
  if (state.session === "in") return <Chats parley={parley} state={state} />;
  return (
    <main class="welcome">
      <p role="status">{state.unreachable ? "Parley can't be reached. Trying again…" : ""}</p>
    </main>
  );
}

interface ChatsProps {
  readonly parley: Parley;
  readonly state: PageState;
}

function Chats({ parley, state }: ChatsProps) {
  const [drawer, setDrawer] = useState(false);
  const title = state.chats.find((chat) => chat.chatId === state.chatId)?.title || "New chat";

  useEffect(() => {
    document.title = state.chatId === null ? "Parley" : `${title} · Parley`;
  }, [title, state.chatId]);
  useEffect(() => {
    const onKeyDown = (event: KeyboardEvent): void => {
      if (event.key !== "Escape" || event.isComposing || event.defaultPrevented) return;
      if (drawer) setDrawer(false);
      else parley.stop();
    };
    document.addEventListener("keydown", onKeyDown);
    return () => document.removeEventListener("keydown", onKeyDown);
  }, [drawer]);

  return (
    <div class="chats">
      <a class="skip" href="#prompt" onClick={toPrompt}>
        To the message field
      </a>
      <Sidebar parley={parley} state={state} open={drawer} onClose={() => setDrawer(false)} />
      {drawer && <div class="veil" onClick={() => setDrawer(false)} />}
      <main>
        <header>
          <button
            class="quiet only-narrow"
            aria-label="Chats"
            aria-expanded={drawer}
            aria-controls="sidebar"
            onClick={() => setDrawer(true)}
          >
            <Icon name="menu" />
          </button>
          <h1 dir="auto">{title}</h1>
          <ModelChoice parley={parley} state={state} />
        </header>
        <Conversation parley={parley} state={state} />
        <Composer parley={parley} state={state} />
      </main>
    </div>
  );
}

/** Focus without changing the address, which names the open chat. */
function toPrompt(event: Event): void {
  event.preventDefault();
  document.getElementById("prompt")?.focus();
}

function ModelChoice({ parley, state }: ChatsProps) {
  const model = state.models.find((each) => each.id === state.model);
  if (model === undefined) return null;
  return (
    <div class="model">
      {model.engine === "sim" && <span class="badge">simulated engine</span>}
      {model.demonstration && <span class="badge">demonstration model</span>}
      {state.models.length === 1 ? (
        <span>{model.id}</span>
      ) : (
        <select
          aria-label="Model"
          value={model.id}
          onChange={(event) => parley.setModel(event.currentTarget.value)}
        >
          {state.models.map((each) => (
            <option key={each.id} value={each.id} disabled={!each.healthy}>
              {each.healthy ? each.id : `${each.id} (not available)`}
            </option>
          ))}
        </select>
      )}
    </div>
  );
}
