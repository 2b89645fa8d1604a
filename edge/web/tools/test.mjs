// Compiles the tests to JavaScript (Node 20 reads no TypeScript) and runs them.
import { spawnSync } from "node:child_process";
import { readdirSync, rmSync } from "node:fs";
import { fileURLToPath } from "node:url";

const web = fileURLToPath(new URL("..", import.meta.url));
const out = `${web}node_modules/.cache/test`;

function run(command, args) {
  const { status, error } = spawnSync(command, args, { cwd: web, stdio: "inherit" });
  if (error) throw error;
  if (status !== 0) process.exit(status ?? 1);
}

rmSync(out, { recursive: true, force: true });
run(process.execPath, ["node_modules/typescript/bin/tsc", "-p", "tsconfig.test.json"]);
const suites = readdirSync(`${out}/test`).filter((name) => name.endsWith(".test.js"));
run(process.execPath, ["--test", ...suites.map((name) => `${out}/test/${name}`)]);
