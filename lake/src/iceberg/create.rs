//! New Iceberg tables, with their first data files if there are any, in one step.

use std::{collections::HashMap, sync::Arc};

use arrow::datatypes::SchemaRef;
use iceberg::{
    Catalog, ErrorKind, MetadataLocation, TableCreation, TableIdent,
    io::FileIO,
    spec::{
        DataFile as IcebergFile, MAIN_BRANCH, ManifestListWriter, ManifestWriterBuilder, NullOrder,
        Operation, Schema, Snapshot as IcebergSnapshot, SnapshotSummaryCollector, SortDirection,
        SortField, SortOrder, Summary, TableMetadata, TableMetadataBuilder,
        Transform as IcebergTransform, UnboundPartitionSpec,
    },
};
use object_store::ObjectStore as _;
use uuid::Uuid;

use super::{
    catalogs::{Catalogs, ensure_namespace, load},
    commit::describe_files,
    failed,
    load::COMMENT,
    schema,
    storage::LakeStorageFactory,
};
use crate::{
    column_type,
    data_file::DataFile,
    error::{LakeError, Result},
    stores::Stores,
    table::{CreateTable, Format, TableRef, Transform},
};

/// Sequence number of a table's first snapshot.
const FIRST: i64 = 1;

/// Id of a new table's sort order; 0 is for none.
const FIRST_SORT_ORDER: i64 = 1;

/// Whether the table is in its catalog, or an Iceberg table lies at its location.
pub(crate) async fn exists(table: &TableRef, catalogs: &Catalogs) -> Result<bool> {
    Ok(is_known(table, catalogs).await? || newest_metadata(table, catalogs).await?.is_some())
}

/// Enters the table at the location into its catalog, unless it is there.
pub(crate) async fn adopt(table: &TableRef, catalogs: &Catalogs) -> Result<()> {
    if is_known(table, catalogs).await? {
        return Ok(());
    }
    let Some(metadata) = newest_metadata(table, catalogs).await? else {
        return Err(LakeError::NotATable {
            table: table.name.clone(),
            format: Format::Iceberg.name(),
            location: table.location.to_string(),
        });
    };
    let (catalog, ident) = catalogs.locate(table).await?;
    let wrong = |doing| failed(&table.name, doing);
    ensure_namespace(&catalog, &ident.namespace)
        .await
        .map_err(wrong("creating its namespace"))?;
    let adopted = catalog.register_table(&ident, metadata).await;
    adopted.map(drop).map_err(wrong("registering the table"))
}

async fn is_known(table: &TableRef, catalogs: &Catalogs) -> Result<bool> {
    let (catalog, ident) = catalogs.locate(table).await?;
    let found = load(&catalog, &ident).await;
    Ok(found
        .map_err(failed(&table.name, "looking for the table"))?
        .is_some())
}

/// The metadata file with the highest version below the table's location.
async fn newest_metadata(table: &TableRef, catalogs: &Catalogs) -> Result<Option<String>> {
    let store = catalogs.stores().store(&table.location)?;
    let folder = Stores::path(&table.location)?.join("metadata");
    let listed = store.list_with_delimiter(Some(&folder)).await;
    let objects = listed.map_err(LakeError::store(format!(
        "looking for an Iceberg table at {}",
        table.location
    )))?;
    let newest = objects
        .objects
        .iter()
        .filter_map(|object| Some((version(object.location.filename()?)?, &object.location)))
        .max();
    let location = location(table)?;
    Ok(newest.and_then(|(_, path)| Some(format!("{location}/metadata/{}", path.filename()?))))
}

/// The version in a metadata file's name: `00012-<uuid>.metadata.json`, `v12.metadata.json`, or the
/// same compressed.
fn version(file: &str) -> Option<u64> {
    let name = file.contains(".metadata.json").then_some(file)?;
    let digits = name.trim_start_matches('v').split(['-', '.']).next()?;
    digits.parse().ok()
}

/// Takes the table out of its catalog, if it is there; its files stay.
pub(crate) async fn forget(table: &TableRef, catalogs: &Catalogs) -> Result<()> {
    let (catalog, ident) = catalogs.locate(table).await?;
    let wrong = || failed(&table.name, "dropping the table");
    let Some(found) = load(&catalog, &ident).await.map_err(wrong())? else {
        return Ok(());
    };
    match catalog.drop_table(found.identifier()).await {
        Err(error) if error.kind() != ErrorKind::TableNotFound => Err(wrong()(error)),
        _ => Ok(()),
    }
}

/// The columns that a table of this request will have, with the field ids its data files must carry.
pub(crate) fn new_schema(request: &CreateTable) -> Result<SchemaRef> {
    Ok(schema::of_table(&new_metadata(request)?))
}

