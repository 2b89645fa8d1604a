// Fails the build when what a first visit loads grows past the budget.
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

let total = 0;
for (const path of files(root).filter((name) => /\.(html|js|css|svg)$/.test(name))) {
  const bytes = gzipSync(readFileSync(path), { level: 9 }).length;
  total += bytes;
  console.log(`${String(bytes).padStart(7)} B gzip  ${path.slice(root.length + 1)}`);
}
console.log(`${String(total).padStart(7)} B gzip of ${BUDGET_BYTES} B allowed`);
if (total > BUDGET_BYTES) {
  console.error("The page is over its size budget: make it smaller.");
  process.exit(1);
}
