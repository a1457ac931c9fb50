//! What the shell understands besides SQL.

use clap::ValueEnum;

use crate::output::Format;

/// The answer to `help`.
pub const HELP: &str = "\
Any SQL statement, ended by a semicolon; it may span lines. Tab completes names.
  \\d              tables and views
  \\d TABLE        columns of a table
  \\format FORMAT  print rows as table, csv, json or ndjson
  \\timing         turn the time after each statement on or off
  help            this text
  \\q              leave (also Ctrl-D)
Ctrl-C cancels the running statement. Ctrl-R searches what was typed before.";

const TABLES: &str = "\
SELECT table_schema AS schema, table_name AS name, table_type AS type
FROM information_schema.tables
WHERE table_schema <> 'information_schema'
ORDER BY table_schema, table_name";

/// A command.
#[derive(Debug, PartialEq, Eq)]
pub enum Command {
    /// End the shell.
    Quit,
    /// Print [`HELP`].
    Help,
    /// Print times, or not, or toggle.
    Timing(Option<bool>),
    /// Print rows in this format.
    Format(Format),
    /// Run a statement that the command stands for.
    Query(String),
}

impl Command {
    /// The command that `typed` is, or why it is none; `None` if it is SQL.
    pub fn parse(typed: &str) -> Option<Result<Self, String>> {
        let typed = typed.trim().trim_end_matches(';').trim_end();
        let (word, rest) = match typed.split_once(char::is_whitespace) {
            Some((word, rest)) => (word, rest.trim()),
            None => (typed, ""),
        };
        let command = match word {
            "\\q" | "exit" | "quit" if rest.is_empty() => Self::Quit,
            "help" | "\\?" | "\\h" | "\\help" => Self::Help,
            "\\d" if rest.is_empty() => Self::Query(TABLES.into()),
            "\\d" => Self::Query(format!("DESCRIBE {rest}")),
            "\\timing" => match rest {
                "" => Self::Timing(None),
                "on" => Self::Timing(Some(true)),
                "off" => Self::Timing(Some(false)),
                other => return Some(Err(format!("\\timing is on or off, not {other}"))),
            },
            "\\format" => match Format::from_str(rest, true) {
                Ok(format) if format.is_text() => Self::Format(format),
                _ => {
                    return Some(Err(
                        "\\format is one of table, csv, json, ndjson (`shoal sql` also writes \
                         parquet and arrow)"
                            .into(),
                    ));
                }
            },
            _ if word.starts_with('\\') => {
                return Some(Err(format!("there is no command {word}; type help")));
            }
            _ => return None,
        };
        Some(Ok(command))
    }
}

/// The name of `format` on the command line.
pub fn format_name(format: Format) -> String {
    format
        .to_possible_value()
        .map_or_else(String::new, |value| value.get_name().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(typed: &str) -> Command {
        Command::parse(typed).unwrap().unwrap()
    }

    #[test]
    fn commands_are_told_from_sql() {
        assert_eq!(parsed("\\q"), Command::Quit);
        assert_eq!(parsed(" exit ; "), Command::Quit);
        assert_eq!(parsed("help;"), Command::Help);
        assert_eq!(parsed("\\timing off"), Command::Timing(Some(false)));
        assert_eq!(parsed("\\format JSON"), Command::Format(Format::Json));
        assert_eq!(
            parsed("\\d raw.images;"),
            Command::Query("DESCRIBE raw.images".into())
        );
        for sql in ["SELECT 1;", "", "exit_code", "DESCRIBE x;"] {
            assert_eq!(Command::parse(sql), None, "{sql}");
        }
    }

    #[test]
    fn an_unknown_command_says_where_to_look() {
        for typed in ["\\x", "\\format xml", "\\format parquet", "\\timing maybe"] {
            assert!(Command::parse(typed).unwrap().is_err(), "{typed}");
        }
    }
}
