use prost::Message as _;
use tract_onnx::pb::tensor_proto::DataLocation;
use tract_onnx::pb::{
    AttributeProto, FunctionProto, GraphProto, ModelProto, NodeProto, SparseTensorProto,
    StringStringEntryProto, TensorProto, TrainingInfoProto,
};

use super::*;
use crate::test_networks::{looked_up, mean_of_channels};

fn elsewhere() -> TensorProto {
    TensorProto {
        data_location: Some(DataLocation::External as i32),
        ..TensorProto::default()
    }
}

fn graph_with(attribute: AttributeProto) -> GraphProto {
    GraphProto {
        node: vec![NodeProto {
            attribute: vec![attribute],
            ..NodeProto::default()
        }],
        ..GraphProto::default()
    }
}

fn model_with(graph: GraphProto) -> ModelProto {
    ModelProto {
        graph: Some(graph),
        ..ModelProto::default()
    }
}

/// A graph that holds `inner` in a branch of a node.
fn around(inner: GraphProto) -> GraphProto {
    graph_with(AttributeProto {
        g: Some(inner),
        ..AttributeProto::default()
    })
}

#[test]
fn weights_in_other_files_are_refused_wherever_they_are_named() {
    let initializer = |tensor| GraphProto {
        initializer: vec![tensor],
        ..GraphProto::default()
    };
    let sparse = || SparseTensorProto {
        indices: Some(elsewhere()),
        ..SparseTensorProto::default()
    };
    let attribute = |attribute| model_with(graph_with(attribute));
    let attributes = [
        AttributeProto {
            t: Some(elsewhere()),
            ..AttributeProto::default()
        },
        AttributeProto {
            tensors: vec![TensorProto::default(), elsewhere()],
            ..AttributeProto::default()
        },
        AttributeProto {
            sparse_tensor: Some(sparse()),
            ..AttributeProto::default()
        },
        AttributeProto {
            graphs: vec![initializer(elsewhere())],
            ..AttributeProto::default()
        },
    ];
    let mut models: Vec<ModelProto> = attributes.into_iter().map(attribute).collect();
    models.push(model_with(initializer(elsewhere())));
    models.push(model_with(around(initializer(elsewhere()))));
    models.push(model_with(GraphProto {
        sparse_initializer: vec![sparse()],
        ..GraphProto::default()
    }));
    models.push(model_with(initializer(TensorProto {
        external_data: vec![StringStringEntryProto::default()],
        ..TensorProto::default()
    })));
    models.push(ModelProto {
        functions: vec![FunctionProto {
            node: around(initializer(elsewhere())).node,
            ..FunctionProto::default()
        }],
        ..ModelProto::default()
    });
    models.push(ModelProto {
        training_info: vec![TrainingInfoProto {
            algorithm: Some(initializer(elsewhere())),
            ..TrainingInfoProto::default()
        }],
        ..ModelProto::default()
    });
    for model in models {
        let message = check(&model.encode_to_vec()).unwrap_err();
        assert!(message.contains("weights in other files"), "{message}");
    }
}

#[test]
fn defaults_of_functions_are_looked_at_too() {
    // Field 11 of a function, which tract's parser does not know: an attribute with a tensor.
    let attribute = AttributeProto {
        t: Some(elsewhere()),
        ..AttributeProto::default()
    };
    let field = |number: u8, content: Vec<u8>| {
        let length = u8::try_from(content.len()).unwrap();
        [vec![number << 3 | 2, length], content].concat()
    };
    let function = field(11, attribute.encode_to_vec());
    // A tag above 15 takes two bytes.
    let length = u8::try_from(function.len()).unwrap();
    let model = [vec![0xca, 0x01, length], function].concat();
    assert!(check(&model).unwrap_err().contains("other files"));
}

#[test]
fn networks_with_all_in_them_are_taken() {
    assert_eq!(check(&looked_up()), Ok(()));
    assert_eq!(check(&mean_of_channels()), Ok(()));
    let inside = TensorProto {
        data_location: Some(DataLocation::Default as i32),
        ..TensorProto::default()
    };
    let graph = GraphProto {
        initializer: vec![inside],
        ..GraphProto::default()
    };
    assert_eq!(check(&model_with(graph).encode_to_vec()), Ok(()));
}

#[test]
fn what_parsers_could_read_in_another_way_is_refused() {
    let file = looked_up();
    for end in 1..file.len() {
        // A message may end between two of its fields.
        if let Err(message) = check(&file[..end]) {
            assert!(message.contains("broken"), "{message}");
        }
    }
    // A group, a tag of more than 32 bits, a number without an end, a field longer than the file.
    for bytes in [
        &[0x3b][..],
        &[0xba, 0x80, 0x80, 0x80, 0x80, 0x01, 0x00],
        &[
            0x08, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01,
        ],
        &[0x3a, 0x7f, 0x00],
    ] {
        assert!(check(bytes).unwrap_err().contains("broken"), "{bytes:?}");
    }
}

#[test]
fn graphs_are_nested_only_so_deep() {
    let nested = |times| (0..times).fold(GraphProto::default(), |inner, _| around(inner));
    assert_eq!(check(&model_with(nested(25)).encode_to_vec()), Ok(()));
    let message = check(&model_with(nested(40)).encode_to_vec()).unwrap_err();
    assert!(message.contains("nested"), "{message}");
}
