//! `SHOW`, `DESCRIBE` and `EXPLAIN`.

use datafusion::sql::sqlparser::tokenizer::Token;

use super::cursor::Cursor;
use super::model::model_name;
use super::statement::{Describe, Explain, ExplainFormat, Name, Show, Statement};
use crate::error::{EngineError, Result};

/// Takes what follows `SHOW`.
pub(super) fn show(cursor: &mut Cursor) -> Result<Statement> {
    let show = if cursor.eat("CATALOGS") {
        Show::Catalogs {
            pattern: pattern(cursor)?,
        }
    } else if cursor
        .eat_one_of(&["SCHEMAS", "DATABASES", "NAMESPACES"])
        .is_some()
    {
        let catalog = match cursor.eat_one_of(&["IN", "FROM"]) {
            Some(_) => Some(cursor.identifier("a catalog")?),
            None => None,
        };
        Show::Schemas {
            catalog,
            pattern: pattern(cursor)?,
        }
    } else if cursor.eat("TABLES") {
        Show::Tables {
            schema: in_schema(cursor)?,
            pattern: pattern(cursor)?,
        }
    } else if cursor.eat("VIEWS") {
        Show::Views {
            schema: in_schema(cursor)?,
            pattern: pattern(cursor)?,
        }
    } else if cursor.eat("MODELS") {
        Show::Models {
            schema: in_schema(cursor)?,
            pattern: pattern(cursor)?,
        }
    } else if cursor.eat("COLUMNS") {
        columns(cursor)?
    } else if cursor.eat_all(&["CREATE", "TABLE"]) || cursor.eat_all(&["CREATE", "VIEW"]) {
        Show::CreateTable(cursor.table_name()?)
    } else if cursor.eat("TBLPROPERTIES") {
        properties(cursor)?
    } else if cursor.eat("PARTITIONS") {
        Show::Partitions(cursor.table_name()?)
    } else if cursor.eat("INDEXES") {
        Show::Indexes(match cursor.eat_one_of(&["ON", "IN", "FROM"]) {
            Some(_) => Some(cursor.table_name()?),
            None => None,
        })
    } else if cursor.eat("FUNCTIONS") {
        Show::Functions {
            pattern: pattern(cursor)?,
        }
    } else if cursor.eat("EXECUTORS") {
        Show::Executors
    } else if cursor.eat("JOBS") {
        Show::Jobs
    } else if cursor.eat("ALL") {
        Show::Settings
    } else if cursor.is("GRANTS") || cursor.is("ROLES") || cursor.is("USERS") {
        return Err(EngineError::unsupported(
            format!("SHOW {}", cursor.peek().to_string().to_uppercase()),
            "users are in the users file of the settings; roles and grants are not kept yet",
        ));
    } else {
        Show::Setting(setting_name(cursor)?)
    };
    Ok(Statement::Show(show))
}

/// Takes a setting's name: words joined by dots, or PostgreSQL's `TIME ZONE`.
pub(super) fn setting_name(cursor: &mut Cursor) -> Result<String> {
    if cursor.eat_all(&["TIME", "ZONE"]) {
        return Ok("datafusion.execution.time_zone".into());
    }
    Ok(cursor.name("a setting", 16)?.to_string())
}

fn in_schema(cursor: &mut Cursor) -> Result<Option<Name>> {
    match cursor.eat_one_of(&["IN", "FROM"]) {
        Some(_) => cursor.name("schema", 2).map(Some),
        None => Ok(None),
    }
}

/// `[LIKE] 'pattern'`.
fn pattern(cursor: &mut Cursor) -> Result<Option<String>> {
    if cursor.eat("LIKE") || matches!(cursor.peek(), Token::SingleQuotedString(_)) {
        return cursor.string("a pattern").map(Some);
    }
    Ok(None)
}

/// `IN table [IN schema]`.
fn columns(cursor: &mut Cursor) -> Result<Show> {
    if cursor.eat_one_of(&["IN", "FROM"]).is_none() {
        return cursor.unexpected("IN");
    }
    let Name(table) = cursor.table_name()?;
    let Some(Name(mut parts)) = in_schema(cursor)? else {
        return Ok(Show::Columns(Name(table)));
    };
    if table.len() > 1 {
        return Err(EngineError::invalid(
            "SHOW COLUMNS names the schema twice; write it before the table or behind IN",
        ));
    }
    parts.extend(table);
    Ok(Show::Columns(Name(parts)))
}

