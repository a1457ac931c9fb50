//! Batches of files that become pictures: bounded by the pictures, not by the files.

use arrow::array::{Array as _, AsArray as _};

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

#[tokio::test]
async fn pictures_are_made_of_as_many_rows_as_memory_has_room_for() {
    let lake = files().await;
    let sql = "SELECT image_decode(content) AS image FROM (SELECT * FROM files ORDER BY id % 500)";
    let Outcome::Rows(batches) = lake.run(sql).await.unwrap() else {
        panic!("a query gives rows");
    };
    let sizes: Vec<(usize, usize)> = batches
        .iter()
        .map(|batch| {
            let data = batch.column(0).as_struct().column(0).as_binary::<i32>();
            (data.len(), data.value_data().len())
        })
        .collect();
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
async fn what_makes_no_pictures_is_not_split() {
    let lake = files().await;
    let sql = "SELECT image_hash(content), image_width(image_resize(content, 9, 9)) FROM files";
    let plan = lake.rows(&format!("EXPLAIN {sql}")).await.join("\n");
    assert!(!plan.contains("Split"), "{plan}");
}
