//! Batches of files that become pictures: bounded by the pictures, not by the files.

use arrow::array::{Array as _, AsArray as _, RecordBatch};

use crate::harness::{Lake, Outcome};
use crate::read_images::bmp;

/// A table `files (id, content)`: rows 1 to 1000 are pictures of 2 x 2 pixels, row 0 is a PNG of one
/// color of 4096 x 4096.
async fn files() -> Lake {
    let lake = Lake::new().await;
    let small: String = bmp(2, 2).iter().map(|byte| format!("{byte:02x}")).collect();
    lake.ok("CREATE TABLE files (id BIGINT, content BINARY)")
        .await;
    lake.ok(&format!(
        "INSERT INTO files SELECT i, X'{small}' FROM (SELECT unnest(generate_series(0, 1000)) AS i) WHERE i > 0"
    ))
    .await;
    lake.ok(&format!(
        "INSERT INTO files SELECT 0, image_encode(image_resize(X'{small}', 4096, 4096), 'png')"
    ))
    .await;
    lake
}

/// Rows and bytes of pixels of each batch that `sql` gives.
async fn sizes(lake: &Lake, sql: &str) -> Vec<(usize, usize)> {
    let Outcome::Rows(batches) = lake.run(sql).await.unwrap() else {
        panic!("a query gives rows");
    };
    let size = |batch: &RecordBatch| {
        let data = batch.column(0).as_struct().column(0).as_binary::<i32>();
        (data.len(), data.value_data().len())
    };
    batches.iter().map(size).collect()
}

#[tokio::test]
async fn pictures_are_made_of_as_many_rows_as_memory_has_room_for() {
    let lake = files().await;
    let sql = "SELECT image_decode(content) AS image FROM (SELECT * FROM files ORDER BY id % 500)";
    let sizes = sizes(&lake, sql).await;
    let rows: usize = sizes.iter().map(|(rows, _)| rows).sum();
    let bytes: usize = sizes.iter().map(|(_, bytes)| bytes).sum();
    assert_eq!((rows, bytes), (1001, 1000 * 2 * 2 * 3 + 4096 * 4096 * 3));
    assert!(sizes.contains(&(1, 4096 * 4096 * 3)), "{sizes:?}");
    assert!(sizes.len() <= 3, "{sizes:?}");
}

#[tokio::test]
async fn an_aggregate_of_pictures_is_computed_piece_by_piece() {
    let lake = files().await;
    let sql = "SELECT count(*), sum(image_decode(content)['width'] * image_decode(content)['height']) FROM files";
    let pixels = 1000 * 2 * 2 + 4096 * 4096;
    assert_eq!(lake.rows(sql).await, [format!("1001|{pixels}")]);
    let plan = lake.rows(&format!("EXPLAIN {sql}")).await.join("\n");
    assert!(plan.contains("SplitExec: max_bytes=33554432"), "{plan}");
}

#[tokio::test]
async fn a_condition_on_pictures_comes_after_those_that_the_scan_decides() {
    let lake = files().await;
    let sql = "SELECT count(*) FROM files \
               WHERE image_decode(content)['width'] = 2 AND id BETWEEN 5 AND 14";
    assert_eq!(lake.rows(sql).await, ["10"]);
    let plan = lake.rows(&format!("EXPLAIN {sql}")).await.join("\n");
    let (above, below) = plan.split_once("Split: max_bytes").unwrap();
    assert!(
        above.contains("image_decode") && !above.contains("id >="),
        "{plan}"
    );
    assert!(below.contains("id >= Int64(5)"), "{plan}");
}

#[tokio::test]
async fn a_picture_whose_fields_are_taken_is_made_once_and_after_rows_are_chosen() {
    let lake = files().await;
    let subquery = "SELECT picture.width, picture.height, picture.channels \
                    FROM (SELECT id, image_resize(content, 9, 8) AS picture FROM files) WHERE id % 500 = 5";
    let directly = "SELECT image_resize(content, 9, 8).width, image_resize(content, 9, 8).height, \
                    image_resize(content, 9, 8).channels FROM files WHERE id % 500 = 5";
    for sql in [subquery, directly] {
        assert_eq!(lake.rows(sql).await, ["9|8|3", "9|8|3"]);
        let plan = lake.rows(&format!("EXPLAIN {sql}")).await.join("\n");
        let (_, physical) = plan.split_once("physical_plan").unwrap();
        let calls: Vec<_> = physical.match_indices("image_resize(content").collect();
        assert_eq!(calls.len(), 1, "{plan}");
        // What is further down happens earlier.
        assert!(physical.rfind("% 500 = 5") > Some(calls[0].0), "{plan}");
    }
}

