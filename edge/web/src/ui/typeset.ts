/** Mathematics from TeX as MathML, which the browser draws and reads aloud. The library comes
 * when the first formula does; TeX that it does not understand stays as it is, and so does all while
 * the library can't be fetched. */

export async function typeset(element: HTMLElement): Promise<void> {
  const tex = element.textContent ?? "";
  if (tex.trim() === "") return;
  const temml = await import("temml").then((module) => module.default, () => null);
  if (temml === null || element.textContent !== tex) return;
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
}
