//! Turns `--url`, `--user`, `--token` and SHOAL_PASSWORD into a session with the server.

use std::io::{self, BufRead, IsTerminal, Write};

use crossterm::event::{Event, KeyCode, KeyEventKind, KeyModifiers};
use crossterm::terminal;
use shoal_client::{Client, Credentials};
use shoal_config::Secret;

use crate::args::ServerArgs;
use crate::error::CliError;

/// Signs in at the server that `args` name.
pub async fn connect(args: &ServerArgs) -> Result<Client, CliError> {
    Ok(Client::connect(&args.url, credentials(args)?).await?)
}

fn credentials(args: &ServerArgs) -> Result<Credentials, CliError> {
    if let Some(token) = &args.token {
        return Ok(Credentials::Token(Secret::new(token)));
    }
    let Some(user) = args.user.clone() else {
        return Ok(Credentials::Anonymous);
    };
    let password = match std::env::var("SHOAL_PASSWORD") {
        Ok(password) => Secret::new(password),
        Err(_) if io::stderr().is_terminal() => prompt(&format!("Password of {user}: "))?,
        Err(_) => {
            return Err(CliError::Usage(format!(
                "no password for {user}: set SHOAL_PASSWORD, or run this on a terminal"
            )));
        }
    };
    Ok(Credentials::Password { user, password })
}

/// A secret typed on the terminal, or the first line of standard input if that is none.
pub fn secret_from_input() -> Result<Secret, CliError> {
    if io::stdin().is_terminal() {
        return prompt("Secret: ");
    }
    let mut line = String::new();
    let read = io::stdin().lock().read_line(&mut line);
    read.map_err(|source| CliError::File {
        what: "cannot read standard input".into(),
        source,
    })?;
    Ok(Secret::new(line.trim_end_matches(['\r', '\n'])))
}

/// Asks on the terminal, without showing what is typed.
fn prompt(question: &str) -> Result<Secret, CliError> {
    let failed = |source| CliError::File {
        what: "cannot ask on the terminal".into(),
        source,
    };
    eprint!("{question}");
    io::stderr().flush().map_err(failed)?;
    terminal::enable_raw_mode().map_err(failed)?;
    let typed = typed_line();
    terminal::disable_raw_mode().map_err(failed)?;
    eprintln!();
    typed.map_err(failed)?.ok_or(CliError::Interrupted)
}

/// Characters up to Enter; `None` after Ctrl-C or Ctrl-D.
fn typed_line() -> io::Result<Option<Secret>> {
    let mut line = String::new();
    loop {
        let Event::Key(key) = crossterm::event::read()? else {
            continue;
        };
        if key.kind == KeyEventKind::Release {
            continue;
        }
        match key.code {
            KeyCode::Enter => return Ok(Some(Secret::new(line))),
            KeyCode::Char('c' | 'd') if key.modifiers.contains(KeyModifiers::CONTROL) => {
                return Ok(None);
            }
            KeyCode::Backspace => {
                line.pop();
            }
            KeyCode::Char(c) => line.push(c),
            _ => {}
        }
    }
}
