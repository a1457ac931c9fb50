//! From an Iceberg table's metadata to a [`Snapshot`].

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, OnceLock},
};

use futures::{StreamExt as _, TryStreamExt as _};
use iceberg::{
    spec::{
        DataContentType, DataFile as IcebergFile, DataFileFormat, Manifest, ManifestContentType,
        ManifestFile, NestedFieldRef, Schema, TableMetadata, Transform as IcebergTransform, Type,
    },
    table::Table,
};
use serde_json::{Map, Value, json};

use super::{IcebergBase, catalogs::Catalogs, failed, schema, value};
use crate::{
    data_file::DataFile,
    error::{LakeError, Result},
    snapshot::{Base, Snapshot},
    table::{PartitionField, TableRef, Transform},
    write::json_value,
};

/// Manifests read at a time.
const PARALLEL_READS: usize = 16;

/// Property that Spark, Trino and PyIceberg keep a table's comment in.
pub(super) const COMMENT: &str = "comment";

/// The table's newest snapshot, or `cached` if the catalog still points to the same metadata.
///
/// # Errors
/// [`LakeError::Unsupported`] names the first feature of the table that Shoal does not read.
pub(crate) async fn load(
    table: &TableRef,
    catalogs: &Catalogs,
    cached: Option<&Arc<Snapshot>>,
) -> Result<Arc<Snapshot>> {
    let (catalog, iceberg) = catalogs.table(table).await?;
    let known = cached.and_then(|snapshot| match &snapshot.base {
        Base::Iceberg(base) => Some((snapshot, base)),
        Base::Delta(_) => None,
    });
    if let Some((snapshot, base)) = known
        && base.table.metadata_location() == iceberg.metadata_location()
    {
        return Ok(snapshot.clone());
    }
    let metadata = iceberg.metadata();
    check_readable(table, metadata)?;
    let same_schema = known
        .map(|(_, base)| base)
        .filter(|base| base.table.metadata().current_schema_id() == metadata.current_schema_id());
    let known_manifests = same_schema
        .map(|base| base.manifests.clone())
        .unwrap_or_default();
    let manifests = read_manifests(table, &iceberg, known_manifests).await?;
    let files = manifests.values().flat_map(|files| files.iter().cloned());
    let properties: BTreeMap<String, String> = metadata.properties().clone().into_iter().collect();
    Ok(Arc::new(Snapshot {
        table: table.clone(),
        version: metadata.last_sequence_number().unsigned_abs(),
        schema: schema::of_table(metadata),
        partition_by: partition_by(metadata),
        generated: vec![],
        checks: vec![],
        comment: properties.get(COMMENT).cloned(),
        properties,
        files: Arc::new(files.collect()),
        stats: OnceLock::new(),
        base: Base::Iceberg(IcebergBase {
            table: iceberg,
            catalog,
            manifests: Arc::new(manifests),
        }),
    }))
}

/// The data files of each manifest, by the manifest's path. Manifests never change.
pub(super) type Manifests = BTreeMap<String, Vec<Arc<DataFile>>>;

async fn read_manifests(
    table: &TableRef,
    iceberg: &Table,
    known: Arc<Manifests>,
) -> Result<Manifests> {
    let Some(snapshot) = iceberg.metadata().current_snapshot() else {
        return Ok(Manifests::new());
    };
    let list = iceberg
        .manifest_list_reader(snapshot)
        .load()
        .await
        .map_err(failed(&table.name, "reading the list of manifests"))?;
    let known = &known;
    futures::stream::iter(list.entries().to_vec())
        .map(|entry| async move {
            if let Some(files) = known.get(&entry.manifest_path) {
                return Ok((entry.manifest_path, files.clone()));
            }
            let manifest = entry
                .load_manifest(iceberg.file_io())
                .await
                .map_err(failed(&table.name, "reading a manifest"))?;
            let files = data_files(table, iceberg.metadata(), &entry, &manifest)?;
            Ok((entry.manifest_path, files))
        })
        .buffer_unordered(PARALLEL_READS)
        .try_collect()
        .await
}

