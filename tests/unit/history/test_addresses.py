"""What a history address may look like, and what becomes of schema files and rows."""

from pathlib import Path

import pytest

from contracts.records import Chat, RunRecord, User
from ops.history import BadHistoryAddress, open_history, parse_cql_address
from ops.history.cql import CqlHistory
from ops.history.cql_queries import ALL
from ops.history.cql_schema import qualified
from ops.history.memory import MemoryHistory
from ops.history.migrations import migrations, statements
from ops.history.rows import columns, from_row, to_row
from ops.history.sqlite import SqliteHistory
from tests.unit.contracts.examples import EXAMPLES


def test_address_names_its_adapter() -> None:
    assert isinstance(open_history("sqlite:history.db"), SqliteHistory)
    assert isinstance(open_history("sqlite:/var/lib/parley/history.db"), SqliteHistory)
    assert isinstance(open_history("memory:"), MemoryHistory)
    assert isinstance(open_history("cql://localhost/parley"), CqlHistory)


@pytest.mark.parametrize(
    ("url", "parts"),
    [
        ("cql://a/parley", (("a",), 9042, "parley", None, None)),
        ("cql://a:9142,b:9142/p_1", (("a", "b"), 9142, "p_1", None, None)),
        ("cql://10.0.0.1,10.0.0.2/parley/", (("10.0.0.1", "10.0.0.2"), 9042, "parley", None, None)),
        ("cql://me:p%40ss%2F@a/parley", (("a",), 9042, "parley", "me", "p@ss/")),
    ],
)
def test_cql_address_is_taken_apart(url: str, parts: tuple[object, ...]) -> None:
    assert parse_cql_address(url) == parts


@pytest.mark.parametrize(
    "url",
    [
        "",
        "history.db",
        "sqlite:",
        "postgres://a/b",
        "cql://",
        "cql://a",
        "cql:///parley",
        "cql://a,/parley",
        "cql://a:port/parley",
        "cql://a:1,b:2/parley",
        "cql://a/Parley",
        "cql://[::1/parley",
        "cql://a/parley; DROP KEYSPACE system",
        "cql://a/" + "k" * 49,
    ],
)
def test_address_of_nothing_is_refused(url: str) -> None:
    with pytest.raises(BadHistoryAddress):
        open_history(url)


def test_address_refused_does_not_tell_the_password() -> None:
    with pytest.raises(BadHistoryAddress) as refused:
        open_history("cql://me:secret@a:x/parley")
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: type(example).__name__)
def test_record_survives_its_row(example: object) -> None:
    if isinstance(example, User | Chat | RunRecord):
        row = to_row(example)
        assert len(row) == len(columns(type(example)))
        assert from_row(type(example), row) == example


def test_schema_files_are_numbered_and_hold_statements() -> None:
    for dialect in ("sqlite", "cql"):
        known = migrations(dialect)
        assert [each.number for each in known] == list(range(1, len(known) + 1))
        assert all(each.statements for each in known)


def test_statements_are_split_without_comments() -> None:
    text = "-- one; two\nCREATE a;\n\n  -- three\nINSERT\n b ;\n"
    assert statements(text) == ("CREATE a", "INSERT\n b")


def test_every_cql_statement_names_its_table_in_full() -> None:
    written = [query.text for query in ALL]
    written += [statement for each in migrations("cql") for statement in each.statements]
    for text in written:
        assert qualified(text, "ks").count("ks.") == 1


def test_operators_file_makes_one_keyspace() -> None:
    path = Path(__file__).parents[3] / "ops" / "history" / "scylla.cql"
    (statement,) = statements(path.read_text("utf-8"))
    assert statement.startswith("CREATE KEYSPACE IF NOT EXISTS parley\n")
