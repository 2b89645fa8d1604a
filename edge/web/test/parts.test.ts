import assert from "node:assert/strict";
import { test } from "node:test";
import type { Exchange } from "../src/app/chats.ts";
import { divided, NO_PARTS, PART_SIZE, type Parts } from "../src/app/parts.ts";

function run(from: number, to: number): Exchange[] {
  return Array.from({ length: to - from }, (_, at) => ({
    key: `e${from + at}`,
    question: null,
    answer: null,
  }));
}

function homes({ list }: Parts): Map<string, string> {
  return new Map(list.flatMap((part) => part.exchanges.map(({ key }) => [key, part.key] as const)));
}

function whole({ list }: Parts): string[] {
  return list.flatMap((part) => part.exchanges.map(({ key }) => key));
}

const keys = (exchanges: readonly Exchange[]) => exchanges.map(({ key }) => key);

test("parts hold all exchanges in their order, and each about as many", () => {
  const parts = divided(run(0, 50), NO_PARTS);
  assert.deepEqual(whole(parts), keys(run(0, 50)));
  assert.equal(parts.list.length, Math.ceil(50 / PART_SIZE));
});

test("older and newer exchanges move none that is there to another part", () => {
  let parts = divided(run(100, 125), NO_PARTS);
  for (const [from, to] of [[75, 125], [75, 126], [50, 126], [50, 140], [0, 141]] as const) {
    const before = homes(parts);
    parts = divided(run(from, to), parts);
    const after = homes(parts);
    for (const [key, home] of before) assert.equal(after.get(key), home);
    assert.deepEqual(whole(parts), keys(run(from, to)));
    assert.equal(new Set(parts.list.map(({ key }) => key)).size, parts.list.length);
    assert.ok(parts.list.every(({ exchanges }) => exchanges.length <= PART_SIZE));
  }
});

test("another path keeps what both have, and no two parts have one name", () => {
  const parts = divided(run(0, 40), NO_PARTS);
  const other = divided([...run(0, 10), ...run(60, 75)], parts);
  assert.deepEqual(whole(other), keys([...run(0, 10), ...run(60, 75)]));
  const back = divided([...run(0, 10), ...run(30, 32), ...run(10, 12), ...run(60, 61)], other);
  assert.equal(new Set(back.list.map(({ key }) => key)).size, back.list.length);
  assert.equal(whole(back).length, 15);
});
