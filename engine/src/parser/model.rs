//! Statements about models.

use std::collections::BTreeMap;

use datafusion::sql::sqlparser::tokenizer::Token;

use super::cursor::Cursor;
use super::statement::{CreateModel, ModelName, Statement};
use crate::error::{EngineError, Result};

/// Takes what follows `CREATE [OR REPLACE] MODEL`.
pub(super) fn create_model(cursor: &mut Cursor, or_replace: bool) -> Result<Statement> {
    let if_not_exists = cursor.eat_all(&["IF", "NOT", "EXISTS"]);
    if or_replace && if_not_exists {
        return Err(EngineError::invalid(
            "CREATE OR REPLACE MODEL IF NOT EXISTS means two things at once; write one of them",
        ));
    }
    let name = cursor.name("model", 3)?;
    cursor.expect("FROM")?;
    let location = cursor.string("the URL of an ONNX file")?;
    let options = match cursor.eat("OPTIONS") {
        true => options(cursor)?,
        false => BTreeMap::new(),
    };
    let comment = match cursor.eat("COMMENT") {
        true => Some(cursor.string("a comment")?),
        false => None,
    };
    Ok(Statement::CreateModel(Box::new(CreateModel {
        name,
        or_replace,
        if_not_exists,
        location,
        options,
        comment,
    })))
}

/// `(key => value, …)`; `=` does as well as `=>`.
fn options(cursor: &mut Cursor) -> Result<BTreeMap<String, String>> {
    let pairs = cursor.list(|cursor| {
        let key = cursor.key()?.to_lowercase();
        if !cursor.eat_token(&Token::RArrow) {
            cursor.eat_token(&Token::Eq);
        }
        Ok((key, option_value(cursor)?))
    })?;
    let mut options = BTreeMap::new();
    for (key, value) in pairs {
        if options.contains_key(&key) {
            return Err(EngineError::invalid(format!("option {key} is given twice")));
        }
        options.insert(key, value);
    }
    Ok(options)
}

/// One value, or values in brackets, which are joined by commas.
fn option_value(cursor: &mut Cursor) -> Result<String> {
    if cursor.peek() == Token::LParen {
        return Ok(cursor.list(Cursor::value)?.join(", "));
    }
    if !cursor.eat_token(&Token::LBracket) {
        return cursor.value();
    }
    let mut values = vec![cursor.value()?];
    while cursor.eat_token(&Token::Comma) {
        values.push(cursor.value()?);
    }
    cursor.expect_token(&Token::RBracket)?;
    Ok(values.join(", "))
}

/// Takes `name` or `name@version`.
pub(super) fn model_name(cursor: &mut Cursor) -> Result<ModelName> {
    let name = cursor.name("model", 3)?;
    let version = match cursor.eat_token(&Token::AtSign) {
        true => Some(cursor.number("a version")?),
        false => None,
    };
    Ok(ModelName { name, version })
}

#[cfg(test)]
mod tests {
    use super::super::{Describe, Name, Show, parse};
    use super::*;

    fn one(sql: &str) -> Statement {
        parse(sql).unwrap().remove(0)
    }

    fn name(text: &str) -> Name {
        Name(text.split('.').map(str::to_owned).collect())
    }

    #[test]
    fn a_model_is_created_with_options_of_every_form() {
        let Statement::CreateModel(model) = one(
            "CREATE OR REPLACE MODEL raw.m FROM 's3://b/m.onnx' \
             OPTIONS (input => 'image', WIDTH = 64, layout CHW, mean => [0.5, -1, 2e0], std => (1, 2, 3)) \
             COMMENT 'of cats'",
        ) else {
            panic!("no model");
        };
        let options = [
            ("input", "image"),
            ("layout", "CHW"),
            ("mean", "0.5, -1, 2e0"),
            ("std", "1, 2, 3"),
            ("width", "64"),
        ];
        let expected = CreateModel {
            name: name("raw.m"),
            or_replace: true,
            if_not_exists: false,
            location: "s3://b/m.onnx".into(),
            options: options
                .map(|(key, value)| (key.into(), value.into()))
                .into(),
            comment: Some("of cats".into()),
        };
        assert_eq!(*model, expected);
    }

    #[test]
    fn models_are_named_with_and_without_a_version() {
        let model = |version| ModelName {
            name: name("a.b.c"),
            version,
        };
        assert_eq!(
            one("DESCRIBE MODEL a.b.c"),
            Statement::Describe(Describe::Model(model(None)))
        );
        assert_eq!(
            one("DESC MODEL a.b.c@12"),
            Statement::Describe(Describe::Model(model(Some(12))))
        );
        assert_eq!(
            one("DROP MODEL IF EXISTS m"),
            Statement::DropModel {
                name: name("m"),
                if_exists: true
            }
        );
        assert_eq!(
            one("SHOW MODELS IN raw LIKE 'm*'"),
            Statement::Show(Show::Models {
                schema: Some(name("raw")),
                pattern: Some("m*".into())
            })
        );
        // A table may be called so.
        let table = Describe::Table {
            name: name("model"),
            extended: false,
        };
        assert_eq!(one("DESCRIBE model"), Statement::Describe(table));
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        for (sql, wrong) in [
            (
                "CREATE OR REPLACE MODEL IF NOT EXISTS m FROM 'x'",
                "two things at once",
            ),
            ("CREATE MODEL m", "expected FROM"),
            (
                "CREATE MODEL m FROM 'x' OPTIONS (a => 1, A => 2)",
                "option a is given twice",
            ),
            ("CREATE MODEL m FROM 'x' OPTIONS (a => [1)", "expected ]"),
            ("CREATE MODEL m FROM 'x' LOCATION 'y'", "expected the end"),
            ("CREATE MODEL m@2 FROM 'x'", "expected FROM"),
            ("DESCRIBE MODEL m@x", "expected a version"),
        ] {
            let message = parse(sql).unwrap_err().to_string();
            assert!(message.contains(wrong), "{sql}: {message}");
        }
    }
}
