//! How plans with the lake's own nodes travel to executors.
//!
//! Every message carries a tag in front: Ballista's own nodes go to Ballista's codec, a writer is
//! the JSON of its [`WriteSpec`](crate::write::WriteSpec), its schema and its CHECK expressions, and a
//! scan by field id is the plain Parquet scan inside it, a scan of images its file list and limits, a
//! scan of chosen rows the scan inside it and their numbers, a scan of first rows the scan inside it, their
//! order, condition and number, the making of an index the JSON of its
//! [`IndexSpec`], a split its expressions and its bound.

use std::sync::Arc;
use std::time::Duration;

use arrow::compute::SortOptions;
use arrow::datatypes::Schema;
use ballista_core::serde::BallistaPhysicalExtensionCodec;
use datafusion::{
    common::{DataFusionError, Result, internal_err},
    datasource::{
        physical_plan::{FileScanConfig, FileSource},
        source::DataSourceExec,
    },
    execution::TaskContext,
    logical_expr::{AggregateUDF, ScalarUDF, WindowUDF},
    physical_expr::{LexOrdering, PhysicalSortExpr},
    physical_plan::ExecutionPlan,
};
use datafusion_proto::{
    physical_plan::{
        PhysicalExtensionCodec, PhysicalPlanDecodeContext, PhysicalProtoConverterExtension,
        from_proto::{parse_protobuf_file_scan_config, parse_table_schema_from_proto},
        to_proto::serialize_file_scan_config,
    },
    protobuf,
};
use prost::Message;
use shoal_images::probe::Limits;

use crate::{
    images::{ImageSource, Wanted},
    index::{IndexExec, IndexSpec},
    scan::{FieldIdSource, ReducedSource, RowsByFile, TopRows, WantedRows, select},
    split::SplitExec,
    write::{WriteSpec, WriterExec},
};

const BALLISTA: u8 = 0;
const WRITER: u8 = 1;
const FIELD_IDS: u8 = 2;
const IMAGES: u8 = 3;
const ROWS: u8 = 4;
const INDEX: u8 = 5;
const SPLIT: u8 = 6;
const TOP_ROWS: u8 = 7;

/// The codec that scheduler and executors share.
pub fn codec() -> Arc<dyn PhysicalExtensionCodec> {
    Arc::new(LakeCodec::default())
}

#[derive(Debug, Default)]
struct LakeCodec {
    ballista: BallistaPhysicalExtensionCodec,
}

#[derive(Clone, PartialEq, Message)]
struct WriterMessage {
    /// [`WriteSpec`] without its schema, as JSON.
    #[prost(string, tag = "1")]
    spec: String,
    #[prost(message, optional, tag = "2")]
    schema: Option<protobuf::Schema>,
    #[prost(message, repeated, tag = "3")]
    checks: Vec<CheckMessage>,
}

#[derive(Clone, PartialEq, Message)]
struct CheckMessage {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(message, optional, tag = "2")]
    condition: Option<protobuf::PhysicalExprNode>,
}

#[derive(Clone, PartialEq, Message)]
struct ImagesMessage {
    #[prost(message, optional, tag = "1")]
    scan: Option<protobuf::FileScanExecConf>,
    #[prost(uint64, tag = "2")]
    max_file_bytes: u64,
    #[prost(uint64, tag = "3")]
    max_pixels: u64,
    /// The place of [`Wanted`] in [`WANTED`].
    #[prost(uint32, tag = "4")]
    wanted: u32,
    #[prost(uint64, tag = "5")]
    max_alloc: u64,
    #[prost(uint64, tag = "6")]
    max_milliseconds: u64,
}

#[derive(Clone, PartialEq, Message)]
struct RowsMessage {
    #[prost(message, optional, tag = "1")]
    scan: Option<protobuf::PhysicalPlanNode>,
    /// [`RowsByFile`] as JSON.
    #[prost(string, tag = "2")]
    rows: String,
}

#[derive(Clone, PartialEq, Message)]
struct TopRowsMessage {
    #[prost(message, optional, tag = "1")]
    scan: Option<protobuf::PhysicalPlanNode>,
    #[prost(message, repeated, tag = "2")]
    keys: Vec<KeyMessage>,
    #[prost(message, optional, tag = "3")]
    condition: Option<protobuf::PhysicalExprNode>,
    #[prost(uint64, tag = "4")]
    count: u64,
}

