/** Colours code by ranges over its text (CSS Custom Highlight API): the elements stay as they
 * are, so nothing moves. Grammars come one by one when they are needed; a browser or a language
 * that does not play along shows plain code. */

import type { ShjToken } from "@speed-highlight/core";

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
const RANGES_MAX = 20_000;

export function colour(code: HTMLElement, language: string): void {
  const grammar = LANGUAGES[language.toLowerCase()];
  const text = code.firstChild;
  if (grammar === undefined || !(text instanceof Text) || text.length > LONGEST) return;
  if (typeof CSS === "undefined" || CSS.highlights === undefined) return;
  void import("@speed-highlight/core").then(async ({ tokenize }) => {
    let at = 0;
    await tokenize(text.data, grammar, (word, kind) => {
      const from = at;
      at += word.length;
      const name = kind === undefined ? undefined : KINDS[kind];
      if (name === undefined || at > text.length) return;
      const range = { startContainer: text, startOffset: from, endContainer: text, endOffset: at };
      highlight(name).add(new StaticRange(range));
    });
  });
}

/** The page's highlight of this name, without the ranges of text that is shown no more once they
 * are many. */
function highlight(name: string): Highlight {
  let found = CSS.highlights.get(name);
  if (found === undefined) CSS.highlights.set(name, (found = new Highlight()));
  if (found.size >= RANGES_MAX) {
    for (const range of [...found]) if (!range.startContainer.isConnected) found.delete(range);
  }
  return found;
}