/// Creates the table and, if there are files, its first snapshot, visible both at once.
///
/// # Errors
/// [`LakeError::Unsupported`] names what an Iceberg table cannot have: generated columns, CHECK
/// constraints, a replacement of an existing table.
pub(crate) async fn create(
    request: &CreateTable,
    files: &[DataFile],
    replace: bool,
    catalogs: &Catalogs,
) -> Result<()> {
    let table = &request.table;
    let wrong = |doing| failed(&table.name, doing);
    let (catalog, ident) = catalogs.locate(table).await?;
    let already = catalog.table_exists(&ident).await;
    if already.map_err(wrong("looking for the table"))? {
        return Err(match replace {
            true => unsupported(
                table,
                "Shoal does not replace Iceberg tables yet; DROP it first",
            ),
            false => already_exists(table),
        });
    }
    let mut metadata = new_metadata(request)?;
    ensure_namespace(&catalog, &ident.namespace)
        .await
        .map_err(wrong("creating its namespace"))?;
    if files.is_empty() {
        let creation = creation(request, &ident)?;
        return match catalog.create_table(&ident.namespace, creation).await {
            Ok(_) => Ok(()),
            Err(error) => Err(not_created(table, &catalog, &ident, error).await),
        };
    }
    let file_io = LakeStorageFactory::new(catalogs.stores().clone()).file_io();
    let files = describe_files(table, &metadata, files, catalogs.stores()).await?;
    let snapshot = first_snapshot(&file_io, &metadata, files)
        .await
        .map_err(wrong("writing its first manifest"))?;
    metadata = metadata
        .into_builder(None)
        .set_branch_snapshot(snapshot, MAIN_BRANCH)
        .and_then(TableMetadataBuilder::build)
        .map_err(wrong("describing its first snapshot"))?
        .metadata;
    let location = MetadataLocation::new_with_metadata(metadata.location(), &metadata);
    metadata
        .write_to(&file_io, &location)
        .await
        .map_err(wrong("writing its metadata"))?;
    let location = location.to_string();
    let registered = catalog.register_table(&ident, location.clone()).await;
    let Err(error) = registered else {
        return Ok(());
    };
    // The catalog may have kept the table although its answer was lost.
    match catalog.load_table(&ident).await {
        Ok(created) if created.metadata().uuid() == metadata.uuid() => Ok(()),
        Ok(_) => {
            // Left behind, our metadata could be taken for that of the table that is there.
            if let Err(error) = file_io.delete(location).await {
                tracing::warn!(
                    table = table.name,
                    "a metadata file was left behind: {error}"
                );
            }
            Err(already_exists(table))
        }
        Err(_) => Err(failed(&table.name, "creating the table")(error)),
    }
}

/// Writes a manifest of the files and a list of that one manifest.
async fn first_snapshot(
    file_io: &FileIO,
    metadata: &TableMetadata,
    files: Vec<IcebergFile>,
) -> iceberg::Result<IcebergSnapshot> {
    let unique = Uuid::new_v4();
    // Any positive number no other snapshot of the table has.
    let id = (unique.as_u64_pair().0 >> 1) as i64;
    let folder = format!("{}/metadata", metadata.location());
    let summary = summary(metadata, &files);

    let mut manifest = ManifestWriterBuilder::new(
        file_io.new_output(format!("{folder}/{unique}-m0.avro"))?,
        Some(id),
        metadata.current_schema().clone(),
        metadata.default_partition_spec().as_ref().clone(),
    )
    .build_v2_data();
    for file in files {
        manifest.add_file(file, FIRST)?;
    }
    let manifest = manifest.write_manifest_file().await?;

    let list_path = format!("{folder}/snap-{id}-0-{unique}.avro");
    let output = file_io.new_output(&list_path)?.writer().await?;
    let mut list = ManifestListWriter::v2(output, id, None, FIRST);
    list.add_manifests(std::iter::once(manifest))?;
    list.close().await?;

    Ok(IcebergSnapshot::builder()
        .with_snapshot_id(id)
        .with_sequence_number(FIRST)
        .with_timestamp_ms(chrono::Utc::now().timestamp_millis())
        .with_manifest_list(list_path)
        .with_schema_id(metadata.current_schema_id())
        .with_summary(summary)
        .build())
}

fn summary(metadata: &TableMetadata, files: &[IcebergFile]) -> Summary {
    let mut collector = SnapshotSummaryCollector::default();
    for file in files {
        collector.add_file(
            file,
            metadata.current_schema().clone(),
            metadata.default_partition_spec().clone(),
        );
    }
    let mut properties = collector.build();
    for counted in ["data-files", "records", "files-size"] {
        if let Some(added) = properties.get(&format!("added-{counted}")).cloned() {
            properties.insert(format!("total-{counted}"), added);
        }
    }
    for absent in ["delete-files", "position-deletes", "equality-deletes"] {
        properties.insert(format!("total-{absent}"), "0".to_owned());
    }
    Summary {
        operation: Operation::Append,
        additional_properties: properties,
    }
}