#[derive(Clone, PartialEq, Message)]
struct KeyMessage {
    #[prost(message, optional, tag = "1")]
    expr: Option<protobuf::PhysicalExprNode>,
    #[prost(bool, tag = "2")]
    descending: bool,
    #[prost(bool, tag = "3")]
    nulls_first: bool,
}

#[derive(Clone, PartialEq, Message)]
struct SplitMessage {
    #[prost(message, repeated, tag = "1")]
    bytes: Vec<protobuf::PhysicalExprNode>,
    #[prost(uint64, tag = "2")]
    max_bytes: u64,
}

const WANTED: [Wanted; 3] = [Wanted::Pictures, Wanted::Rejects, Wanted::Everything];

fn unreadable(error: impl std::fmt::Display) -> DataFusionError {
    DataFusionError::Internal(format!(
        "a node of a plan is unreadable: {error}; scheduler and executors must be the same version of Shoal"
    ))
}

impl LakeCodec {
    fn encode_writer(
        &self,
        writer: &WriterExec,
        converter: &dyn PhysicalProtoConverterExtension,
    ) -> Result<WriterMessage> {
        let checks = writer
            .checks()
            .iter()
            .map(|(name, condition)| {
                Ok(CheckMessage {
                    name: name.clone(),
                    condition: Some(converter.physical_expr_to_proto(condition, self)?),
                })
            })
            .collect::<Result<Vec<_>>>()?;
        Ok(WriterMessage {
            spec: serde_json::to_string(writer.spec()).map_err(unreadable)?,
            schema: Some(protobuf::Schema::try_from(writer.spec().schema.as_ref())?),
            checks,
        })
    }

    /// A scan by field id travels as the scan of its Parquet source.
    fn encode_field_ids(
        &self,
        scan: &FileScanConfig,
        source: &FieldIdSource,
        converter: &dyn PhysicalProtoConverterExtension,
    ) -> Result<protobuf::PhysicalPlanNode> {
        self.encode_inner(scan, source.parquet(), converter)
    }

    /// A scan with another source in place of its own.
    fn encode_inner(
        &self,
        scan: &FileScanConfig,
        inner: &Arc<dyn FileSource>,
        converter: &dyn PhysicalProtoConverterExtension,
    ) -> Result<protobuf::PhysicalPlanNode> {
        let mut scan = scan.clone();
        scan.file_source = inner.clone();
        let scan: Arc<dyn ExecutionPlan> = DataSourceExec::from_data_source(scan);
        converter.execution_plan_to_proto(&scan, self)
    }

    /// The scan that [`Self::encode_inner`] made a message of.
    fn decode_inner(
        &self,
        message: Option<&protobuf::PhysicalPlanNode>,
        context: &TaskContext,
        converter: &dyn PhysicalProtoConverterExtension,
    ) -> Result<FileScanConfig> {
        let decode = PhysicalPlanDecodeContext::new(context, self);
        let message = message.ok_or_else(|| unreadable("no scan"))?;
        let scan = converter.proto_to_execution_plan(message, &decode)?;
        scan.downcast_ref::<DataSourceExec>()
            .and_then(|scan| scan.data_source().downcast_ref::<FileScanConfig>())
            .cloned()
            .ok_or_else(|| unreadable("no scan of files"))
    }

    fn decode_field_ids(
        &self,
        message: &protobuf::PhysicalPlanNode,
        context: &TaskContext,
        converter: &dyn PhysicalProtoConverterExtension,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let mut by_id = self.decode_inner(Some(message), context, converter)?;
        by_id.file_source = Arc::new(FieldIdSource::new(by_id.file_source));
        Ok(DataSourceExec::from_data_source(by_id))
    }

