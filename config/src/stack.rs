//! Room on the stacks of threads for deep plans.

use std::{env, fs};

/// What the standard library reads before it starts its first thread.
const VARIABLE: &str = "RUST_MIN_STACK";

/// Expressions and plans are walked by recursion, here and on executors. The deepest that the parser
/// lets through takes less than half of it in a build without optimization.
const STACK_BYTES: &str = "33554432";

/// Gives every thread that is started from now on a stack of 32 MiB, unless `RUST_MIN_STACK` is set. To
/// be called first in `main`: once there are other threads it does nothing.
///
/// Libraries start threads of their own, so no builder of ours would do. Pages of a stack cost
/// nothing until they are touched.
#[allow(
    unsafe_code,
    reason = "the environment is all that reaches threads of libraries"
)]
pub fn deepen_stacks() {
    let threads = fs::read_dir("/proc/self/task").map_or(0, Iterator::count);
    if threads == 1 && env::var_os(VARIABLE).is_none() {
        // SAFETY: this is the only thread, so none can be reading the environment.
        unsafe { env::set_var(VARIABLE, STACK_BYTES) };
    }
}
