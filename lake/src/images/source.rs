//! Reads one object and says what it is: the part that runs on executors.

use std::sync::Arc;

use arrow::{
    array::{ArrayRef, BinaryArray, Int32Array, RecordBatch, StringArray, StructArray},
    buffer::{Buffer, OffsetBuffer},
    datatypes::{DataType, Fields, Schema, SchemaRef},
};
use bytes::Bytes;
use datafusion::{
    common::{Result, tree_node::TreeNodeRecursion},
    datasource::{
        listing::PartitionedFile,
        physical_plan::{FileOpenFuture, FileOpener, FileScanConfig, FileSource},
        projection::{ProjectionOpener, SplitProjection},
        table_schema::TableSchema,
    },
    physical_expr::{PhysicalExpr, projection::ProjectionExprs},
    physical_plan::metrics::{Count, ExecutionPlanMetricsSet, MetricBuilder},
};
use futures::{FutureExt as _, StreamExt as _};
use object_store::{ObjectMeta, ObjectStore, path::Path};
use shoal_images::{
    error::ImageError,
    probe::{Format, ImageInfo, Limits, probe},
};

use crate::error::LakeError;

/// Reason code of an object that its store would not give: it may be readable next time.
pub const UNREADABLE: &str = "unreadable";

/// Which objects become rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// Usable pictures.
    Pictures,
    /// All others, with the reason.
    Rejects,
    /// All, read only where a column needs it. An object that its store does not give is an error here:
    /// whoever asks for it has no table of rejects to look into.
    Everything,
}

/// A file source with a row for each wanted object.
///
/// The objects are read to be told apart, so this is no filter above the scan: that one would gather
/// the rows that pass, and copy every picture.
#[derive(Debug, Clone)]
pub(crate) struct ImageSource {
    table_schema: TableSchema,
    limits: Limits,
    wanted: Wanted,
    projection: SplitProjection,
    metrics: ExecutionPlanMetricsSet,
}

impl ImageSource {
    /// A source for objects with the columns of [`image_schema`](super::image_schema).
    pub(crate) fn new(table_schema: TableSchema, limits: Limits, wanted: Wanted) -> Self {
        ImageSource {
            projection: SplitProjection::unprojected(&table_schema),
            table_schema,
            limits,
            wanted,
            metrics: ExecutionPlanMetricsSet::new(),
        }
    }

    /// Limits on objects.
    pub(crate) fn limits(&self) -> Limits {
        self.limits
    }

    /// Which objects become rows.
    pub(crate) fn wanted(&self) -> Wanted {
        self.wanted
    }
}

impl FileSource for ImageSource {
    fn create_file_opener(
        &self,
        object_store: Arc<dyn ObjectStore>,
        scan: &FileScanConfig,
        partition: usize,
    ) -> Result<Arc<dyn FileOpener>> {
        let columns = &self.projection.file_indices;
        let opener = ImageOpener {
            store: object_store,
            limits: self.limits,
            wanted: self.wanted,
            is_local: scan.object_store_url.as_str().starts_with("file:"),
            schema: Arc::new(self.table_schema.file_schema().project(columns)?),
            bytes_scanned: MetricBuilder::new(&self.metrics).counter("bytes_scanned", partition),
        };
        ProjectionOpener::try_new(
            self.projection.clone(),
            Arc::new(opener),
            self.table_schema.file_schema(),
        )
    }

    fn table_schema(&self) -> &TableSchema {
        &self.table_schema
    }

    fn with_batch_size(&self, _batch_size: usize) -> Arc<dyn FileSource> {
        Arc::new(self.clone())
    }

    fn projection(&self) -> Option<&ProjectionExprs> {
        Some(&self.projection.source)
    }

    fn try_pushdown_projection(
        &self,
        projection: &ProjectionExprs,
    ) -> Result<Option<Arc<dyn FileSource>>> {
        let merged = self.projection.source.try_merge(projection)?;
        let mut source = self.clone();
        source.projection = SplitProjection::new(self.table_schema.file_schema(), &merged);
        Ok(Some(Arc::new(source)))
    }

    fn metrics(&self) -> &ExecutionPlanMetricsSet {
        &self.metrics
    }

    fn file_type(&self) -> &str {
        "image"
    }

    fn supports_repartitioning(&self) -> bool {
        false
    }

    fn apply_expressions(
        &self,
        f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        datafusion::physical_plan::apply_expression_roots(self.projection.source.iter(), f)
    }
}

#[derive(Clone)]
struct ImageOpener {
    store: Arc<dyn ObjectStore>,
    limits: Limits,
    wanted: Wanted,
    /// Whether the files are the server's own. What it keeps beside pictures, such as its passwords, is
    /// nobody's to read.
    is_local: bool,
    schema: SchemaRef,
    bytes_scanned: Count,
}

impl FileOpener for ImageOpener {
    fn open(&self, file: PartitionedFile) -> Result<FileOpenFuture> {
        let opener = self.clone();
        let read = async move {
            let row = opener.row(&file.object_meta).await?;
            Ok(futures::stream::iter(row.map(Ok)).boxed())
        };
        Ok(read.boxed())
    }
}

