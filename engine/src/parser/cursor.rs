//! A reading position in one statement's tokens: words by their spelling (whether sqlparser knows
//! them as keywords or not), names, literals, lists, and errors that say where.

use std::collections::BTreeMap;

use datafusion::sql::sqlparser::ast::{Expr, Query};
use datafusion::sql::sqlparser::parser::{Parser, ParserError};
use datafusion::sql::sqlparser::tokenizer::{Location, Token, TokenWithSpan};

use super::depth::limit;
use super::dialect::ShoalDialect;
use super::statement::Name;
use crate::error::{EngineError, Result};

static DIALECT: ShoalDialect = ShoalDialect;

/// See the module's documentation.
pub(super) struct Cursor {
    parser: Parser<'static>,
    /// Where the statement ends, for errors at its end.
    end: Location,
    /// Closing `>` left over from a `>>` token.
    closers: usize,
}

impl Cursor {
    /// A cursor at the first of `tokens`, of a statement that ends at `end`.
    pub(super) fn new(tokens: Vec<TokenWithSpan>, end: Location) -> Self {
        let parser = Parser::new(&DIALECT).with_tokens_with_locations(tokens);
        Self {
            parser,
            end,
            closers: 0,
        }
    }

    /// The next token without taking it.
    pub(super) fn peek(&self) -> Token {
        self.parser.peek_token_ref().token.clone()
    }

    /// The n-th token from here without taking it; 0 is the next.
    pub(super) fn peek_nth(&self, n: usize) -> Token {
        self.parser.peek_nth_token(n).token
    }

    /// Whether the n-th token from here is `word`, unquoted, in any case.
    pub(super) fn nth_is(&self, n: usize, word: &str) -> bool {
        matches!(self.parser.peek_nth_token_ref(n).token, Token::Word(ref w)
            if w.quote_style.is_none() && w.value.eq_ignore_ascii_case(word))
    }

    /// Whether the next token is `word`.
    pub(super) fn is(&self, word: &str) -> bool {
        self.nth_is(0, word)
    }

    /// Whether the next tokens are `words`.
    pub(super) fn are(&self, words: &[&str]) -> bool {
        words
            .iter()
            .enumerate()
            .all(|(n, word)| self.nth_is(n, word))
    }

    /// Takes `word` if it is next.
    pub(super) fn eat(&mut self, word: &str) -> bool {
        let found = self.is(word);
        if found {
            self.parser.next_token();
        }
        found
    }

    /// Takes `words` if all of them are next.
    pub(super) fn eat_all(&mut self, words: &[&str]) -> bool {
        let found = self.are(words);
        if found {
            for _ in words {
                self.parser.next_token();
            }
        }
        found
    }