fn properties(cursor: &mut Cursor) -> Result<Show> {
    let name = cursor.table_name()?;
    let key = if cursor.eat_token(&Token::LParen) {
        let key = cursor.key()?;
        cursor.expect_token(&Token::RParen)?;
        Some(key)
    } else {
        None
    };
    Ok(Show::Properties { name, key })
}

/// Takes what follows `DESCRIBE` or `DESC`.
pub(super) fn describe(cursor: &mut Cursor) -> Result<Statement> {
    if cursor.is("HISTORY") || cursor.is("DETAIL") {
        // A table of that name may be meant.
        if matches!(cursor.peek_nth(1), Token::Word(_)) {
            return Err(EngineError::unsupported(
                format!("DESCRIBE {}", cursor.peek().to_string().to_uppercase()),
                "DESCRIBE EXTENDED prints the table's version, size and properties",
            ));
        }
    }
    let describe = if cursor.eat("QUERY") || (cursor.at_query() && cursor.peek() != Token::LParen) {
        Describe::Query(cursor.query()?)
    } else if cursor.eat("FUNCTION") {
        let extended = extended(cursor);
        Describe::Function {
            name: cursor.identifier("a function")?,
            extended,
        }
    } else if cursor.is("MODEL") && matches!(cursor.peek_nth(1), Token::Word(_)) {
        cursor.eat("MODEL");
        Describe::Model(model_name(cursor)?)
    } else if cursor
        .eat_one_of(&["SCHEMA", "DATABASE", "NAMESPACE"])
        .is_some()
    {
        extended(cursor);
        Describe::Schema {
            name: cursor.name("schema", 2)?,
        }
    } else {
        cursor.eat("TABLE");
        let extended = extended(cursor);
        Describe::Table {
            name: cursor.table_name()?,
            extended,
        }
    };
    Ok(Statement::Describe(describe))
}

fn extended(cursor: &mut Cursor) -> bool {
    cursor.eat_one_of(&["EXTENDED", "FORMATTED"]).is_some()
}

/// Takes what follows `EXPLAIN`; `statement` takes the explained one.
pub(super) fn explain(
    cursor: &mut Cursor,
    statement: fn(&mut Cursor) -> Result<Statement>,
) -> Result<Statement> {
    let (mut analyze, mut verbose) = (false, false);
    let mut format = ExplainFormat::default();
    loop {
        if cursor.eat("ANALYZE") {
            analyze = true;
        } else if cursor.eat_one_of(&["VERBOSE", "EXTENDED"]).is_some() {
            verbose = true;
        } else if cursor.eat("FORMAT") {
            format = explain_format(cursor)?;
        } else if let Some(mode) = ["FORMATTED", "CODEGEN", "COST"]
            .into_iter()
            .find(|word| cursor.is(word))
        {
            return Err(EngineError::unsupported(
                format!("EXPLAIN {mode}"),
                "EXPLAIN, EXPLAIN VERBOSE, EXPLAIN FORMAT TREE or EXPLAIN ANALYZE",
            ));
        } else {
            break;
        }
    }
    // Refused before it is parsed: a thousand nested ones must not exhaust the stack.
    if cursor.is("EXPLAIN") || cursor.is("PREPARE") {
        return Err(EngineError::invalid(
            "EXPLAIN takes a query or a statement that writes; write that behind it",
        ));
    }
    let statement = statement(cursor)?;
    Ok(Statement::Explain(Box::new(Explain {
        analyze,
        verbose,
        format,
        statement,
    })))
}

fn explain_format(cursor: &mut Cursor) -> Result<ExplainFormat> {
    match cursor.eat_one_of(&["TREE", "INDENT"]) {
        Some("TREE") => Ok(ExplainFormat::Tree),
        Some(_) => Ok(ExplainFormat::Indent),
        None => cursor.unexpected("TREE or INDENT"),
    }
}
