//! From data files to one new snapshot of an Iceberg table.

use std::collections::BTreeMap;

use datafusion::{common::ScalarValue, datasource::file_format::parquet::ObjectStoreFetch};
use futures::{StreamExt as _, TryStreamExt as _};
use iceberg::{
    Catalog, ErrorKind,
    spec::{
        DataContentType, DataFile as IcebergFile, DataFileBuilder, DataFileFormat, Literal,
        PrimitiveType, Struct, TableMetadata, Transform as IcebergTransform, Type,
    },
    table::Table,
    transaction::{ApplyTransactionAction as _, Transaction},
};
use object_store::ObjectStoreExt as _;
use parquet::file::metadata::{ParquetMetaData, ParquetMetaDataReader};

use super::{
    IcebergBase, failed,
    load::{COMMENT, transform},
    metrics,
    schema::arrow_primitive,
    value,
};
use crate::{
    changes::{Changes, WriteMode},
    data_file::DataFile,
    error::{LakeError, Result},
    scan::object_path,
    snapshot::Snapshot,
    sort_order,
    stores::Stores,
    table::TableRef,
};

/// Bytes read from a file's end at first; most footers fit in.
const FOOTER_PREFETCH: usize = 64 << 10;

/// Footers read at a time.
const PARALLEL_READS: usize = 16;

/// Refuses a table that [`commit`] cannot append to, before anything is written.
pub(crate) fn check_writable(snapshot: &Snapshot, base: &IcebergBase) -> Result<()> {
    let unsupported = |feature: String| {
        Err(LakeError::Unsupported {
            table: snapshot.table.name.clone(),
            feature,
        })
    };
    let metadata = base.table.metadata();
    if metadata.location().ends_with('/') {
        return unsupported(
            "its location ends with a slash, so that new files would get paths with two".into(),
        );
    }
    for field in metadata.default_partition_spec().fields() {
        let source = metadata
            .current_schema()
            .as_struct()
            .field_by_id(field.source_id);
        let result = source.map(|s| field.transform.result_type(&s.field_type));
        let writable = match (field.transform, result) {
            (IcebergTransform::Void, _) => true,
            (known, Some(Ok(Type::Primitive(result)))) => {
                transform(known).is_some() && value::has_text(&result)
            }
            _ => false,
        };
        if !writable {
            let (name, transform) = (&field.name, field.transform);
            return unsupported(format!(
                "its partition field {name} is a {transform} of a nested or binary column or of an unknown kind"
            ));
        }
    }
    Ok(())
}

/// Refuses all changes but appends.
pub(crate) fn check_mode(snapshot: &Snapshot, mode: &WriteMode) -> Result<()> {
    match mode {
        WriteMode::Append => Ok(()),
        _ => Err(LakeError::Unsupported {
            table: snapshot.table.name.clone(),
            feature: "Shoal appends to Iceberg tables and does not replace rows in them yet; use INSERT INTO"
                .into(),
        }),
    }
}

/// Appends the new files to the table and returns its new version.
///
/// Commits of others are taken in, unless they changed how the table is partitioned; a commit that
/// lost the race for the next version is tried again a few times. When this returns
/// an error other than [`LakeError::Conflict`], the caller must look at the table before it deletes
/// files: a catalog may have kept a commit whose answer was lost.
pub(crate) async fn commit(
    snapshot: &Snapshot,
    base: &IcebergBase,
    changes: &Changes,
    stores: &Stores,
) -> Result<u64> {
    let name = &snapshot.table.name;
    check_mode(snapshot, &changes.mode)?;
    if changes.add.is_empty() {
        return Ok(snapshot.version);
    }
    let files =
        describe_files(&snapshot.table, base.table.metadata(), &changes.add, stores).await?;
    let error = match append(&base.table, base.catalog.as_ref(), &files).await {
        Ok(committed) => return Ok(committed.metadata().last_sequence_number().unsigned_abs()),
        Err(error) => error,
    };
    let conflict = |reason: &str, lost_race| LakeError::Conflict {
        table: name.clone(),
        reason: reason.to_owned(),
        lost_race,
    };
    if error.kind() == ErrorKind::CatalogCommitConflicts {
        return Err(conflict("others committed first each time", true));
    }
    match base.catalog.load_table(base.table.identifier()).await {
        Ok(newest) if !is_partitioned_as(&newest, &base.table) => {
            Err(conflict("its partitioning was changed", false))
        }
        _ => Err(failed(name, "committing new data files")(error)),
    }
}

fn is_partitioned_as(one: &Table, other: &Table) -> bool {
    one.metadata().default_partition_spec_id() == other.metadata().default_partition_spec_id()
}

