//! Listed objects as a DataFusion table.

use std::sync::{Arc, LazyLock};

use arrow::datatypes::{DataType, Field, FieldRef, Fields, Schema, SchemaRef, TimeUnit};
use async_trait::async_trait;
use datafusion::{
    catalog::{Session, TableProvider},
    common::{ScalarValue, Statistics, stats::Precision},
    datasource::{
        TableType,
        listing::PartitionedFile,
        physical_plan::{FileGroup, FileScanConfigBuilder},
        source::DataSourceExec,
        table_schema::TableSchema,
    },
    logical_expr::Expr,
    physical_plan::ExecutionPlan,
};
use shoal_images::probe::Limits;
use url::Url;

use super::{
    list::ImageObject,
    source::{ImageSource, Wanted},
};
use crate::stores::Stores;

/// Partitions per core, so that waiting for one object leaves others to be worked on.
const GROUPS_PER_PARTITION: usize = 4;

/// The columns of an object: those of `raw.images`, and why the object was not taken in.
///
/// - `id`: BLAKE3 of the content, 64 hexadecimal digits; NULL if the content was not read
/// - `filename`: the object's URL
/// - `content`: its bytes; NULL when `reason` is not
/// - `mime_type`: by content, such as `image/jpeg`
/// - `size`: bytes
/// - `created_at`: time of the object's last change
/// - `metadata`: width, height, channels, format, from the header
/// - `reason`: NULL for a usable picture, else a short code such as `truncated`
/// - `detail`: the reason in words
pub fn image_schema() -> SchemaRef {
    static SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| {
        let mut fields = file_fields();
        fields.extend(object_fields());
        Arc::new(Schema::new(fields))
    });
    SCHEMA.clone()
}

/// What the content tells.
pub(super) fn file_fields() -> Vec<Field> {
    let metadata = Fields::from(vec![
        Field::new("width", DataType::Int32, true),
        Field::new("height", DataType::Int32, true),
        Field::new("channels", DataType::Int32, true),
        Field::new("format", DataType::Utf8, true),
    ]);
    vec![
        Field::new("id", DataType::Utf8, true),
        Field::new("content", DataType::Binary, true),
        Field::new("mime_type", DataType::Utf8, true),
        Field::new("metadata", DataType::Struct(metadata), true),
        Field::new("reason", DataType::Utf8, true),
        Field::new("detail", DataType::Utf8, true),
    ]
}

/// What the listing tells.
fn object_fields() -> Vec<Field> {
    let time = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    vec![
        Field::new("filename", DataType::Utf8, false),
        Field::new("size", DataType::Int64, false),
        Field::new("created_at", time, false),
    ]
}

/// Objects of one store as a table, which has a row for each that is wanted.
#[derive(Debug)]
pub struct ImageFiles {
    source: Url,
    objects: Vec<ImageObject>,
    limits: Limits,
    wanted: Wanted,
}

impl ImageFiles {
    /// The wanted ones of the objects, which are all from the store of `source`.
    pub fn new(source: Url, objects: Vec<ImageObject>, limits: Limits, wanted: Wanted) -> Self {
        ImageFiles {
            source,
            objects,
            limits,
            wanted,
        }
    }

    /// What was listed.
    pub fn source(&self) -> &Url {
        &self.source
    }

    /// Number of objects.
    pub fn len(&self) -> usize {
        self.objects.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.objects.is_empty()
    }

    /// Bytes in all objects.
    pub fn total_bytes(&self) -> u64 {
        self.objects.iter().map(|o| o.meta.size).sum()
    }

    fn partitioned_file(object: &ImageObject) -> PartitionedFile {
        let mut file = PartitionedFile::from(object.meta.clone());
        file.partition_values = vec![
            ScalarValue::Utf8(Some(object.url.clone())),
            ScalarValue::Int64(Some(i64::try_from(object.meta.size).unwrap_or(i64::MAX))),
            ScalarValue::TimestampMicrosecond(Some(object.modified_micros()), Some("UTC".into())),
        ];
        file
    }
}

#[async_trait]
impl TableProvider for ImageFiles {
    fn schema(&self) -> SchemaRef {
        image_schema()
    }

    fn table_type(&self) -> TableType {
        TableType::Temporary
    }

    async fn scan(
        &self,
        session: &dyn Session,
        projection: Option<&Vec<usize>>,
        _filters: &[Expr],
        _limit: Option<usize>,
    ) -> datafusion::error::Result<Arc<dyn ExecutionPlan>> {
        let from_listing: Vec<FieldRef> = object_fields().into_iter().map(Arc::new).collect();
        let schema = TableSchema::builder(Arc::new(Schema::new(file_fields())))
            .with_table_partition_cols(from_listing)
            .build();
        let groups = session.config().target_partitions() * GROUPS_PER_PARTITION;
        let mut dealt: Vec<Vec<PartitionedFile>> =
            vec![vec![]; groups.clamp(1, self.objects.len().max(1))];
        let lanes = dealt.len();
        for (i, object) in self.objects.iter().enumerate() {
            dealt[i % lanes].push(Self::partitioned_file(object));
        }
        let statistics = Statistics {
            num_rows: Precision::Inexact(self.objects.len()),
            total_byte_size: Precision::Inexact(self.total_bytes() as usize),
            column_statistics: Statistics::unknown_column(schema.table_schema()),
        };
        let source = ImageSource::new(schema, self.limits, self.wanted);
        let config = FileScanConfigBuilder::new(Stores::store_url(&self.source)?, Arc::new(source))
            .with_file_groups(dealt.into_iter().map(FileGroup::new).collect())
            .with_statistics(statistics)
            .with_projection_indices(projection.cloned())?
            .build();
        Ok(DataSourceExec::from_data_source(config))
    }
}
