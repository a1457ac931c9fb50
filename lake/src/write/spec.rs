//! What a writer node has to know about its table. Travels to executors as JSON plus the schema.

use arrow::datatypes::{DataType, FieldRef, SchemaRef};
use datafusion::physical_expr::{LexOrdering, PhysicalSortExpr, expressions::Column};
use parquet::{
    basic::{Compression, ZstdLevel},
    file::properties::{EnabledStatistics, WriterProperties},
    schema::types::ColumnPath,
};
use serde::{Deserialize, Serialize};
use shoal_config::WriteSettings;
use shoal_udfs::types::is_image;
use std::sync::Arc;
use url::Url;

use crate::{
    error::{LakeError, Result},
    iceberg,
    snapshot::{Base, Snapshot},
    sort_order::{self, SortColumn},
    table::{CreateTable, Format, PartitionField, TableRef},
};

/// A look at one row decompresses a page and the dictionary of every column: both are smaller than
/// Parquet's defaults (1 MiB and 20,000 rows), which made such a look twice as slow.
const DICTIONARY_BYTES: usize = 128 << 10;
const NUMBER_DICTIONARY_BYTES: usize = 32 << 10;
const PAGE_ROWS: usize = 4096;
/// Of tables with images or vectors single rows are looked at above all: what a search found, what has an id.
const PAGE_ROWS_BESIDE_LARGE: usize = 1024;
/// Images, thumbnails included, get a page of their own: one is read without its neighbours, and written
/// without a buffer that grows and is copied.
const IMAGE_PAGE_BYTES: usize = 8 << 10;
/// A vector is looked at alone, too, when a vector index has found it, but a reader walks over all pages of a
/// row group to find that of a row: a search among a million vectors of 1 KiB took as long for walking over pages
/// of 8 KiB as for reading what it needs of pages of 32 KiB.
const VECTOR_PAGE_BYTES: usize = 16 << 10;
/// Nor does a search want to read the dictionary of ids, of which none comes twice, for each row group.
const NUMBER_DICTIONARY_BYTES_BESIDE_VECTORS: usize = 4 << 10;
/// A reader takes the images of a row group into memory at once, and is an eighth slower with groups of
/// 128 MiB, as a writer is.
const IMAGE_ROW_GROUP_BYTES: u64 = 16 << 20;

/// How rows become data files of one table.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct WriteSpec {
    /// Name of the table, for messages.
    pub table: String,
    /// The table's format.
    pub format: Format,
    /// The table's directory.
    pub location: Url,
    /// Directory below `location` that data files go to, with a slash at the end; may be empty.
    pub data_prefix: String,
    /// All columns in declared order. Rows arrive in this order and with these types, but vectors may
    /// come as lists.
    #[serde(skip, default = "empty_schema")]
    pub schema: SchemaRef,
    /// Partitioning, outermost first.
    pub partition_by: Vec<PartitionField>,
    /// Columns whose values are kept in the log instead of the files.
    pub outside_files: Vec<String>,
    /// In which order rows stand in each file.
    pub sort_by: Vec<SortColumn>,
    /// A file is closed when it has reached this many bytes.
    pub target_file_size: u64,
    /// A row group is closed when it has reached this many bytes.
    pub row_group_bytes: u64,
    /// Compression of all but binary columns, and of tables with vectors, as `write.compression` says.
    pub compression: String,
}

fn empty_schema() -> SchemaRef {
    Arc::new(arrow::datatypes::Schema::empty())
}

impl WriteSpec {
    /// For rows that go into an existing table.
    pub fn for_snapshot(snapshot: &Snapshot, settings: &WriteSettings) -> Result<Self> {
        let outside_files = snapshot
            .columns_outside_files()
            .into_iter()
            .map(str::to_string)
            .collect();
        WriteSpec::new(
            snapshot.table(),
            snapshot.schema().clone(),
            snapshot.partition_by().to_vec(),
            outside_files,
            match &snapshot.base {
                Base::Delta(_) => sort_order::from_properties(
                    &snapshot.table().name,
                    snapshot.properties(),
                    snapshot.schema(),
                )?,
                Base::Iceberg(base) => sort_order::from_metadata(base.table.metadata()),
            },
            settings,
        )
    }

