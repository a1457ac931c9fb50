//! A neural network that runs: what stands between this crate and tract.
//!
//! Pictures are run one by one and vectors many at a time: measured on CPU, tract and ONNX Runtime alike are
//! slower with 16 pictures at once than with 16 times one, because their intermediate results fall out of
//! the cache, while a linear layer over 16 vectors costs little more than over one.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use tract_onnx::prelude::{
    DatumType, Framework, InferenceFact, InferenceModel, InferenceModelExt, IntoRunnable, TDim,
    Tensor, ToDim, TractResult, TypedModel, TypedRunnableModel, tvec,
};
use tract_onnx::tract_hir::infer::Factoid;
use tract_onnx::tract_hir::internal::DimLike;

use crate::spec::Input;

/// A network with everything about its shape decided. Cheap to share between threads.
pub(crate) struct Network {
    plan: Arc<TypedRunnableModel>,
    row_shape: Vec<usize>,
    length: usize,
    rows: Rows,
}

/// Rows that a run takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rows {
    /// As many as the network was made for; missing ones are filled up with zeros.
    Exactly(usize),
    /// Any number; no more than this, to bound memory.
    UpTo(usize),
}

/// The shape of a network's input as its file declares it; `None` where it leaves a size open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InputShape {
    /// Rows per run.
    pub batch: Option<usize>,
    /// Sizes of one row.
    pub row: Vec<Option<usize>>,
}

/// `N x 3 x 224 x 224`, with a question mark for a size that is left open.
impl fmt::Display for InputShape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let size =
            |size: &Option<usize>| size.map_or_else(|| "?".to_owned(), |size| size.to_string());
        f.write_str(
            &self
                .batch
                .map_or_else(|| "N".to_owned(), |batch| batch.to_string()),
        )?;
        self.row
            .iter()
            .try_for_each(|dimension| write!(f, " x {}", size(dimension)))
    }
}

/// A file that was read and whose open sizes are not decided yet.
pub(crate) struct Parsed {
    model: InferenceModel,
    shape: InputShape,
    outputs: Vec<String>,
}

impl Parsed {
    /// Reads an ONNX file.
    ///
    /// # Errors
    /// What is wrong with it, as the rest of a sentence.
    pub(crate) fn read(bytes: &[u8]) -> Result<Self, String> {
        contained("reading it", || {
            let framework = tract_onnx::onnx().with_ignore_value_info(true);
            let model = framework.model_for_read(&mut &*bytes)?;
            Ok(model)
        })
        .map_err(|reason| format!("it is not an ONNX model that tract can read ({reason})"))
        .and_then(Self::of)
    }

    fn of(model: InferenceModel) -> Result<Self, String> {
        let inputs = &model.inputs;
        if inputs.len() != 1 {
            return Err(format!(
                "it has {} inputs, and a model has one",
                inputs.len()
            ));
        }
        let fact = model.input_fact(0).map_err(|error| error.to_string())?;
        let number = fact.datum_type.concretize();
        if number != Some(DatumType::F32) {
            let number =
                number.map_or_else(|| "unknown".to_owned(), |number| format!("{number:?}"));
            return Err(format!(
                "its input is of type {number}, and a model takes 32-bit floating-point numbers"
            ));
        }
        let sizes: Vec<Option<usize>> = fact
            .shape
            .dims()
            .map(|size| size.concretize().and_then(|size| size.to_usize().ok()))
            .collect();
        let shape = match sizes.split_first() {
            Some((batch, row)) if !fact.shape.is_open() => InputShape {
                batch: *batch,
                row: row.to_vec(),
            },
            _ => return Err("it does not say how many dimensions its input has".to_owned()),
        };
        let outputs = model
            .outputs
            .iter()
            .map(|outlet| model.outlet_label(*outlet).unwrap_or_default().to_owned())
            .collect();
        Ok(Self {
            model,
            shape,
            outputs,
        })
    }

    /// The shape of its input.
    pub(crate) fn shape(&self) -> &InputShape {
        &self.shape
    }

    /// The output called `wanted`, or the first one.
    ///
    /// # Errors
    /// The outputs there are, when that is none of them.
    pub(crate) fn output(&self, wanted: Option<&str>) -> Result<String, String> {
        let found = self
            .outputs
            .iter()
            .find(|output| wanted.is_none_or(|wanted| wanted == *output));
        found.cloned().ok_or_else(|| {
            format!(
                "it has no output {}; its outputs are {}",
                wanted.unwrap_or_default(),
                self.outputs.join(", ")
            )
        })
    }