    fn encode_images(
        &self,
        scan: &FileScanConfig,
        source: &ImageSource,
        converter: &dyn PhysicalProtoConverterExtension,
    ) -> Result<ImagesMessage> {
        let limits = source.limits();
        Ok(ImagesMessage {
            scan: Some(serialize_file_scan_config(scan, self, converter)?),
            max_file_bytes: limits.max_file_bytes,
            max_pixels: limits.max_pixels,
            max_alloc: limits.max_alloc,
            max_milliseconds: u64::try_from(limits.max_time.as_millis()).unwrap_or(u64::MAX),
            wanted: WANTED
                .iter()
                .zip(0..)
                .find_map(|(wanted, place)| (*wanted == source.wanted()).then_some(place))
                .ok_or_else(|| unreadable("unknown kind of images"))?,
        })
    }

    fn decode_images(
        &self,
        message: ImagesMessage,
        context: &TaskContext,
        converter: &dyn PhysicalProtoConverterExtension,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let scan = message.scan.ok_or_else(|| unreadable("no files"))?;
        let limits = Limits {
            max_file_bytes: message.max_file_bytes,
            max_pixels: message.max_pixels,
            max_alloc: message.max_alloc,
            max_time: Duration::from_millis(message.max_milliseconds),
        };
        let wanted = WANTED
            .get(message.wanted as usize)
            .copied()
            .ok_or_else(|| unreadable("unknown kind of images"))?;
        let source = ImageSource::new(parse_table_schema_from_proto(&scan)?, limits, wanted);
        let decode = PhysicalPlanDecodeContext::new(context, self);
        let config = parse_protobuf_file_scan_config(&scan, &decode, converter, Arc::new(source))?;
        Ok(DataSourceExec::from_data_source(config))
    }

    /// A scan of chosen rows travels as the scan of all rows, and the numbers of those that are chosen.
    fn encode_rows(
        &self,
        scan: &FileScanConfig,
        inner: &Arc<dyn FileSource>,
        rows: &RowsByFile,
        converter: &dyn PhysicalProtoConverterExtension,
    ) -> Result<RowsMessage> {
        Ok(RowsMessage {
            scan: Some(self.encode_inner(scan, inner, converter)?),
            rows: serde_json::to_string(rows).map_err(unreadable)?,
        })
    }

    fn decode_rows(
        &self,
        message: &RowsMessage,
        context: &TaskContext,
        converter: &dyn PhysicalProtoConverterExtension,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let mut chosen = self.decode_inner(message.scan.as_ref(), context, converter)?;
        let rows: RowsByFile = serde_json::from_str(&message.rows).map_err(unreadable)?;
        chosen.file_groups = select(std::mem::take(&mut chosen.file_groups), &rows);
        let rows = WantedRows::Chosen(Arc::new(rows));
        chosen.file_source = Arc::new(ReducedSource::new(chosen.file_source, rows));
        Ok(DataSourceExec::from_data_source(chosen))
    }

    /// A scan of first rows travels as the scan of all rows, and what says which come first.
    fn encode_top_rows(
        &self,
        scan: &FileScanConfig,
        inner: &Arc<dyn FileSource>,
        top: &TopRows,
        converter: &dyn PhysicalProtoConverterExtension,
    ) -> Result<TopRowsMessage> {
        let keys = top.order.iter().map(|key| {
            Ok(KeyMessage {
                expr: Some(converter.physical_expr_to_proto(&key.expr, self)?),
                descending: key.options.descending,
                nulls_first: key.options.nulls_first,
            })
        });
        let condition = top.condition.as_ref();
        Ok(TopRowsMessage {
            scan: Some(self.encode_inner(scan, inner, converter)?),
            keys: keys.collect::<Result<_>>()?,
            condition: condition
                .map(|condition| converter.physical_expr_to_proto(condition, self))
                .transpose()?,
            count: top.count as u64,
        })
    }

