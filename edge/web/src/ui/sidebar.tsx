import type { PageState, Parley } from "../app/parley.ts";
import { Icon } from "./icons.tsx";

interface SidebarProps {
  readonly parley: Parley;
  readonly state: PageState;
  readonly open: boolean;
  readonly onClose: () => void;
}

/** The chats, recent first; those that answer are marked. A drawer on narrow screens. */
export function Sidebar({ parley, state, open, onClose }: SidebarProps) {
  const current = (chatId: string | null) => (state.chatId === chatId ? "page" : undefined);
  return (
    <aside id="sidebar" class={open ? "sidebar open" : "sidebar"}>
      <div class="sidebar-head">
        <span class="brand">Parley</span>
        <button class="quiet only-narrow" aria-label="Close the chat list" onClick={onClose}>
          <Icon name="close" />
        </button>
      </div>
      <nav aria-label="Chats">
        <a class="new-chat" href="#/" aria-current={current(null)} onClick={onClose}>
          <Icon name="plus" /> New chat
        </a>
        <ul>
          {state.chats.map((chat) => (
            <li key={chat.chatId}>
              <a
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
            </li>
          ))}
        </ul>
        {state.moreChats !== null && (
          <button class="quiet wide" onClick={() => void parley.loadMoreChats()}>
            Older chats
          </button>
        )}
      </nav>
      <div class="account">
        <span class="who">{state.user?.email ?? "Guest"}</span>
        <button class="quiet" onClick={() => void parley.logOut()}>
          Log out
        </button>
      </div>
    </aside>
  );
}
