"""What Shoal is asked, in one place."""

#: Each task as an expression over a photo's bytes.
ANSWERS = {
    "resize": "image_resize(content, 224, 224)['data']",
    "hash": "image_hash(content)",
    "features": "image_features(content)",
    "info": "image_info(content)",
    "decode": "image_decode(content)['data']",
}
#: What is added up over all answers, as `pillow_tasks.size` does; of pictures, what their height, width and
#: channels say.
SIZES = {
    "hash": "CASE WHEN answer IS NULL THEN 0 ELSE 1 END",
    "features": "CASE WHEN answer[1] IS NULL THEN 0 ELSE 1 END",
    "info": "answer['width'] * answer['height']",
}


def ingest(folder) -> str:
    return f"COPY INTO raw.images FROM '{folder}' FILEFORMAT = IMAGE"


def total(task: str) -> str:
    """One row: photos that were answered, and the sum of the sizes of the answers."""
    if task not in SIZES:
        picture = ANSWERS[task].removesuffix("['data']")
        return ("SELECT count(data), sum(CAST(height AS BIGINT) * width * channels) FROM "
                f"(SELECT unnest({picture}) FROM raw.images) AS answers(data, height, width, channels, mode)")
    return (f"SELECT count(answer), sum({SIZES[task]}) "
            f"FROM (SELECT {ANSWERS[task]} AS answer FROM raw.images)")


def answers(task: str, names: list[str]) -> str:
    """Name and answer of the photos with these file names."""
    listed = ", ".join(f"'{name}'" for name in names)
    return (f"SELECT name, {ANSWERS[task]} AS answer, image_info(content) AS info "
            f"FROM (SELECT regexp_replace(filename, '.*/', '') AS name, content FROM raw.images) WHERE name IN ({listed})")


# Search: `v` holds vectors; asked for are the k nearest by cosine distance.

def make_vectors(delta, size: int) -> list[str]:
    """A table of Shoal's own from a Delta table that another program has written."""
    return [f"CREATE TABLE staged USING DELTA LOCATION '{delta}'",
            f"CREATE TABLE vectors (id BIGINT, v VECTOR({size}))",
            "INSERT INTO vectors SELECT id, v FROM staged"]


def nearest(k: int, vector="?") -> str:
    """Prepared once, as a service does, with the vector as its parameter."""
    return f"SELECT id FROM vector_search('vectors', 'v', {vector}, {k})"


def plan_of_nearest(vector, k: int) -> str:
    """Its rows tell whether an index is used: EXPLAIN takes no parameters."""
    numbers = ", ".join(f"{number:.8g}" for number in vector)
    return "EXPLAIN " + nearest(k, f"[{numbers}]")


INDEX = "near"


def create_index(kind: str) -> str:
    return f"CREATE INDEX {INDEX} ON vectors USING {kind} (v) WITH (metric = 'cosine')"


#: For each kind of index the option by which a search looks at more, and what is tried beside the default.
#: A graph never keeps fewer nodes in view than candidates are wanted, which are 2 k.
BREADTHS = {
    "IVF": ("probes", (1, 2, 4, 8, 16, 32, 64, 128)),
    "HNSW": ("breadth", (20, 40, 96, 128, 256, 512)),
}