fn new_metadata(request: &CreateTable) -> Result<TableMetadata> {
    let (_, ident) = super::catalogs::identify(&request.table.name)?;
    let built = TableMetadataBuilder::from_table_creation(creation(request, &ident)?)
        .and_then(TableMetadataBuilder::build)
        .map_err(failed(&request.table.name, "describing the new table"))?;
    Ok(built.metadata)
}

fn creation(request: &CreateTable, ident: &TableIdent) -> Result<TableCreation> {
    let table = &request.table;
    if !request.generated.is_empty() {
        return Err(unsupported(
            table,
            "Iceberg tables have no generated columns; use a partition transform such as days(column)",
        ));
    }
    if !request.checks.is_empty() {
        return Err(unsupported(
            table,
            "Iceberg tables have no CHECK constraints",
        ));
    }
    let schema = schema::from_arrow(&table.name, &request.schema)?;
    let mut properties: HashMap<String, String> = request.properties.clone().into_iter().collect();
    for column in request.schema.fields() {
        if let Some(note) = column_type::note(column) {
            properties.insert(column_type::property(column.name()), note);
        }
    }
    if let Some(comment) = &request.comment {
        properties.insert(COMMENT.to_owned(), comment.clone());
    }
    Ok(TableCreation::builder()
        .name(ident.name.clone())
        .location(location(table)?)
        .partition_spec(partition_spec(request, &schema)?)
        .sort_order_opt(sort_order(request, &schema)?)
        .schema(schema)
        .properties(properties)
        .build())
}

/// The table's directory as Iceberg writes it: not encoded, without a slash at the end.
fn location(table: &TableRef) -> Result<String> {
    let path = Stores::path(&table.location)?;
    let store = &table.location[..url::Position::BeforePath];
    Ok(format!("{store}/{path}"))
}

fn partition_spec(request: &CreateTable, schema: &Schema) -> Result<UnboundPartitionSpec> {
    let mut spec = UnboundPartitionSpec::builder();
    for field in &request.partition_by {
        let source = schema.field_by_name(&field.source).ok_or_else(|| {
            LakeError::Invalid(format!(
                "table {}: there is no column {} to partition by",
                request.table.name, field.source
            ))
        })?;
        let transform = iceberg_transform(field.transform);
        if let Err(error) = transform.result_type(&source.field_type) {
            return Err(LakeError::Invalid(format!(
                "table {}: cannot partition by {transform} of column {}: {}",
                request.table.name,
                field.source,
                error.message()
            )));
        }
        spec = spec
            .add_partition_field(source.id, field.name.clone(), transform)
            .map_err(failed(&request.table.name, "describing its partitioning"))?;
    }
    Ok(spec.build())
}

/// The sort order that the request's properties ask for; None for none.
fn sort_order(request: &CreateTable, schema: &Schema) -> Result<Option<SortOrder>> {
    let fields: Vec<SortField> = request
        .sort_by()?
        .iter()
        .filter_map(|sort| {
            let source = schema.field_by_name(&sort.column)?;
            Some(SortField {
                source_id: source.id,
                transform: IcebergTransform::Identity,
                direction: match sort.descending {
                    true => SortDirection::Descending,
                    false => SortDirection::Ascending,
                },
                null_order: match sort.nulls_first {
                    true => NullOrder::First,
                    false => NullOrder::Last,
                },
            })
        })
        .collect();
    if fields.is_empty() {
        return Ok(None);
    }
    let order = SortOrder::builder()
        .with_order_id(FIRST_SORT_ORDER)
        .with_fields(fields)
        .build(schema);
    order
        .map(Some)
        .map_err(failed(&request.table.name, "describing its sort order"))
}

fn iceberg_transform(transform: Transform) -> IcebergTransform {
    match transform {
        Transform::Identity => IcebergTransform::Identity,
        Transform::Year => IcebergTransform::Year,
        Transform::Month => IcebergTransform::Month,
        Transform::Day => IcebergTransform::Day,
        Transform::Hour => IcebergTransform::Hour,
        Transform::Bucket(buckets) => IcebergTransform::Bucket(buckets),
        Transform::Truncate(width) => IcebergTransform::Truncate(width),
    }
}

fn unsupported(table: &TableRef, feature: &str) -> LakeError {
    LakeError::Unsupported {
        table: table.name.clone(),
        feature: feature.to_owned(),
    }
}

fn already_exists(table: &TableRef) -> LakeError {
    LakeError::AlreadyExists {
        table: table.name.clone(),
        location: table.location.to_string(),
    }
}

/// SQL catalogs report a table that another process created at the same time as a failure of the
/// database.
async fn not_created(
    table: &TableRef,
    catalog: &Arc<dyn Catalog>,
    ident: &TableIdent,
    error: iceberg::Error,
) -> LakeError {
    match catalog.table_exists(ident).await {
        Ok(true) => already_exists(table),
        _ => failed(&table.name, "creating the table")(error),
    }
}
