//! Completion: tables after FROM and its like, columns of the tables a statement mentions,
//! functions and keywords elsewhere.

use std::sync::Arc;

use parking_lot::RwLock;
use reedline::{Completer, CompletionResult, Span, Suggestion};

use super::names::Names;
use crate::lexer::{Kind, Token, tokens};

/// Words of Shoal's SQL.
pub const KEYWORDS: &[&str] = &[
    "ADD",
    "ALL",
    "ALTER",
    "ANALYZE",
    "AND",
    "ANTI",
    "ARRAY",
    "AS",
    "ASC",
    "BETWEEN",
    "BIGINT",
    "BINARY",
    "BOOLEAN",
    "BY",
    "CASCADE",
    "CASE",
    "CAST",
    "CATALOG",
    "CATALOGS",
    "CHECK",
    "COLUMN",
    "COLUMNS",
    "COMMENT",
    "CONSTRAINT",
    "COPY",
    "CREATE",
    "CROSS",
    "DATE",
    "DECIMAL",
    "DELETE",
    "DELTA",
    "DESC",
    "DESCRIBE",
    "DISTINCT",
    "DOUBLE",
    "DROP",
    "ELSE",
    "END",
    "EXCEPT",
    "EXISTS",
    "EXPLAIN",
    "EXTENDED",
    "FALSE",
    "FILEFORMAT",
    "FIRST",
    "FLOAT",
    "FORMAT",
    "FROM",
    "FULL",
    "FUNCTION",
    "FUNCTIONS",
    "GROUP",
    "HAVING",
    "ICEBERG",
    "IF",
    "ILIKE",
    "IMAGE",
    "IN",
    "INNER",
    "INSERT",
    "INT",
    "INTERSECT",
    "INTERVAL",
    "INTO",
    "IS",
    "JOIN",
    "LAST",
    "LATERAL",
    "LEFT",
    "LIKE",
    "LIMIT",
    "LOCATION",
    "MODEL",
    "MODELS",
    "NOT",
    "NULL",
    "NULLS",
    "OFFSET",
    "ON",
    "OPTIONS",
    "OR",
    "ORDER",
    "OUTER",
    "OVER",
    "OVERWRITE",
    "PARTITION",
    "PARTITIONED",
    "PURGE",
    "REPLACE",
    "RESET",
    "RIGHT",
    "ROWS",
    "SCHEMA",
    "SCHEMAS",
    "SELECT",
    "SEMI",
    "SET",
    "SHOW",
    "STRING",
    "STRUCT",
    "TABLE",
    "TABLES",
    "TBLPROPERTIES",
    "THEN",
    "TIMESTAMP",
    "TREE",
    "TRUE",
    "TRUNCATE",
    "UNION",
    "UPDATE",
    "USE",
    "USING",
    "VALUES",
    "VERBOSE",
    "VIEW",
    "VIEWS",
    "WHEN",
    "WHERE",
    "WITH",
];

/// Keywords after which a table comes.
const BEFORE_TABLE: &[&str] = &[
    "FROM",
    "JOIN",
    "INTO",
    "TABLE",
    "VIEW",
    "UPDATE",
    "DESCRIBE",
    "EXTENDED",
    "OVERWRITE",
];

/// Whether `word` is a keyword, in whatever case.
pub fn is_keyword(word: &str) -> bool {
    let word = word.to_ascii_uppercase();
    KEYWORDS.binary_search(&word.as_str()).is_ok()
}

/// Completes from the names that the shell keeps fresh.
pub struct NameCompleter(pub Arc<RwLock<Names>>);

impl Completer for NameCompleter {
    fn complete(&mut self, line: &str, position: usize) -> CompletionResult {
        let found = line.get(..position).map(|before| {
            // Tables may be named after the cursor: SELECT | FROM raw.images.
            suggestions(&self.0.read(), before, line)
        });
        CompletionResult::fresh(found.unwrap_or_default())
    }
}

