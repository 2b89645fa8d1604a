import { useEffect, useState } from "preact/hooks";
import type { Parley } from "../app/parley.ts";

/** Takes files that are dropped anywhere on the page, which otherwise would leave the page for
 * the file. Returns whether files are being dragged over it. */
export function useDrops(parley: Parley): boolean {
  const [over, setOver] = useState(false);
  useEffect(() => {
    const drag = (event: DragEvent): void => {
      const { dataTransfer } = event;
      if (!dataTransfer?.types.includes("Files")) return;
      event.preventDefault();
      const taken = parley.files.offered && parley.store.state.dialog === null;
      const dropped = event.type === "drop";
      dataTransfer.dropEffect = taken ? "copy" : "none";
      setOver(taken && !dropped);
      if (!taken || !dropped) return;
      parley.files.add(dataTransfer.files);
      document.getElementById("prompt")?.focus();
    };
    const leave = (event: DragEvent): void => {
      if (event.relatedTarget === null) setOver(false);
    };
    const listeners = [["dragover", drag], ["drop", drag], ["dragleave", leave]] as const;
    for (const [name, listener] of listeners) document.addEventListener(name, listener);
    return () => {
      for (const [name, listener] of listeners) document.removeEventListener(name, listener);
    };
  }, []);
  return over;
}
