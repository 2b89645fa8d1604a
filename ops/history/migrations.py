"""Numbered schema files: `schema/<dialect>/NNNN_name.<sql|cql>`, applied in order, once."""

from dataclasses import dataclass
from importlib.resources import files


@dataclass(frozen=True, slots=True)
class Migration:
    """One schema file. A published one never changes; a change is a new number."""

    number: int
    name: str
    statements: tuple[str, ...]


def migrations(dialect: str) -> tuple[Migration, ...]:
    """Return the migrations of a dialect (`sqlite`, `cql`) in order: 1, 2, 3, …"""
    found: list[Migration] = []
    for file in files("ops.history").joinpath("schema", dialect).iterdir():
        number, _, name = file.name.partition("_")
        found.append(Migration(int(number), name, statements(file.read_text("utf-8"))))
    found.sort(key=lambda migration: migration.number)
    if [each.number for each in found] != list(range(1, len(found) + 1)):
        raise ValueError(f"the schema files of {dialect} are not numbered 1, 2, 3, …")
    return tuple(found)


def statements(text: str) -> tuple[str, ...]:
    """Return the statements of a schema file: separated by `;`, comments on own lines."""
    lines = (line for line in text.splitlines() if not line.lstrip().startswith("--"))
    parts = (part.strip() for part in "\n".join(lines).split(";"))
    return tuple(part for part in parts if part)
