//! Networks run by ONNX Runtime, a library that is loaded when the process starts.
//!
//! A session runs one input at a time, on the thread that asks: tasks are what Shoal spreads work by. Tasks that
//! run the same network at the same time have a session each, up to one per processor; more would only
//! wait for a processor in place of a session. Sessions are made when they are first needed, and kept.

use std::error::Error;
use std::path::Path;
use std::sync::Arc;
use std::thread::available_parallelism;

use bytes::Bytes;
use ort::LoadDynamicError;
use ort::environment::Environment;
use ort::logging::LogLevel;
use ort::session::{OutputSelector, RunOptions, Session};
use ort::value::{DynValue, PrimitiveTensorElementType, Tensor, TensorElementType, ValueType};
use parking_lot::{Condvar, Mutex};

use super::runtime::{Declared, DeclaredInput, Model, Plan, contained};

const NAME: &str = "ONNX Runtime";

/// The one environment that a process may make of the library; it lasts as long as the process.
static ENVIRONMENT: Mutex<Option<Environment>> = Mutex::new(None);

/// Loads the library at `path`, if this process has not loaded one yet.
///
/// # Errors
/// Why it cannot be loaded; the path is in it.
pub(super) fn load(path: &Path) -> Result<Environment, String> {
    let mut environment = ENVIRONMENT.lock();
    if let Some(environment) = environment.as_ref() {
        return Ok(environment.clone());
    }
    let builder = contained(NAME, "being loaded", || {
        ort::init_from(path).map_err(|error| why(&error))
    })
    .map_err(|reason| format!("cannot load \"{}\" ({reason})", path.display()))?;
    let made = contained(NAME, "being started", || {
        builder.with_name("shoal").with_telemetry(false).build()
    })
    .map_err(|reason| format!("cannot start \"{}\" ({reason})", path.display()))?;
    Ok(environment.insert(made).clone())
}

/// Why the library was not loaded: what the system says, where the error itself leaves that out.
fn why(error: &LoadDynamicError) -> String {
    match error {
        LoadDynamicError::Dlopen { error, .. } => error
            .source()
            .map_or_else(|| error.to_string(), ToString::to_string),
        error => error.to_string(),
    }
}

/// Reads an ONNX file.
pub(super) fn read(
    environment: &Environment,
    file: Bytes,
) -> Result<(Declared, Box<dyn Model>), String> {
    let (sessions, declared) = Sessions::open(environment, file)
        .map_err(|reason| format!("it is not an ONNX model that {NAME} can run ({reason})"))?;
    Ok((declared, Box::new(Arc::new(sessions))))
}

fn declared(input: &ValueType) -> DeclaredInput {
    match input {
        ValueType::Tensor { ty, shape, .. } => DeclaredInput {
            number: ty.to_string(),
            // It tells a shape that is not declared from that of a single number no better than this.
            sizes: (!shape.is_empty()).then(|| {
                shape
                    .iter()
                    .map(|size| usize::try_from(*size).ok())
                    .collect()
            }),
        },
        other => DeclaredInput {
            number: other.to_string(),
            sizes: None,
        },
    }
}

/// A session of its own for the network in `file`.
fn session(environment: &Environment, file: &[u8]) -> Result<Session, String> {
    contained(NAME, "reading it", || -> ort::Result<Session> {
        Session::builder(environment)?
            // Its own format can do things that `one_file` knows nothing of.
            .with_config_entry("session.load_model_format", "ONNX")?
            .with_intra_threads(1)?
            // What fails comes back as an error; a row that a network cannot digest is no news.
            .with_log_level(LogLevel::Fatal)?
            .commit_from_memory(file)
    })
}

/// The sessions of one network.
struct Sessions {
    environment: Environment,
    file: Bytes,
    /// So many are made and no more.
    most: usize,
    pool: Mutex<Pool>,
    given_back: Condvar,
}

struct Pool {
    idle: Vec<Session>,
    /// Idle or not.
    made: usize,
}

