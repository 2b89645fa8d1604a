import { grouped } from "../app/chats.ts";
import type { Parley } from "../app/parley.ts";
import type { PageState } from "../app/state.ts";
import type { Chat } from "../api/types.ts";
import { IconButton } from "./buttons.tsx";
import { Icon } from "./icons.tsx";
import { Menu } from "./menu.tsx";
import { Quota } from "./quota.tsx";

interface SidebarProps {
  readonly parley: Parley;
  readonly state: PageState;
  readonly open: boolean;
  readonly onClose: () => void;
  readonly onFold: () => void;
}

/** The chats, recent first; those that answer are marked. A drawer on narrow screens. */
export function Sidebar({ parley, state, open, onClose, onFold }: SidebarProps) {
  const current = (chatId: string | null) => (state.chatId === chatId ? "page" : undefined);
  return (
    <aside id="sidebar" class={open ? "sidebar open" : "sidebar"}>
      <div class="sidebar-head">
        <span class="brand">
          <img src="/favicon.svg" alt="" width="22" height="22" /> Parley
        </span>
        <span class="only-narrow">
          <IconButton icon="close" label="Close the chat list" onClick={onClose} />
        </span>
        <span class="only-wide">
          <IconButton icon="panel" label="Hide the chat list" onClick={onFold} />
        </span>
      </div>
      <nav aria-label="Chats">
        <a class="row-link" href="#/" aria-current={current(null)} onClick={onClose}>
          <Icon name="plus" /> New chat
        </a>
        {state.abilities.has("search") && (
          <button class="row-link" onClick={() => parley.show({ kind: "search" })}>
            <Icon name="search" /> Search
          </button>
        )}
        {grouped(state.chats, Date.now()).map((group) => (
          <section key={group.name} aria-label={group.name}>
            <h2>{group.name}</h2>
            <ul>
              {group.chats.map((chat) => (
                <li key={chat.chatId}>
                  <a
                    class="row-link"
                    href={`#/chat/${chat.chatId}`}
                    aria-current={current(chat.chatId)}
                    onClick={onClose}
                  >
                    <span class="title" dir="auto">
                      {chat.title || "Untitled chat"}
                    </span>
                    {chat.activeRunId && (
                      <span class="running">
                        <span class="unseen">, answering</span>
                      </span>
                    )}
                  </a>
                  <ChatMenu parley={parley} state={state} chat={chat} />
                </li>
              ))}
            </ul>
          </section>
        ))}
        {state.moreChats !== null && (
          <button class="quiet wide" onClick={() => void parley.library.loadMore()}>
            Older chats
          </button>
        )}
      </nav>
      <div class="account">
        {state.usage !== null && <Quota usage={state.usage} />}
        <Account parley={parley} state={state} />
      </div>
    </aside>
  );
}

interface ChatMenuProps {
  readonly parley: Parley;
  readonly state: PageState;
  readonly chat: Chat;
}

function ChatMenu({ parley, state, chat }: ChatMenuProps) {
  const { chatId } = chat;
  const { abilities } = state;
  if (!abilities.has("rename") && !abilities.has("remove")) return null;
  return (
    <Menu
      class="quiet small more"
      label={`More about ${chat.title || "Untitled chat"}`}
      button={<Icon name="more" />}
    >
      {abilities.has("rename") && (
        <>
          <button onClick={() => parley.show({ kind: "rename", chatId })}>Rename</button>
          <button onClick={() => void parley.library.pin(chatId, !chat.pinned)}>
            {chat.pinned ? "Unpin" : "Pin"}
          </button>
        </>
      )}
      {abilities.has("share") && (
        <button onClick={() => parley.show({ kind: "share", chatId })}>Share</button>
      )}
      {abilities.has("remove") && (
        <button class="danger" onClick={() => parley.show({ kind: "delete", chatId })}>
          Delete
        </button>
      )}
    </Menu>
  );
}

function Account({ parley, state }: { readonly parley: Parley; readonly state: PageState }) {
  const name = state.user?.email ?? "Guest";
  const guest = state.user?.email == null;
  return (
    <Menu
      class="quiet who"
      button={
        <>
          <span class="avatar" data-letter={name[0]?.toUpperCase()} />
          <span class="title">
            <span class="unseen">Account: </span>
            {name}
          </span>
          <Icon name="chevron" />
        </>
      }
    >
      <button onClick={() => parley.show({ kind: "settings" })}>
        {guest && state.abilities.has("upgrade") ? "Settings and account" : "Settings"}
      </button>
      <button onClick={() => parley.show({ kind: "help" })}>Keyboard</button>
      <a href="/docs" target="_blank" rel="noopener">
        The API
      </a>
      <button onClick={() => void parley.logOut()}>Log out</button>
    </Menu>
  );
}
