//! The `.env` file: `KEY=value` lines, as shells and compose files write them.

use std::path::Path;

use crate::ConfigError;

/// Reads `path`; a file that does not exist is an empty one, since `.env` is optional.
///
/// Understood: blank lines, `#` comments, `export KEY=value`, values in single or double quotes.
/// Nothing is expanded. A line without `=` is an error that names the line, not its content.
pub(crate) fn read(path: &Path) -> Result<Vec<(String, String)>, ConfigError> {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(source) => {
            return Err(ConfigError::File {
                what: ".env",
                path: path.to_path_buf(),
                source,
            });
        }
    };
    let mut pairs = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let assignment = line.strip_prefix("export ").unwrap_or(line);
        let Some((key, value)) = assignment.split_once('=') else {
            return Err(ConfigError::Syntax {
                path: path.to_path_buf(),
                message: format!("line {} is not of the form KEY=value", number + 1),
            });
        };
        pairs.push((key.trim().to_string(), unquote(value.trim()).to_string()));
    }
    Ok(pairs)
}

/// A quoted value without its quotes; an unquoted one up to a comment after a space.
fn unquote(value: &str) -> &str {
    for quote in ['"', '\''] {
        if let Some(inner) = value.strip_prefix(quote)
            && let Some((inner, _)) = inner.split_once(quote)
        {
            return inner;
        }
    }
    value
        .split_once(" #")
        .map_or(value, |(value, _)| value.trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read_as_shells_write_them() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(".env");
        std::fs::write(
            &path,
            "# note\n\nA=1\nexport B = \"x # y\" \nC='z' # note\nD=p=q # note\n",
        )
        .unwrap();
        let pairs = read(&path).unwrap();
        let pairs: Vec<_> = pairs
            .iter()
            .map(|(k, v)| (k.as_str(), v.as_str()))
            .collect();
        assert_eq!(
            pairs,
            [("A", "1"), ("B", "x # y"), ("C", "z"), ("D", "p=q")]
        );
    }

    #[test]
    fn a_broken_line_is_named_by_its_number_and_not_repeated() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(".env");
        std::fs::write(&path, "A=1\nhunter2\n").unwrap();
        let error = read(&path).unwrap_err().to_string();
        assert!(
            error.contains("line 2") && !error.contains("hunter2"),
            "{error}"
        );
    }
}
