import { type ComponentChild, type FunctionComponent, h } from "preact";
import { useEffect, useState } from "preact/hooks";

const waiting: (() => void)[] = [];

/** Fetches the code of all components that wait for it, when the browser has nothing to do: what
 * is typed right after a dialog was asked for should meet the dialog. */
export function fetchAhead(): void {
  const fetchAll = (): void => waiting.splice(0).forEach((fetch) => fetch());
  if ("requestIdleCallback" in window) requestIdleCallback(fetchAll, { timeout: 5_000 });
  else setTimeout(fetchAll, 1_000);
}

/** A component whose code is fetched when it is first drawn, or ahead of that; until then it
 * draws nothing. */
export function lazily<Props extends object>(load: () => Promise<FunctionComponent<Props>>) {
  let loaded: FunctionComponent<Props> | null = null;
  const fetch = async (): Promise<void> => void (loaded ??= await load());
  waiting.push(() => void fetch());
  return function Lazy(props: Props): ComponentChild {
    const [, redraw] = useState(false);
    const drawn = loaded !== null;
    useEffect(() => {
      // The code may have come between the drawing and this: what was not drawn is drawn now.
      if (!drawn) void fetch().then(() => redraw(true));
    }, []);
    return loaded === null ? null : h(loaded, props);
  };
}