    /// For rows that go into a table that their commit creates.
    pub fn for_new_table(request: &CreateTable, settings: &WriteSettings) -> Result<Self> {
        let outside_files = match request.table.format {
            Format::Delta => request
                .partition_by
                .iter()
                .map(|p| p.name.clone())
                .collect(),
            Format::Iceberg => vec![],
        };
        WriteSpec::new(
            &request.table,
            match request.table.format {
                Format::Delta => request.schema.clone(),
                Format::Iceberg => iceberg::new_schema(request)?,
            },
            request.partition_by.clone(),
            outside_files,
            request.sort_by()?,
            settings,
        )
    }

    fn new(
        table: &TableRef,
        schema: SchemaRef,
        partition_by: Vec<PartitionField>,
        outside_files: Vec<String>,
        sort_by: Vec<SortColumn>,
        settings: &WriteSettings,
    ) -> Result<Self> {
        Ok(WriteSpec {
            table: table.name.clone(),
            format: table.format,
            location: table.location.clone(),
            data_prefix: match table.format {
                Format::Delta => String::new(),
                Format::Iceberg => "data/".into(),
            },
            schema,
            partition_by,
            outside_files,
            sort_by,
            target_file_size: settings.target_file_size.0,
            row_group_bytes: settings.row_group_bytes.0,
            compression: settings.compression.clone(),
        })
    }

    /// Positions in [`Self::schema`] of the columns that stand in the files.
    pub(crate) fn file_columns(&self) -> Vec<usize> {
        let fields = self.schema.fields().iter().enumerate();
        fields
            .filter(|(_, f)| !self.outside_files.contains(f.name()))
            .map(|(i, _)| i)
            .collect()
    }

    /// The sort order as a requirement on the rows, whose columns are the table's.
    pub(crate) fn ordering(&self) -> Option<LexOrdering> {
        let order = self.sort_by.iter().map_while(|sort| {
            let column = Column::new_with_schema(&sort.column, &self.schema).ok()?;
            Some(PhysicalSortExpr::new(Arc::new(column), sort.options()))
        });
        LexOrdering::new(order)
    }

    /// Bytes of a row group that holds images.
    fn image_row_group_bytes(&self) -> usize {
        let bytes = self.row_group_bytes.min(IMAGE_ROW_GROUP_BYTES);
        usize::try_from(bytes).unwrap_or(usize::MAX)
    }

    /// Columns that stand in the files.
    fn file_fields(&self) -> impl Iterator<Item = &FieldRef> {
        let fields = self.schema.fields().iter();
        fields.filter(|field| !self.outside_files.contains(field.name()))
    }

    /// Whether a column's type is one of these.
    fn some_column(&self, is_one: impl Fn(&DataType) -> bool) -> bool {
        self.file_fields().any(|field| is_one(field.data_type()))
    }

    /// Rows of a page, at most.
    fn page_rows(&self) -> usize {
        match self.some_column(is_large) {
            true => PAGE_ROWS_BESIDE_LARGE,
            false => PAGE_ROWS,
        }
    }

