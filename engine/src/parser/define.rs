//! Statements that define, drop and annotate things other than by `CREATE TABLE`, and those that
//! change the session.

use std::collections::BTreeMap;

use datafusion::sql::sqlparser::tokenizer::Token;

use super::cursor::Cursor;
use super::refused::refuse_alter;
use super::show::setting_name;
use super::statement::{CreateView, Show, Statement, Use};
use crate::error::{EngineError, Result};

/// Takes what follows `CREATE SCHEMA`.
pub(super) fn create_schema(cursor: &mut Cursor) -> Result<Statement> {
    let if_not_exists = cursor.eat_all(&["IF", "NOT", "EXISTS"]);
    let name = cursor.name("schema", 2)?;
    let (mut comment, mut location) = (None, None);
    loop {
        if cursor.eat("COMMENT") {
            comment = Some(cursor.string("a comment")?);
        } else if cursor.eat("LOCATION") || cursor.eat_all(&["MANAGED", "LOCATION"]) {
            location = Some(cursor.string("a location")?);
        } else if cursor.is("WITH") {
            return Err(EngineError::unsupported(
                "WITH DBPROPERTIES in CREATE SCHEMA",
                "COMMENT and LOCATION",
            ));
        } else {
            break;
        }
    }
    Ok(Statement::CreateSchema {
        name,
        if_not_exists,
        comment,
        location,
    })
}

/// Takes what follows `CREATE CATALOG`.
pub(super) fn create_catalog(cursor: &mut Cursor) -> Result<Statement> {
    let if_not_exists = cursor.eat_all(&["IF", "NOT", "EXISTS"]);
    let name = cursor.identifier("a catalog")?;
    if cursor.is("COMMENT") || cursor.is("USING") {
        return Err(EngineError::unsupported(
            format!(
                "{} in CREATE CATALOG",
                cursor.peek().to_string().to_uppercase()
            ),
            "name the catalog; foreign ones are attached in the settings (catalog.attach)",
        ));
    }
    Ok(Statement::CreateCatalog {
        name,
        if_not_exists,
    })
}

/// Takes what follows `CREATE [OR REPLACE] VIEW`.
pub(super) fn create_view(cursor: &mut Cursor, or_replace: bool) -> Result<Statement> {
    let if_not_exists = cursor.eat_all(&["IF", "NOT", "EXISTS"]);
    if or_replace && if_not_exists {
        return Err(EngineError::invalid(
            "CREATE OR REPLACE VIEW IF NOT EXISTS means two things at once; write one of them",
        ));
    }
    let name = cursor.table_name()?;
    let columns = match cursor.peek() {
        Token::LParen => cursor.list(|cursor| {
            let column = cursor.identifier("a column name")?;
            if cursor.is("COMMENT") {
                return Err(EngineError::unsupported(
                    "COMMENT of a view's column",
                    "the view's own COMMENT",
                ));
            }
            Ok(column)
        })?,
        _ => Vec::new(),
    };
    let mut comment = None;
    let mut properties = BTreeMap::new();
    loop {
        if cursor.eat("COMMENT") {
            comment = Some(cursor.string("a comment")?);
        } else if cursor.eat("TBLPROPERTIES") {
            properties = cursor.properties()?;
        } else {
            break;
        }
    }
    cursor.expect("AS")?;
    Ok(Statement::CreateView(Box::new(CreateView {
        name,
        or_replace,
        if_not_exists,
        columns,
        comment,
        properties,
        query: cursor.query()?,
    })))
}

/// Takes what follows `DROP`.
pub(super) fn drop(cursor: &mut Cursor) -> Result<Statement> {
    let kinds = [
        "TABLE",
        "VIEW",
        "SCHEMA",
        "DATABASE",
        "NAMESPACE",
        "CATALOG",
        "MODEL",
    ];
    let Some(kind) = cursor.eat_one_of(&kinds) else {
        return cursor.unexpected("TABLE, VIEW, MODEL, SCHEMA or CATALOG");
    };
    let if_exists = cursor.eat_all(&["IF", "EXISTS"]);
    Ok(match kind {
        "TABLE" => Statement::DropTable {
            name: cursor.table_name()?,
            if_exists,
            purge: cursor.eat("PURGE"),
        },
        "VIEW" => Statement::DropView {
            name: cursor.table_name()?,
            if_exists,
        },
        "MODEL" => Statement::DropModel {
            name: cursor.name("model", 3)?,
            if_exists,
        },
        "CATALOG" => Statement::DropCatalog {
            name: cursor.identifier("a catalog")?,
            if_exists,
            cascade: cascade(cursor),
        },
        _ => Statement::DropSchema {
            name: cursor.name("schema", 2)?,
            if_exists,
            cascade: cascade(cursor),
        },
    })
}

fn cascade(cursor: &mut Cursor) -> bool {
    !cursor.eat("RESTRICT") && cursor.eat("CASCADE")
}

/// Takes what follows `TRUNCATE`.
pub(super) fn truncate(cursor: &mut Cursor) -> Result<Statement> {
    cursor.eat("TABLE");
    let name = cursor.table_name()?;
    if cursor.is("PARTITION") {
        return Err(EngineError::unsupported(
            "TRUNCATE … PARTITION",
            "INSERT OVERWRITE … PARTITION (…) SELECT … WHERE false",
        ));
    }
    Ok(Statement::Truncate(name))
}

