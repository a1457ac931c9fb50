//! `read_images` over files in a folder. Pictures are BMP files of a few bytes.

use std::fs;
use std::path::PathBuf;

use crate::harness::Lake;

/// A BMP file of that many grey pixels.
pub fn bmp(width: u32, height: u32) -> Vec<u8> {
    let row = (width as usize * 3).next_multiple_of(4);
    let pixels = row * height as usize;
    let mut file = b"BM".to_vec();
    for number in [
        54 + pixels as u32,
        0,
        54,
        40,
        width,
        height,
        1 | 24 << 16,
        0,
        pixels as u32,
    ] {
        file.extend(number.to_le_bytes());
    }
    file.resize(54, 0);
    file.resize(54 + pixels, 128);
    file
}

/// A lake, and a folder with `a.bmp`, `deep/b.bmp`, `deep/c.txt`, `deep/er/d.bmp` and a hidden file.
async fn photos() -> (Lake, PathBuf) {
    let lake = Lake::new().await;
    let folder = lake.folder.path().join("photos");
    fs::create_dir_all(folder.join("deep/er")).unwrap();
    for (name, content) in [
        ("a.bmp", bmp(4, 2)),
        ("deep/b.bmp", bmp(8, 3)),
        ("deep/c.txt", b"no picture".to_vec()),
        ("deep/er/d.bmp", bmp(1, 1)),
        ("deep/_hidden.bmp", bmp(1, 1)),
    ] {
        fs::write(folder.join(name), content).unwrap();
    }
    (lake, folder)
}

/// The last parts of the paths that `read_images(arguments)` gives.
async fn names(lake: &Lake, arguments: &str) -> Vec<String> {
    let sql =
        format!("SELECT split_part(path, '/', -1) FROM read_images({arguments}) ORDER BY path");
    lake.rows(&sql).await
}

#[tokio::test]
async fn every_file_of_a_folder_is_a_row_and_pictures_have_size_and_content() {
    let (lake, folder) = photos().await;
    let sql = format!(
        "SELECT split_part(path, '/', -1), size, width, height, format, length(encode(content, 'hex')) = 2 * size, \
         last_modified > TIMESTAMP '2020-01-01' FROM read_images('{}') ORDER BY path",
        folder.display()
    );
    assert_eq!(
        lake.rows(&sql).await,
        [
            "a.bmp|78|4|2|bmp|true|true",
            "b.bmp|126|8|3|bmp|true|true",
            "c.txt|10|||||true",
            "d.bmp|58|1|1|bmp|true|true",
        ]
    );
    let star = format!("SELECT * FROM read_images('{}') LIMIT 0", folder.display());
    let columns = lake.rows(&format!("DESCRIBE {star}")).await;
    let columns: Vec<&str> = columns
        .iter()
        .map(|row| row.trim_end_matches('|'))
        .collect();
    assert_eq!(
        columns,
        [
            "path|STRING",
            "size|BIGINT",
            "last_modified|TIMESTAMP",
            "content|BINARY",
            "width|INT",
            "height|INT",
            "format|STRING",
        ]
    );
}

#[tokio::test]
async fn globs_files_and_several_locations_are_taken() {
    let (lake, folder) = photos().await;
    let at = |below: &str| format!("'{}/{below}'", folder.display());
    assert_eq!(names(&lake, &at("*.bmp")).await, ["a.bmp"]);
    assert_eq!(
        names(&lake, &at("**/*.bmp")).await,
        ["a.bmp", "b.bmp", "d.bmp"]
    );
    assert_eq!(names(&lake, &at("d*p/[bc].*")).await, ["b.bmp", "c.txt"]);
    assert_eq!(names(&lake, &at("deep/b.bmp")).await, ["b.bmp"]);
    assert_eq!(
        names(&lake, &format!("'file://{}/?.bmp'", folder.display())).await,
        ["a.bmp"]
    );
    let both = format!("{}, {}", at("deep/*.bmp"), at("**/b.bmp"));
    assert_eq!(names(&lake, &both).await, ["b.bmp"]);
    for array in [
        format!("[{both}]"),
        format!("ARRAY[{both}]"),
        format!("array({both})"),
    ] {
        assert_eq!(names(&lake, &array).await, ["b.bmp"]);
    }
}

