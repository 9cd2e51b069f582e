import sqlite3
from contextlib import closing
from pathlib import Path

from mnistlab.store import schema

PAGE = Path(__file__).parents[2] / "docs" / "format.md"


def test_the_page_says_what_the_schema_says():
    wanted = "run `python -m mnistlab.store.schema > docs/format.md`"
    assert PAGE.read_text(encoding="utf-8") == schema.format_page(), wanted


def test_the_example_query_of_the_page_runs(example, path):
    query = PAGE.read_text(encoding="utf-8").split('"')[1]
    with closing(sqlite3.connect(example.store(path))) as shell:
        assert shell.execute(query).fetchall() == []


def test_every_format_is_made_as_it_was():
    stores = Path(__file__).parent / "stores"
    for version in range(1, schema.SCHEMA_VERSION + 1):
        with (
            closing(sqlite3.connect(":memory:")) as made,
            closing(sqlite3.connect(stores / f"schema-{version}.sqlite")) as kept,
        ):
            for statement in schema.create_statements(version):
                made.execute(statement)
            query = "SELECT name, rootpage, sql FROM sqlite_schema ORDER BY rowid"
            assert made.execute(query).fetchall() == kept.execute(query).fetchall()


def test_an_empty_store_is_marked_strict_and_explains_its_columns(example, path):
    with closing(sqlite3.connect(example.store(path))) as shell:
        assert shell.execute("PRAGMA application_id").fetchone() == (int.from_bytes(b"MNLB"),)
        assert shell.execute("PRAGMA user_version").fetchone() == (schema.SCHEMA_VERSION,)
        strict = {name: is_strict for _, name, kind, _, _, is_strict in shell.execute("PRAGMA table_list")}
        explained = dict(shell.execute("SELECT name, sql FROM sqlite_schema WHERE type = 'table'"))
    assert all(strict[table.name] for table in schema.TABLES)
    for table in schema.TABLES:
        assert all(column.about in explained[table.name] for column in table.columns)


def test_every_number_of_seconds_bytes_and_joules_says_its_unit():
    units = {"_seconds": "seconds", "_bytes": "bytes", "_joules": "joules", "_us": "microseconds", "_at": "seconds"}
    columns = [column for table in schema.TABLES for column in table.columns]
    for ending, unit in units.items():
        assert all(unit in column.about for column in columns if ending in column.name)
