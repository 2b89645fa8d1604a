// Fails the build when what a first visit to the chat loads grows past the budget. What comes
// only when it is needed (dialogs, grammars, mathematics) is listed apart.
import { readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";

const BUDGET_BYTES = 40_000;
const root = fileURLToPath(new URL("../../static", import.meta.url));

function files(folder) {
  return readdirSync(folder).flatMap((name) => {
    const path = join(folder, name);
    return statSync(path).isDirectory() ? files(path) : [path];
  });
}

const all = files(root).filter((name) => /\.(html|js|css|svg)$/.test(name));
const named = (path) => path.slice(root.length + 1);
const texts = new Map(all.map((path) => [named(path), readFileSync(path, "utf8")]));

// The index, what it names, and what that imports at once.
const first = new Set(["index.html"]);
for (const name of first) {
  const text = texts.get(name) ?? "";
  const wanted = name.endsWith(".html")
    ? [...text.matchAll(/(?:src|href)="\/([^"]+)"/g)].map(([, path]) => path)
    : [...text.matchAll(/(?:from|import)\s*"\.\/([^"]+)"/g)].map(([, path]) => `assets/${path}`);
  for (const path of wanted) if (texts.has(path)) first.add(path);
}

const bytes = (name) => gzipSync(texts.get(name), { level: 9 }).length;
const total = (names) => names.reduce((sum, name) => sum + bytes(name), 0);
const later = [...texts.keys()].filter((name) => !first.has(name));
for (const name of first) console.log(`${String(bytes(name)).padStart(7)} B gzip  ${name}`);
console.log(`${String(total([...first])).padStart(7)} B gzip of ${BUDGET_BYTES} B allowed`);
console.log(`${String(total(later)).padStart(7)} B gzip in ${later.length} files when needed`);
if (total([...first]) > BUDGET_BYTES) {
  console.error("The page is over its size budget: make it smaller.");
  process.exit(1);
}
