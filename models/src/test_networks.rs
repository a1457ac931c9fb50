//! ONNX files made in place, small enough to compute in the head.

use prost::Message;
use tract_onnx::pb::tensor_shape_proto::{Dimension, dimension::Value as Size};
use tract_onnx::pb::{
    AttributeProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, TensorShapeProto,
    TypeProto, ValueInfoProto, attribute_proto::AttributeType, tensor_proto::DataType, type_proto,
};

/// The last operator set in which reductions take their axes as an attribute.
const OPSET: i64 = 11;

/// Vectors of two numbers to `sum` and `product`, each one number. `batch` rows at a time, or any number.
pub(crate) fn sum_and_product(batch: Option<usize>) -> Vec<u8> {
    let batch = || batch.map_or_else(|| open("N"), |batch| fixed(i64::try_from(batch).unwrap()));
    file(
        vec![
            reduction("ReduceSum", "x", "sum"),
            reduction("ReduceProd", "x", "product"),
        ],
        ("x", vec![batch(), fixed(2)]),
        &["sum", "product"].map(|name| (name, vec![batch(), fixed(1)])),
    )
}

/// Pictures of any size to `mean`, the mean of each of three channels.
pub(crate) fn mean_of_channels() -> Vec<u8> {
    file(
        vec![
            node("GlobalAveragePool", "pixels", "pooled", vec![]),
            node("Flatten", "pooled", "mean", vec![]),
        ],
        (
            "pixels",
            vec![open("N"), fixed(3), open("height"), open("width")],
        ),
        &[("mean", vec![open("N"), fixed(3)])],
    )
}

fn file(nodes: Vec<NodeProto>, input: (&str, Vec<Size>), outputs: &[(&str, Vec<Size>)]) -> Vec<u8> {
    let info = |(name, sizes): &(&str, Vec<Size>)| tensor(name, sizes);
    let graph = GraphProto {
        name: "network".into(),
        node: nodes,
        input: vec![info(&input)],
        output: outputs.iter().map(info).collect(),
        ..GraphProto::default()
    };
    let model = ModelProto {
        ir_version: 7,
        opset_import: vec![OperatorSetIdProto {
            version: OPSET,
            ..OperatorSetIdProto::default()
        }],
        graph: Some(graph),
        ..ModelProto::default()
    };
    model.encode_to_vec()
}

fn reduction(kind: &str, input: &str, output: &str) -> NodeProto {
    let axes = AttributeProto {
        name: "axes".into(),
        r#type: AttributeType::Ints as i32,
        ints: vec![1],
        ..AttributeProto::default()
    };
    node(kind, input, output, vec![axes])
}

fn node(kind: &str, input: &str, output: &str, attribute: Vec<AttributeProto>) -> NodeProto {
    NodeProto {
        name: format!("make_{output}"),
        op_type: kind.into(),
        input: vec![input.into()],
        output: vec![output.into()],
        attribute,
        ..NodeProto::default()
    }
}

fn fixed(size: i64) -> Size {
    Size::DimValue(size)
}

fn open(name: &str) -> Size {
    Size::DimParam(name.into())
}

fn tensor(name: &str, sizes: &[Size]) -> ValueInfoProto {
    let dim = sizes.iter().map(|size| Dimension {
        value: Some(size.clone()),
        ..Dimension::default()
    });
    let tensor = type_proto::Tensor {
        elem_type: DataType::Float as i32,
        shape: Some(TensorShapeProto { dim: dim.collect() }),
    };
    ValueInfoProto {
        name: name.into(),
        r#type: Some(TypeProto {
            value: Some(type_proto::Value::TensorType(tensor)),
            ..TypeProto::default()
        }),
        ..ValueInfoProto::default()
    }
}