/// What may stand in place of the word at the end of `before`; `line` is all that is typed.
fn suggestions(names: &Names, before: &str, line: &str) -> Vec<Suggestion> {
    let typed = tokens(before);
    if typed.last().is_some_and(in_text) {
        return Vec::new();
    }
    let start = before
        .rfind(|c: char| !(c.is_alphanumeric() || matches!(c, '_' | '.' | '`')))
        .map_or(0, |at| {
            at + before[at..].chars().next().map_or(0, char::len_utf8)
        });
    let word = &before[start..];
    let span = Span::new(start, before.len());
    let offer = |value: String, description: Option<String>| Suggestion {
        value,
        description,
        span,
        append_whitespace: true,
        ..Suggestion::default()
    };

    if wants_table(before, &typed, start) {
        return tables_like(names, word, offer);
    }
    let mentioned = mentioned_tables(names, line);
    if let Some((qualifier, prefix)) = word.rsplit_once('.') {
        let table = mentioned
            .iter()
            .find(|(alias, _)| alias.eq_ignore_ascii_case(qualifier))
            .map_or(qualifier, |(_, table)| table);
        let columns = names.columns(table).unwrap_or_default();
        let mut found: Vec<Suggestion> = columns
            .iter()
            .filter(|column| starts_with(&column.name, prefix))
            .map(|column| {
                let name = quoted(&column.name);
                offer(
                    format!("{qualifier}.{name}"),
                    Some(column.data_type.clone()),
                )
            })
            .collect();
        if found.is_empty() {
            found = tables_like(names, word, offer);
        }
        return found;
    }
    let mut found = Vec::new();
    for (_, table) in &mentioned {
        for column in names.columns(table).unwrap_or_default() {
            let value = quoted(&column.name);
            if starts_with(&column.name, word)
                && found.iter().all(|s: &Suggestion| s.value != value)
            {
                found.push(offer(value, Some(column.data_type.clone())));
            }
        }
    }
    if word.is_empty() {
        return found;
    }
    let functions = names.functions.iter();
    found.extend(
        functions
            .filter(|name| starts_with(name, word))
            .map(|name| Suggestion {
                append_whitespace: false,
                ..offer(format!("{name}("), Some("function".into()))
            }),
    );
    let lower = word.chars().all(|c| !c.is_uppercase());
    let keywords = KEYWORDS.iter().filter(|keyword| starts_with(keyword, word));
    found.extend(keywords.map(|keyword| match lower {
        true => offer(keyword.to_lowercase(), None),
        false => offer((*keyword).to_owned(), None),
    }));
    found.extend(tables_like(names, word, offer));
    found
}

/// Whether the cursor, right after `token`, is inside a literal or comment.
fn in_text(token: &Token) -> bool {
    let in_line_comment = token.kind == Kind::Comment;
    let in_quotes = matches!(token.kind, Kind::Text) && !token.closed;
    in_line_comment || in_quotes
}

/// Whether a table belongs at `start`.
fn wants_table(before: &str, typed: &[Token], start: usize) -> bool {
    if before.trim_start().starts_with("\\d") {
        return true;
    }
    let earlier = typed.iter().rev().find(|token| {
        token.span.end <= start && !matches!(token.kind, Kind::Space | Kind::Comment)
    });
    earlier.is_some_and(|token| {
        let word = before[token.span.clone()].to_ascii_uppercase();
        BEFORE_TABLE.contains(&word.as_str())
    })
}

/// Tables whose name, with or without its schema, begins with `word`.
fn tables_like(
    names: &Names,
    word: &str,
    offer: impl Fn(String, Option<String>) -> Suggestion,
) -> Vec<Suggestion> {
    let matching = names.tables.keys().filter(|table| {
        let (_, bare) = table.split_once('.').unwrap_or(("", table));
        starts_with(table, word) || starts_with(bare, word)
    });
    // The server's own tables come last.
    let (own, users): (Vec<_>, Vec<_>) =
        matching.partition(|table| table.starts_with("information_schema."));
    users
        .into_iter()
        .chain(own)
        .map(|table| {
            let parts: Vec<String> = table.split('.').map(quoted).collect();
            offer(parts.join("."), Some("table".into()))
        })
        .collect()
}

/// The known tables that `line` names, each under its alias, and under its own name.
fn mentioned_tables(names: &Names, line: &str) -> Vec<(String, String)> {
    let tokens = tokens(line);
    let words: Vec<&str> = tokens
        .iter()
        .filter(|token| !matches!(token.kind, Kind::Space | Kind::Comment))
        .map(|token| line[token.span.clone()].trim_matches(['`', '"']))
        .collect();
    let mut mentioned = Vec::new();
    let mut at = 0;
    while at < words.len() {
        let mut name = words[at].to_owned();
        at += 1;
        while at + 1 < words.len() && words[at] == "." {
            name = format!("{name}.{}", words[at + 1]);
            at += 2;
        }
        if names.columns(&name).is_none() {
            continue;
        }
        let after_as =
            at + usize::from(words.get(at).is_some_and(|w| w.eq_ignore_ascii_case("AS")));
        let bare = name.rsplit('.').next().unwrap_or(&name).to_owned();
        mentioned.push((name.clone(), name.clone()));
        mentioned.push((bare, name.clone()));
        if let Some(alias) = words.get(after_as)
            && alias.starts_with(|c: char| c.is_alphabetic() || c == '_')
            && !is_keyword(alias)
        {
            mentioned.push(((*alias).to_owned(), name));
        }
    }
    mentioned
}

