/** Copying to the clipboard, told on the button that was pressed. */

const SAID_MS = 1_500;

/** Copies `text` as it is, and says on `button`, which else says `usual`, what became of it. */
export function copyText(button: HTMLButtonElement, text: string, usual: string): void {
  const say = (word: string): void => {
    button.textContent = word;
    setTimeout(() => (button.textContent = usual), SAID_MS);
  };
  if (!navigator.clipboard) return say("Copying needs HTTPS");
  navigator.clipboard.writeText(text).then(
    () => say("Copied"),
    () => say("Not allowed"),
  );
}