    /// Parquet settings of the table's files.
    ///
    /// Binary columns hold images: already compressed, never equal, and of no use as bounds. Decoded
    /// images are compressed.
    pub(crate) fn parquet_properties(&self) -> Result<WriterProperties> {
        let beside_vectors = self.some_column(is_of_fixed_length);
        let codec = compression(&self.compression)?;
        let codec = match beside_vectors {
            true => of_vectors(codec),
            false => codec,
        };
        let mut properties = WriterProperties::builder()
            .set_created_by(concat!("shoal ", env!("CARGO_PKG_VERSION")).into())
            .set_compression(codec)
            .set_dictionary_page_size_limit(DICTIONARY_BYTES)
            .set_data_page_row_count_limit(self.page_rows())
            .set_max_row_group_bytes(usize::try_from(self.row_group_bytes).ok());
        for field in self.file_fields() {
            let column = ColumnPath::new(vec![field.name().clone()]);
            properties = match field.data_type() {
                DataType::Binary | DataType::LargeBinary => properties
                    .set_max_row_group_bytes(Some(self.image_row_group_bytes()))
                    .set_column_data_page_size_limit(column.clone(), IMAGE_PAGE_BYTES)
                    .set_column_compression(column.clone(), Compression::UNCOMPRESSED)
                    .set_column_dictionary_enabled(column.clone(), false)
                    .set_column_statistics_enabled(column, EnabledStatistics::None),
                image if is_image(image) => {
                    let pixels = ColumnPath::new(vec![field.name().clone(), "data".into()]);
                    properties
                        .set_max_row_group_bytes(Some(self.image_row_group_bytes()))
                        .set_column_data_page_size_limit(pixels.clone(), IMAGE_PAGE_BYTES)
                        .set_column_dictionary_enabled(pixels.clone(), false)
                        .set_column_statistics_enabled(pixels, EnabledStatistics::None)
                }
                // Numbers of which hardly one comes twice, and whose bounds help no query.
                DataType::List(item) | DataType::FixedSizeList(item, _)
                    if item.data_type().is_floating() =>
                {
                    let path = vec![field.name().clone(), "list".into(), item.name().clone()];
                    let numbers = ColumnPath::new(path);
                    properties
                        .set_column_data_page_size_limit(numbers.clone(), VECTOR_PAGE_BYTES)
                        .set_column_compression(numbers.clone(), of_vectors(codec))
                        .set_column_dictionary_enabled(numbers.clone(), false)
                        .set_column_statistics_enabled(numbers, EnabledStatistics::None)
                }
                number if number.is_primitive() => {
                    let bytes = match beside_vectors {
                        true => NUMBER_DICTIONARY_BYTES_BESIDE_VECTORS,
                        false => NUMBER_DICTIONARY_BYTES,
                    };
                    properties.set_column_dictionary_page_size_limit(column, bytes)
                }
                _ => properties,
            };
        }
        Ok(properties.build())
    }
}

/// Whether values of that type are images or vectors.
fn is_large(data_type: &DataType) -> bool {
    match data_type {
        DataType::List(item) | DataType::FixedSizeList(item, _) => item.data_type().is_floating(),
        other => other.is_binary() || is_image(other),
    }
}

/// Whether values of that type are vectors for certain: a list of numbers may be short.
fn is_of_fixed_length(data_type: &DataType) -> bool {
    matches!(data_type, DataType::FixedSizeList(_, _)) && is_large(data_type)
}

/// The codec of vectors, and of what stands beside those of a fixed length, where all else has `codec`.
/// Embeddings hardly compress: Zstandard made them 8 % smaller, and undoing that took as long as all else of reading
/// them. Snappy leaves them as they are, and still makes features that are mostly zero small. Of the columns beside
/// them a search reads single rows, for which it spent a sixth of its time in Zstandard.
fn of_vectors(codec: Compression) -> Compression {
    match codec {
        Compression::ZSTD(_) => Compression::SNAPPY,
        other => other,
    }
}

/// The Parquet codec that `write.compression` names.
fn compression(name: &str) -> Result<Compression> {
    let wrong = || {
        LakeError::Invalid(format!(
            "setting \"write.compression\": {name:?} is not one of none, snappy, lz4_raw, zstd(1) … zstd(22)"
        ))
    };
    Ok(match name {
        "none" => Compression::UNCOMPRESSED,
        "snappy" => Compression::SNAPPY,
        "lz4_raw" => Compression::LZ4_RAW,
        zstd => {
            let level = zstd
                .strip_prefix("zstd(")
                .and_then(|rest| rest.strip_suffix(')'));
            let level = level
                .and_then(|level| level.parse().ok())
                .ok_or_else(wrong)?;
            Compression::ZSTD(ZstdLevel::try_new(level).map_err(|_| wrong())?)
        }
    })
}
