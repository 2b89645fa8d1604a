import { type ComponentChild, type FunctionComponent, h } from "preact";
import { useEffect, useState } from "preact/hooks";

const AGAIN_MS = 1_000;
const MISSING = "This part of the page can't be fetched. Trying again…";

const waiting: (() => void)[] = [];

/** Fetches the code of all components that wait for it, when the browser has nothing to do: what
 * is typed right after a dialog was asked for should meet the dialog. */
export function fetchAhead(): void {
  const fetchAll = (): void => waiting.splice(0).forEach((fetch) => fetch());
  if ("requestIdleCallback" in window) requestIdleCallback(fetchAll, { timeout: 5_000 });
  else setTimeout(fetchAll, 1_000);
}

/** A component whose code is fetched when it is first drawn, or ahead of that; until then it
 * draws nothing. While its code can't be fetched, it says so and tries again. */
export function lazily<Props extends object>(load: () => Promise<FunctionComponent<Props>>) {
  let loaded: FunctionComponent<Props> | null = null;
  const fetch = async (): Promise<void> => {
    // What can't be fetched now is fetched when it is drawn.
    loaded ??= await load().catch(() => null);
  };
  waiting.push(() => void fetch());
  return function Lazy(props: Props): ComponentChild {
    const [tries, setTries] = useState(0);
    const drawn = loaded !== null;
    useEffect(() => {
      // The code may have come between the drawing and this: what was not drawn is drawn now.
      if (drawn) return;
      const again = (): void => void fetch().then(() => setTries(tries + 1));
      const timer = setTimeout(again, tries === 0 ? 0 : AGAIN_MS);
      return () => clearTimeout(timer);
    }, [drawn, tries]);
    if (loaded !== null) return h(loaded, props);
    return tries === 0 ? null : h("p", { class: "missing", role: "alert" }, MISSING);
  };
}
