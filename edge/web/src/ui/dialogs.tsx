import type { Parley } from "../app/parley.ts";
import type { PageState } from "../app/state.ts";
import { lazily } from "./lazily.ts";

const Search = lazily(async () => (await import("./dialogs/search.tsx")).Search);
const Settings = lazily(async () => (await import("./dialogs/settings.tsx")).Settings);
const Share = lazily(async () => (await import("./dialogs/share.tsx")).Share);
const Help = lazily(async () => (await import("./dialogs/small.tsx")).Help);
const Rename = lazily(async () => (await import("./dialogs/small.tsx")).Rename);
const Delete = lazily(async () => (await import("./dialogs/small.tsx")).Delete);

export interface DialogOf {
  readonly parley: Parley;
  readonly state: PageState;
  /** The chat that the dialog is about, empty if it is about none. */
  readonly chatId: string;
}

const DIALOGS = {
  search: Search,
  settings: Settings,
  share: Share,
  help: Help,
  rename: Rename,
  delete: Delete,
};

/** The dialog that is open, if any; its code is fetched when it is first needed. */
export function Dialogs({ parley, state }: { readonly parley: Parley; readonly state: PageState }) {
  const { dialog } = state;
  if (dialog === null) return null;
  const Open = DIALOGS[dialog.kind];
  const chatId = "chatId" in dialog ? dialog.chatId : "";
  return <Open key={dialog.kind} parley={parley} state={state} chatId={chatId} />;
}
