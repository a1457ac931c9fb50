//! The behaviours themselves. Each takes the URL of an empty database.

use std::collections::BTreeMap;

use shoal_catalog::{
    Catalog, CatalogError, CreateMode, ModelEntry, ObjectKind, SchemaEntry, TableEntry, TableKind,
};

fn table(schema: &str, name: &str) -> TableEntry {
    let mut entry = TableEntry::new("lake", schema, name, TableKind::Managed);
    entry.format = Some("delta".into());
    entry.location = Some(format!("file:///lake/{schema}/{name}/"));
    entry
}

fn view(schema: &str, name: &str) -> TableEntry {
    let mut entry = TableEntry::new("lake", schema, name, TableKind::View);
    entry.definition = Some("SELECT 1 AS one".into());
    entry
}

fn model(schema: &str, name: &str) -> ModelEntry {
    ModelEntry {
        catalog: "lake".into(),
        schema: schema.into(),
        name: name.into(),
        version: 0,
        location: "s3://models/m.onnx".into(),
        hash: "00ff".repeat(16),
        bytes: 1 << 40,
        definition: "{}".into(),
        comment: Some("it's \u{1f4f7}".into()),
        created_at_ms: 1_700_000_000_000,
    }
}

fn schema(catalog: &str, name: &str) -> SchemaEntry {
    SchemaEntry {
        catalog: catalog.into(),
        name: name.into(),
        comment: None,
        location: None,
    }
}

async fn names(catalog: &Catalog, schema: &str) -> Vec<String> {
    let tables = catalog.tables("lake", schema).await.unwrap();
    tables.into_iter().map(|t| t.name).collect()
}

pub async fn a_new_catalog_holds_the_zones(url: String) {
    let catalog = Catalog::open(&url).await.unwrap();
    assert_eq!(catalog.catalogs().await.unwrap(), ["lake"]);
    let schemas = catalog.schemas("lake").await.unwrap();
    let names: Vec<_> = schemas.iter().map(|s| s.name.as_str()).collect();
    assert_eq!(names, ["curated", "default", "processed", "raw"]);
    assert!(schemas.iter().all(|s| s.location.is_none()));
}

pub async fn entries_come_back_as_they_were_stored(url: String) {
    let catalog = Catalog::open(&url).await.unwrap();
    let mut stored = table("raw", "images");
    stored.kind = TableKind::External;
    stored.comment = Some("Bilder \u{1f4f7} of the 'shop'; --".into());
    stored.properties = BTreeMap::from([("a.b".into(), "\"q\" \\".into()), ("".into(), "".into())]);
    catalog
        .create_table(&stored, CreateMode::Fail)
        .await
        .unwrap();
    let stored_view = view("raw", "recent");
    catalog
        .create_table(&stored_view, CreateMode::Fail)
        .await
        .unwrap();
    let stored_schema = SchemaEntry {
        comment: Some("mine".into()),
        location: Some("s3://bucket/mine/".into()),
        ..schema("lake", "mine")
    };
    catalog.create_schema(&stored_schema, false).await.unwrap();

    let found = catalog.table("lake", "raw", "images").await.unwrap();
    assert_eq!(found, Some(stored.clone()));
    let tables = catalog.tables("lake", "raw").await.unwrap();
    assert_eq!(tables, [stored.clone(), stored_view]);
    let found = catalog.schema("lake", "mine").await.unwrap();
    assert_eq!(found, Some(stored_schema));
    let dropped = catalog.drop_table("lake", "raw", "images").await.unwrap();
    assert_eq!(dropped, Some(stored));
    assert_eq!(catalog.table("lake", "raw", "images").await.unwrap(), None);
    let dropped = catalog.drop_table("lake", "raw", "images").await.unwrap();
    assert_eq!(dropped, None);
}

