"""The tables of the two platforms that Shoal replaces, created with their DDL as printed there."""

from pathlib import Path

import pytest

SEEDS = Path(__file__).parent / "seeds"


def statements(file: str) -> list[str]:
    """The statements of a seed, which stand without semicolons between blank lines."""
    return (SEEDS / file).read_text().strip().split("\n\n")


@pytest.fixture
def image_lake(shoal):
    """The three tables of the image lake; dropped with their files afterwards."""
    shoal.run(*statements("image_lake.sql"))
    yield shoal
    shoal.run(*(f"DROP TABLE {table} PURGE" for table in ("raw.images", "processed.features", "curated.analytics")))


def test_image_lake_tables_hold_what_is_inserted(image_lake):
    image_lake.run(
        """INSERT INTO raw.images (id, filename, content, mime_type, size, created_at, metadata, ingestion_time, date_partition)
           SELECT 'a', 'a.jpg', X'FFD8', 'image/jpeg', 2, TIMESTAMP '2024-03-05 10:00:00',
                  named_struct('width', 640, 'height', 480, 'channels', 3, 'format', 'JPEG'),
                  TIMESTAMP '2024-03-06 00:00:00', '2024-03-05'""",
        """INSERT INTO processed.features (image_id, feature_vector, model_version, extracted_at, confidence, date_partition)
           VALUES ('a', [0.5, 0.25], 'v1', TIMESTAMP '2024-03-06 00:00:00', 0.9, '2024-03-05'),
                  ('b', NULL, 'v1', NULL, NULL, '2024-03-06')""",
        "INSERT INTO curated.analytics VALUES ('a', 'cat', 0.9, 0.1, TIMESTAMP '2024-03-06 00:00:00', '2024-03-05')",
    )
    rows = image_lake.rows(
        "SELECT id, content, metadata['width'], metadata['format'], date_partition FROM raw.images")
    assert rows == [("a", b"\xff\xd8", 640, "JPEG", "2024-03-05")]
    rows = image_lake.rows("SELECT image_id, feature_vector, date_partition FROM processed.features ORDER BY image_id")
    assert rows == [("a", [0.5, 0.25], "2024-03-05"), ("b", None, "2024-03-06")]
    joined = """SELECT i.filename, a.classification FROM raw.images i
                JOIN curated.analytics a ON a.image_id = i.id WHERE i.date_partition = '2024-03-05'"""
    assert image_lake.rows(joined) == [("a.jpg", "cat")]
    assert sorted(path.name for path in image_lake.location("processed", "features").glob("date_partition=*")) == [
        "date_partition=2024-03-05", "date_partition=2024-03-06"]


def test_data_platform_tables_are_partitioned_as_asked(shoal, schema):
    with shoal.connect() as connection, connection.cursor() as cursor:
        cursor.execute(f"USE lake.{schema}")
        cursor.fetchall()
        for sql in statements("data_platform.sql"):
            cursor.execute(sql)
            cursor.fetchall()
        for sql in (
            "INSERT INTO users VALUES ('u1', 'Ann', 'ann@example.org', TIMESTAMP '2024-01-01 08:00:00', NULL)",
            "INSERT INTO products VALUES ('p1', 'Cup', 'kitchen', 3.5, TIMESTAMP '2024-01-01 00:00:00'), "
            "('p2', 'Lamp', 'living', 20, NULL), ('p3', 'Thing', NULL, 1, NULL)",
            "INSERT INTO transactions (transaction_id, user_id, product_id, quantity, total_amount, transaction_time) VALUES "
            "('t1', 'u1', 'p1', 2, 7, TIMESTAMP '2024-01-02 23:59:59'), ('t2', 'u1', 'p2', 1, 20, TIMESTAMP '2024-01-03 00:00:00')",
        ):
            cursor.execute(sql)
            cursor.fetchall()

        cursor.execute("SELECT user_id, last_login FROM users WHERE created_at = TIMESTAMP '2024-01-01 08:00:00'")
        assert cursor.fetchall() == [("u1", None)]
        cursor.execute("SELECT category, count(*) FROM products GROUP BY category ORDER BY category NULLS LAST")
        assert cursor.fetchall() == [("kitchen", 1), ("living", 1), (None, 1)]
        cursor.execute(
            "SELECT transaction_id FROM transactions WHERE transaction_time >= TIMESTAMP '2024-01-03 00:00:00'")
        assert cursor.fetchall() == [("t2",)]
        cursor.execute("EXPLAIN SELECT transaction_id FROM transactions WHERE transaction_time >= TIMESTAMP '2024-01-03 00:00:00'")
        assert "1 of 2 files" in str(cursor.fetchall()), "the other day's file is pruned by the generated column"


def test_an_insert_into_a_missing_table_names_it(shoal, schema):
    with pytest.raises(Exception, match="no_such_table"):
        shoal.run(f"INSERT INTO {schema}.no_such_table VALUES (1)")
