//! Calls of image functions, and programs of several calls over one column of pictures.
//!
//! A program goes through the rows one by one, and in each through its steps: a picture is decoded
//! once for all steps that need it in the same detail, and what one step makes of it goes to the
//! next as pixels in memory, never as a column. So the memory of a chain is that of one picture.

use std::sync::Arc;

use datafusion::arrow::array::ArrayRef;
use datafusion::arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::{Result, exec_err, internal_datafusion_err, plan_err};
use datafusion::logical_expr::Documentation;
use image::DynamicImage;
use image::metadata::Orientation;
use shoal_images::probe::Limits;

use super::arguments::{Argument, Arguments, COMMON, Parameter, coerce};
use super::column::{Column, Value};
use super::extent::Extent;
use super::failure::Failure;
use super::subject::{Encoded, Frame, Need, Pictures, Subject};
use crate::functions::content;
use crate::types::is_image;

/// What a function does with each picture.
pub(super) trait Operation: Send + Sync {
    /// Type of the answers, with the metadata of an extension type.
    fn output(&self) -> Field;

    /// What the answer for a picture of this extent takes in memory at most, where it is a picture or a
    /// tensor; `None` for small answers.
    fn extent(&self, _picture: Extent) -> Option<Extent> {
        None
    }

    /// The answer for one row; `None` where there is none though the picture is sound.
    fn apply(&self, input: &mut Input<'_, '_>) -> Result<Option<Value>, Failure>;
}

/// Which pictures a function takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Takes {
    /// Files only, as BINARY.
    Encoded,
    /// Files and IMAGEs.
    Either,
}

/// One image function: all that there is to know about it.
pub(super) struct Function {
    pub(super) name: &'static str,
    pub(super) takes: Takes,
    /// Those after the picture, without the common ones.
    pub(super) parameters: &'static [Parameter],
    /// Whether it looks at pixels: such calls are worth doing together.
    pub(super) decodes: bool,
    /// Checks the arguments and makes the operation.
    pub(super) plan: fn(&Arguments<'_>) -> Result<Box<dyn Operation>>,
    pub(super) documentation: fn() -> Documentation,
}

impl Function {
    /// All parameters after the picture.
    pub(super) fn all_parameters(&self) -> Vec<Parameter> {
        [self.parameters, &COMMON].concat()
    }

    /// The types that picture and arguments are passed as.
    pub(super) fn coerce(&self, given: &[DataType]) -> Result<Vec<DataType>> {
        let Some((picture, arguments)) = given.split_first() else {
            return plan_err!("{} needs a picture", self.name);
        };
        let picture = match picture {
            image if is_image(image) && self.takes == Takes::Either => image.clone(),
            image if is_image(image) => {
                return plan_err!(
                    "{} takes an encoded picture as BINARY, not an IMAGE",
                    self.name
                );
            }
            other => content::coerce(self.name, other)?,
        };
        let arguments = coerce(self.name, &self.all_parameters(), arguments)?;
        Ok([vec![picture], arguments].concat())
    }

    /// A call with these arguments after the picture.
    pub(super) fn call(&self, given: &[Argument]) -> Result<Call> {
        let parameters = self.all_parameters();
        let arguments = Arguments::new(self.name, &parameters, given);
        Ok(Call {
            function: self.name,
            raises: arguments.choice("on_error", &[("null", false), ("raise", true)], false)?,
            orients: arguments.boolean("orient", true)?,
            operation: (self.plan)(&arguments)?,
        })
    }
}

/// A function with its arguments.
pub(super) struct Call {
    function: &'static str,
    /// Whether a bad picture ends the query.
    raises: bool,
    /// Whether pictures are turned upright as EXIF says.
    orients: bool,
    operation: Box<dyn Operation>,
}

impl Call {
    /// The answers' field, of a given name.
    pub(super) fn output(&self, name: &str) -> FieldRef {
        Arc::new(self.operation.output().with_name(name))
    }

