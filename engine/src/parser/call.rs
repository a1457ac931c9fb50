//! `CALL procedure(name => value, …)`.

use std::collections::BTreeMap;

use datafusion::sql::sqlparser::tokenizer::Token;

use super::cursor::Cursor;
use super::statement::{Call, Statement};
use crate::error::{EngineError, Result};

/// Takes what follows `CALL`. Procedures are in schema `system`, which may be left out.
pub(super) fn call(cursor: &mut Cursor) -> Result<Statement> {
    if cursor.is("SYSTEM") && cursor.peek_nth(1) == Token::Period {
        cursor.eat("SYSTEM");
        cursor.eat_token(&Token::Period);
    }
    let procedure = cursor.identifier("a procedure")?.to_lowercase();
    let mut arguments = BTreeMap::new();
    cursor.expect_token(&Token::LParen)?;
    while !cursor.eat_token(&Token::RParen) {
        if !arguments.is_empty() {
            cursor.expect_token(&Token::Comma)?;
        }
        let (name, value) = argument(cursor, &procedure)?;
        if arguments.insert(name.clone(), value).is_some() {
            return Err(EngineError::invalid(format!(
                "argument {name} of {procedure} is given twice"
            )));
        }
    }
    Ok(Statement::Call(Call {
        procedure,
        arguments,
    }))
}

fn argument(cursor: &mut Cursor, procedure: &str) -> Result<(String, String)> {
    if !matches!(cursor.peek(), Token::Word(_)) || cursor.peek_nth(1) != Token::RArrow {
        return Err(EngineError::invalid(format!(
            "arguments of {procedure} are given by name, as in CALL {procedure}(source => 'raw.images')"
        )));
    }
    let name = cursor.identifier("an argument")?.to_lowercase();
    cursor.expect_token(&Token::RArrow)?;
    Ok((name, cursor.value()?))
}

#[cfg(test)]
mod tests {
    use super::super::parse;
    use super::*;

    #[test]
    fn procedures_are_called_with_named_arguments() {
        for sql in [
            "CALL extract_features(source => 'raw.images', Model => embedder, k => 5)",
            "call System.Extract_Features(k=>5, model => 'embedder', source => raw.images)",
        ] {
            let arguments = [("k", "5"), ("model", "embedder"), ("source", "raw.images")];
            let expected = Call {
                procedure: "extract_features".into(),
                arguments: arguments
                    .map(|(key, value)| (key.into(), value.into()))
                    .into(),
            };
            assert_eq!(parse(sql).unwrap(), [Statement::Call(expected)], "{sql}");
        }
        let Statement::Call(call) = parse("CALL p()").unwrap().remove(0) else {
            panic!("no call");
        };
        assert!(call.arguments.is_empty());
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        for (sql, wrong) in [
            ("CALL", "expected a procedure"),
            ("CALL p", "expected ("),
            ("CALL p('raw.images')", "by name"),
            ("CALL p(a => 1, A => 2)", "argument a of p is given twice"),
            ("CALL p(a => 1 b => 2)", "expected ,"),
            ("CALL p(a => 1) x", "expected the end"),
            ("CALL p(a => )", "expected a value"),
        ] {
            let message = parse(sql).unwrap_err().to_string();
            assert!(message.contains(wrong), "{sql}: {message}");
        }
    }
}
