//! Tables that Shoal made: what is written comes back, is pruned, and is refused by name.

use super::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_come_back_and_files_are_pruned_by_partition_and_bounds() {
    let fixture = Fixture::new();
    let snapshot = fixture.create(&fixture.sales("sales"), ROWS).await;
    assert_eq!(snapshot.files().len(), 5);
    assert_eq!(
        fixture
            .query(&snapshot, "SELECT * FROM t ORDER BY id")
            .await,
        "\
+----+-----------------------------+----------+-------+
| id | ts                          | category | price |
+----+-----------------------------+----------+-------+
| 1  | 2024-01-01T10:00:00Z        | a        | 1.50  |
| 2  | 2024-01-01T23:59:59.999999Z | b        | 2.50  |
| 3  | 2024-01-02T00:00:00Z        | a        | 3.50  |
| 4  |                             |          |       |
| 5  | 1969-12-31T23:00:00Z        |          | -5.25 |
+----+-----------------------------+----------+-------+"
    );
    for (condition, files) in [
        ("category = 'a'", 2),
        ("category = ''", 1),
        ("category IS NULL", 1),
        ("ts >= TIMESTAMP '2024-01-02T00:00:00Z'", 1),
        ("ts < TIMESTAMP '1970-01-01T00:00:00Z'", 1),
        (
            "ts = TIMESTAMP '2024-01-01T10:00:00Z' AND category = 'b'",
            0,
        ),
        ("id > 4", 1),
        ("price BETWEEN 2 AND 3", 1),
        ("price IS NULL", 1),
    ] {
        let read = fixture.files_read(&snapshot, condition).await;
        assert_eq!(read, files, "{condition}");
        let count = format!("SELECT count(*) AS n FROM t WHERE {condition}");
        let found = fixture.query(&snapshot, &count).await;
        assert!(
            found.contains(&format!("| {files} |")),
            "{condition}\n{found}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn appends_of_two_processes_all_arrive() {
    let fixture = Fixture::new();
    let empty = fixture
        .lake
        .create(&fixture.sales("sales"), &[], false)
        .await
        .unwrap();
    assert_eq!(empty.files().len(), 0);
    let spec = WriteSpec::for_snapshot(&empty, &fixture.settings.write).unwrap();
    let lakes = [Lake::new(&fixture.settings), Lake::new(&fixture.settings)];
    let mut commits = vec![];
    for n in 0..6_usize {
        let sql = format!("SELECT {n} AS id, TIMESTAMP '2024-01-01T00:00:00Z', 'x', 1.25");
        let changes = Changes {
            mode: WriteMode::Append,
            add: fixture.write(&sql, spec.clone()).await,
        };
        let lake = lakes[n % 2].clone();
        let table = empty.table().clone();
        commits.push(tokio::spawn(async move {
            let base = lake.snapshot(&table).await?;
            lake.commit(&base, &changes).await
        }));
    }
    for commit in commits {
        assert_eq!(commit.await.unwrap().unwrap().rows, 1);
    }
    let now = fixture.lake.snapshot(empty.table()).await.unwrap();
    assert_eq!(now.version(), 6);
    let found = fixture
        .query(&now, "SELECT count(*) AS n, sum(id) AS s FROM t")
        .await;
    assert!(found.contains("| 6 | 15 |"), "{found}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_iceberg_tables_cannot_have_is_refused_by_name() {
    let fixture = Fixture::new();
    let message = |result: Result<Arc<Snapshot>, LakeError>| result.unwrap_err().to_string();
    let mut request = fixture.sales("sales");
    request.checks.push(CheckConstraint {
        name: "positive".into(),
        expression: "id > 0".into(),
    });
    let refused = message(fixture.lake.create(&request, &[], false).await);
    assert!(refused.contains("CHECK constraints"), "{refused}");

    let mut request = fixture.sales("sales");
    request.partition_by[0].source = "price".into();
    let refused = message(fixture.lake.create(&request, &[], false).await);
    assert!(
        refused.contains("cannot partition by day of column price"),
        "{refused}"
    );

    let snapshot = fixture.create(&fixture.sales("sales"), ROWS).await;
    let again = fixture
        .lake
        .create(&fixture.sales("sales"), &[], false)
        .await;
    assert!(
        matches!(again, Err(LakeError::AlreadyExists { .. })),
        "{again:?}"
    );
    let overwrite = Changes {
        mode: WriteMode::Overwrite,
        add: vec![],
    };
    let refused = fixture
        .lake
        .commit(&snapshot, &overwrite)
        .await
        .unwrap_err();
    assert!(refused.to_string().contains("lake.raw.sales"), "{refused}");

    fixture.lake.forget(snapshot.table()).await.unwrap();
    let gone = fixture.lake.snapshot(snapshot.table()).await;
    assert!(matches!(gone, Err(LakeError::NotATable { .. })), "{gone:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn properties_and_comment_are_kept_in_the_table() {
    let fixture = Fixture::new();
    let request = CreateTable {
        comment: Some("first".into()),
        properties: BTreeMap::from([("a".into(), "1".into()), ("b".into(), "2".into())]),
        ..fixture.sales("sales")
    };
    let snapshot = fixture.lake.create(&request, &[], false).await.unwrap();
    assert_eq!(snapshot.comment(), Some("first"));
    let changes = BTreeMap::from([
        ("a".to_owned(), None),
        ("c".to_owned(), Some("3".to_owned())),
    ]);
    fixture
        .lake
        .set_properties(&snapshot, &changes, Some("second"))
        .await
        .unwrap();
    let changed = fixture.lake.snapshot(snapshot.table()).await.unwrap();
    assert_eq!(changed.comment(), Some("second"));
    let kept: Vec<_> = changed
        .properties()
        .iter()
        .map(|(k, v)| format!("{k}={v}"))
        .collect();
    assert_eq!(kept, ["b=2", "c=3", "comment=second"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_transform_prunes_by_conditions_on_its_source() {
    let fixture = Fixture::new();
    let rows = "SELECT * FROM (VALUES
        ('alpha', TIMESTAMP '2023-05-01T10:30:00'), ('alpine', TIMESTAMP '2023-06-01T10:30:00'),
        ('beta', TIMESTAMP '2024-05-01T10:30:00'), ('gamma', TIMESTAMP '2024-05-01T11:30:00'),
        (NULL, NULL)) AS r (s, ts)";
    let cases = [
        ("s", Transform::Truncate(2), 4, "s = 'alpha'", 1),
        ("s", Transform::Truncate(2), 4, "s > 'b'", 2),
        ("s", Transform::Bucket(16), 5, "s = 'beta'", 1),
        (
            "s",
            Transform::Bucket(16),
            5,
            "s IN ('beta', 'gamma') AND s <> 'x'",
            2,
        ),
        (
            "ts",
            Transform::Year,
            3,
            "ts < TIMESTAMP '2023-12-31T00:00:00'",
            1,
        ),
        (
            "ts",
            Transform::Month,
            4,
            "ts = TIMESTAMP '2023-06-01T10:30:00'",
            1,
        ),
        (
            "ts",
            Transform::Day,
            4,
            "ts >= TIMESTAMP '2024-05-01T11:30:00'",
            1,
        ),
        (
            "ts",
            Transform::Hour,
            5,
            "ts >= TIMESTAMP '2024-05-01T11:30:00'",
            1,
        ),
    ];
    for (number, (source, transform, files, condition, read)) in cases.into_iter().enumerate() {
        let fields = vec![
            Field::new("s", DataType::Utf8, true),
            Field::new("ts", DataType::Timestamp(TimeUnit::Microsecond, None), true),
        ];
        let request = CreateTable {
            partition_by: vec![PartitionField {
                name: format!("{source}_part"),
                source: source.into(),
                transform,
            }],
            ..fixture.plain(&format!("t{number}"), Schema::new(fields))
        };
        let snapshot = fixture.create(&request, rows).await;
        assert_eq!(snapshot.files().len(), files, "{transform:?}");
        // Without bounds only the partition values are left to prune by.
        let blind = without_bounds(&snapshot);
        assert_eq!(
            fixture.files_read(&blind, condition).await,
            read,
            "{transform:?} {condition}"
        );
        let count = format!("SELECT count(*) AS n FROM t WHERE {condition}");
        let all = fixture.query(&snapshot, &count).await;
        assert_eq!(
            fixture.query(&blind, &count).await,
            all,
            "{transform:?} {condition}"
        );
    }
}

/// The snapshot with files of which nothing but the partition values is known.
fn without_bounds(snapshot: &Snapshot) -> Arc<Snapshot> {
    let files = snapshot.files().iter().map(|file| {
        Arc::new(DataFile {
            stats: None,
            ..file.as_ref().clone()
        })
    });
    Arc::new(Snapshot {
        table: snapshot.table.clone(),
        version: snapshot.version,
        schema: snapshot.schema.clone(),
        partition_by: snapshot.partition_by.clone(),
        generated: vec![],
        checks: vec![],
        comment: None,
        properties: BTreeMap::new(),
        files: Arc::new(files.collect()),
        base: snapshot.base.clone(),
        stats: std::sync::OnceLock::new(),
    })
}
