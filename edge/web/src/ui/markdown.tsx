import { useLayoutEffect, useRef } from "preact/hooks";
import { parser, parser_end, parser_write, type Parser } from "streaming-markdown";
import { copyText } from "./copy.ts";
import { safeRenderer } from "./render.ts";

interface Drawn {
  readonly parser: Parser;
  text: string;
  finished: boolean;
}

/** Markdown that may still grow. New text is parsed and appended; what stands is not touched,
 * so finished blocks neither reflow nor flicker. Text that isn't a continuation is redrawn. */
export function Markdown({ text, done }: { readonly text: string; readonly done: boolean }) {
  const root = useRef<HTMLDivElement>(null);
  const drawn = useRef<Drawn | null>(null);

  useLayoutEffect(() => {
    const element = root.current;
    if (element === null) return;
    let now = drawn.current;
    if (now === null || (now.finished && now.text !== text) || !text.startsWith(now.text)) {
      element.replaceChildren();
      now = { parser: parser(safeRenderer(element)), text: "", finished: false };
      drawn.current = now;
    }
    if (text.length > now.text.length) parser_write(now.parser, text.slice(now.text.length));
    now.text = text;
    if (done && !now.finished) {
      parser_end(now.parser);
      now.finished = true;
    }
  }, [text, done]);

  return <div class="markdown" dir="auto" ref={root} onClick={onPress} />;
}

/** Copies or wraps the code of the block whose button was pressed. */
function onPress(event: MouseEvent): void {
  const button = event.target;
  if (!(button instanceof HTMLButtonElement)) return;
  const block = button.closest(".code");
  if (button.dataset["copy"] !== undefined) {
    copyText(button, block?.querySelector("code")?.textContent ?? "", "Copy");
  } else if (button.dataset["wrap"] !== undefined) {
    button.ariaPressed = String(block?.classList.toggle("wraps"));
  }
}
