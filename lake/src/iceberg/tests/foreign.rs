//! Tables that other engines changed: columns renamed, partitioning evolved, rows deleted.

use super::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_renamed_column_is_found_by_its_id_and_an_old_name_is_not_reused() {
    let fixture = Fixture::new();
    let inner = vec![
        Field::new("x", DataType::Int32, true),
        Field::new("y", DataType::Int32, true),
    ];
    let fields = vec![
        Field::new("id", DataType::Int32, false),
        Field::new("old", DataType::Utf8, true),
        Field::new("point", DataType::Struct(inner.into()), true),
    ];
    let request = fixture.plain("renamed", Schema::new(fields));
    let rows = "SELECT 1, 'first', {x: 10, y: 20} UNION ALL SELECT 2, 'second', {x: 30, y: 40}";
    let before = fixture.create(&request, rows).await;
    // ids: id 1, old 2, point 3, point.x 4, point.y 5
    edit_metadata(&fixture, &before, |metadata| {
        let mut schema = metadata["schemas"][0].clone();
        schema["schema-id"] = 1.into();
        let mut fields = schema["fields"].as_array().unwrap().clone();
        fields[0]["type"] = "long".into();
        fields[1]["name"] = "new".into();
        fields[2]["type"]["fields"][0]["name"] = "y".into();
        fields[2]["type"]["fields"][1]["name"] = "x".into();
        fields.push(serde_json::json!(
            {"id": 6, "name": "old", "required": false, "type": "string"}
        ));
        schema["fields"] = fields.into();
        metadata["schemas"].as_array_mut().unwrap().push(schema);
        metadata["current-schema-id"] = 1.into();
        metadata["last-column-id"] = 6.into();
    })
    .await;
    let after = fixture.lake.snapshot(before.table()).await.unwrap();
    let after = fixture
        .append(
            &after,
            "SELECT 3000000000, 'third', {y: 50, x: 60}, 'again'",
        )
        .await;
    assert_eq!(
        fixture
            .query(
                &after,
                "SELECT id, new, point.x AS x, point.y AS y, point, old FROM t \
                 WHERE point.y < 51 AND new <> 'x' ORDER BY id"
            )
            .await,
        "\
+------------+--------+----+----+----------------+-------+
| id         | new    | x  | y  | point          | old   |
+------------+--------+----+----+----------------+-------+
| 1          | first  | 20 | 10 | {y: 10, x: 20} |       |
| 2          | second | 40 | 30 | {y: 30, x: 40} |       |
| 3000000000 | third  | 60 | 50 | {y: 50, x: 60} | again |
+------------+--------+----+----+----------------+-------+"
    );
    let found = fixture
        .query(&after, "SELECT id FROM t WHERE old IS NOT NULL")
        .await;
    assert!(
        found.contains("3000000000") && !found.contains("| 1 "),
        "{found}"
    );
    let found = fixture
        .query(&after, "SELECT id FROM t WHERE new = 'second'")
        .await;
    assert!(found.contains("| 2  |"), "{found}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_of_an_older_partitioning_are_read_too() {
    let fixture = Fixture::new();
    let request = CreateTable {
        partition_by: vec![],
        ..fixture.sales("sales")
    };
    let before = fixture.create(&request, ROWS).await;
    edit_metadata(&fixture, &before, |metadata| {
        let field = serde_json::json!({
            "source-id": 3, "field-id": 1000, "name": "category", "transform": "identity"
        });
        let spec = serde_json::json!({"spec-id": 1, "fields": [field]});
        metadata["partition-specs"]
            .as_array_mut()
            .unwrap()
            .push(spec);
        metadata["default-spec-id"] = 1.into();
        metadata["last-partition-id"] = 1000.into();
    })
    .await;
    let after = fixture.lake.snapshot(before.table()).await.unwrap();
    let after = fixture
        .append(&after, "SELECT 6 AS id, NULL, 'a', 1.00")
        .await;
    assert_eq!(after.files().len(), 2);
    let found = fixture
        .query(&after, "SELECT count(*) AS n FROM t WHERE category = 'a'")
        .await;
    assert!(found.contains("| 3 |"), "{found}");
    assert_eq!(fixture.files_read(&after, "category = 'c'").await, 0);
    assert_eq!(fixture.files_read(&after, "category = ''").await, 1);

    let stale = Changes {
        mode: WriteMode::Append,
        add: fixture
            .write(
                ROWS,
                WriteSpec::for_snapshot(&before, &fixture.settings.write).unwrap(),
            )
            .await,
    };
    let conflict = fixture.lake.commit(&before, &stale).await.unwrap_err();
    assert!(matches!(conflict, LakeError::Conflict { .. }), "{conflict}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn names_are_found_in_whatever_case_another_engine_gave_them() {
    let fixture = Fixture::new();
    let mut request = fixture.sales("Sales");
    request.table.name = "lake.Shop.Sales".into();
    fixture.create(&request, ROWS).await;
    let attached = fixture.lake.attached();
    let found = attached
        .find("lake", "shop", "sales")
        .await
        .unwrap()
        .unwrap();
    assert_eq!(found.location, request.table.location);
    let snapshot = fixture.lake.snapshot(&found).await.unwrap();
    assert_eq!(snapshot.files().len(), 5);
    assert_eq!(attached.tables("lake", "SHOP").await.unwrap(), ["Sales"]);
    fixture.lake.forget(&found).await.unwrap();
    assert_eq!(attached.find("lake", "Shop", "Sales").await.unwrap(), None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tables_with_deletes_are_refused_by_the_kind_of_deletes() {
    let fixture = Fixture::new();
    let kinds = [
        (
            DataContentType::PositionDeletes,
            DataFileFormat::Parquet,
            "position deletes",
        ),
        (
            DataContentType::EqualityDeletes,
            DataFileFormat::Parquet,
            "equality deletes",
        ),
        (
            DataContentType::PositionDeletes,
            DataFileFormat::Puffin,
            "deletion vectors",
        ),
    ];
    for (number, (content, format, name)) in kinds.into_iter().enumerate() {
        let schema = Schema::new(vec![Field::new("id", DataType::Int64, true)]);
        let request = fixture.plain(&format!("t{number}"), schema);
        let before = fixture.create(&request, "SELECT 1").await;
        let file = DataFileBuilder::default()
            .content(content)
            .file_path(format!("{}deletes", before.table().location))
            .file_format(format)
            .record_count(1)
            .file_size_in_bytes(1)
            .build()
            .unwrap();
        add_deletes(&fixture, &before, file).await;
        let refused = fixture
            .lake
            .snapshot(before.table())
            .await
            .unwrap_err()
            .to_string();
        assert!(
            refused.contains(name) && refused.contains(&before.table().name),
            "{refused}"
        );
    }
}

async fn add_deletes(fixture: &Fixture, snapshot: &Snapshot, file: iceberg::spec::DataFile) {
    let (catalog, table) = fixture
        .lake
        .attached()
        .table(snapshot.table())
        .await
        .unwrap();
    let metadata = table.metadata();
    let current = metadata.current_snapshot().unwrap();
    let folder = format!("{}/metadata", metadata.location());
    let output = |name: &str| {
        table
            .file_io()
            .new_output(format!("{folder}/{name}"))
            .unwrap()
    };
    let spec = metadata.default_partition_spec().as_ref().clone();
    let schema = metadata.current_schema().clone();
    let mut manifest =
        ManifestWriterBuilder::new(output("d.avro"), Some(1), schema, spec).build_v2_deletes();
    manifest.add_file(file, 2).unwrap();
    let manifest = manifest.write_manifest_file().await.unwrap();
    let list_file = output("list.avro");
    let list_path = list_file.location().to_owned();
    let mut list = ManifestListWriter::v2(
        list_file.writer().await.unwrap(),
        1,
        Some(current.snapshot_id()),
        2,
    );
    let existing = table.manifest_list_reader(current).load().await.unwrap();
    let manifests = existing.entries().iter().cloned().chain([manifest]);
    list.add_manifests(manifests).unwrap();
    list.close().await.unwrap();
    let deleted = iceberg::spec::Snapshot::builder()
        .with_snapshot_id(1)
        .with_parent_snapshot_id(Some(current.snapshot_id()))
        .with_sequence_number(2)
        .with_timestamp_ms(current.timestamp_ms() + 1)
        .with_manifest_list(list_path)
        .with_summary(current.summary().clone())
        .build();
    let builder = metadata.clone().into_builder(None);
    let built = builder
        .set_branch_snapshot(deleted, "main")
        .unwrap()
        .build()
        .unwrap();
    let location = MetadataLocation::new_with_metadata(metadata.location(), &built.metadata);
    built
        .metadata
        .write_to(table.file_io(), &location)
        .await
        .unwrap();
    catalog.drop_table(table.identifier()).await.unwrap();
    catalog
        .register_table(table.identifier(), location.to_string())
        .await
        .unwrap();
}

/// Rewrites the table's newest metadata file, as an engine would that knows more changes than the
/// library.
async fn edit_metadata(
    fixture: &Fixture,
    snapshot: &Snapshot,
    edit: impl FnOnce(&mut serde_json::Value),
) {
    let (catalog, ident) = fixture
        .lake
        .attached()
        .locate(snapshot.table())
        .await
        .unwrap();
    let folder = fixture
        .folder
        .path()
        .join("lake")
        .join(&ident.name)
        .join("metadata");
    let newest = std::fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.to_string_lossy().ends_with(".metadata.json"))
        .max()
        .unwrap();
    let text = std::fs::read_to_string(&newest).unwrap();
    let mut metadata: serde_json::Value = serde_json::from_str(&text).unwrap();
    edit(&mut metadata);
    let name = "00001-3f2504e0-4f89-41d3-9a0c-0305e82c3301.metadata.json";
    std::fs::write(folder.join(name), metadata.to_string()).unwrap();
    catalog.drop_table(&ident).await.unwrap();
    let location = format!("file://{}/{name}", folder.display());
    catalog.register_table(&ident, location).await.unwrap();
}