    /// Takes the first of `words` that is next and says which.
    pub(super) fn eat_one_of<'w>(&mut self, words: &[&'w str]) -> Option<&'w str> {
        words.iter().copied().find(|word| self.eat(word))
    }

    /// Takes `word` or fails.
    pub(super) fn expect(&mut self, word: &str) -> Result<()> {
        if self.eat(word) {
            return Ok(());
        }
        self.unexpected(word)
    }

    /// Takes `token` if it is next.
    pub(super) fn eat_token(&mut self, token: &Token) -> bool {
        self.parser.consume_token(token)
    }

    /// Takes `token` or fails.
    pub(super) fn expect_token(&mut self, token: &Token) -> Result<()> {
        if self.eat_token(token) {
            return Ok(());
        }
        self.unexpected(&token.to_string())
    }

    /// Whether nothing is left.
    pub(super) fn at_end(&self) -> bool {
        self.parser.peek_token_ref().token == Token::EOF
    }

    /// Fails unless nothing is left.
    pub(super) fn expect_end(&self) -> Result<()> {
        if self.at_end() {
            return Ok(());
        }
        self.unexpected("the end of the statement")
    }

    /// The error that `expected` is not what stands here.
    pub(super) fn unexpected<T>(&self, expected: &str) -> Result<T> {
        let found = self.parser.peek_token_ref();
        let (text, at) = match found.token {
            Token::EOF => ("the end of the statement".to_string(), self.end),
            ref token => (token.to_string(), found.span.start),
        };
        Err(EngineError::Syntax {
            message: format!("expected {expected}, found {text}"),
            line: at.line,
            column: at.column,
        })
    }

    /// Takes one `>`, splitting `>>` as needed.
    pub(super) fn expect_closing_angle(&mut self) -> Result<()> {
        if self.closers > 0 {
            self.closers -= 1;
            return Ok(());
        }
        if self.eat_token(&Token::ShiftRight) {
            self.closers = 1;
            return Ok(());
        }
        self.expect_token(&Token::Gt)
    }

    /// Whether a `>` is next.
    pub(super) fn at_closing_angle(&self) -> bool {
        self.closers > 0 || matches!(self.peek(), Token::Gt | Token::ShiftRight)
    }

    /// Takes an identifier, quoted or not; `what` names it in an error.
    pub(super) fn identifier(&mut self, what: &str) -> Result<String> {
        match self.peek() {
            Token::Word(word) => {
                self.parser.next_token();
                Ok(word.value)
            }
            _ => self.unexpected(what),
        }
    }

    /// Takes a name of at most `parts` parts.
    pub(super) fn name(&mut self, what: &str, parts: usize) -> Result<Name> {
        let mut names = vec![self.identifier(what)?];
        while self.eat_token(&Token::Period) {
            names.push(self.identifier(what)?);
        }
        if names.len() > parts {
            return Err(EngineError::invalid(format!(
                "{} is not the name of a {what}: it has {} parts, at most {parts} are possible",
                names.join("."),
                names.len()
            )));
        }
        Ok(Name(names))
    }

    /// Takes a table name.
    pub(super) fn table_name(&mut self) -> Result<Name> {
        self.name("table name", 3)
    }

    /// Takes a string literal; `what` names it in an error.
    pub(super) fn string(&mut self, what: &str) -> Result<String> {
        match self.peek() {
            Token::SingleQuotedString(text) => {
                self.parser.next_token();
                Ok(text)
            }
            _ => self.unexpected(&format!("{what} in single quotes")),
        }
    }

    /// Takes a whole number.
    pub(super) fn number<N: std::str::FromStr>(&mut self, what: &str) -> Result<N> {
        if let Token::Number(text, _) = self.peek()
            && let Ok(number) = text.parse()
        {
            self.parser.next_token();
            return Ok(number);
        }
        self.unexpected(what)
    }

    /// Takes an expression.
    pub(super) fn expression(&mut self) -> Result<Expr> {
        let parsed = self.parser.parse_expr();
        let mut expression = parsed.map_err(|e| self.syntax(e))?;
        limit(&mut expression)?;
        Ok(expression)
    }

    /// Takes a query.
    pub(super) fn query(&mut self) -> Result<Box<Query>> {
        let parsed = self.parser.parse_query();
        let mut query = parsed.map_err(|e| self.syntax(e))?;
        limit(&mut *query)?;
        Ok(query)
    }

    /// Whether a query begins here.
    pub(super) fn at_query(&self) -> bool {
        ["SELECT", "WITH", "VALUES"]
            .iter()
            .any(|word| self.is(word))
            || self.peek() == Token::LParen
    }

    /// Takes `( item, item, … )`.
    pub(super) fn list<T>(
        &mut self,
        mut item: impl FnMut(&mut Self) -> Result<T>,
    ) -> Result<Vec<T>> {
        self.expect_token(&Token::LParen)?;
        let mut items = vec![item(self)?];
        while self.eat_token(&Token::Comma) {
            items.push(item(self)?);
        }
        self.expect_token(&Token::RParen)?;
        Ok(items)
    }

    /// Takes a key: a string, or words joined by dots.
    pub(super) fn key(&mut self) -> Result<String> {
        if let Token::SingleQuotedString(_) = self.peek() {
            return self.string("a key");
        }
        Ok(self.name("a key", 16)?.to_string())
    }

    /// Takes a value of a property or setting: a string, a number or a word.
    pub(super) fn value(&mut self) -> Result<String> {
        let negative = self.eat_token(&Token::Minus);
        let text = match self.peek() {
            Token::SingleQuotedString(text) if !negative => text,
            Token::Number(text, _) => text,
            Token::Word(_) if !negative => return Ok(self.name("a value", 16)?.to_string()),
            _ => return self.unexpected("a value"),
        };
        self.parser.next_token();
        Ok(if negative { format!("-{text}") } else { text })
    }

    /// Takes `('key' = 'value', …)`; `=` may be left out, as in Spark.
    pub(super) fn properties(&mut self) -> Result<BTreeMap<String, String>> {
        let pairs = self.list(|cursor| {
            let key = cursor.key()?;
            cursor.eat_token(&Token::Eq);
            Ok((key, cursor.value()?))
        })?;
        let mut properties = BTreeMap::new();
        for (key, value) in pairs {
            if properties.insert(key.clone(), value).is_some() {
                return Err(EngineError::invalid(format!(
                    "property {key} is given twice"
                )));
            }
        }
        Ok(properties)
    }

    fn syntax(&self, error: ParserError) -> EngineError {
        syntax_error(error, self.end)
    }
}

/// sqlparser's error with its position taken out of the message; `end` stands in where it has none.
pub(super) fn syntax_error(error: ParserError, end: Location) -> EngineError {
    let text = match error {
        ParserError::TokenizerError(text) | ParserError::ParserError(text) => text,
        ParserError::RecursionLimitExceeded => {
            return EngineError::invalid(
                "the statement is nested too deeply; split it with WITH or views",
            );
        }
    };
    let (message, at) = split_position(&text).unwrap_or((&text, end));
    let message = message
        .replace("Expected: ", "expected ")
        .replace("found: EOF", "found the end of the statement")
        .replace("found: ", "found ");
    EngineError::Syntax {
        message,
        line: at.line,
        column: at.column,
    }
}

/// Splits `message at Line: 1, Column: 2`.
fn split_position(text: &str) -> Option<(&str, Location)> {
    let (message, position) = text.rsplit_once(" at Line: ")?;
    let (line, column) = position.split_once(", Column: ")?;
    Some((
        message,
        Location::new(line.trim().parse().ok()?, column.trim().parse().ok()?),
    ))
}
