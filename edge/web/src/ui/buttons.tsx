import { useState } from "preact/hooks";
import { said } from "./copy.ts";
import { Icon, type IconName } from "./icons.tsx";

interface IconButtonProps {
  readonly icon: IconName;
  readonly label: string;
  readonly disabled?: boolean;
  readonly onClick: () => void;
}

/** A button that shows a drawing and is called `label`. */
export function IconButton({ icon, label, disabled = false, onClick }: IconButtonProps) {
  return (
    <button
      type="button"
      class="quiet small"
      aria-label={label}
      title={label}
      disabled={disabled}
      onClick={onClick}
    >
      <Icon name={icon} />
    </button>
  );
}

/** Copies `text` as it is; for a moment its name says what became of it. */
export function CopyButton({ text, label }: { readonly text: string; readonly label: string }) {
  const [word, say] = useState("");
  return (
    <button
      type="button"
      class="quiet small"
      aria-label={word || label}
      title={word || label}
      data-copies=""
      onClick={() => void said(text, say)}
    >
      <Icon name={word === "Copied" ? "done" : "copy"} />
      {word !== "" && <span aria-hidden="true">{word}</span>}
    </button>
  );
}
