import type { ComponentChildren } from "preact";
import { useId, useRef, useState } from "preact/hooks";

const GAP_PX = 4;

interface MenuProps {
  /** What the button is called, if not by its own words. */
  readonly label?: string;
  readonly button: ComponentChildren;
  readonly class: string;
  readonly children: ComponentChildren;
}

/** A button that opens a small panel beside it; the browser closes it on Escape and on a press
 * elsewhere. Its content exists only while it is open. */
export function Menu({ label, button, class: name, children }: MenuProps) {
  const id = useId();
  const opener = useRef<HTMLButtonElement>(null);
  const [open, setOpen] = useState(false);

  const onToggle = (event: Event): void => {
    const panel = event.currentTarget as HTMLElement;
    const shown = panel.matches(":popover-open");
    setOpen(shown);
    if (shown) requestAnimationFrame(() => place(panel, opener.current));
  };
  return (
    <>
      <button
        ref={opener}
        type="button"
        class={name}
        aria-label={label}
        title={label}
        aria-expanded={open}
        popovertarget={id}
      >
        {button}
      </button>
      <div
        id={id}
        class="menu"
        popover="auto"
        onToggle={onToggle}
        onClick={(event) => {
          if ((event.target as Element).closest("button, a")) event.currentTarget.hidePopover();
        }}
      >
        {open && children}
      </div>
    </>
  );
}

/** Puts `panel` under `opener`, or over it where there is no room, inside the window. */
function place(panel: HTMLElement, opener: HTMLElement | null): void {
  if (opener === null) return;
  const from = opener.getBoundingClientRect();
  const { offsetWidth: width, offsetHeight: height } = panel;
  const below = from.bottom + GAP_PX;
  const top = below + height > innerHeight ? from.top - GAP_PX - height : below;
  const ltr = getComputedStyle(opener).direction === "ltr";
  const left = ltr ? from.left : from.right - width;
  panel.style.top = `${Math.max(GAP_PX, top)}px`;
  panel.style.left = `${Math.max(GAP_PX, Math.min(left, innerWidth - width - GAP_PX))}px`;
}