    /// What its answer for a picture of this extent takes.
    pub(super) fn extent(&self, picture: Extent) -> Option<Extent> {
        self.operation.extent(picture)
    }

    fn answer(&self, subject: &mut Subject<'_>, row: usize) -> Result<Option<Value>> {
        let mut input = Input {
            subject,
            orients: self.orients,
            row,
        };
        let reason = match self.operation.apply(&mut input) {
            Ok(answer) => return Ok(answer),
            Err(Failure::Query(error)) => return Err(error),
            Err(Failure::Picture(error)) => error.to_string(),
            Err(Failure::Unusable(reason)) => reason,
        };
        if self.raises {
            return exec_err!(
                "{}: {reason}; on_error => 'null' gives NULL for such pictures",
                self.function
            );
        }
        Ok(None)
    }
}

/// The picture of one row, as the call's options want it.
pub(super) struct Input<'s, 'a> {
    subject: &'s mut Subject<'a>,
    orients: bool,
    /// Number of the row, for arguments that differ from row to row.
    pub(super) row: usize,
}

impl<'a> Input<'_, 'a> {
    /// The file's bytes and header; `None` for an IMAGE.
    pub(super) fn encoded(&mut self) -> Option<&mut Encoded<'a>> {
        match self.subject {
            Subject::Encoded(encoded) => Some(encoded),
            Subject::Image(_) | Subject::BrokenImage => None,
        }
    }

    /// Pixels as stored, and how to turn them upright, for functions that had better turn later.
    pub(super) fn frame(&mut self, need: Need) -> Result<Frame, Failure> {
        let mut frame = self.subject.frame(need)?;
        if !self.orients {
            frame.orientation = Orientation::NoTransforms;
        }
        Ok(frame)
    }

    /// Pixels, upright.
    pub(super) fn pixels(&mut self, need: Need) -> Result<Arc<DynamicImage>, Failure> {
        Ok(self.frame(need)?.turned())
    }
}

/// One call in a program.
pub(super) struct Step {
    pub(super) call: Call,
    /// What it is applied to: 0 is the column of pictures, `n` the answer of step `n - 1`.
    pub(super) input: usize,
    /// Whether its answers leave the program.
    pub(super) kept: bool,
}

/// Applies `steps` to each of `rows` pictures: one array for each step that is kept.
pub(super) fn run(
    steps: &[Step],
    pictures: &Pictures,
    rows: usize,
    limits: &Limits,
) -> Result<Vec<ArrayRef>> {
    let mut columns = Vec::new();
    for step in steps {
        let output = step.call.output("");
        columns.push(
            step.kept
                .then(|| Column::new(output.data_type()))
                .transpose()?,
        );
    }
    let used = |step: usize| steps.iter().any(|other| other.input == step);
    for row in 0..rows {
        let mut subjects = vec![pictures.subject(row, limits)?];
        let mut answers = Vec::with_capacity(steps.len());
        for step in steps {
            let input = subjects
                .get_mut(step.input)
                .ok_or_else(|| internal_datafusion_err!("step {} is not known yet", step.input))?;
            let answer = match input {
                Some(subject) => step.call.answer(subject, row)?,
                None => None,
            };
            subjects.push(match &answer {
                Some(_) if !used(subjects.len()) => None,
                Some(Value::Image(image)) => Some(Subject::Image(Arc::clone(image))),
                Some(Value::Bytes(file)) => {
                    Some(Subject::Encoded(Encoded::new(file.clone(), limits)))
                }
                _ => None,
            });
            answers.push(answer);
        }
        // Now nobody else holds the pictures, so that columns take them over.
        drop(subjects);
        for (column, answer) in columns.iter_mut().zip(answers) {
            if let Some(column) = column {
                column.append(answer)?;
            }
        }
    }
    columns.into_iter().flatten().map(Column::finish).collect()
}
