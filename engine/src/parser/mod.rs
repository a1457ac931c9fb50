//! SQL text to [`Statement`]s. Queries and expressions are sqlparser's; every other statement has
//! its own production here, on sqlparser's tokens, because no dialect of sqlparser's accepts
//! Spark's table definitions and because a statement that is not offered must be refused by name
//! rather than half understood.
//!
//! Parameters are written `$1` or `?`; the parser numbers the latter in order of appearance.

mod call;
mod create_table;
mod cursor;
mod define;
mod depth;
mod dialect;
mod index;
mod insert;
mod model;
mod refused;
mod show;
mod statement;
mod types;

#[cfg(test)]
mod refusal_tests;
#[cfg(test)]
mod tests;

use datafusion::sql::sqlparser::ast::Expr;
use datafusion::sql::sqlparser::tokenizer::{Location, Token, TokenWithSpan, Tokenizer};

use self::cursor::{Cursor, syntax_error};
pub use self::dialect::ShoalDialect;
pub use self::statement::{
    Call, Check, Column, CopyImages, CreateIndex, CreateModel, CreateTable, CreateView, Describe,
    Explain, ExplainFormat, Insert, ModelName, Name, PartitionFunction, PartitionItem, Show,
    Statement, Use,
};
pub(crate) use self::types::{FIXED_SIZE, fixed_size_type};
pub use self::types::{quoted, sql_type, sql_type_of};
use crate::error::Result;

/// Parses statements separated by `;`. Empty statements are left out, so the result may be empty.
///
/// # Errors
/// A syntax error with its place in `sql`, or the name of a statement that is not supported.
pub fn parse(sql: &str) -> Result<Vec<Statement>> {
    let end = end_of(sql);
    let mut statements = Vec::new();
    for tokens in split(tokenize(sql)?) {
        depth::check_tokens(&tokens)?;
        let mut cursor = Cursor::new(tokens, end);
        if cursor.at_end() {
            continue;
        }
        let parsed = statement(&mut cursor)?;
        cursor.expect_end()?;
        statements.push(parsed);
    }
    Ok(statements)
}

/// Parses one expression, as kept in a table's constraints and generated columns.
///
/// # Errors
/// A syntax error with its place in `sql`.
pub fn parse_expression(sql: &str) -> Result<Expr> {
    let tokens = tokenize(sql)?;
    depth::check_tokens(&tokens)?;
    let mut cursor = Cursor::new(tokens, end_of(sql));
    let expression = cursor.expression()?;
    cursor.expect_end()?;
    Ok(expression)
}

/// Parses the name of a table.
///
/// # Errors
/// When the text is something else.
pub(crate) fn parse_name(text: &str) -> Result<Name> {
    let mut cursor = Cursor::new(tokenize(text)?, end_of(text));
    let name = cursor.table_name()?;
    cursor.expect_end()?;
    Ok(name)
}

fn tokenize(sql: &str) -> Result<Vec<TokenWithSpan>> {
    Tokenizer::new(&ShoalDialect, sql)
        .tokenize_with_location()
        .map_err(|e| syntax_error(e.into(), end_of(sql)))
}

/// Splits at `;` and numbers the `?` of each statement.
fn split(tokens: Vec<TokenWithSpan>) -> Vec<Vec<TokenWithSpan>> {
    let mut statements = vec![Vec::new()];
    let mut parameters = 0;
    for mut token in tokens {
        match &mut token.token {
            Token::SemiColon => {
                parameters = 0;
                statements.push(Vec::new());
                continue;
            }
            Token::Placeholder(name) if name == "?" => {
                parameters += 1;
                *name = format!("${parameters}");
            }
            _ => {}
        }
        if let Some(current) = statements.last_mut() {
            current.push(token);
        }
    }
    statements
}

/// The place behind the last character that is not white space.
fn end_of(sql: &str) -> Location {
    let text = sql.trim_end();
    let line = text.matches('\n').count() as u64 + 1;
    let last = text.rsplit('\n').next().unwrap_or_default();
    Location::new(line, last.chars().count() as u64 + 1)
}

fn statement(cursor: &mut Cursor) -> Result<Statement> {
    if cursor.eat_all(&["REFRESH", "INDEX"]) {
        return index::refresh(cursor);
    }
    refused::refuse(cursor)?;
    if cursor.at_query() {
        return cursor.query().map(Statement::Query);
    }
    let known = [
        "CREATE",
        "DROP",
        "INSERT",
        "TRUNCATE",
        "ALTER",
        "COMMENT",
        "USE",
        "SET",
        "RESET",
        "SHOW",
        "DESCRIBE",
        "DESC",
        "EXPLAIN",
        "COPY",
        "PREPARE",
        "EXECUTE",
        "DEALLOCATE",
        "CALL",
    ];
    match cursor.eat_one_of(&known) {
        Some("CREATE") => create(cursor),
        Some("DROP") if cursor.eat("INDEX") => index::drop(cursor),
        Some("DROP") => define::drop(cursor),
        Some("INSERT") => insert::insert(cursor),
        Some("TRUNCATE") => define::truncate(cursor),
        Some("ALTER") => define::alter(cursor),
        Some("COMMENT") => define::comment(cursor),
        Some("USE") => define::use_(cursor),
        Some("SET") => define::set(cursor),
        Some("RESET") => define::reset(cursor),
        Some("SHOW") => show::show(cursor),
        Some("DESCRIBE" | "DESC") => show::describe(cursor),
        Some("EXPLAIN") => show::explain(cursor, statement),
        Some("COPY") => insert::copy(cursor),
        Some("CALL") => call::call(cursor),
        Some("PREPARE") => define::prepare(cursor, statement),
        Some("EXECUTE") => define::execute(cursor),
        Some("DEALLOCATE") => {
            cursor.eat("PREPARE");
            Ok(Statement::Deallocate(
                cursor.identifier("a prepared statement")?,
            ))
        }
        _ => cursor.unexpected("a statement (SELECT, CREATE TABLE, INSERT INTO, SHOW TABLES, …)"),
    }
}

fn create(cursor: &mut Cursor) -> Result<Statement> {
    let or_replace = cursor.eat_all(&["OR", "REPLACE"]);
    if cursor.eat("TABLE") {
        return create_table::create_table(cursor, or_replace);
    }
    if cursor.eat("VIEW") {
        return define::create_view(cursor, or_replace);
    }
    if cursor.eat("MODEL") {
        return model::create_model(cursor, or_replace);
    }
    if or_replace {
        return cursor.unexpected("TABLE, VIEW or MODEL");
    }
    if cursor
        .eat_one_of(&["SCHEMA", "DATABASE", "NAMESPACE"])
        .is_some()
    {
        return define::create_schema(cursor);
    }
    if cursor.eat("CATALOG") {
        return define::create_catalog(cursor);
    }
    if cursor.eat("INDEX") {
        return index::create(cursor);
    }
    cursor.unexpected("TABLE, VIEW, MODEL, SCHEMA, CATALOG or INDEX")
}
