//! `INSERT` and `COPY INTO`.

use datafusion::sql::sqlparser::tokenizer::Token;

use super::cursor::Cursor;
use super::statement::{CopyImages, Insert, Statement};
use crate::error::{EngineError, Result};

/// Takes what follows `INSERT`.
pub(super) fn insert(cursor: &mut Cursor) -> Result<Statement> {
    let overwrite = cursor.eat("OVERWRITE");
    if overwrite {
        cursor.eat("INTO");
    } else {
        cursor.expect("INTO")?;
    }
    if overwrite && (cursor.is("DIRECTORY") || cursor.is("LOCAL")) {
        return Err(EngineError::unsupported(
            "INSERT OVERWRITE DIRECTORY",
            "write to a table: CREATE TABLE … LOCATION '…' AS SELECT …",
        ));
    }
    cursor.eat("TABLE");
    let name = cursor.table_name()?;
    let partition = if cursor.eat("PARTITION") {
        cursor.list(|cursor| {
            let column = cursor.identifier("a partition column")?;
            let value = match cursor.eat_token(&Token::Eq) {
                true => Some(cursor.expression()?),
                false => None,
            };
            Ok((column, value))
        })?
    } else {
        Vec::new()
    };
    if cursor.are(&["IF", "NOT", "EXISTS"]) {
        return Err(EngineError::unsupported(
            "INSERT … PARTITION … IF NOT EXISTS",
            "INSERT OVERWRITE … PARTITION (…) writes the same partition again",
        ));
    }
    if cursor.are(&["REPLACE", "WHERE"]) {
        return Err(EngineError::unsupported(
            "INSERT INTO … REPLACE WHERE",
            "INSERT OVERWRITE … PARTITION (…) replaces a partition",
        ));
    }
    let by_name = cursor.eat_all(&["BY", "NAME"]);
    let column_list = cursor.peek() == Token::LParen
        && !["SELECT", "WITH", "VALUES"]
            .iter()
            .any(|word| cursor.nth_is(1, word))
        && cursor.peek_nth(1) != Token::LParen;
    let columns = if column_list {
        cursor.list(|cursor| cursor.identifier("a column name"))?
    } else {
        Vec::new()
    };
    if cursor.are(&["DEFAULT", "VALUES"]) {
        return Err(EngineError::unsupported(
            "INSERT … DEFAULT VALUES",
            "write the values: INSERT INTO … VALUES (…)",
        ));
    }
    for (n, column) in columns.iter().enumerate() {
        if columns[..n].iter().any(|c| c.eq_ignore_ascii_case(column)) {
            return Err(EngineError::invalid(format!(
                "column {column} is given twice"
            )));
        }
    }
    if !cursor.at_query() {
        return cursor.unexpected("SELECT, WITH or VALUES");
    }
    let query = cursor.query()?;
    Ok(Statement::Insert(Box::new(Insert {
        name,
        overwrite,
        partition,
        columns,
        by_name,
        query,
    })))
}

/// Takes what follows `COPY`.
pub(super) fn copy(cursor: &mut Cursor) -> Result<Statement> {
    if !cursor.eat("INTO") {
        return Err(EngineError::unsupported(
            "COPY … TO",
            "CREATE TABLE … LOCATION '…' AS SELECT …, or `shoal sql --format parquet`",
        ));
    }
    let table = cursor.table_name()?;
    cursor.expect("FROM")?;
    let source = cursor.string("a folder or an object-store prefix")?;
    cursor.expect("FILEFORMAT")?;
    cursor.eat_token(&Token::Eq);
    if !cursor.eat("IMAGE") {
        let format = cursor.value()?;
        return Err(EngineError::unsupported(
            format!("COPY INTO … FILEFORMAT = {format}"),
            "FILEFORMAT = IMAGE",
        ));
    }
    let options = if cursor.eat("OPTIONS") {
        cursor.properties()?
    } else {
        Default::default()
    };
    let options = options
        .into_iter()
        .map(|(key, value)| (key.to_ascii_lowercase(), value))
        .collect();
    Ok(Statement::CopyImages(CopyImages {
        table,
        source,
        options,
    }))
}