fn data_files(
    table: &TableRef,
    metadata: &TableMetadata,
    entry: &ManifestFile,
    manifest: &Manifest,
) -> Result<Vec<Arc<DataFile>>> {
    let alive = manifest.entries().iter().filter(|entry| entry.is_alive());
    let files: Vec<&IcebergFile> = alive.map(|entry| entry.data_file()).collect();
    if let Some(first) = files.first()
        && entry.content == ManifestContentType::Deletes
    {
        return Err(unsupported(table, deletes(first)));
    }
    if let Some(other) = files
        .iter()
        .find(|f| f.file_format() != DataFileFormat::Parquet)
    {
        let format = other.file_format();
        return Err(unsupported(
            table,
            format!("it holds data files in the format {format}"),
        ));
    }
    if files.iter().any(|file| file.key_metadata().is_some()) {
        return Err(unsupported(table, "it holds encrypted data files".into()));
    }
    if let Some(column) = left_out(metadata, manifest, &files) {
        return Err(unsupported(
            table,
            format!(
                "its data files leave out the partition column {column}, as files taken over from Hive do"
            ),
        ));
    }
    let mut partitions = partition_values(metadata, manifest, &files)?;
    let schema = metadata.current_schema();
    Ok(files
        .iter()
        .enumerate()
        .map(|(i, file)| {
            Arc::new(DataFile {
                path: relative(metadata.location(), file.file_path()),
                size: file.file_size_in_bytes(),
                modified_ms: 0,
                partition: std::mem::take(&mut partitions[i]),
                stats: Some(json_stats(schema, file)),
                rows: Some(file.record_count()),
            })
        })
        .collect())
}

/// An identity-partitioned column that a file does not hold, going by the columns whose sizes its
/// manifest lists (table specification, "Column Projection").
fn left_out<'a>(
    metadata: &'a TableMetadata,
    manifest: &Manifest,
    files: &[&IcebergFile],
) -> Option<&'a str> {
    let spec = manifest.metadata().partition_spec();
    let identities = spec
        .fields()
        .iter()
        .filter(|field| field.transform == IcebergTransform::Identity);
    identities
        .map(|field| field.source_id)
        .find(|id| {
            let mut sizes = files.iter().map(|file| file.column_sizes());
            sizes.any(|sizes| !sizes.is_empty() && !sizes.contains_key(id))
        })
        .and_then(|id| metadata.current_schema().name_by_field_id(id))
}

/// The path below the table's directory, or an encoded URL if the file lies elsewhere.
fn relative(location: &str, path: &str) -> String {
    let below = path
        .strip_prefix(location.trim_end_matches('/'))
        .and_then(|rest| rest.strip_prefix('/'));
    match below {
        Some(below) => below.to_owned(),
        None => path
            .replace('%', "%25")
            .replace('?', "%3F")
            .replace('#', "%23"),
    }
}

/// Each file's partition values by field name. Files of an older partitioning lack the fields that
/// did not exist then: nothing is known of those.
fn partition_values(
    metadata: &TableMetadata,
    manifest: &Manifest,
    files: &[&IcebergFile],
) -> Result<Vec<BTreeMap<String, Option<String>>>> {
    let spec = manifest.metadata().partition_spec();
    let current = metadata.default_partition_spec();
    let mut values = vec![BTreeMap::new(); files.len()];
    for (position, field) in spec.fields().iter().enumerate() {
        let is_current = current.fields().iter().any(|c| {
            c.source_id == field.source_id && c.transform == field.transform && c.name == field.name
        });
        let source = metadata.current_schema().field_by_id(field.source_id);
        let (Some(source), true) = (source, is_current) else {
            continue;
        };
        let Ok(Type::Primitive(data_type)) = field.transform.result_type(&source.field_type) else {
            continue;
        };
        let literals: Vec<_> = files
            .iter()
            .map(|file| {
                file.partition()
                    .fields()
                    .get(position)
                    .and_then(Option::as_ref)
            })
            .collect();
        let Some(texts) = value::texts(&data_type, &literals)? else {
            continue;
        };
        for (value, text) in values.iter_mut().zip(texts) {
            value.insert(field.name.clone(), text);
        }
    }
    Ok(values)
}

