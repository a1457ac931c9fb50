//! `CREATE INDEX`, `REFRESH INDEX` and `DROP INDEX`.

use std::collections::BTreeMap;

use shoal_lake::IndexKind;

use super::cursor::Cursor;
use super::statement::{CreateIndex, Statement};
use crate::error::{EngineError, Result};

/// Takes what follows `CREATE INDEX`.
pub(super) fn create(cursor: &mut Cursor) -> Result<Statement> {
    let if_not_exists = cursor.eat_all(&["IF", "NOT", "EXISTS"]);
    let name = cursor.identifier("an index")?;
    cursor.expect("ON")?;
    let table = cursor.table_name()?;
    cursor.expect("USING")?;
    let kind = match cursor.eat_one_of(&["IVF", "HNSW"]) {
        Some("IVF") => IndexKind::Ivf,
        Some(_) => IndexKind::Hnsw,
        None => return cursor.unexpected("IVF or HNSW"),
    };
    let mut columns = cursor.list(|cursor| cursor.identifier("a column of vectors"))?;
    let Some(column) = columns.pop().filter(|_| columns.is_empty()) else {
        return Err(EngineError::invalid(format!(
            "index {name} is of one column; make another index for another column"
        )));
    };
    let options = match cursor.eat("WITH") {
        true => cursor.properties()?,
        false => BTreeMap::new(),
    };
    Ok(Statement::CreateIndex(CreateIndex {
        name: name.to_lowercase(),
        if_not_exists,
        table,
        kind,
        column,
        options,
    }))
}

/// Takes what follows `REFRESH INDEX`.
pub(super) fn refresh(cursor: &mut Cursor) -> Result<Statement> {
    let (name, table) = name_on_table(cursor)?;
    Ok(Statement::RefreshIndex { name, table })
}

/// Takes what follows `DROP INDEX`.
pub(super) fn drop(cursor: &mut Cursor) -> Result<Statement> {
    let if_exists = cursor.eat_all(&["IF", "EXISTS"]);
    let (name, table) = name_on_table(cursor)?;
    Ok(Statement::DropIndex {
        name,
        table,
        if_exists,
    })
}

fn name_on_table(cursor: &mut Cursor) -> Result<(String, super::Name)> {
    let name = cursor.identifier("an index")?.to_lowercase();
    cursor.expect("ON")?;
    Ok((name, cursor.table_name()?))
}