/// Files as an expression that is no column.
const COMPUTED: &str = "decode(encode(content, 'base64'), 'base64')";

#[tokio::test]
async fn pictures_of_computed_files_are_bounded_like_those_of_a_column() {
    let lake = files().await;
    let sql =
        format!("SELECT image_decode({COMPUTED}) FROM (SELECT * FROM files ORDER BY id % 500)");
    let known = sizes(&lake, &sql).await;
    assert_eq!(known.iter().map(|(rows, _)| rows).sum::<usize>(), 1001);
    assert!(known.contains(&(1, 4096 * 4096 * 3)), "{known:?}");
    assert!(known.len() <= 3, "{known:?}");

    let sql = format!(
        "SELECT sum(image_decode({COMPUTED})['width']), count(*) FILTER (WHERE image_decode({COMPUTED})['height'] = 2) FROM files"
    );
    assert_eq!(lake.rows(&sql).await, ["6096|1000"]);
}

#[tokio::test]
async fn files_are_computed_below_the_node_once_and_for_no_row_that_is_left_out() {
    let lake = files().await;
    lake.ok("CREATE TABLE links (id BIGINT, u STRING)").await;
    let plan = async |sql: &str| lake.rows(&format!("EXPLAIN {sql}")).await.join("\n");

    let shown = plan("SELECT image_decode(url_download(u)) FROM links").await;
    let (above, below) = shown.split_once("Split: max_bytes").unwrap();
    assert!(
        !above.contains("url_download(links.u) AS") && below.contains("url_download(links.u) AS"),
        "{shown}"
    );

    let condition = "image_decode(url_download(u))['width'] > 2 AND id = 3";
    let shown = plan(&format!("SELECT id FROM links WHERE {condition}")).await;
    let (_, below) = shown.split_once("url_download(links.u) AS").unwrap();
    assert!(below.contains("links.id = Int64(3)"), "{shown}");
    let sql = format!("DESCRIBE SELECT * FROM links WHERE {condition}");
    assert_eq!(lake.rows(&sql).await.len(), 2, "no column is added");

    let branch = "CASE WHEN id = 3 THEN image_decode(url_download(u)) END";
    let shown = plan(&format!("SELECT {branch} FROM links")).await;
    assert!(
        shown.contains("Split: max_bytes") && !shown.contains("url_download(links.u) AS"),
        "{shown}"
    );
}

#[tokio::test]
async fn pictures_in_a_branch_and_in_a_sort_are_made_one_by_one_of_computed_files() {
    let lake = files().await;
    let sql = format!(
        "SELECT CASE WHEN id < 5 THEN image_decode({COMPUTED}) END FROM files WHERE id < 10 "
    );
    let sizes = sizes(&lake, &sql).await;
    assert_eq!(sizes.iter().map(|(rows, _)| rows).max(), Some(&1));
    assert_eq!(sizes.iter().map(|(rows, _)| rows).sum::<usize>(), 10);
    let sql = format!(
        "SELECT id FROM files WHERE id < 3 ORDER BY image_decode({COMPUTED})['width'] DESC, id"
    );
    assert_eq!(lake.rows(&sql).await, ["0", "1", "2"]);
    let sql = "SELECT array_length(array_transform([content], x -> image_decode(x))) FROM files WHERE id = 1";
    assert_eq!(lake.rows(sql).await, ["1"]);
}

#[tokio::test]
async fn what_makes_no_pictures_is_not_split() {
    let lake = files().await;
    let sql = "SELECT image_hash(content), image_width(image_resize(content, 9, 9)) FROM files";
    let plan = lake.rows(&format!("EXPLAIN {sql}")).await.join("\n");
    assert!(!plan.contains("Split"), "{plan}");
}