pub async fn names_are_case_insensitive(url: String) {
    let catalog = Catalog::open(&url).await.unwrap();
    let entry = TableEntry::new("LAKE", "Raw", "Größen_TABLE", TableKind::Managed);
    catalog
        .create_table(&entry, CreateMode::Fail)
        .await
        .unwrap();
    assert_eq!(names(&catalog, "raw").await, ["größen_table"]);
    let found = catalog.table("Lake", "RAW", "GRÖSSEN_TABLE").await.unwrap();
    assert_eq!(found, None, "ß is a letter of its own");
    let found = catalog.table("Lake", "RAW", "GRÖßEN_table").await.unwrap();
    assert_eq!(found.unwrap().full_name(), "lake.raw.größen_table");
    assert!(
        !catalog
            .create_schema(&schema("lake", "CURATED"), true)
            .await
            .unwrap()
    );
    for bad in ["", "a\nb", "nul\0"] {
        let entry = TableEntry::new("lake", "raw", bad, TableKind::Managed);
        let error = catalog
            .create_table(&entry, CreateMode::Fail)
            .await
            .unwrap_err();
        assert!(matches!(error, CatalogError::InvalidName { .. }), "{bad:?}");
    }
}

pub async fn creating_a_taken_name_follows_the_mode(url: String) {
    let catalog = Catalog::open(&url).await.unwrap();
    let first = table("raw", "t");
    let second = TableEntry {
        location: Some("file:///elsewhere/".into()),
        ..table("raw", "T")
    };
    assert!(
        catalog
            .create_table(&first, CreateMode::IfNotExists)
            .await
            .unwrap()
    );
    let error = catalog
        .create_table(&second, CreateMode::Fail)
        .await
        .unwrap_err();
    assert_eq!(error.to_string(), "table or view lake.raw.t already exists");
    assert!(
        !catalog
            .create_table(&second, CreateMode::IfNotExists)
            .await
            .unwrap()
    );
    let found = catalog.table("lake", "raw", "t").await.unwrap().unwrap();
    assert_eq!(found.location, first.location);
    assert!(
        catalog
            .create_table(&second, CreateMode::Replace)
            .await
            .unwrap()
    );
    let found = catalog.table("lake", "raw", "t").await.unwrap().unwrap();
    assert_eq!(found.location, second.location);

    assert!(catalog.create_catalog("other", false).await.unwrap());
    assert!(!catalog.create_catalog("Other", true).await.unwrap());
    let error = catalog.create_catalog("OTHER", false).await.unwrap_err();
    assert_eq!(error.to_string(), "catalog other already exists");
    let error = catalog
        .create_schema(&schema("lake", "raw"), false)
        .await
        .unwrap_err();
    assert_eq!(error.to_string(), "schema lake.raw already exists");
}

pub async fn a_view_never_replaces_a_table(url: String) {
    let catalog = Catalog::open(&url).await.unwrap();
    catalog
        .create_table(&table("raw", "t"), CreateMode::Fail)
        .await
        .unwrap();
    let error = catalog
        .create_table(&view("raw", "t"), CreateMode::Replace)
        .await;
    assert_eq!(
        error.unwrap_err().to_string(),
        "lake.raw.t is a table, not a view: drop it first"
    );
    catalog
        .create_table(&view("raw", "v"), CreateMode::Fail)
        .await
        .unwrap();
    let error = catalog
        .create_table(&table("raw", "v"), CreateMode::Replace)
        .await;
    assert_eq!(
        error.unwrap_err().to_string(),
        "lake.raw.v is a view, not a table: drop it first"
    );
    let external = TableEntry {
        kind: TableKind::External,
        ..table("raw", "t")
    };
    assert!(
        catalog
            .create_table(&external, CreateMode::Replace)
            .await
            .unwrap()
    );
}