#[tokio::test]
async fn what_cannot_be_listed_is_named() {
    let (lake, folder) = photos().await;
    let folder = folder.display();
    for (arguments, message) in [
        (
            format!("'{folder}/*.gif'"),
            format!("no file matches file://{folder}/*.gif"),
        ),
        (
            format!("'{folder}/none/'"),
            format!("there are no files at file://{folder}/none"),
        ),
        (
            format!("'{folder}/a**'"),
            "the pattern a** is no glob".to_string(),
        ),
        (
            "'photos/*.bmp'".to_string(),
            "'photos/' is relative".to_string(),
        ),
        ("'*.bmp'".to_string(), "is relative".to_string()),
        (
            "'ftp://host/*.bmp'".to_string(),
            "is not a store Shoal knows".to_string(),
        ),
        (
            "1".to_string(),
            "takes locations as text or as an array of text".to_string(),
        ),
        (String::new(), "takes locations as text".to_string()),
        (
            format!("'{folder}', 's3://bucket/'"),
            "are in two stores".to_string(),
        ),
    ] {
        let error = lake
            .error(&format!("SELECT * FROM read_images({arguments})"))
            .await;
        assert!(error.contains(&message), "{arguments}: {error}");
    }
    let error = lake.error("SELECT read_images('x')").await;
    assert!(error.contains("read_images"), "{error}");
}

#[tokio::test]
async fn files_are_read_only_for_what_they_hold() {
    let (lake, folder) = photos().await;
    let glob = format!("{}/**/*.bmp", folder.display());
    let bytes = async |sql: String| {
        let plan = lake
            .rows(&format!("EXPLAIN ANALYZE {sql}"))
            .await
            .join("\n");
        let metric = plan.split("bytes_scanned=").nth(1).map(|rest| {
            let end = rest.find([',', ']']).unwrap();
            rest[..end]
                .trim()
                .parse::<f64>()
                .unwrap_or_else(|_| panic!("{rest}")) as u64
        });
        metric.unwrap_or(0)
    };
    let all = 78 + 126 + 58;
    assert_eq!(
        bytes(format!(
            "SELECT path, size, last_modified FROM read_images('{glob}')"
        ))
        .await,
        0
    );
    assert_eq!(
        bytes(format!("SELECT count(*) FROM read_images('{glob}')")).await,
        0
    );
    assert_eq!(
        bytes(format!("SELECT content FROM read_images('{glob}')")).await,
        all
    );
    assert_eq!(
        bytes(format!("SELECT width FROM read_images('{glob}')")).await,
        all
    );
    let few = format!(
        "SELECT content FROM read_images('{glob}') WHERE path LIKE '%/a.bmp' AND size < 100"
    );
    assert_eq!(bytes(few).await, 78);
    let none = format!("SELECT content FROM read_images('{glob}') WHERE size < 0");
    assert_eq!(bytes(none).await, 0);
    // Files are gone before they are read: nobody notices who does not read them.
    let view = format!("CREATE VIEW files AS SELECT * FROM read_images('{glob}')");
    lake.run(&view).await.unwrap();
    assert_eq!(
        lake.rows("SELECT sum(size) FROM files").await,
        [all.to_string()]
    );
}

#[tokio::test]
async fn a_file_that_is_too_large_has_no_content() {
    let (lake, folder) = photos().await;
    let limit = lake.session.engine().settings().images.max_file_bytes.0;
    fs::File::create(folder.join("huge.bmp"))
        .unwrap()
        .set_len(limit + 1)
        .unwrap();
    let sql = format!(
        "SELECT size, content IS NULL, width FROM read_images('{}/huge.bmp')",
        folder.display()
    );
    assert_eq!(lake.rows(&sql).await, [format!("{}|true|", limit + 1)]);
}

#[tokio::test]
async fn it_feeds_image_functions_tables_and_joins() {
    let (lake, folder) = photos().await;
    let glob = format!("{}/**/*.bmp", folder.display());
    lake.ok(&format!(
        "CREATE TABLE found AS SELECT path, image_width(content) AS w, content FROM read_images('{glob}')"
    ))
    .await;
    assert_eq!(
        lake.rows(&format!(
            "SELECT w, i.width, i.content = f.content FROM found f JOIN read_images('{glob}') i USING (path) ORDER BY w"
        ))
        .await,
        ["1|1|true", "4|4|true", "8|8|true"]
    );
}