    fn decode_top_rows(
        &self,
        message: &TopRowsMessage,
        context: &TaskContext,
        converter: &dyn PhysicalProtoConverterExtension,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let decode = PhysicalPlanDecodeContext::new(context, self);
        let mut first = self.decode_inner(message.scan.as_ref(), context, converter)?;
        let schema = first.file_source.table_schema().table_schema();
        let keys = message.keys.iter().map(|key| {
            let expr = key.expr.as_ref().ok_or_else(|| unreadable("no sort key"))?;
            let options = SortOptions::new(key.descending, key.nulls_first);
            let expr = converter.proto_to_physical_expr(expr, schema, &decode)?;
            Ok(PhysicalSortExpr::new(expr, options))
        });
        let keys = keys.collect::<Result<Vec<_>>>()?;
        let condition = message.condition.as_ref();
        let top = TopRows {
            order: LexOrdering::new(keys).ok_or_else(|| unreadable("no order"))?,
            condition: condition
                .map(|condition| converter.proto_to_physical_expr(condition, schema, &decode))
                .transpose()?,
            count: usize::try_from(message.count).map_err(unreadable)?,
        };
        let rows = WantedRows::First(Arc::new(top));
        first.file_source = Arc::new(ReducedSource::new(first.file_source, rows));
        Ok(DataSourceExec::from_data_source(first))
    }

    fn decode_writer(
        &self,
        message: WriterMessage,
        inputs: &[Arc<dyn ExecutionPlan>],
        context: &TaskContext,
        converter: &dyn PhysicalProtoConverterExtension,
    ) -> Result<WriterExec> {
        let [input] = inputs else {
            return internal_err!("a writer has one input, not {}", inputs.len());
        };
        let schema = message.schema.ok_or_else(|| unreadable("no schema"))?;
        let mut spec: WriteSpec = serde_json::from_str(&message.spec).map_err(unreadable)?;
        spec.schema = Arc::new(Schema::try_from(&schema)?);
        let input_schema = input.schema();
        let decode = PhysicalPlanDecodeContext::new(context, self);
        let checks = message
            .checks
            .into_iter()
            .map(|check| {
                let node = check.condition.ok_or_else(|| unreadable("no condition"))?;
                let condition = converter.proto_to_physical_expr(&node, &input_schema, &decode)?;
                Ok((check.name, condition))
            })
            .collect::<Result<Vec<_>>>()?;
        Ok(WriterExec::new(input.clone(), Arc::new(spec), checks))
    }

    fn encode_split(
        &self,
        split: &SplitExec,
        converter: &dyn PhysicalProtoConverterExtension,
    ) -> Result<SplitMessage> {
        let bytes = split.bytes().iter();
        Ok(SplitMessage {
            bytes: bytes
                .map(|bytes| converter.physical_expr_to_proto(bytes, self))
                .collect::<Result<_>>()?,
            max_bytes: split.max_bytes(),
        })
    }

    fn decode_split(
        &self,
        message: &SplitMessage,
        inputs: &[Arc<dyn ExecutionPlan>],
        context: &TaskContext,
        converter: &dyn PhysicalProtoConverterExtension,
    ) -> Result<SplitExec> {
        let [input] = inputs else {
            return internal_err!("a split has one input, not {}", inputs.len());
        };
        let schema = input.schema();
        let decode = PhysicalPlanDecodeContext::new(context, self);
        let bytes = message.bytes.iter();
        let bytes = bytes
            .map(|node| converter.proto_to_physical_expr(node, &schema, &decode))
            .collect::<Result<_>>()?;
        Ok(SplitExec::new(input.clone(), bytes, message.max_bytes))
    }
}

impl PhysicalExtensionCodec for LakeCodec {
    fn try_decode(
        &self,
        buf: &[u8],
        inputs: &[Arc<dyn ExecutionPlan>],
        context: &TaskContext,
        converter: &dyn PhysicalProtoConverterExtension,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        match buf.split_first() {
            Some((&BALLISTA, rest)) => self.ballista.try_decode(rest, inputs, context, converter),
            Some((&WRITER, rest)) => {
                let message = WriterMessage::decode(rest).map_err(unreadable)?;
                let writer = self.decode_writer(message, inputs, context, converter)?;
                Ok(Arc::new(writer))
            }
            Some((&FIELD_IDS, rest)) => {
                let message = protobuf::PhysicalPlanNode::decode(rest).map_err(unreadable)?;
                self.decode_field_ids(&message, context, converter)
            }
            Some((&IMAGES, rest)) => {
                let message = ImagesMessage::decode(rest).map_err(unreadable)?;
                self.decode_images(message, context, converter)
            }
            Some((&ROWS, rest)) => {
                let message = RowsMessage::decode(rest).map_err(unreadable)?;
                self.decode_rows(&message, context, converter)
            }
            Some((&TOP_ROWS, rest)) => {
                let message = TopRowsMessage::decode(rest).map_err(unreadable)?;
                self.decode_top_rows(&message, context, converter)
            }
            Some((&INDEX, rest)) => {
                let [input] = inputs else {
                    return internal_err!("an index is made of one input, not {}", inputs.len());
                };
                let spec: IndexSpec = serde_json::from_slice(rest).map_err(unreadable)?;
                Ok(Arc::new(IndexExec::new(input.clone(), Arc::new(spec))))
            }
            Some((&SPLIT, rest)) => {
                let message = SplitMessage::decode(rest).map_err(unreadable)?;
                let split = self.decode_split(&message, inputs, context, converter)?;
                Ok(Arc::new(split))
            }
            _ => Err(unreadable("unknown kind of node")),
        }
    }

