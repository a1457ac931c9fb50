//! The terminal's echo. While the shell runs a statement it is off: what is typed ahead would
//! otherwise be written into the progress bar, and so would the `^C` of a cancellation. What was
//! typed is not lost; the next prompt takes it.

use std::io::stdin;

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};

/// Echo is off as long as this lives.
pub struct EchoOff(Option<Termios>);

impl EchoOff {
    /// Turns echo off, if standard input is a terminal.
    pub fn new() -> Self {
        let Ok(before) = tcgetattr(stdin()) else {
            return Self(None);
        };
        let mut quiet = before.clone();
        quiet.local_modes -= LocalModes::ECHO;
        let off = tcsetattr(stdin(), OptionalActions::Now, &quiet);
        Self(off.is_ok().then_some(before))
    }
}

impl Drop for EchoOff {
    fn drop(&mut self) {
        if let Some(before) = &self.0
            && let Err(error) = tcsetattr(stdin(), OptionalActions::Now, before)
        {
            tracing::debug!(%error, "the terminal's echo stays off");
        }
    }
}

/// Whether the terminal shows what is typed.
pub fn echoes() -> bool {
    tcgetattr(stdin()).is_ok_and(|modes| modes.local_modes.contains(LocalModes::ECHO))
}
