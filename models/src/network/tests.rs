use tract_onnx::pb::tensor_proto::DataType;

use super::*;
use crate::test_networks::{converted, looked_up, mean_of_channels, sum_and_product};

/// What every test says is true of all of these.
fn runtimes() -> Vec<Runtime> {
    vec![
        Runtime::Tract,
        #[cfg(feature = "onnxruntime")]
        onnxruntime::tests::runtime(),
    ]
}

fn parsed(file: Vec<u8>, runtime: &Runtime) -> Parsed {
    Parsed::read(file.into(), runtime).unwrap()
}

/// The network of `file` for vectors of `length`, which takes up to four at a time.
fn network(file: Vec<u8>, length: usize, output: &str, runtime: &Runtime) -> Network {
    let input = Input::Vector { length };
    parsed(file, runtime)
        .into_network(&input, output, 4)
        .unwrap()
}

#[test]
fn vectors_are_run_many_at_a_time_and_each_has_its_own_output() {
    for runtime in runtimes() {
        for batch in [Some(1), Some(3), None] {
            let file = sum_and_product(batch);
            assert_eq!(parsed(file.clone(), &runtime).shape().batch, batch);
            let network = network(file, 2, "sum", &runtime);
            assert_eq!(network.length(), 1);
            let mut rows: Vec<Option<Vec<f32>>> =
                (0..9).map(|n| Some(vec![n as f32, 10.0])).collect();
            rows[4] = None;
            let sums = network.run(&rows);
            for (n, sum) in sums.iter().enumerate() {
                let expected = (n != 4).then(|| vec![n as f32 + 10.0]);
                assert_eq!(sum, &expected, "{batch:?}");
            }
        }
    }
}

#[test]
fn any_output_can_be_asked_for_by_name() {
    for runtime in runtimes() {
        let parsed = parsed(sum_and_product(None), &runtime);
        assert_eq!(parsed.output(None).unwrap(), "sum");
        assert_eq!(parsed.output(Some("product")).unwrap(), "product");
        let message = parsed.output(Some("difference")).unwrap_err();
        assert!(
            message.contains("its outputs are sum, product"),
            "{message}"
        );
        let network = network(sum_and_product(None), 2, "product", &runtime);
        assert_eq!(network.run(&[Some(vec![3.0, 5.0])]), [Some(vec![15.0])]);
    }
}

#[test]
fn a_network_of_pictures_takes_the_size_it_is_given() {
    for runtime in runtimes() {
        let parsed = parsed(mean_of_channels(), &runtime);
        assert_eq!(parsed.shape().to_string(), "N x 3 x ? x ?");
        let json = r#"{"kind":"image","width":2,"height":2,"fit":"crop","color":"rgb","layout":"chw","mean":[0,0,0],"std":[1,1,1]}"#;
        let input: Input = serde_json::from_str(json).unwrap();
        let network = parsed.into_network(&input, "mean", 8).unwrap();
        let row: Vec<f32> = (0..12).map(|n| n as f32).collect();
        assert_eq!(network.run(&[Some(row)]), [Some(vec![1.5, 5.5, 9.5])]);
    }
}

#[test]
fn a_row_that_a_network_fails_on_spoils_no_other() {
    for runtime in runtimes() {
        let network = network(looked_up(), 1, "y", &runtime);
        let rows = [0.0, 7.0, 2.0, 1.0, 1.0].map(|row| Some(vec![row]));
        let found = network.run(&rows);
        let expected = [Some(5.0), None, Some(7.0), Some(6.0), Some(6.0)];
        assert_eq!(found, expected.map(|number| number.map(|n| vec![n])));
    }
}

#[test]
fn outputs_of_other_numbers_are_read_as_floats() {
    for runtime in runtimes() {
        for (number, expected) in [
            (DataType::Double, [2.5, 0.0]),
            (DataType::Int64, [2.0, 0.0]),
            (DataType::Int32, [2.0, 0.0]),
            (DataType::Int8, [2.0, 0.0]),
            (DataType::Uint8, [2.0, 0.0]),
        ] {
            let network = network(converted(number), 2, "y", &runtime);
            let found = network.run(&[Some(vec![2.5, 0.0])]);
            assert_eq!(found, [Some(expected.to_vec())], "{number:?}");
        }
    }
}

#[test]
fn what_is_no_network_is_refused() {
    for runtime in runtimes() {
        for file in [&b""[..], b"no network at all", &sum_and_product(None)[..20]] {
            let message = Parsed::read(file.to_vec().into(), &runtime).err().unwrap();
            assert!(message.starts_with("it "), "{message}");
        }
    }
}

#[cfg(not(feature = "onnxruntime"))]
#[test]
fn a_program_without_onnxruntime_says_how_to_get_it() {
    let settings = shoal_config::ModelSettings {
        runtime: shoal_config::ModelRuntime::OnnxRuntime,
        ..Default::default()
    };
    let message = Runtime::new(&settings).err().unwrap().to_string();
    for part in ["models.runtime", "cargo feature onnxruntime"] {
        assert!(message.contains(part), "{message}");
    }
}
