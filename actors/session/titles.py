"""The title that a chat gets from its first prompt, until it is given a better one."""

TITLE_MAX = 60


def title_of(prompt: str) -> str:
    """Return the first line's words of a prompt, without the marks of a heading, list or
    quotation, cut at a word to at most `TITLE_MAX` characters and an ellipsis; '' if it has
    none."""
    line = next((line for line in map(_plain, prompt.splitlines()) if line), "")
    if len(line) <= TITLE_MAX:
        return line
    cut = line[:TITLE_MAX]
    words = cut.rpartition(" ")[0]
    return f"{words if len(words) > TITLE_MAX // 2 else cut}…"


def _plain(line: str) -> str:
    return " ".join(line.split()).lstrip("#>*- ")