/// Takes what follows `ALTER`.
pub(super) fn alter(cursor: &mut Cursor) -> Result<Statement> {
    if cursor.eat_one_of(&["TABLE", "VIEW"]).is_none() {
        return cursor.unexpected("TABLE or VIEW");
    }
    let name = cursor.table_name()?;
    if cursor.is("AS") {
        return Err(EngineError::unsupported(
            "ALTER VIEW … AS",
            "CREATE OR REPLACE VIEW",
        ));
    }
    if cursor.eat_all(&["SET", "TBLPROPERTIES"]) {
        return Ok(Statement::SetProperties {
            name,
            properties: cursor.properties()?,
        });
    }
    if cursor.eat_all(&["UNSET", "TBLPROPERTIES"]) {
        let if_exists = cursor.eat_all(&["IF", "EXISTS"]);
        return Ok(Statement::UnsetProperties {
            name,
            keys: cursor.list(Cursor::key)?,
            if_exists,
        });
    }
    refuse_alter(cursor)
}

/// Takes what follows `COMMENT`.
pub(super) fn comment(cursor: &mut Cursor) -> Result<Statement> {
    cursor.expect("ON")?;
    if cursor.eat_one_of(&["TABLE", "VIEW"]).is_none() {
        let what = cursor.identifier("TABLE or VIEW")?.to_uppercase();
        return Err(EngineError::unsupported(
            format!("COMMENT ON {what}"),
            "COMMENT ON TABLE, or COMMENT in CREATE",
        ));
    }
    let name = cursor.table_name()?;
    cursor.expect("IS")?;
    let comment = match cursor.eat("NULL") {
        true => None,
        false => Some(cursor.string("a comment")?),
    };
    Ok(Statement::Comment { name, comment })
}

/// Takes what follows `USE`.
pub(super) fn use_(cursor: &mut Cursor) -> Result<Statement> {
    // A schema may be called "schema": the word is a keyword only before a name.
    let word = matches!(cursor.peek_nth(1), Token::Word(_));
    if word && cursor.eat("CATALOG") {
        return Ok(Statement::Use(Use::Catalog(
            cursor.identifier("a catalog")?,
        )));
    }
    if word {
        cursor.eat_one_of(&["SCHEMA", "DATABASE", "NAMESPACE"]);
    }
    Ok(Statement::Use(Use::Schema(cursor.name("schema", 2)?)))
}

/// Takes what follows `SET`.
pub(super) fn set(cursor: &mut Cursor) -> Result<Statement> {
    if cursor.at_end() {
        return Ok(Statement::Show(Show::Settings));
    }
    for scope in ["SESSION", "LOCAL"] {
        if cursor.is(scope) && matches!(cursor.peek_nth(1), Token::Word(_)) {
            return Err(EngineError::unsupported(
                format!("SET {scope}"),
                "SET key = value holds for the session",
            ));
        }
    }
    if cursor.is("CATALOG") && matches!(cursor.peek_nth(1), Token::Word(_)) {
        cursor.eat("CATALOG");
        return Ok(Statement::Use(Use::Catalog(
            cursor.identifier("a catalog")?,
        )));
    }
    let time_zone = cursor.are(&["TIME", "ZONE"]);
    let key = setting_name(cursor)?;
    if cursor.at_end() {
        return Ok(Statement::Show(Show::Setting(key)));
    }
    if !(cursor.eat_token(&Token::Eq) || cursor.eat("TO") || time_zone) {
        return cursor.unexpected("= or TO");
    }
    Ok(Statement::Set {
        key,
        value: setting_value(cursor)?,
    })
}

/// A setting's value: one value, or a number and its unit (`64MiB`).
fn setting_value(cursor: &mut Cursor) -> Result<String> {
    let mut value = cursor.value()?;
    if let Token::Word(unit) = cursor.peek() {
        value.push_str(&unit.value);
        cursor.identifier("a unit")?;
    }
    Ok(value)
}

/// Takes what follows `RESET`.
pub(super) fn reset(cursor: &mut Cursor) -> Result<Statement> {
    if cursor.at_end() || cursor.eat("ALL") {
        return Ok(Statement::Reset(None));
    }
    Ok(Statement::Reset(Some(setting_name(cursor)?)))
}

/// Takes what follows `EXECUTE`.
pub(super) fn execute(cursor: &mut Cursor) -> Result<Statement> {
    if cursor.is("IMMEDIATE") {
        return Err(EngineError::unsupported(
            "EXECUTE IMMEDIATE",
            "PREPARE and EXECUTE",
        ));
    }
    let name = cursor.identifier("a prepared statement")?;
    let arguments = match cursor.peek() {
        Token::LParen if cursor.peek_nth(1) == Token::RParen => {
            cursor.eat_token(&Token::LParen);
            cursor.eat_token(&Token::RParen);
            Vec::new()
        }
        Token::LParen => cursor.list(Cursor::expression)?,
        _ => Vec::new(),
    };
    Ok(Statement::Execute { name, arguments })
}

/// Takes what follows `PREPARE`; `statement` takes the prepared one.
pub(super) fn prepare(
    cursor: &mut Cursor,
    statement: fn(&mut Cursor) -> Result<Statement>,
) -> Result<Statement> {
    let name = cursor.identifier("a name for the statement")?;
    if cursor.peek() == Token::LParen {
        return Err(EngineError::unsupported(
            "PREPARE with parameter types",
            "types are inferred; cast a parameter where it matters: CAST($1 AS INT)",
        ));
    }
    cursor.expect("AS")?;
    if !(cursor.at_query() || cursor.is("INSERT")) {
        return Err(EngineError::unsupported(
            "PREPARE of this statement",
            "a query or an INSERT can be prepared",
        ));
    }
    Ok(Statement::Prepare {
        name,
        statement: Box::new(statement(cursor)?),
    })
}
