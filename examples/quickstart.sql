-- What `make quickstart` runs once the photos of examples/photos are in raw.images.
-- Run it again as often as you like: it adds features of new images only.

-- 1. A vector of 192 numbers for each image, computed where its bytes are.
CREATE TABLE IF NOT EXISTS processed.features (
    image_id STRING,
    feature_vector ARRAY<FLOAT>,
    model_version STRING,
    extracted_at TIMESTAMP,
    confidence DOUBLE
)
USING DELTA
PARTITIONED BY (date_partition STRING);

INSERT INTO processed.features
SELECT id, image_features(content), 'image_features 1', now(), 1.0, date_partition
FROM raw.images
WHERE id NOT IN (SELECT image_id FROM processed.features);

-- 2. The photos numbered 01 are named for what they show. Every other photo gets the name of the
--    one that looks most like it.
CREATE TABLE IF NOT EXISTS curated.analytics (
    image_id STRING,
    classification STRING,
    confidence DOUBLE,
    processing_time DOUBLE,
    created_at TIMESTAMP
)
USING DELTA
PARTITIONED BY (date_partition STRING);

INSERT OVERWRITE curated.analytics
WITH photos AS (
    SELECT id, filename LIKE '%-01.%' AS is_example,
           regexp_replace(filename, '.*/|-01.*', '', 'g') AS subject,
           feature_vector, images.date_partition
    FROM raw.images JOIN processed.features ON id = image_id
),
pairs AS (
    SELECT photo.id, photo.date_partition, example.subject,
           vector_cosine_similarity(photo.feature_vector, example.feature_vector) AS similarity
    FROM photos AS photo CROSS JOIN photos AS example
    WHERE example.is_example AND NOT photo.is_example
),
ranked AS (
    SELECT *, row_number() OVER (PARTITION BY id ORDER BY similarity DESC) AS place FROM pairs
)
SELECT id, subject, similarity, CAST(NULL AS DOUBLE), now(), date_partition
FROM ranked
WHERE place = 1;
