//! Cuts SQL text into tokens and statements, for the statement splitter, the
//! shell's highlighting and its completion.
//!
//! It follows the server's lexer: `'…'`, `"…"` and `` `…` `` with doubled
//! quotes, `--` comments, and `/* … */` comments that nest. Backslashes are
//! ordinary characters. Text that ends inside a quote or a comment is one
//! unclosed token up to the end. Never fails, on any input.

use std::ops::Range;

/// What a token is; as fine as splitting, highlighting and completion need.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// White space.
    Space,
    /// A `--` or `/* */` comment.
    Comment,
    /// A `'…'` literal.
    Text,
    /// A `"…"` or `` `…` `` name.
    QuotedName,
    /// An unquoted name or keyword.
    Word,
    /// A number.
    Number,
    /// The `;` between statements.
    Semicolon,
    /// Any other character.
    Symbol,
}

/// A token: its kind, its place in the text, and whether its closing quote or
/// comment end was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// What it is.
    pub kind: Kind,
    /// Byte range in the text.
    pub span: Range<usize>,
    /// False for a quote or block comment that the text ends inside of.
    pub closed: bool,
}

/// All tokens of `text`, in order, without gaps.
pub fn tokens(text: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut start = 0;
    while let Some(first) = text[start..].chars().next() {
        let (kind, length, closed) = token_at(&text[start..], first);
        tokens.push(Token {
            kind,
            span: start..start + length,
            closed,
        });
        start += length;
    }
    tokens
}

/// Kind, length in bytes and closedness of the token at the start of `rest`,
/// whose first character is `first`.
fn token_at(rest: &str, first: char) -> (Kind, usize, bool) {
    let run = |belongs: fn(char) -> bool| rest.find(|c| !belongs(c)).unwrap_or(rest.len());
    if rest.starts_with("--") {
        return (Kind::Comment, rest.find('\n').unwrap_or(rest.len()), true);
    }
    if rest.starts_with("/*") {
        let (length, closed) = block_comment(rest);
        return (Kind::Comment, length, closed);
    }
    match first {
        '\'' => quoted(Kind::Text, rest, '\''),
        '"' | '`' => quoted(Kind::QuotedName, rest, first),
        ';' => (Kind::Semicolon, 1, true),
        c if c.is_whitespace() => (Kind::Space, run(char::is_whitespace), true),
        c if c.is_ascii_digit() => (
            Kind::Number,
            run(|c| c.is_alphanumeric() || c == '.' || c == '_'),
            true,
        ),
        c if c.is_alphabetic() || c == '_' => {
            (Kind::Word, run(|c| c.is_alphanumeric() || c == '_'), true)
        }
        c => (Kind::Symbol, c.len_utf8(), true),
    }
}

/// A token in `quote`s; a doubled quote inside stands for itself.
fn quoted(kind: Kind, rest: &str, quote: char) -> (Kind, usize, bool) {
    let mut chars = rest.char_indices().skip(1).peekable();
    while let Some((at, c)) = chars.next() {
        if c != quote {
            continue;
        }
        if chars.next_if(|(_, next)| *next == quote).is_none() {
            return (kind, at + quote.len_utf8(), true);
        }
    }
    (kind, rest.len(), false)
}

/// Length of the block comment at the start of `rest`, and whether it ends.
fn block_comment(rest: &str) -> (usize, bool) {
    let bytes = rest.as_bytes();
    let mut depth = 0;
    let mut at = 0;
    while at + 1 < bytes.len() {
        match &bytes[at..at + 2] {
            b"/*" => {
                depth += 1;
                at += 2;
            }
            b"*/" => {
                depth -= 1;
                at += 2;
                if depth == 0 {
                    return (at, true);
                }
            }
            _ => at += 1,
        }
    }
    (rest.len(), false)
}

