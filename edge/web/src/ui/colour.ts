/** Colours code by ranges over its text (CSS Custom Highlight API): the elements stay as they
 * are, so nothing moves. Grammars come one by one when they are needed; a browser or a language
 * that does not play along shows plain code.
 *
 * Chromium walks every range of the page again with each frame in which any text changed, so only
 * code that is near what is seen has its ranges in the page's highlights. */

import type { ShjLanguage, ShjToken } from "@speed-highlight/core";

const LANGUAGES: Readonly<Record<string, string>> = {
  asm: "asm", bash: "bash", sh: "bash", shell: "bash", zsh: "bash", console: "bash",
  c: "c", cpp: "c", "c++": "c", h: "c", cs: "c", csharp: "c", kotlin: "java", swift: "java",
  css: "css", scss: "css", csv: "csv", diff: "diff", patch: "diff", dockerfile: "docker",
  docker: "docker", go: "go", golang: "go", html: "html", vue: "html", svelte: "html",
  http: "http", ini: "ini", java: "java", js: "js", javascript: "js", jsx: "js", mjs: "js",
  json: "json", jsonc: "json", lua: "lua", make: "make", makefile: "make", md: "md",
  markdown: "md", perl: "pl", pl: "pl", py: "py", python: "py", python3: "py", rs: "rs",
  rust: "rs", sql: "sql", toml: "toml", ts: "ts", typescript: "ts", tsx: "ts", xml: "xml",
  svg: "xml", yaml: "yaml", yml: "yaml",
};

/** The library's kinds of words, by how they are shown (`::highlight()` in the style). */
const KINDS: Readonly<Partial<Record<ShjToken, string>>> = {
  kwd: "code-word", section: "code-word", deleted: "code-bad", err: "code-bad",
  str: "code-text", insert: "code-text", num: "code-value", bool: "code-value",
  cmnt: "code-note", func: "code-name", class: "code-name", type: "code-name",
  var: "code-name", esc: "code-value",
};

const LONGEST = 60_000;
const RANGES_MAX = 4_000;

type Tokenize = (typeof import("@speed-highlight/core"))["tokenize"];
type Coloured = readonly (readonly [name: string, range: StaticRange])[];

/** Code that has all its text, with its grammar, and once it was near also with its colours. */
const grammars = new WeakMap<Element, string>();
const known = new WeakMap<Element, Coloured>();
const near = new WeakSet<Element>();
const asked = new Set<Element>();
let watching = false;

/** Colours `code`, which has all its text, now or when it comes near. */
export function colour(code: HTMLElement, language: string): void {
  const grammar = LANGUAGES[language.toLowerCase()];
  if (grammar === undefined) return;
  if (typeof CSS === "undefined" || CSS.highlights === undefined) return;
  if (!watching) watch();
  grammars.set(code, grammar);
  // Whether it is near is known only after it was first laid out.
  if (asked.size === 0) requestAnimationFrame(() => requestAnimationFrame(showAsked));
  asked.add(code);
}

function showAsked(): void {
  for (const code of asked) {
    if (code.checkVisibility({ contentVisibilityAuto: true })) void show(code);
  }
  asked.clear();
}

async function show(code: Element): Promise<void> {
  near.add(code);
  let ranges = known.get(code);
  if (ranges === undefined) {
    const speed = await import("@speed-highlight/core").catch(() => null);
    // Without the library it stays plain until it comes near again.
    if (speed === null) return;
    known.set(code, (ranges = await rangesOf(code, speed.tokenize)));
  }
  if (!near.has(code)) return;
  forget();
  for (const [name, range] of ranges) highlight(name).add(range);
}

function hide(code: Element): void {
  near.delete(code);
  for (const [name, range] of known.get(code) ?? []) highlight(name).delete(range);
}

async function rangesOf(code: Element, tokenize: Tokenize): Promise<Coloured> {
  const text = code.firstChild;
  const grammar = grammars.get(code);
  if (grammar === undefined || !(text instanceof Text) || text.length > LONGEST) return [];
  const ranges: [string, StaticRange][] = [];
  let at = 0;
  await tokenize(text.data, grammar as ShjLanguage, (word, kind) => {
    const from = at;
    at += word.length;
    const name = kind === undefined ? undefined : KINDS[kind];
    if (name === undefined || at > text.length) return;
    const range = { startContainer: text, startOffset: from, endContainer: text, endOffset: at };
    ranges.push([name, new StaticRange(range)]);
  });
  return ranges;
}

/** The page's highlight of this name. */
function highlight(name: string): Highlight {
  let found = CSS.highlights.get(name);
  if (found === undefined) CSS.highlights.set(name, (found = new Highlight()));
  return found;
}

/** Lets go of ranges whose text is shown no more, once there are many. */
function forget(): void {
  for (const each of CSS.highlights.values()) {
    if (each.size < RANGES_MAX) continue;
    for (const range of [...each]) if (!range.startContainer.isConnected) each.delete(range);
  }
}

/** Keeps the colours of what is near while the reader moves about. */
function watch(): void {
  watching = true;
  document.addEventListener("contentvisibilityautostatechange", (event) => {
    const { target, skipped } = event as ContentVisibilityAutoStateChangeEvent;
    if (!(target instanceof Element)) return;
    for (const code of target.querySelectorAll(".code code")) {
      if (skipped) hide(code);
      else if (grammars.has(code)) void show(code);
    }
  });
}
