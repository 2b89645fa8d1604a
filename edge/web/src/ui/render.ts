/** Draws what the markdown parser finds as safe elements: no HTML of the text's own is ever
 * parsed, links go only where `safeLink` allows, pictures become links (the page's content
 * policy loads none from elsewhere). */

import type { Attr as SmdAttr, Renderer, Token as SmdToken } from "streaming-markdown";
import { Attr, Token } from "streaming-markdown";
import { colour } from "./colour.ts";
import { safeLink } from "./links.ts";
import { typeset } from "./typeset.ts";

const TAGS: Readonly<Record<number, string>> = {
  [Token.Blockquote]: "blockquote",
  [Token.Paragraph]: "p",
  [Token.Line_Break]: "br",
  [Token.Rule]: "hr",
  [Token.Italic_Ast]: "em",
  [Token.Italic_Und]: "em",
  [Token.Strong_Ast]: "strong",
  [Token.Strong_Und]: "strong",
  [Token.Strike]: "s",
  [Token.Code_Inline]: "code",
  [Token.Raw_URL]: "a",
  [Token.Link]: "a",
  [Token.Image]: "a",
  [Token.List_Unordered]: "ul",
  [Token.List_Ordered]: "ol",
  [Token.List_Item]: "li",
};

/** Elements that take their direction from their own first words, not from the answer's. */
const SIDED: ReadonlySet<string> = new Set(["A", "BLOCKQUOTE", "UL", "OL", "TABLE"]);

const HEADINGS: readonly SmdToken[] = [
  Token.Heading_1,
  Token.Heading_2,
  Token.Heading_3,
  Token.Heading_4,
  Token.Heading_5,
  Token.Heading_6,
];

/** The renderer that appends to `root`; its data is the path of open elements. */
export function safeRenderer(root: HTMLElement): Renderer<HTMLElement[]> {
  // The page's title is the heading of level 1; an answer goes on from there without a leap,
  // whatever level it begins with, so that its outline can be walked.
  let level = 1;
  return {
    data: [root],
    add_token: (path, token) => {
      const heading = HEADINGS.indexOf(token) + 1;
      if (heading > 0) {
        level = Math.min(heading + 1, level + 1, 6);
        path.push(append(top(path), `h${level}`));
      } else {
        path.push(token === Token.Document ? root : open(top(path), token));
      }
    },
    end_token: (path) => finish(path.pop()),
    add_text: (path, text) => write(top(path), text),
    set_attr: (path, attr, value) => set(top(path), attr, value),
  };
}

/** Dresses an element that has all its text: until then code has no colours and mathematics is
 * TeX, so nothing half-open is drawn one way and then another. */
function finish(element: HTMLElement | undefined): void {
  if (element === undefined) return;
  if (element.classList.contains("math")) void typeset(element);
  else if (element.parentElement?.tagName === "PRE") colour(element, languageOf(element));
}

function languageOf(code: HTMLElement): string {
  return code.closest(".code")?.querySelector("span")?.textContent ?? "";
}

function top(path: HTMLElement[]): HTMLElement {
  return path[path.length - 1] as HTMLElement;
}

function open(parent: HTMLElement, token: SmdToken): HTMLElement {
  switch (token) {
    case Token.Code_Block:
    case Token.Code_Fence:
      return codeBlock(parent);
    case Token.Checkbox: {
      const box = append(parent, "input") as HTMLInputElement;
      box.type = "checkbox";
      box.disabled = true;
      box.ariaLabel = "To do";
      return box;
    }
    case Token.Table: {
      const frame = append(parent, "div", "table");
      frame.tabIndex = 0;
      frame.setAttribute("role", "group");
      frame.ariaLabel = "Table";
      return append(frame, "table");
    }
    case Token.Table_Row: {
      const section = parent.children.length === 0 ? "thead" : "tbody";
      const last = parent.lastElementChild;
      const body = last?.tagName === "TBODY" ? (last as HTMLElement) : append(parent, section);
      return append(body, "tr");
    }
    case Token.Table_Cell:
      return append(parent, parent.parentElement?.tagName === "THEAD" ? "th" : "td");
    case Token.Equation_Block:
      return append(parent, "div", "math");
    case Token.Equation_Inline:
      return append(parent, "code", "math");
    default: {
      const element = append(parent, TAGS[token] ?? "span");
      if (token === Token.Image) element.append("Image: ");
      if (token === Token.Raw_URL) element.dataset["bare"] = "";
      return element;
    }
  }
}

/** A code block: its language, buttons to wrap and copy, the code in a scrolling frame. */
function codeBlock(parent: HTMLElement): HTMLElement {
  const frame = append(parent, "div", "code");
  const head = append(frame, "div", "code-head");
  append(head, "span");
  const wrap = button(head, "wrap", "Wrap");
  wrap.ariaPressed = "false";
  button(head, "copy", "Copy");
  const pre = append(frame, "pre");
  pre.tabIndex = 0;
  pre.dir = "ltr";
  return append(pre, "code");
}

function button(parent: HTMLElement, does: string, name: string): HTMLButtonElement {
  const element = append(parent, "button") as HTMLButtonElement;
  element.type = "button";
  element.dataset[does] = "";
  element.textContent = name;
  return element;
}

function append(parent: HTMLElement, tag: string, className = ""): HTMLElement {
  const element = document.createElement(tag);
  if (className !== "") element.className = className;
  if (SIDED.has(element.tagName)) element.dir = "auto";
  return parent.appendChild(element);
}

function write(element: HTMLElement, text: string): void {
  const last = element.lastChild;
  if (last instanceof Text) last.appendData(text);
  else element.append(text);
}

function set(element: HTMLElement, attr: SmdAttr, value: string): void {
  switch (attr) {
    case Attr.Href:
    case Attr.Src: {
      // A bare address ends where the sentence's own punctuation begins.
      const bare = element.dataset["bare"] !== undefined;
      const address = safeLink(bare ? value.replace(/[.,;:!?'"]+$/, "") : value);
      if (address === null || !(element instanceof HTMLAnchorElement)) return;
      element.href = address;
      element.target = "_blank";
      element.rel = "noopener noreferrer nofollow";
      return;
    }
    case Attr.Lang: {
      const label = element.closest(".code")?.querySelector("span");
      if (label) label.textContent = value.trim().split(/\s/, 1)[0] ?? "";
      return;
    }
    case Attr.Checked:
      if (element instanceof HTMLInputElement) {
        element.checked = true;
        element.ariaLabel = "Done";
      }
      return;
    case Attr.Start:
      if (element instanceof HTMLOListElement) element.start = Number.parseInt(value, 10) || 1;
  }
}
