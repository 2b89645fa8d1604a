/** The keyboard: which keys mean what. Pure. */

export type Command =
  | "new"
  | "search"
  | "previous"
  | "next"
  | "edit"
  | "copy"
  | "print"
  | "field"
  | "help"
  | "stop";

/** The keys as people read them, in the order of the help. */
export const KEYS: readonly (readonly [Command | "send" | "line", string, string])[] = [
  ["send", "Enter", "Send"],
  ["line", "Shift Enter", "New line"],
  ["stop", "Esc", "Stop the answer"],
  ["new", "Ctrl Shift O", "New chat"],
  ["search", "Ctrl K", "Search"],
  ["previous", "Alt ↑", "Chat above"],
  ["next", "Alt ↓", "Chat below"],
  ["edit", "↑", "Edit the last question (field empty)"],
  ["copy", "Ctrl Shift C", "Copy the last answer"],
  ["print", "Ctrl P", "Print the whole chat"],
  ["field", "Shift Esc", "To the message field"],
  ["help", "Ctrl /", "This list"],
];

export interface Press {
  readonly key: string;
  readonly ctrlKey: boolean;
  readonly metaKey: boolean;
  readonly shiftKey: boolean;
  readonly altKey: boolean;
  readonly isComposing: boolean;
  readonly keyCode: number;
}

/** Whether a key belongs to a word being composed; Safari says so only by its code 229. */
export function composes({ isComposing, keyCode }: Press): boolean {
  return isComposing || keyCode === 229;
}

/** What a press means anywhere on the page; null for what belongs to the element. Plain letters
 * never do anything, so nothing happens to who speaks to the page (WCAG 2.1.4). */
export function commandOf(press: Press): Command | null {
  if (composes(press)) return null;
  const { key, shiftKey, altKey } = press;
  const main = press.ctrlKey || press.metaKey;
  if (key === "Escape" && !main && !altKey) return shiftKey ? "field" : "stop";
  if (altKey && !main && !shiftKey) {
    return key === "ArrowUp" ? "previous" : key === "ArrowDown" ? "next" : null;
  }
  if (!main || altKey) return null;
  const letter = key.toLowerCase();
  if (shiftKey) return letter === "o" ? "new" : letter === "c" ? "copy" : null;
  return letter === "k" ? "search" : letter === "/" ? "help" : letter === "p" ? "print" : null;
}
