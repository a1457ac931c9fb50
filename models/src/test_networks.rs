//! ONNX files made in place, small enough to compute in the head.

use prost::Message;
use tract_onnx::pb::tensor_shape_proto::{Dimension, dimension::Value as Size};
use tract_onnx::pb::{
    AttributeProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, TensorProto,
    TensorShapeProto, TypeProto, ValueInfoProto, attribute_proto::AttributeType,
    tensor_proto::DataType, type_proto,
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

/// Vectors of two numbers to `y`, the same as `number`.
pub(crate) fn converted(number: DataType) -> Vec<u8> {
    let shape = || vec![open("N"), fixed(2)];
    let mut y = tensor("y", &shape());
    if let Some(type_proto::Value::TensorType(tensor)) =
        y.r#type.as_mut().and_then(|y| y.value.as_mut())
    {
        tensor.elem_type = number as i32;
    }
    let mut model = model(vec![conversion("x", "y", number)], ("x", shape()), &[]);
    model.graph.as_mut().unwrap().output.push(y);
    model.encode_to_vec()
}

/// Vectors of one number to `y`: 5, 6, 7 for 0, 1, 2, and a failure for larger ones.
pub(crate) fn looked_up() -> Vec<u8> {
    let shape = || vec![open("N"), fixed(1)];
    let mut lookup = node("Gather", "table", "y", vec![]);
    lookup.input.push("index".into());
    let mut model = model(
        vec![conversion("x", "index", DataType::Int64), lookup],
        ("x", shape()),
        &[("y", shape())],
    );
    model.graph.as_mut().unwrap().initializer.push(TensorProto {
        name: "table".into(),
        data_type: DataType::Float as i32,
        dims: vec![3],
        float_data: vec![5.0, 6.0, 7.0],
        ..TensorProto::default()
    });
    model.encode_to_vec()
}

fn conversion(input: &str, output: &str, number: DataType) -> NodeProto {
    let to = AttributeProto {
        name: "to".into(),
        r#type: AttributeType::Int as i32,
        i: i64::from(number as i32),
        ..AttributeProto::default()
    };
    node("Cast", input, output, vec![to])
}

fn file(nodes: Vec<NodeProto>, input: (&str, Vec<Size>), outputs: &[(&str, Vec<Size>)]) -> Vec<u8> {
    model(nodes, input, outputs).encode_to_vec()
}

fn model(
    nodes: Vec<NodeProto>,
    input: (&str, Vec<Size>),
    outputs: &[(&str, Vec<Size>)],
) -> ModelProto {
    let info = |(name, sizes): &(&str, Vec<Size>)| tensor(name, sizes);
    let graph = GraphProto {
        name: "network".into(),
        node: nodes,
        input: vec![info(&input)],
        output: outputs.iter().map(info).collect(),
        ..GraphProto::default()
    };
    ModelProto {
        ir_version: 7,
        opset_import: vec![OperatorSetIdProto {
            version: OPSET,
            ..OperatorSetIdProto::default()
        }],
        graph: Some(graph),
        ..ModelProto::default()
    }
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