pub async fn objects_need_their_parent(url: String) {
    let catalog = Catalog::open(&url).await.unwrap();
    let error = catalog
        .create_table(&table("nowhere", "t"), CreateMode::IfNotExists)
        .await;
    assert_eq!(
        error.unwrap_err().to_string(),
        "schema lake.nowhere does not exist"
    );
    let error = catalog.create_schema(&schema("nowhere", "s"), true).await;
    assert_eq!(
        error.unwrap_err().to_string(),
        "catalog nowhere does not exist"
    );
    assert_eq!(catalog.schemas("nowhere").await.unwrap(), []);
    assert_eq!(catalog.schema("lake", "nowhere").await.unwrap(), None);
    let error = catalog
        .set_comment("lake", "raw", "t", None)
        .await
        .unwrap_err();
    assert!(matches!(
        error,
        CatalogError::NotFound {
            kind: ObjectKind::Table,
            ..
        }
    ));
    let error = catalog
        .set_properties("lake", "raw", "t", &BTreeMap::new())
        .await;
    assert!(matches!(error, Err(CatalogError::NotFound { .. })));
}

pub async fn a_full_schema_is_dropped_only_by_cascade(url: String) {
    let catalog = Catalog::open(&url).await.unwrap();
    catalog
        .create_table(&table("raw", "t"), CreateMode::Fail)
        .await
        .unwrap();
    let error = catalog.drop_schema("lake", "raw", false).await.unwrap_err();
    assert!(matches!(
        error,
        CatalogError::NotEmpty {
            kind: ObjectKind::Schema,
            ..
        }
    ));
    assert_eq!(names(&catalog, "raw").await, ["t"]);
    let dropped = catalog
        .drop_schema("lake", "RAW", true)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(dropped.len(), 1);
    assert_eq!(dropped[0].location.as_deref(), Some("file:///lake/raw/t/"));
    assert_eq!(
        catalog.drop_schema("lake", "raw", false).await.unwrap(),
        None
    );
    assert_eq!(
        catalog.drop_schema("lake", "curated", false).await.unwrap(),
        Some(vec![])
    );
}

pub async fn a_full_catalog_is_dropped_only_by_cascade(url: String) {
    let catalog = Catalog::open(&url).await.unwrap();
    catalog.create_catalog("other", false).await.unwrap();
    assert_eq!(
        catalog.drop_catalog("other", false).await.unwrap(),
        Some(vec![])
    );
    assert_eq!(catalog.drop_catalog("other", false).await.unwrap(), None);

    catalog.create_catalog("other", false).await.unwrap();
    catalog
        .create_schema(&schema("other", "s"), false)
        .await
        .unwrap();
    let entry = TableEntry::new("other", "s", "t", TableKind::Managed);
    catalog
        .create_table(&entry, CreateMode::Fail)
        .await
        .unwrap();
    catalog
        .create_table(&table("raw", "kept"), CreateMode::Fail)
        .await
        .unwrap();
    let error = catalog.drop_catalog("other", false).await.unwrap_err();
    assert!(matches!(
        error,
        CatalogError::NotEmpty {
            kind: ObjectKind::Catalog,
            ..
        }
    ));
    assert_eq!(
        catalog.schemas("other").await.unwrap().len(),
        2,
        "default is back"
    );
    let dropped = catalog.drop_catalog("Other", true).await.unwrap().unwrap();
    assert_eq!(dropped, [entry]);
    assert_eq!(catalog.catalogs().await.unwrap(), ["lake"]);
    assert_eq!(names(&catalog, "raw").await, ["kept"]);
}

pub async fn the_listing_holds_empty_schemas_too(url: String) {
    let catalog = Catalog::open(&url).await.unwrap();
    catalog.create_catalog("other", false).await.unwrap();
    catalog
        .create_table(&table("raw", "t"), CreateMode::Fail)
        .await
        .unwrap();
    catalog
        .create_table(&view("raw", "v"), CreateMode::Fail)
        .await
        .unwrap();
    let listing = catalog.listing().await.unwrap();
    let catalogs: Vec<_> = listing.keys().collect();
    assert_eq!(catalogs, ["lake", "other"]);
    assert_eq!(listing["lake"].len(), 4);
    assert!(listing["lake"]["curated"].is_empty());
    assert!(listing["other"]["default"].is_empty());
    let raw: Vec<_> = listing["lake"]["raw"]
        .iter()
        .map(|(n, k)| (n.as_str(), *k))
        .collect();
    assert_eq!(raw, [("t", TableKind::Managed), ("v", TableKind::View)]);
}