/// `name` as SQL takes it.
fn quoted(name: &str) -> String {
    let plain = name
        .chars()
        .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
        && !name.starts_with(|c: char| c.is_ascii_digit());
    match plain {
        true => name.to_owned(),
        false => format!("`{}`", name.replace('`', "``")),
    }
}

fn starts_with(name: &str, prefix: &str) -> bool {
    let mut name = name.chars().flat_map(char::to_lowercase);
    let prefix = prefix.chars().filter(|c| *c != '`');
    prefix
        .flat_map(char::to_lowercase)
        .all(|c| name.next() == Some(c))
}

#[cfg(test)]
mod tests {
    use super::super::names::Column;
    use super::*;

    fn names() -> Names {
        let mut names = Names {
            current: "default".into(),
            ..Names::default()
        };
        for (table, columns) in [
            ("raw.images", ["id", "filename"]),
            ("users", ["user_id", "Full Name"]),
            ("information_schema.tables", ["table_name", "table_type"]),
        ] {
            let columns = columns.map(|name| Column {
                name: name.into(),
                data_type: "Utf8".into(),
            });
            names.tables.insert(table.into(), columns.into());
        }
        names.functions.insert("image_info".into());
        names
    }

    /// Suggestions at the `|` of `line`.
    fn at_cursor(line: &str) -> Vec<String> {
        let (before, after) = line.split_once('|').unwrap();
        let found = suggestions(&names(), before, &format!("{before}{after}"));
        found
            .into_iter()
            .map(|suggestion| suggestion.value)
            .collect()
    }

    #[test]
    fn keywords_are_sorted_as_the_search_needs() {
        assert!(KEYWORDS.is_sorted());
        assert!(is_keyword("select") && !is_keyword("images"));
    }

    #[test]
    fn tables_come_after_from_with_or_without_their_schema() {
        assert_eq!(
            at_cursor("SELECT * FROM |"),
            ["raw.images", "users", "information_schema.tables"]
        );
        assert_eq!(at_cursor("SELECT * FROM raw.|"), ["raw.images"]);
        assert_eq!(at_cursor("insert into IMA|"), ["raw.images"]);
        assert_eq!(at_cursor("\\d us|"), ["users"]);
    }

    #[test]
    fn columns_come_from_the_tables_the_statement_names_also_further_on() {
        assert_eq!(at_cursor("SELECT filen| FROM raw.images"), ["filename"]);
        assert_eq!(
            at_cursor("SELECT * FROM raw.images AS i WHERE i.fi|"),
            ["i.filename"]
        );
        assert_eq!(
            at_cursor("SELECT * FROM users u WHERE u.full|"),
            ["u.`Full Name`"]
        );
        assert_eq!(
            at_cursor("SELECT users.| FROM users"),
            ["users.user_id", "users.`Full Name`"]
        );
    }

    #[test]
    fn keywords_follow_the_case_of_what_is_typed() {
        assert_eq!(at_cursor("sel|"), ["select"]);
        assert_eq!(at_cursor("SEL|"), ["SELECT"]);
    }

    #[test]
    fn functions_are_offered_with_their_bracket() {
        assert_eq!(at_cursor("SELECT image_i|"), ["image_info("]);
    }

    #[test]
    fn nothing_is_offered_inside_text_and_comments() {
        for line in ["SELECT 'sel|", "SELECT 1 -- sel|", "/* sel|"] {
            assert_eq!(at_cursor(line), [""; 0], "{line}");
        }
    }

    #[test]
    fn any_input_and_cursor_position_is_survived() {
        let line = "SELECT `é.日本' FROM \"raw\".images -- ;";
        let names = names();
        for (at, _) in line.char_indices() {
            suggestions(&names, &line[..at], line);
        }
    }
}
