import { Dialog } from "../dialog.tsx";
import type { DialogOf } from "../dialogs.tsx";
import { KEYS } from "../keys.ts";

/** The keys that do something. */
export function Help({ parley }: DialogOf) {
  const mac = /mac|iphone|ipad/i.test(navigator.userAgent);
  return (
    <Dialog title="Keyboard" onClose={() => parley.show(null)}>
      <dl class="keys">
        {KEYS.map(([command, keys, does]) => (
          <div key={command}>
            <dt>{does}</dt>
            <dd>
              {(mac ? keys.replace("Ctrl", "⌘") : keys).split(" ").map((key, at) => (
                <kbd key={at}>{key}</kbd>
              ))}
            </dd>
          </div>
        ))}
      </dl>
    </Dialog>
  );
}

/** A new name for a chat. */
export function Rename({ parley, state, chatId }: DialogOf) {
  const title = state.chats.find((chat) => chat.chatId === chatId)?.title ?? "";
  const onSubmit = (event: SubmitEvent): void => {
    event.preventDefault();
    const data = new FormData(event.currentTarget as HTMLFormElement);
    void parley.library.rename(chatId, String(data.get("title")).trim());
    parley.show(null);
  };
  return (
    <Dialog title="Rename the chat" onClose={() => parley.show(null)}>
      <form class="fields" onSubmit={onSubmit}>
        <label>
          Name
          <input name="title" dir="auto" maxLength={200} defaultValue={title} required autofocus />
        </label>
        <div class="row end">
          <button type="button" onClick={() => parley.show(null)}>
            Cancel
          </button>
          <button class="primary">Rename</button>
        </div>
      </form>
    </Dialog>
  );
}

/** Asks before a chat is gone. */
export function Delete({ parley, state, chatId }: DialogOf) {
  const chat = state.chats.find((each) => each.chatId === chatId);
  const remove = (): void => {
    parley.show(null);
    void parley.library.remove(chatId);
  };
  return (
    <Dialog title="Delete the chat?" onClose={() => parley.show(null)}>
      <p>
        “<bdi>{chat?.title || "Untitled chat"}</bdi>” and all its messages will be gone for good.
        {chat?.activeRunId && " It is answering; that is stopped first."}
      </p>
      <div class="row end">
        <button autofocus onClick={() => parley.show(null)}>
          Cancel
        </button>
        <button class="danger" onClick={remove}>
          Delete
        </button>
      </div>
    </Dialog>
  );
}