/// The metrics of a file's top-level columns as the JSON of [`DataFile`].
fn json_stats(schema: &Schema, file: &IcebergFile) -> String {
    let (mut mins, mut maxs, mut nulls) = (Map::new(), Map::new(), Map::new());
    for field in schema.as_struct().fields() {
        if let Some(count) = file.null_value_counts().get(&field.id) {
            nulls.insert(field.name.clone(), json!(count));
        }
        // Bounds leave NaN out of account, but NaN is above every number to the engine.
        if file
            .nan_value_counts()
            .get(&field.id)
            .is_some_and(|n| *n > 0)
        {
            continue;
        }
        let bound = |bounds: &HashMap<i32, iceberg::spec::Datum>| -> Option<Value> {
            json_value(&value::bound(bounds.get(&field.id)?)?)
        };
        if let (Some(min), Some(max)) = (bound(file.lower_bounds()), bound(file.upper_bounds())) {
            mins.insert(field.name.clone(), min);
            maxs.insert(field.name.clone(), max);
        }
    }
    json!({
        "numRecords": file.record_count(),
        "minValues": mins,
        "maxValues": maxs,
        "nullCount": nulls,
    })
    .to_string()
}

fn partition_by(metadata: &TableMetadata) -> Vec<PartitionField> {
    let schema = metadata.current_schema();
    let fields = metadata.default_partition_spec().fields().iter();
    fields
        .filter_map(|field| {
            Some(PartitionField {
                name: field.name.clone(),
                source: schema.name_by_field_id(field.source_id)?.to_owned(),
                transform: transform(field.transform)?,
            })
        })
        .collect()
}

/// `None` for fields that were dropped from the partitioning, and for transforms of the future.
pub(super) fn transform(transform: IcebergTransform) -> Option<Transform> {
    match transform {
        IcebergTransform::Identity => Some(Transform::Identity),
        IcebergTransform::Year => Some(Transform::Year),
        IcebergTransform::Month => Some(Transform::Month),
        IcebergTransform::Day => Some(Transform::Day),
        IcebergTransform::Hour => Some(Transform::Hour),
        IcebergTransform::Bucket(buckets) => Some(Transform::Bucket(buckets)),
        IcebergTransform::Truncate(width) => Some(Transform::Truncate(width)),
        IcebergTransform::Void | IcebergTransform::Unknown => None,
    }
}

fn check_readable(table: &TableRef, metadata: &TableMetadata) -> Result<()> {
    let fields = metadata.current_schema().field_id_to_fields();
    let with_default: Option<&NestedFieldRef> = fields
        .values()
        .find(|field| field.initial_default.is_some());
    match with_default {
        Some(field) => Err(unsupported(
            table,
            format!("its column {} has an initial-default value", field.name),
        )),
        None => Ok(()),
    }
}

fn deletes(file: &IcebergFile) -> String {
    let kind = match (file.content_type(), file.file_format()) {
        (_, DataFileFormat::Puffin) => "deletion vectors",
        (DataContentType::EqualityDeletes, _) => "equality deletes",
        _ => "position deletes",
    };
    format!(
        "it holds {kind}, which Shoal does not read yet; rewrite its data files with the engine that \
         made them, in Spark with CALL system.rewrite_data_files"
    )
}

fn unsupported(table: &TableRef, feature: String) -> LakeError {
    LakeError::Unsupported {
        table: table.name.clone(),
        feature,
    }
}
