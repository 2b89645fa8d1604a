/** A value that changes, and a hook to draw it. */

import { useLayoutEffect, useState } from "preact/hooks";

export class Store<State> {
  #state: State;
  readonly #watchers = new Set<() => void>();

  constructor(state: State) {
    this.#state = state;
  }

  get state(): State {
    return this.#state;
  }

  /** Replaces the named fields and tells every watcher once. */
  set(change: Partial<State>): void {
    this.#state = { ...this.#state, ...change };
    for (const watcher of [...this.#watchers]) watcher();
  }

  /** Calls `watcher` after every change, until the returned function is called. */
  watch(watcher: () => void): () => void {
    this.#watchers.add(watcher);
    return () => this.#watchers.delete(watcher);
  }
}

/** The store's state; the component is drawn again when it changes. */
export function useStore<State>(store: Store<State>): State {
  return useSelected(store, (state) => state);
}

/** A part of the store's state; the component is drawn again when the part is another value. */
export function useSelected<State, Part>(store: Store<State>, select: (state: State) => Part): Part {
  const [part, setPart] = useState(() => select(store.state));
  useLayoutEffect(() => {
    const update = (): void => setPart(() => select(store.state));
    update();
    return store.watch(update);
  }, [store]);
  return part;
}
