"""Metadata calls of Flight SQL as ADBC makes them, and the same in SQL."""

import pyarrow as pa
import pytest


@pytest.fixture
def tables(shoal, schema):
    shoal.run(f"CREATE TABLE {schema}.t (id BIGINT NOT NULL, name STRING COMMENT 'who') COMMENT 'people'",
              f"CREATE VIEW {schema}.v AS SELECT id FROM {schema}.t")
    return schema


def test_objects_list_catalogs_schemas_tables_and_columns(shoal, tables):
    with shoal.connect() as connection:
        found = connection.adbc_get_objects(
            catalog_filter="lake", db_schema_filter=tables, depth="all").read_all().to_pylist()
    [catalog] = found
    assert catalog["catalog_name"] == "lake"
    [schema] = catalog["catalog_db_schemas"]
    columns = {table["table_name"]: [column["column_name"] for column in table["table_columns"]]
               for table in schema["db_schema_tables"]}
    assert columns == {"t": ["id", "name"], "v": ["id"]}


def test_the_built_in_schemas_are_listed(shoal):
    with shoal.connect() as connection:
        [lake] = [row for row in connection.adbc_get_objects(depth="db_schemas").read_all().to_pylist()
                  if row["catalog_name"] == "lake"]
    names = {schema["db_schema_name"] for schema in lake["catalog_db_schemas"]}
    assert {"raw", "processed", "curated", "default"} <= names


def test_a_table_schema_is_its_arrow_schema(shoal, tables):
    with shoal.connect() as connection:
        found = connection.adbc_get_table_schema("t", catalog_filter="lake", db_schema_filter=tables)
    assert found.field("id").type == pa.int64() and not found.field("id").nullable
    assert found.field("name").type == pa.string()


def test_the_server_says_who_it_is(shoal):
    with shoal.connect() as connection:
        info = connection.adbc_get_info()
        types = connection.adbc_get_table_types()
    assert info["vendor_name"] == "Shoal"
    assert {"TABLE", "VIEW"} <= {name.upper() for name in types}


def test_information_schema_and_show_agree(shoal, tables):
    sql = "SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = $1 ORDER BY 1, 2"
    assert shoal.rows(sql, (tables,)) == [("t", "id"), ("t", "name"), ("v", "id")]
    assert ("lake",) in [row[:1] for row in shoal.rows("SHOW CATALOGS")]
    assert any(tables in row for row in shoal.rows("SHOW SCHEMAS"))
    assert any("t" in row for row in shoal.rows(f"SHOW TABLES IN {tables}"))
    assert any("name" in row for row in shoal.rows(f"SHOW COLUMNS IN {tables}.t"))
    assert any("who" in map(str, row) for row in shoal.rows(f"DESCRIBE {tables}.t"))


def test_show_create_table_makes_the_same_table_again(shoal, tables):
    created = "\n".join(str(row[-1]) for row in shoal.rows(f"SHOW CREATE TABLE {tables}.t"))
    shoal.run(f"DROP TABLE {tables}.t PURGE")
    shoal.run(created)
    again = "\n".join(str(row[-1]) for row in shoal.rows(f"SHOW CREATE TABLE {tables}.t"))
    assert again == created


def test_functions_are_documented(shoal):
    assert any("image_features" in map(str, row) for row in shoal.rows("SHOW FUNCTIONS"))
    described = str(shoal.rows("DESCRIBE FUNCTION image_features"))
    assert "histogram" in described.lower()