/// Text cut at its semicolons.
#[derive(Debug, PartialEq, Eq)]
pub struct Split<'a> {
    /// The statements that a semicolon ends; those of nothing but comments are left out.
    pub complete: Vec<Piece<'a>>,
    /// What stands after the last semicolon, if it is more than space and comments, or ends
    /// inside a quote or comment.
    pub unfinished: Option<Piece<'a>>,
}

/// One statement of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Piece<'a> {
    /// The statement without its semicolon and surrounding space.
    pub sql: &'a str,
    /// Line of the text on which it begins, from 1.
    pub line: usize,
}

/// Cuts `text` into statements.
pub fn split(text: &str) -> Split<'_> {
    let mut complete = Vec::new();
    let mut start = None;
    let mut has_code = false;
    let mut open = false;
    for token in tokens(text) {
        match token.kind {
            Kind::Semicolon => {
                if has_code {
                    complete.push(piece(text, start, token.span.start));
                }
                start = None;
                has_code = false;
                continue;
            }
            Kind::Space => continue,
            Kind::Comment => open = !token.closed,
            _ => has_code = true,
        }
        start.get_or_insert(token.span.start);
    }
    Split {
        complete,
        unfinished: (has_code || open).then(|| piece(text, start, text.len())),
    }
}

fn piece(text: &str, start: Option<usize>, end: usize) -> Piece<'_> {
    let start = start.unwrap_or(end);
    Piece {
        sql: text[start..end].trim(),
        line: 1 + text[..start].matches('\n').count(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complete(text: &str) -> Vec<&str> {
        let split = split(text);
        assert_eq!(split.unfinished, None, "{text}");
        split.complete.into_iter().map(|piece| piece.sql).collect()
    }

    #[test]
    fn semicolons_end_statements_and_empty_ones_vanish() {
        assert_eq!(
            complete(" SELECT 1 ;\n;; SELECT 2;"),
            ["SELECT 1", "SELECT 2"]
        );
        assert_eq!(complete(""), [""; 0]);
        assert_eq!(complete("-- nothing\n ; /* at all */ ;"), [""; 0]);
    }

    #[test]
    fn semicolons_inside_quotes_and_comments_are_text() {
        for statement in [
            "SELECT 'a;b'",
            "SELECT 'it''s; fine'",
            "SELECT '\\'",
            "SELECT \"a;b\"",
            "SELECT `a``;b`",
            "SELECT 1 -- not; here\n + 1",
            "SELECT /* a; /* nested; */ b; */ 1",
            "SELECT 'é;日本'",
        ] {
            assert_eq!(complete(&format!("{statement};")), [statement]);
        }
    }

    #[test]
    fn text_without_a_final_semicolon_is_unfinished() {
        let text = "SELECT 1;\n\nSELECT 2 ";
        let (first, second) = (split(text).complete, split(text).unfinished);
        assert_eq!(
            first,
            [Piece {
                sql: "SELECT 1",
                line: 1
            }]
        );
        assert_eq!(
            second,
            Some(Piece {
                sql: "SELECT 2",
                line: 3
            })
        );
        assert_eq!(split("SELECT 1; -- done").unfinished, None);
    }

    #[test]
    fn text_that_ends_inside_a_quote_or_comment_is_unfinished() {
        for text in [
            "SELECT 'a;",
            "SELECT `a;",
            "/* a;",
            "/* /* */ ;",
            "SELECT \"a\"\";",
        ] {
            let split = split(text);
            assert_eq!(split.complete, []);
            assert_eq!(split.unfinished.map(|piece| piece.sql), Some(text));
        }
    }

    #[test]
    fn tokens_cover_the_text_without_gaps() {
        let text = "SELECT a.b1, 'x' FROM `t` WHERE 1.5e3>=é--end";
        let mut end = 0;
        for token in tokens(text) {
            assert_eq!(token.span.start, end);
            end = token.span.end;
        }
        assert_eq!(end, text.len());
    }
}
