"""docs/analysts.md: its role, relations and SQL, and the dbt sources, on a database with our tables."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager

import psycopg
import pytest
import yaml
from psycopg import sql

from postgres import with_schema
from store.database import engine
from store.schema import migrate
from tests.conftest import fresh_database
from tests.documents import ROOT, blocks, section, table

TEXT = (ROOT / "docs" / "analysts.md").read_text()
(ROLE,) = blocks(section(TEXT, "A role that only reads"), "sql")
EXAMPLES = blocks(section(TEXT, "Examples"), "sql")
TABLE = {
    row["relation"].strip("`"): [each.strip("`") for each in row["columns"].split(", ")]
    for row in table(section(TEXT, "The relations"))
}
SOURCES = yaml.safe_load((ROOT / "deploy" / "dbt" / "sources.yml").read_text())["sources"][0]["tables"]
INTERNAL = ("analytics_runs",)  # has columns that are not granted


@contextmanager
def analyst(url: str, schema: str) -> Iterator[psycopg.Connection]:
    """A connection as the page's role, on results in a schema."""
    name = f"analyst_{url.split('/')[3].split('?')[0]}"
    statements = ROLE.replace("analyst", name)
    if schema != "public":
        statements = f"SET search_path = {schema}; {statements.replace('public', schema)}"
        statements += f"ALTER ROLE {name} SET search_path = {schema};"
    with psycopg.connect(url) as owner:
        owner.execute(statements.encode())
    try:
        with closing(psycopg.connect(url.replace("postgres:@", f"{name}:change-me@"))) as connection:
            yield connection
    finally:
        with psycopg.connect(url) as owner:
            owner.execute(sql.SQL("DROP OWNED BY {0}; DROP ROLE {0}").format(sql.Identifier(name)))


@pytest.fixture(params=["public", pytest.param("smartcrm", marks=pytest.mark.long)])
def schema_and_url(request: pytest.FixtureRequest, servers: dict[str, str], migrated: str) -> Iterator[tuple[str, str]]:
    schema: str = request.param
    with fresh_database(servers, migrated if schema == "public" else "template1") as url:
        if schema != "public":
            migrate(with_schema(url, schema))
            engine(with_schema(url, schema)).dispose()
        yield schema, url


def test_the_role_reads_what_the_page_lists_and_nothing_else(schema_and_url: tuple[str, str]) -> None:
    schema, url = schema_and_url
    with analyst(url, schema) as reader:
        columns = reader.execute(
            "SELECT table_name, column_name FROM information_schema.columns AS c WHERE table_schema = %s AND"
            " has_column_privilege(format('%%I.%%I', table_schema, table_name), column_name, 'SELECT')"
            " ORDER BY table_name, ordinal_position",
            [schema],
        )
        granted: dict[str, list[str]] = {}
        for relation, column in columns:
            granted.setdefault(relation, []).append(column)
        assert granted == TABLE
        every = reader.execute(
            "SELECT attrelid::regclass::text, count(*) FROM pg_attribute WHERE attnum > 0 AND NOT attisdropped"
            " AND attrelid = ANY(%s::regclass[]) GROUP BY attrelid",
            [list(TABLE)],
        )
        assert {name for name, count in every if count != len(TABLE[name])} == set(INTERNAL)
        for example in EXAMPLES:
            reader.execute(example.encode())
            reader.rollback()
        for forbidden in ("SELECT plan FROM analytics_runs", "SELECT * FROM rfm_results", "CREATE TABLE t (a int)"):
            with pytest.raises((psycopg.errors.InsufficientPrivilege, psycopg.errors.ReadOnlySqlTransaction)):
                reader.execute(forbidden.encode())
            reader.rollback()


def test_the_dbt_sources_are_the_pages_relations() -> None:
    assert {each["name"]: [column["name"] for column in each["columns"]] for each in SOURCES} == TABLE
    assert all(column["description"] for each in SOURCES for column in each["columns"])
