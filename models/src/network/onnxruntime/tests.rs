use std::path::PathBuf;

use shoal_config::{ModelRuntime, ModelSettings};

use super::super::Runtime;
use super::*;
use crate::test_networks::sum_and_product;

/// Names the library; `make test-rust` sets it.
const LIBRARY: &str = "SHOAL_TEST_ONNXRUNTIME";

fn with_library(library: Option<PathBuf>) -> crate::Result<Runtime> {
    Runtime::new(&ModelSettings {
        runtime: ModelRuntime::OnnxRuntime,
        onnxruntime_library: library,
        ..ModelSettings::default()
    })
}

/// The runtime of all tests.
///
/// # Panics
/// When the library is not where the tests are told that it is.
pub(in crate::network) fn runtime() -> Runtime {
    let library = std::env::var_os(LIBRARY).unwrap_or_else(|| {
        panic!("{LIBRARY} is not set; it names a libonnxruntime.so, as make test-rust does")
    });
    with_library(Some(library.into())).unwrap()
}

fn environment() -> Environment {
    match runtime() {
        Runtime::OnnxRuntime(environment) => environment,
        Runtime::Tract => panic!("tract is no library"),
    }
}

#[test]
fn tasks_that_run_a_network_at_the_same_time_have_sessions_of_their_own() {
    let (mut sessions, _) = Sessions::open(&environment(), sum_and_product(None).into()).unwrap();
    sessions.most = 3;
    let sessions = Arc::new(sessions);
    let plan = sessions.plan(None, &[2], "sum").unwrap();
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let plan = &plan;
            scope.spawn(move || {
                for n in 0..200 {
                    let (a, b) = (thread as f32, n as f32);
                    assert_eq!(plan.run(&[1, 2], vec![a, b]), Ok(vec![a + b]));
                }
            });
        }
    });
    let pool = sessions.pool.lock();
    assert!(pool.made <= 3, "{} sessions", pool.made);
    assert_eq!(pool.idle.len(), pool.made);
}

#[test]
fn a_session_is_made_when_all_others_are_taken_and_kept_for_the_next() {
    let (mut sessions, _) = Sessions::open(&environment(), sum_and_product(None).into()).unwrap();
    sessions.most = 2;
    let taken = [sessions.take().unwrap(), sessions.take().unwrap()];
    assert_eq!(sessions.pool.lock().made, 2);
    for session in taken {
        sessions.give_back(session);
    }
    sessions.give_back(sessions.take().unwrap());
    assert_eq!(sessions.pool.lock().made, 2);
}

#[test]
fn a_library_has_to_be_named() {
    let message = with_library(None).err().unwrap().to_string();
    assert!(message.contains("models.onnxruntime_library"), "{message}");
}
