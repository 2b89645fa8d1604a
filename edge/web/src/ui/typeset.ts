/** Mathematics from TeX as MathML, which the browser draws and reads aloud. The library comes
 * when the first formula does; TeX that it does not understand stays as it is. */

export function typeset(element: HTMLElement): void {
  const tex = element.textContent ?? "";
  if (tex.trim() === "") return;
  void import("temml").then(({ default: temml }) => {
    if (element.textContent !== tex) return;
    const drawn = document.createElement("span");
    try {
      temml.render(tex, drawn, {
        displayMode: element.tagName === "DIV",
        annotate: true,
        throwOnError: true,
        trust: false,
        maxExpand: 200,
      });
    } catch (error) {
      if (error instanceof temml.ParseError) return;
      throw error;
    }
    element.replaceChildren(...drawn.childNodes);
    element.dataset["drawn"] = "";
  });
}
