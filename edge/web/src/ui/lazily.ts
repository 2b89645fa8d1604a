import { type ComponentChild, type FunctionComponent, h } from "preact";
import { useEffect, useState } from "preact/hooks";

/** A component whose code is fetched when it is first drawn; until then it draws nothing. */
export function lazily<Props extends object>(load: () => Promise<FunctionComponent<Props>>) {
  let loaded: FunctionComponent<Props> | null = null;
  return function Lazy(props: Props): ComponentChild {
    const [, redraw] = useState(false);
    useEffect(() => {
      if (loaded !== null) return;
      void load().then((component) => {
        loaded = component;
        redraw(true);
      });
    }, []);
    return loaded === null ? null : h(loaded, props);
  };
}
