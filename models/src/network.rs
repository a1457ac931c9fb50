//! A neural network that runs, whichever runtime does it.
//!
//! Pictures are run one by one and vectors many at a time: measured on CPU, tract and ONNX Runtime alike are
//! slower with 16 pictures at once than with 16 times one, because their intermediate results fall out of
//! the cache, while a linear layer over 16 vectors costs little more than over one.

mod one_file;
#[cfg(feature = "onnxruntime")]
mod onnxruntime;
mod runtime;
mod tract;

use std::fmt;

use bytes::Bytes;

pub(crate) use runtime::Runtime;
use runtime::{Declared, DeclaredInput, Model, Plan};

use crate::spec::Input;

/// A network with everything about its shape decided. Cheap to share between threads.
pub(crate) struct Network {
    plan: Box<dyn Plan>,
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
    model: Box<dyn Model>,
    shape: InputShape,
    outputs: Vec<String>,
}

impl Parsed {
    /// Reads an ONNX file.
    ///
    /// # Errors
    /// What is wrong with it, as the rest of a sentence.
    pub(crate) fn read(file: Bytes, runtime: &Runtime) -> Result<Self, String> {
        one_file::check(&file)?;
        let (declared, model) = runtime.read(file)?;
        Ok(Self {
            model,
            shape: input_shape(&declared)?,
            outputs: declared.outputs,
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
        let batch = match rows {
            Rows::Exactly(rows) => Some(rows),
            Rows::UpTo(_) => None,
        };
        let mut network = Network {
            plan: self.model.plan(batch, &row_shape, output)?,
            row_shape,
            length: 0,
            rows,
        };
        network.length = network.measured_length()?;
        Ok(network)
    }
}

/// The shape of the one input that a model has.
fn input_shape(declared: &Declared) -> Result<InputShape, String> {
    let [DeclaredInput { number, sizes }] = declared.inputs.as_slice() else {
        return Err(format!(
            "it has {} inputs, and a model has one",
            declared.inputs.len()
        ));
    };
    if number != "f32" {
        return Err(format!(
            "its input is of type {number}, and a model takes 32-bit floating-point numbers"
        ));
    }
    match sizes.as_deref().and_then(<[_]>::split_first) {
        Some((batch, row)) => Ok(InputShape {
            batch: *batch,
            row: row.to_vec(),
        }),
        None => Err("it does not say how many dimensions its input has".to_owned()),
    }
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
        self.plan.run(&shape, input)
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

#[cfg(test)]
mod tests;