impl ImageOpener {
    /// The object as a batch of one row, if it is wanted.
    async fn row(&self, object: &ObjectMeta) -> Result<Option<RecordBatch>> {
        let seen = match (self.wanted, self.schema.fields().is_empty()) {
            (Wanted::Everything, true) => Seen::default(),
            _ => self.look(object).await?,
        };
        let is_wanted = match self.wanted {
            Wanted::Pictures => seen.refusal.is_none(),
            Wanted::Rejects => seen.refusal.is_some(),
            Wanted::Everything => true,
        };
        is_wanted.then(|| seen.row(&self.schema)).transpose()
    }

    /// Reads an object, unless it is too large, and says what it is.
    async fn look(&self, object: &ObjectMeta) -> Result<Seen> {
        if object.size > self.limits.max_file_bytes {
            let too_large = ImageError::TooManyBytes {
                bytes: object.size,
                limit: self.limits.max_file_bytes,
            };
            return Ok(Seen::refused(&too_large));
        }
        let content = match read(self.store.as_ref(), object).await {
            Ok(content) => content,
            Err(error) if self.wanted == Wanted::Everything => {
                let reading = LakeError::store(format!("reading {}", object.location));
                return Err(reading(error).into());
            }
            Err(error) => {
                return Ok(Seen {
                    refusal: Some((UNREADABLE, error.to_string())),
                    ..Seen::default()
                });
            }
        };
        self.bytes_scanned.add(content.len());
        let seen = match probe(&content, &self.limits) {
            Ok(info) => Seen::picture(&object.location, info),
            Err(error) => Seen::refused(&error),
        };
        let is_private = self.is_local && Format::sniff(&content).is_none();
        Ok(Seen {
            content: (!is_private).then_some(content),
            ..seen
        })
    }
}

/// The bytes of an object as it was listed: one that is shorter by now cannot be read.
async fn read(store: &dyn ObjectStore, object: &ObjectMeta) -> object_store::Result<Bytes> {
    if object.size == 0 {
        return Ok(Bytes::new());
    }
    let all = 0..object.size;
    let mut ranges = store
        .get_ranges(&object.location, std::slice::from_ref(&all))
        .await?;
    Ok(ranges.pop().unwrap_or_default())
}

/// The format that a file's extension stands for.
fn claimed_format(path: &Path) -> Option<Format> {
    match path.extension()?.to_ascii_lowercase().as_str() {
        "jpg" | "jpeg" | "jpe" | "jfif" => Some(Format::Jpeg),
        "png" => Some(Format::Png),
        "tif" | "tiff" => Some(Format::Tiff),
        "gif" => Some(Format::Gif),
        "webp" => Some(Format::WebP),
        "bmp" | "dib" => Some(Format::Bmp),
        _ => None,
    }
}

/// What is known of an object.
#[derive(Default)]
struct Seen {
    /// Its bytes, if they were read.
    content: Option<Bytes>,
    /// What its header says, if it is a picture.
    info: Option<ImageInfo>,
    /// Code and words for why it is no usable picture.
    refusal: Option<(&'static str, String)>,
}

impl Seen {
    /// A picture, which is refused if its name claims another format than its content has.
    fn picture(path: &Path, info: ImageInfo) -> Self {
        let disguised = claimed_format(path).filter(|claimed| *claimed != info.format);
        Seen {
            content: None,
            info: Some(info),
            refusal: disguised.map(|claimed| {
                let detail = format!(
                    "the name says {claimed}, but the content is {}; rename the file",
                    info.format
                );
                ("disguised", detail)
            }),
        }
    }

    fn refused(error: &ImageError) -> Self {
        Seen {
            refusal: Some((error.code(), error.to_string())),
            ..Seen::default()
        }
    }

    /// The object as a batch of one row with the wanted columns.
    fn row(&self, schema: &Schema) -> Result<RecordBatch> {
        let columns = schema
            .fields()
            .iter()
            .map(|field| self.column(field.name(), field.data_type()))
            .collect();
        let options = arrow::array::RecordBatchOptions::new().with_row_count(Some(1));
        Ok(RecordBatch::try_new_with_options(
            Arc::new(schema.clone()),
            columns,
            &options,
        )?)
    }

    fn column(&self, name: &str, data_type: &DataType) -> ArrayRef {
        let refusal = self.refusal.as_ref();
        match (name, &self.content, self.info, data_type) {
            ("id", Some(content), ..) => text(Some(blake3::hash(content).to_hex().to_string())),
            ("content", Some(content), ..) => {
                // The bytes as they were read, not a copy.
                let offsets = OffsetBuffer::from_lengths([content.len()]);
                Arc::new(BinaryArray::new(
                    offsets,
                    Buffer::from(content.clone()),
                    None,
                ))
            }
            ("mime_type", _, Some(info), _) => text(Some(info.format.mime_type().to_string())),
            ("metadata", _, Some(info), DataType::Struct(fields)) => {
                Arc::new(metadata(&info, fields))
            }
            ("reason", ..) => text(refusal.map(|(reason, _)| (*reason).to_string())),
            ("detail", ..) => text(refusal.map(|(_, detail)| detail.clone())),
            _ => arrow::array::new_null_array(data_type, 1),
        }
    }
}

fn text(value: Option<String>) -> ArrayRef {
    Arc::new(StringArray::from(vec![value]))
}

fn metadata(info: &ImageInfo, fields: &Fields) -> StructArray {
    let number = |n: u32| Arc::new(Int32Array::from(vec![i32::try_from(n).ok()])) as ArrayRef;
    let values = vec![
        number(info.width),
        number(info.height),
        number(u32::from(info.channels)),
        text(Some(info.format.name().to_string())),
    ];
    StructArray::new(fields.clone(), values, None)
}