/// Sets table properties and, under the name other engines know, the comment; `None` removes.
pub(crate) async fn set_properties(
    snapshot: &Snapshot,
    base: &IcebergBase,
    properties: &BTreeMap<String, Option<String>>,
    comment: Option<&str>,
) -> Result<u64> {
    let transaction = Transaction::new(&base.table);
    let mut update = transaction.update_table_properties();
    for (key, value) in properties {
        update = match value {
            Some(value) => update.set(key.clone(), value.clone()),
            None => update.remove(key.clone()),
        };
    }
    if let Some(comment) = comment {
        update = update.set(COMMENT.to_owned(), comment.to_owned());
    }
    let wrong = || failed(&snapshot.table.name, "changing the table's properties");
    let transaction = update.apply(transaction).map_err(wrong())?;
    let changed = transaction
        .commit(base.catalog.as_ref())
        .await
        .map_err(wrong())?;
    Ok(changed.metadata().last_sequence_number().unsigned_abs())
}

async fn append(
    table: &Table,
    catalog: &dyn Catalog,
    files: &[IcebergFile],
) -> iceberg::Result<Table> {
    let transaction = Transaction::new(table);
    // Names of new files are unique, so none can be in the table already.
    let append = transaction
        .fast_append()
        .with_check_duplicate(false)
        .add_data_files(files.iter().cloned());
    append.apply(transaction)?.commit(catalog).await
}

/// The new files as manifests describe them, with metrics from their footers.
pub(super) async fn describe_files(
    table: &TableRef,
    metadata: &TableMetadata,
    files: &[DataFile],
    stores: &Stores,
) -> Result<Vec<IcebergFile>> {
    let described = files
        .iter()
        .map(|file| describe_file(table, metadata, file, stores));
    let described: Vec<_> = described.collect();
    futures::stream::iter(described)
        .buffered(PARALLEL_READS)
        .try_collect()
        .await
}

async fn describe_file(
    table: &TableRef,
    metadata: &TableMetadata,
    file: &DataFile,
    stores: &Stores,
) -> Result<IcebergFile> {
    let footer = read_footer(table, file, stores).await?;
    describe(table, metadata, file, &footer)
}

async fn read_footer(
    table: &TableRef,
    file: &DataFile,
    stores: &Stores,
) -> Result<ParquetMetaData> {
    let store = stores.store(&table.location)?;
    let path = object_path(&table.location, &file.path)?;
    let object = store.head(&path).await.map_err(LakeError::store(format!(
        "looking for the new file {} of table {}",
        file.path, table.name
    )))?;
    let footer = ParquetMetaDataReader::new()
        .with_prefetch_hint(Some(FOOTER_PREFETCH))
        .load_and_finish(ObjectStoreFetch::new(store.as_ref(), &object), object.size);
    Ok(footer.await?)
}

fn describe(
    table: &TableRef,
    metadata: &TableMetadata,
    file: &DataFile,
    footer: &ParquetMetaData,
) -> Result<IcebergFile> {
    let mut builder = DataFileBuilder::default();
    builder
        .content(DataContentType::Data)
        .file_path(format!("{}/{}", metadata.location(), file.path))
        .file_format(DataFileFormat::Parquet)
        .file_size_in_bytes(file.size)
        .partition_spec_id(metadata.default_partition_spec_id())
        .partition(partition(table, metadata, file)?);
    if let Some(sort_order) = sort_order::id_of_files(metadata) {
        builder.sort_order_id(sort_order);
    }
    metrics::describe(&mut builder, metadata.current_schema(), footer);
    builder.build().map_err(|e| {
        LakeError::Invalid(format!(
            "table {}: describing the file {}: {e}",
            table.name, file.path
        ))
    })
}

/// The file's partition values in the order of the table's partition fields.
fn partition(table: &TableRef, metadata: &TableMetadata, file: &DataFile) -> Result<Struct> {
    let fields = metadata.default_partition_spec().fields();
    let types = metadata.default_partition_type().fields();
    fields
        .iter()
        .zip(types)
        .map(|(field, typed)| {
            let text = file.partition.get(&field.name).and_then(Option::as_ref);
            let (Some(text), Type::Primitive(data_type)) = (text, typed.field_type.as_ref()) else {
                return Ok(None);
            };
            parse(data_type, text).map(Some).ok_or_else(|| {
                LakeError::Invalid(format!(
                    "table {}: the partition value {text:?} of field {} in file {} is not a {data_type}",
                    table.name, field.name, file.path
                ))
            })
        })
        .collect()
}

fn parse(data_type: &PrimitiveType, text: &str) -> Option<Literal> {
    let value = ScalarValue::try_from_string(text.to_owned(), &arrow_primitive(data_type)).ok()?;
    value::to_literal(&value)
}
