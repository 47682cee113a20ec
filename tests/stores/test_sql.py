"""The statements: each is served by the index that its comment names."""

import re
import sqlite3
from pathlib import Path

import pytest

from ripresa.stores import database

SQL = Path(database.__file__).with_name("sql")
TEXT = (SQL / "queries.sql").read_text()
QUERIES = database.named_queries(TEXT)
INDEXES = dict(re.findall(r"-- name: (\w+)\n-- index: (.+)\n", TEXT))


WALKS = (
    "pending",
    "tombstones",
    "digests",
    "every_request",
    "every_artifact",
    "every_session_value",
    "forget_results",
)


def test_every_migration_is_known_and_in_order() -> None:
    assert [path.name for path in sorted(SQL.glob("[0-9]*.sql"))] == list(database.MIGRATIONS)


def test_every_query_says_what_serves_it() -> None:
    assert set(INDEXES) == set(QUERIES)


@pytest.mark.parametrize("name", sorted(QUERIES))
def test_a_query_is_served_by_what_it_says(name: str) -> None:
    connection = sqlite3.connect(":memory:")
    for migration in database.MIGRATIONS:
        connection.executescript(database.read_sql(migration))
    sql = QUERIES[name]
    names = set(re.findall(r":(\w+)", sql))
    values = dict.fromkeys(names, 1) if names else [1] * sql.count("?")
    plan = [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {sql}", values)]
    connection.close()
    used = set()
    for step in plan:
        assert "TEMP B-TREE" not in step
        if "VIRTUAL TABLE" in step:  # a list that the statement is given
            continue
        if found := re.match(r"(?:SEARCH|SCAN) (\w+)(?: USING (?:COVERING )?INDEX (\w+))?", step):
            alias = {"t": "tags", "r": "runs", "i": "inbox"}.get(found[1], found[1])
            used.add(found[2] or alias)
            # Only what shows everything, or is looked at by nobody but maintenance, may walk along everything.
            assert step.startswith("SEARCH") or name in WALKS, step
    assert used == ({*INDEXES[name].split(", ")} - {"none"}), plan


def test_statements_are_split_where_they_end() -> None:
    text = "-- one; two\nCREATE TABLE a (b);\n\nINSERT INTO a VALUES (';');\n-- the end\n"
    assert [each.strip() for each in database.statements(text)] == [
        "-- one; two\nCREATE TABLE a (b);",
        "INSERT INTO a VALUES (';');",
    ]