impl Sessions {
    /// The sessions of the network in `file`, and what that file says.
    fn open(environment: &Environment, file: Bytes) -> Result<(Self, Declared), String> {
        let first = session(environment, &file)?;
        let inputs = first.inputs().iter();
        let outputs = first.outputs().iter();
        let declared = Declared {
            inputs: inputs.map(|input| declared(input.dtype())).collect(),
            outputs: outputs.map(|output| output.name().to_owned()).collect(),
        };
        let sessions = Self {
            environment: environment.clone(),
            file,
            most: available_parallelism().map_or(1, usize::from),
            pool: Mutex::new(Pool {
                idle: vec![first],
                made: 1,
            }),
            given_back: Condvar::new(),
        };
        Ok((sessions, declared))
    }

    /// A session that nobody else has; waits for one once all are made. Whoever has one runs and gives it back,
    /// so the wait ends.
    fn take(&self) -> Result<Session, String> {
        let mut pool = self.pool.lock();
        loop {
            if let Some(session) = pool.idle.pop() {
                return Ok(session);
            }
            if pool.made < self.most {
                break;
            }
            self.given_back.wait(&mut pool);
        }
        pool.made += 1;
        drop(pool);
        let made = session(&self.environment, &self.file);
        if made.is_err() {
            self.pool.lock().made -= 1;
            self.given_back.notify_one();
        }
        made
    }

    fn give_back(&self, session: Session) {
        self.pool.lock().idle.push(session);
        self.given_back.notify_one();
    }
}

impl Model for Arc<Sessions> {
    /// Its sessions take any shape that the file allows.
    fn plan(&self, _: Option<usize>, _: &[usize], output: &str) -> Result<Box<dyn Plan>, String> {
        Ok(Box::new(OneOutput {
            sessions: self.clone(),
            output: output.to_owned(),
        }))
    }
}

/// A network of which one output is read.
struct OneOutput {
    sessions: Arc<Sessions>,
    output: String,
}

impl Plan for OneOutput {
    fn run(&self, shape: &[usize], input: Vec<f32>) -> Result<Vec<f32>, String> {
        let mut session = self.sessions.take()?;
        let numbers = contained(NAME, "running it", || {
            let wanted = OutputSelector::no_default().with(&self.output);
            let options = RunOptions::new()?.with_outputs(wanted);
            let input = Tensor::from_array((shape, input))?;
            let outputs = session.run_with_options(ort::inputs![input], &options)?;
            match outputs.get(&self.output) {
                Some(output) => numbers(output),
                None => Ok(Vec::new()),
            }
        });
        self.sessions.give_back(session);
        numbers
    }
}

/// The numbers of an output as the type that all outputs have.
#[allow(clippy::cast_possible_truncation, clippy::cast_precision_loss)]
fn numbers(output: &DynValue) -> ort::Result<Vec<f32>> {
    match output.dtype().tensor_type() {
        Some(TensorElementType::Float64) => cast(output, |number: f64| number as f32),
        Some(TensorElementType::Int64) => cast(output, |number: i64| number as f32),
        Some(TensorElementType::Int32) => cast(output, |number: i32| number as f32),
        Some(TensorElementType::Int8) => cast(output, |number: i8| f32::from(number)),
        Some(TensorElementType::Uint8) => cast(output, |number: u8| f32::from(number)),
        // Whatever else it is, this says that it cannot be read. Booleans are left out because a file may hold bytes
        // for them that are neither true nor false, which Rust must never see as one.
        _ => cast(output, |number: f32| number),
    }
}

fn cast<T: PrimitiveTensorElementType + Copy>(
    output: &DynValue,
    number: impl Fn(T) -> f32,
) -> ort::Result<Vec<f32>> {
    let (_, numbers) = output.try_extract_tensor::<T>()?;
    Ok(numbers.iter().copied().map(number).collect())
}

#[cfg(test)]
pub(super) mod tests;