pub async fn comments_and_properties_change_alone(url: String) {
    let catalog = Catalog::open(&url).await.unwrap();
    let mut expected = table("raw", "t");
    expected.properties = BTreeMap::from([("a".into(), "1".into()), ("b".into(), "2".into())]);
    catalog
        .create_table(&expected, CreateMode::Fail)
        .await
        .unwrap();
    catalog
        .set_comment("lake", "raw", "T", Some("hello"))
        .await
        .unwrap();
    let changes = BTreeMap::from([
        ("a".to_owned(), None),
        ("c".to_owned(), Some("3".to_owned())),
    ]);
    catalog
        .set_properties("lake", "RAW", "t", &changes)
        .await
        .unwrap();
    expected.comment = Some("hello".into());
    expected.properties = BTreeMap::from([("b".into(), "2".into()), ("c".into(), "3".into())]);
    let found = catalog.table("lake", "raw", "t").await.unwrap();
    assert_eq!(found, Some(expected.clone()));
    catalog.set_comment("lake", "raw", "t", None).await.unwrap();
    let found = catalog.table("lake", "raw", "t").await.unwrap().unwrap();
    assert_eq!(found.comment, None);
}

pub async fn concurrent_property_changes_all_take_effect(url: String) {
    let catalog = Catalog::open(&url).await.unwrap();
    let other = Catalog::open(&url).await.unwrap();
    catalog
        .create_table(&table("raw", "t"), CreateMode::Fail)
        .await
        .unwrap();
    let change = |n: usize| {
        let handle = if n.is_multiple_of(2) {
            catalog.clone()
        } else {
            other.clone()
        };
        tokio::spawn(async move {
            let changes = BTreeMap::from([(format!("key{n}"), Some(n.to_string()))]);
            handle.set_properties("lake", "raw", "t", &changes).await
        })
    };
    let tasks: Vec<_> = (0..16).map(change).collect();
    for task in tasks {
        task.await.unwrap().unwrap();
    }
    let found = catalog.table("lake", "raw", "t").await.unwrap().unwrap();
    assert_eq!(found.properties.len(), 16);
}

pub async fn of_concurrent_creations_one_wins(url: String) {
    let handles = [
        Catalog::open(&url).await.unwrap(),
        Catalog::open(&url).await.unwrap(),
    ];
    let tasks: Vec<_> = (0..16)
        .map(|n| {
            let handle = handles[n % 2].clone();
            let mut entry = table("raw", "t");
            entry.comment = Some(n.to_string());
            tokio::spawn(async move {
                let created = handle.create_table(&entry, CreateMode::Fail).await;
                (entry, created)
            })
        })
        .collect();
    let mut winners = Vec::new();
    for task in tasks {
        match task.await.unwrap() {
            (entry, Ok(created)) => {
                assert!(created);
                winners.push(entry);
            }
            (_, Err(CatalogError::AlreadyExists { .. })) => {}
            (_, Err(other)) => panic!("{other}"),
        }
    }
    assert_eq!(winners.len(), 1);
    let found = handles[1].table("lake", "raw", "t").await.unwrap();
    assert_eq!(found.as_ref(), winners.first());
}

pub async fn processes_may_open_a_new_catalog_at_once(url: String) {
    let tasks: Vec<_> = (0..8)
        .map(|_| {
            let url = url.clone();
            tokio::spawn(async move { Catalog::open(&url).await })
        })
        .collect();
    for task in tasks {
        let catalog = task.await.unwrap().unwrap();
        assert_eq!(catalog.schemas("lake").await.unwrap().len(), 4);
        catalog.close().await;
    }
}

