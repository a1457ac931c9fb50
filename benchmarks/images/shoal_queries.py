"""What Shoal is asked, in one place."""

#: Each task as an expression over a photo's bytes.
ANSWERS = {
    "resize": "image_resize(content, 224, 224)['data']",
    "hash": "image_hash(content)",
    "features": "image_features(content)",
    "info": "image_info(content)",
    "decode": "image_decode(content)['data']",
}
#: What is added up over all answers, as `pillow_tasks.size` does.
SIZES = {
    "resize": "octet_length(answer)",
    "hash": "CASE WHEN answer IS NULL THEN 0 ELSE 1 END",
    "features": "CASE WHEN answer[1] IS NULL THEN 0 ELSE 1 END",
    "info": "answer['width'] * answer['height']",
    "decode": "octet_length(answer)",
}


def ingest(folder) -> str:
    return f"COPY INTO raw.images FROM '{folder}' FILEFORMAT = IMAGE"


def total(task: str) -> str:
    """One row: photos that were answered, and the sum of the sizes of the answers."""
    return (f"SELECT count(answer), sum({SIZES[task]}) "
            f"FROM (SELECT {ANSWERS[task]} AS answer FROM raw.images)")


def answers(task: str, names: list[str]) -> str:
    """Name and answer of the photos with these file names."""
    listed = ", ".join(f"'{name}'" for name in names)
    return (f"SELECT name, {ANSWERS[task]} AS answer, image_info(content) AS info "
            f"FROM (SELECT regexp_replace(filename, '.*/', '') AS name, content FROM raw.images) WHERE name IN ({listed})")


# Search: `v` holds vectors of 256 numbers; asked for are the k nearest by cosine distance.

def make_vectors(delta) -> list[str]:
    """A table of Shoal's own from a Delta table that another program has written."""
    return [f"CREATE TABLE staged USING DELTA LOCATION '{delta}'",
            "CREATE TABLE vectors AS SELECT id, v FROM staged"]


def nearest(vector, k: int) -> str:
    numbers = ", ".join(f"{number:.8g}" for number in vector)
    return f"SELECT id FROM vectors ORDER BY cosine_distance(v, [{numbers}]) LIMIT {k}"


#: For each kind of index how it is made, and what is set before searching by name of the setting.
INDEXES = {
    "IVF": ("CREATE INDEX vectors_v ON vectors USING IVF (v) WITH (metric = 'cosine')",
            {f"nprobes {n}": f"SET search.nprobes = {n}" for n in (1, 2, 4, 8, 16, 32, 64)}),
    "HNSW": ("CREATE INDEX vectors_v ON vectors USING HNSW (v) WITH (metric = 'cosine')",
             {f"ef {n}": f"SET search.ef = {n}" for n in (16, 32, 64, 128, 256)}),
}
