/** What this browser keeps for its user between visits: drafts and how the page looks. A browser
 * that refuses to keep anything is a browser that forgets, nothing worse. */

const PREFIX = "parley.";
const DRAFT = "draft.";

function read(name: string): string {
  try {
    return localStorage.getItem(PREFIX + name) ?? "";
  } catch {
    return "";
  }
}

function write(name: string, value: string): void {
  try {
    if (value === "") localStorage.removeItem(PREFIX + name);
    else localStorage.setItem(PREFIX + name, value);
  } catch {
    return;
  }
}

/** What was typed and not sent, per chat; the new chat's name is the empty one. */
export const drafts = {
  get: (chatId: string): string => read(DRAFT + chatId),
  set: (chatId: string, text: string): void => write(DRAFT + chatId, text),
  /** Forgets all, so that who comes next at this browser finds none. */
  clear: (): void => {
    try {
      const names = Object.keys(localStorage).filter((name) => name.startsWith(PREFIX + DRAFT));
      for (const name of names) localStorage.removeItem(name);
    } catch {
      return;
    }
  },
};

export type Theme = "" | "light" | "dark";

/** The chosen colours; empty: as the system has them. */
export const theme = {
  get: (): Theme => {
    const kept = read("theme");
    return kept === "light" || kept === "dark" ? kept : "";
  },
  set: (chosen: Theme): void => {
    write("theme", chosen);
    theme.apply();
  },
  apply: (): void => {
    document.documentElement.dataset["theme"] = theme.get();
  },
};

/** Whether a prompt refused for lack of room is sent again by itself. */
export const sendsAgain = {
  get: (): boolean => read("again") !== "",
  set: (wanted: boolean): void => write("again", wanted ? "1" : ""),
};