pub async fn two_handles_see_each_others_changes(url: String) {
    let one = Catalog::open(&url).await.unwrap();
    let two = Catalog::open(&url).await.unwrap();
    one.create_table(&table("raw", "t"), CreateMode::Fail)
        .await
        .unwrap();
    assert_eq!(names(&two, "raw").await, ["t"]);
    two.drop_table("lake", "raw", "t").await.unwrap();
    assert_eq!(names(&one, "raw").await, Vec::<String>::new());
    one.close().await;
    let reopened = Catalog::open(&url).await.unwrap();
    assert_eq!(
        reopened.listing().await.unwrap(),
        two.listing().await.unwrap()
    );
}

pub async fn every_replacement_of_a_model_is_a_version(url: String) {
    let catalog = Catalog::open(&url).await.unwrap();
    let mut entry = model("raw", "M");
    let create = |entry: ModelEntry, mode| {
        let catalog = catalog.clone();
        async move { catalog.create_model(&entry, mode).await }
    };
    assert_eq!(
        create(entry.clone(), CreateMode::Fail).await.unwrap(),
        Some(1)
    );
    let taken = create(entry.clone(), CreateMode::Fail).await.unwrap_err();
    assert_eq!(taken.to_string(), "model lake.raw.m already exists");
    assert_eq!(
        create(entry.clone(), CreateMode::IfNotExists)
            .await
            .unwrap(),
        None
    );
    entry.hash = "ee".repeat(32);
    assert_eq!(
        create(entry.clone(), CreateMode::Replace).await.unwrap(),
        Some(2)
    );
    create(model("raw", "other"), CreateMode::Replace)
        .await
        .unwrap();

    entry.name = "m".into();
    entry.version = 2;
    let newest = catalog
        .model("LAKE", "Raw", "m", None)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(newest, entry);
    let first = catalog
        .model("lake", "raw", "m", Some(1))
        .await
        .unwrap()
        .unwrap();
    assert_eq!((first.version, first.hash), (1, "00ff".repeat(16)));
    assert_eq!(
        catalog.model("lake", "raw", "m", Some(3)).await.unwrap(),
        None
    );
    let listed = catalog.models("lake", "raw").await.unwrap();
    let listed: Vec<_> = listed
        .iter()
        .map(|m| (m.name.as_str(), m.version))
        .collect();
    assert_eq!(listed, [("m", 2), ("other", 1)]);

    assert!(catalog.drop_model("lake", "raw", "M").await.unwrap());
    assert!(!catalog.drop_model("lake", "raw", "m").await.unwrap());
    assert!(
        catalog
            .model_versions("lake", "raw", "m")
            .await
            .unwrap()
            .is_empty()
    );
}

pub async fn of_concurrent_replacements_of_a_model_each_gets_a_version(url: String) {
    let catalog = Catalog::open(&url).await.unwrap();
    let tasks: Vec<_> = (0..8)
        .map(|_| {
            let catalog = catalog.clone();
            tokio::spawn(async move {
                let created = catalog
                    .create_model(&model("raw", "m"), CreateMode::Replace)
                    .await;
                created.unwrap().unwrap()
            })
        })
        .collect();
    let mut versions = Vec::new();
    for task in tasks {
        versions.push(task.await.unwrap());
    }
    versions.sort_unstable();
    assert_eq!(versions, (1..=8).collect::<Vec<u64>>());
}

pub async fn models_go_with_their_schema(url: String) {
    let catalog = Catalog::open(&url).await.unwrap();
    let missing = catalog
        .create_model(&model("nowhere", "m"), CreateMode::Fail)
        .await;
    assert!(matches!(
        missing,
        Err(CatalogError::NotFound {
            kind: ObjectKind::Schema,
            ..
        })
    ));

    catalog
        .create_schema(&schema("lake", "s"), false)
        .await
        .unwrap();
    catalog
        .create_model(&model("s", "m"), CreateMode::Fail)
        .await
        .unwrap();
    let full = catalog.drop_schema("lake", "s", false).await;
    assert!(matches!(full, Err(CatalogError::NotEmpty { .. })));
    catalog.drop_schema("lake", "s", true).await.unwrap();
    assert_eq!(catalog.model("lake", "s", "m", None).await.unwrap(), None);
}