    /// The network that takes `input` and gives `output`, run with at most `batch` vectors at a time.
    ///
    /// # Errors
    /// What is wrong with it, as the rest of a sentence.
    pub(crate) fn into_network(
        self,
        input: &Input,
        output: &str,
        batch: usize,
    ) -> Result<Network, String> {
        let (row_shape, several) = match input {
            Input::Image(picture) => (picture.shape().to_vec(), 1),
            Input::Vector { length } => (vec![*length], batch.max(1)),
        };
        let rows = match (self.shape.batch, several) {
            (Some(0), _) => return Err("it takes no rows".to_owned()),
            (Some(fixed), _) => Rows::Exactly(fixed),
            (None, 1) => Rows::Exactly(1),
            (None, several) => Rows::UpTo(several),
        };
        let built = self.network(row_shape.clone(), output, rows);
        match (built, rows) {
            // Some networks name their batch and cannot do with any but the one they were exported with.
            (Err(_), Rows::UpTo(_)) => self.network(row_shape, output, Rows::Exactly(1)),
            (built, _) => built,
        }
    }

    fn network(&self, row_shape: Vec<usize>, output: &str, rows: Rows) -> Result<Network, String> {
        let plan = contained("preparing it", || {
            optimized(self.model.clone(), &row_shape, output, rows)?.into_runnable()
        })
        .map_err(|reason| format!("tract cannot prepare it ({reason})"))?;
        let mut network = Network {
            plan,
            row_shape,
            length: 0,
            rows,
        };
        network.length = network.measured_length()?;
        Ok(network)
    }
}

/// The model with its input fixed to `rows` of `row_shape`, reduced to `output`.
fn optimized(
    mut model: InferenceModel,
    row_shape: &[usize],
    output: &str,
    rows: Rows,
) -> TractResult<TypedModel> {
    let batch = match rows {
        Rows::Exactly(rows) => rows.to_dim(),
        Rows::UpTo(_) => model.symbols.sym("shoal_batch").to_dim(),
    };
    let sizes: Vec<TDim> = std::iter::once(batch)
        .chain(row_shape.iter().map(|size| size.to_dim()))
        .collect();
    model.set_input_fact(0, InferenceFact::dt_shape(DatumType::F32, sizes))?;
    model.select_outputs_by_name([output])?;
    model.into_optimized()
}

impl Network {
    /// Numbers in the output of one row.
    pub(crate) fn length(&self) -> usize {
        self.length
    }

    /// The output of every row; `None` for a row, or for one whose input is `None`, that the network fails on.
    /// Rows hold as many numbers as the input's shape.
    pub(crate) fn run(&self, rows: &[Option<Vec<f32>>]) -> Vec<Option<Vec<f32>>> {
        let mut outputs = vec![None; rows.len()];
        let there: Vec<(usize, &[f32])> = rows
            .iter()
            .enumerate()
            .filter_map(|(n, row)| Some((n, row.as_deref()?)))
            .collect();
        let at_a_time = match self.rows {
            Rows::Exactly(rows) | Rows::UpTo(rows) => rows,
        };
        for chunk in there.chunks(at_a_time) {
            let inputs: Vec<&[f32]> = chunk.iter().map(|(_, row)| *row).collect();
            let found = self
                .run_once(&inputs)
                .map(|all| all.into_iter().map(Some).collect());
            let found: Vec<Option<Vec<f32>>> = match found {
                Ok(found) => found,
                // One row may have spoilt it for all.
                Err(_) if inputs.len() > 1 => inputs
                    .iter()
                    .map(|input| self.run_once(&[input]).ok()?.into_iter().next())
                    .collect(),
                Err(_) => vec![None],
            };
            for ((n, _), output) in chunk.iter().zip(found) {
                if let Some(place) = outputs.get_mut(*n) {
                    *place = output;
                }
            }
        }
        outputs
    }

    fn run_once(&self, rows: &[&[f32]]) -> Result<Vec<Vec<f32>>, String> {
        let outputs = self.outputs(rows)?;
        let expected = self.length * self.rows_of(rows.len());
        if self.length == 0 || outputs.len() != expected {
            return Err(format!(
                "its output has {} numbers in place of {expected}",
                outputs.len()
            ));
        }
        let outputs = outputs.chunks_exact(self.length);
        Ok(outputs.take(rows.len()).map(<[f32]>::to_vec).collect())
    }

