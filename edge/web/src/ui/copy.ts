/** Copying to the clipboard, told in a word. */

const SAID_MS = 1_500;

/** Copies `text` as it is, and has `say` say what became of it, then nothing again. */
export async function said(text: string, say: (word: string) => void): Promise<void> {
  say(await copied(text));
  setTimeout(() => say(""), SAID_MS);
}

/** Copies `text`, and says on `button`, which else says `usual`, what became of it. */
export function copyText(button: HTMLButtonElement, text: string, usual: string): void {
  void said(text, (word) => void (button.textContent = word || usual));
}

async function copied(text: string): Promise<string> {
  if (!navigator.clipboard) return "Copying needs HTTPS";
  return navigator.clipboard.writeText(text).then(
    () => "Copied",
    () => "Not allowed",
  );
}