    fn try_encode(
        &self,
        node: Arc<dyn ExecutionPlan>,
        buf: &mut Vec<u8>,
        converter: &dyn PhysicalProtoConverterExtension,
    ) -> Result<()> {
        if let Some(writer) = node.downcast_ref::<WriterExec>() {
            buf.push(WRITER);
            self.encode_writer(writer, converter)?
                .encode(buf)
                .map_err(unreadable)
        } else if let Some((scan, source)) = node
            .downcast_ref::<DataSourceExec>()
            .and_then(|scan| scan.downcast_to_file_source::<FieldIdSource>())
        {
            buf.push(FIELD_IDS);
            self.encode_field_ids(scan, source, converter)?
                .encode(buf)
                .map_err(unreadable)
        } else if let Some((scan, source)) = node
            .downcast_ref::<DataSourceExec>()
            .and_then(|scan| scan.downcast_to_file_source::<ImageSource>())
        {
            buf.push(IMAGES);
            self.encode_images(scan, source, converter)?
                .encode(buf)
                .map_err(unreadable)
        } else if let Some((scan, source)) = node
            .downcast_ref::<DataSourceExec>()
            .and_then(|scan| scan.downcast_to_file_source::<ReducedSource>())
        {
            match source.rows() {
                WantedRows::Chosen(rows) => {
                    buf.push(ROWS);
                    self.encode_rows(scan, source.inner(), rows, converter)?
                        .encode(buf)
                        .map_err(unreadable)
                }
                WantedRows::First(top) => {
                    buf.push(TOP_ROWS);
                    self.encode_top_rows(scan, source.inner(), top, converter)?
                        .encode(buf)
                        .map_err(unreadable)
                }
            }
        } else if let Some(index) = node.downcast_ref::<IndexExec>() {
            buf.push(INDEX);
            serde_json::to_writer(buf, index.spec()).map_err(unreadable)
        } else if let Some(split) = node.downcast_ref::<SplitExec>() {
            buf.push(SPLIT);
            self.encode_split(split, converter)?
                .encode(buf)
                .map_err(unreadable)
        } else {
            buf.push(BALLISTA);
            self.ballista.try_encode(node, buf, converter)
        }
    }

    fn try_decode_udf(&self, name: &str, buf: &[u8]) -> Result<Arc<ScalarUDF>> {
        self.ballista.try_decode_udf(name, buf)
    }

    fn try_encode_udf(&self, node: &ScalarUDF, buf: &mut Vec<u8>) -> Result<()> {
        self.ballista.try_encode_udf(node, buf)
    }

    fn try_decode_udaf(&self, name: &str, buf: &[u8]) -> Result<Arc<AggregateUDF>> {
        self.ballista.try_decode_udaf(name, buf)
    }

    fn try_encode_udaf(&self, node: &AggregateUDF, buf: &mut Vec<u8>) -> Result<()> {
        self.ballista.try_encode_udaf(node, buf)
    }

    fn try_decode_udwf(&self, name: &str, buf: &[u8]) -> Result<Arc<WindowUDF>> {
        self.ballista.try_decode_udwf(name, buf)
    }

    fn try_encode_udwf(&self, node: &WindowUDF, buf: &mut Vec<u8>) -> Result<()> {
        self.ballista.try_encode_udwf(node, buf)
    }
}
