/** A long conversation in parts, so that what changes at its end is laid out beside dozens of
 * parts and not beside hundreds of exchanges. Pure. */

import type { Exchange } from "./chats.ts";

export const PART_SIZE = 8;

export interface Part {
  readonly key: string;
  readonly exchanges: readonly Exchange[];
}

export interface Parts {
  readonly list: readonly Part[];
  /** How many parts were ever named. */
  readonly named: number;
}

export const NO_PARTS: Parts = { list: [], named: 0 };

/** `exchanges` in parts of about `PART_SIZE`. What was in a part stays in it, whatever comes
 * before or after it, since an element that moves to another parent is drawn anew. */
export function divided(exchanges: readonly Exchange[], before: Parts): Parts {
  const homes = new Map<string, string>();
  for (const part of before.list) {
    for (const { key } of part.exchanges) homes.set(key, part.key);
  }
  const list: { key: string; exchanges: Exchange[] }[] = [];
  const used = new Set<string>();
  let { named } = before;
  for (const exchange of exchanges) {
    const last = list.at(-1);
    const home = homes.get(exchange.key);
    const room = last !== undefined && last.exchanges.length < PART_SIZE;
    const joins = home === undefined ? room : last?.key === home || (room && used.has(home));
    if (joins) {
      last?.exchanges.push(exchange);
      continue;
    }
    const key = home !== undefined && !used.has(home) ? home : `part ${++named}`;
    used.add(key);
    list.push({ key, exchanges: [exchange] });
  }
  return { list, named };
}