    /// The rows that go into a run for `rows` given ones.
    fn rows_of(&self, rows: usize) -> usize {
        match self.rows {
            Rows::Exactly(rows) => rows,
            Rows::UpTo(_) => rows,
        }
    }

    /// All numbers of the output, for no more rows than a run takes.
    fn outputs(&self, rows: &[&[f32]]) -> Result<Vec<f32>, String> {
        let count = self.rows_of(rows.len());
        let shape = [&[count], self.row_shape.as_slice()].concat();
        let mut input = rows.concat();
        input.resize(shape.iter().product(), 0.0);
        contained("running it", || {
            let input = Tensor::from_shape(&shape, &input)?;
            let outputs = self.plan.run(tvec![input.into()])?;
            let Some(output) = outputs.into_iter().next() else {
                return Ok(Vec::new());
            };
            let numbers = output.cast_to::<f32>()?;
            Ok(numbers
                .to_plain_array_view::<f32>()?
                .iter()
                .copied()
                .collect())
        })
    }

    /// Runs it on zeros: on one row or, where it takes any number, on two, to see that each row has an
    /// output of its own.
    fn measured_length(&self) -> Result<usize, String> {
        let zeros = vec![0.0; self.row_shape.iter().product()];
        let rows = match self.rows {
            Rows::Exactly(_) => vec![zeros.as_slice()],
            Rows::UpTo(_) => vec![zeros.as_slice(); 2],
        };
        let outputs = self
            .outputs(&rows)
            .map_err(|reason| format!("a trial run failed ({reason})"))?;
        let count = self.rows_of(rows.len());
        if outputs.is_empty() || outputs.len() % count != 0 {
            return Err(format!(
                "its output has {} numbers for {count} rows: the first dimension of an output must be the batch",
                outputs.len()
            ));
        }
        Ok(outputs.len() / count)
    }
}

/// Runs tract so that an error or a panic inside it is a sentence about this one model or row.
fn contained<T>(doing: &str, work: impl FnOnce() -> TractResult<T>) -> Result<T, String> {
    // Nothing half-changed outlives a panic: a plan is only read, and every run has a state of its own.
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(Ok(done)) => Ok(done),
        Ok(Err(error)) => Err(format!("{error:#}")),
        Err(_) => Err(format!("tract panicked while {doing}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_networks::{mean_of_channels, sum_and_product};

    #[test]
    fn vectors_are_run_many_at_a_time_and_each_has_its_own_output() {
        for batch in [Some(1), Some(3), None] {
            let parsed = Parsed::read(&sum_and_product(batch)).unwrap();
            assert_eq!(parsed.shape().batch, batch);
            let input = Input::Vector { length: 2 };
            let network = parsed.into_network(&input, "sum", 4).unwrap();
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

    #[test]
    fn any_output_can_be_asked_for_by_name() {
        let parsed = Parsed::read(&sum_and_product(None)).unwrap();
        assert_eq!(parsed.output(None).unwrap(), "sum");
        assert_eq!(parsed.output(Some("product")).unwrap(), "product");
        let message = parsed.output(Some("difference")).unwrap_err();
        assert!(
            message.contains("its outputs are sum, product"),
            "{message}"
        );
        let network = parsed
            .into_network(&Input::Vector { length: 2 }, "product", 4)
            .unwrap();
        assert_eq!(network.run(&[Some(vec![3.0, 5.0])]), [Some(vec![15.0])]);
    }

    #[test]
    fn a_network_of_pictures_takes_the_size_it_is_given() {
        let parsed = Parsed::read(&mean_of_channels()).unwrap();
        assert_eq!(parsed.shape().to_string(), "N x 3 x ? x ?");
        let json = r#"{"kind":"image","width":2,"height":2,"fit":"crop","color":"rgb","layout":"chw","mean":[0,0,0],"std":[1,1,1]}"#;
        let input: Input = serde_json::from_str(json).unwrap();
        let network = parsed.into_network(&input, "mean", 8).unwrap();
        let row: Vec<f32> = (0..12).map(|n| n as f32).collect();
        assert_eq!(network.run(&[Some(row)]), [Some(vec![1.5, 5.5, 9.5])]);
    }

    #[test]
    fn what_is_no_network_is_refused() {
        for bytes in [&b""[..], b"no network at all", &sum_and_product(None)[..20]] {
            assert!(Parsed::read(bytes).is_err());
        }
    }
}
