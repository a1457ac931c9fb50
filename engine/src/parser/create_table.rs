//! `CREATE TABLE`: columns, constraints, partitioning and Spark's clauses in any order.

use datafusion::sql::sqlparser::ast::Expr;
use datafusion::sql::sqlparser::tokenizer::Token;

use super::cursor::Cursor;
use super::statement::{
    Check, Column, CreateTable, Name, PartitionFunction, PartitionItem, Statement,
};
use super::types::column_type;
use crate::error::{EngineError, Result};

/// Takes what follows `CREATE [OR REPLACE] TABLE`.
pub(super) fn create_table(cursor: &mut Cursor, or_replace: bool) -> Result<Statement> {
    let if_not_exists = cursor.eat_all(&["IF", "NOT", "EXISTS"]);
    if or_replace && if_not_exists {
        return Err(EngineError::invalid(
            "CREATE OR REPLACE TABLE IF NOT EXISTS means two things at once; write one of them",
        ));
    }
    let mut table = CreateTable {
        or_replace,
        if_not_exists,
        ..CreateTable::named(cursor.table_name()?)
    };
    if cursor.is("LIKE") {
        return Err(EngineError::unsupported(
            "CREATE TABLE … LIKE",
            "take the statement that SHOW CREATE TABLE prints, or use \
             CREATE TABLE … AS SELECT * FROM … LIMIT 0",
        ));
    }
    let starts_with_columns = cursor.peek() == Token::LParen
        && !["SELECT", "WITH", "VALUES"]
            .iter()
            .any(|word| cursor.nth_is(1, word));
    if starts_with_columns {
        let checks = &mut table.checks;
        let entries = cursor.list(|cursor| column_or_constraint(cursor, checks))?;
        table.columns = entries.into_iter().flatten().collect();
    }
    clauses(cursor, &mut table)?;
    validate(&table)?;
    Ok(Statement::CreateTable(Box::new(table)))
}

fn clauses(cursor: &mut Cursor, table: &mut CreateTable) -> Result<()> {
    loop {
        if cursor.eat("USING") {
            let format = cursor.identifier("a table format")?;
            once("USING", table.using.replace(format).is_none())?;
        } else if cursor.eat_all(&["PARTITIONED", "BY"]) {
            once("PARTITIONED BY", table.partitioned_by.is_empty())?;
            table.partitioned_by = cursor.list(partition_item)?;
        } else if cursor.eat("LOCATION") {
            let location = cursor.string("a location")?;
            once("LOCATION", table.location.replace(location).is_none())?;
        } else if cursor.eat("COMMENT") {
            cursor.eat_token(&Token::Eq);
            let comment = cursor.string("a comment")?;
            once("COMMENT", table.comment.replace(comment).is_none())?;
        } else if cursor.eat("TBLPROPERTIES") {
            once("TBLPROPERTIES", table.properties.is_empty())?;
            table.properties = cursor.properties()?;
        } else if cursor.at_end() {
            return Ok(());
        } else {
            refuse_clause(cursor)?;
            if !cursor.eat("AS") && !cursor.at_query() {
                return cursor.unexpected(
                    "USING, PARTITIONED BY, LOCATION, COMMENT, TBLPROPERTIES, AS or the end of \
                     the statement",
                );
            }
            table.query = Some(cursor.query()?);
            return Ok(());
        }
    }
}

fn once(clause: &str, first: bool) -> Result<()> {
    if first {
        return Ok(());
    }
    Err(EngineError::invalid(format!("{clause} is given twice")))
}

fn refuse_clause(cursor: &Cursor) -> Result<()> {
    const REFUSED: [(&[&str], &str); 9] = [
        (&["STORED", "AS"], "write USING DELTA or USING ICEBERG"),
        (&["ROW", "FORMAT"], "write USING DELTA or USING ICEBERG"),
        (
            &["CLUSTERED", "BY"],
            "write PARTITIONED BY (bucket(n, column)) on an Iceberg table",
        ),
        (&["CLUSTER", "BY"], "write PARTITIONED BY"),
        (&["SORTED", "BY"], "sort the query that is inserted"),
        (&["OPTIONS"], "write TBLPROPERTIES ('key' = 'value')"),
        (
            &["WITH", "ROW"],
            "filter rows in a view; policies are not kept yet",
        ),
        (
            &["ROW", "FILTER"],
            "filter rows in a view; policies are not kept yet",
        ),
        (
            &["WITH", "MASKING"],
            "leave the column out in a view; policies are not kept yet",
        ),
    ];
    for (words, instead) in REFUSED {
        if cursor.are(words) {
            return Err(EngineError::unsupported(
                format!("{} in CREATE TABLE", words.join(" ")),
                instead,
            ));
        }
    }
    if cursor.is("WITH") && cursor.peek_nth(1) == Token::LParen {
        return Err(EngineError::unsupported(
            "WITH (…) in CREATE TABLE",
            "write TBLPROPERTIES ('key' = 'value')",
        ));
    }
    Ok(())
}

/// A column, or nothing for a table constraint, which goes to `checks`.
fn column_or_constraint(cursor: &mut Cursor, checks: &mut Vec<Check>) -> Result<Option<Column>> {
    let constraint = cursor.is("CONSTRAINT")
        || (cursor.is("CHECK") && cursor.peek_nth(1) == Token::LParen)
        || cursor.are(&["PRIMARY", "KEY"])
        || cursor.are(&["FOREIGN", "KEY"])
        || (cursor.is("UNIQUE") && cursor.peek_nth(1) == Token::LParen);
    if constraint {
        check(cursor, checks, "table")?;
        return Ok(None);
    }
    let column = column(cursor, checks)?;
    Ok(Some(column))
}

fn column(cursor: &mut Cursor, checks: &mut Vec<Check>) -> Result<Column> {
    let name = cursor.identifier("a column name")?;
    cursor.eat_token(&Token::Colon);
    let declared = column_type(cursor)?;
    let mut column = Column {
        name,
        data_type: declared.data_type().clone(),
        extension: declared.metadata().clone(),
        nullable: true,
        comment: None,
        generated: None,
    };
    loop {
        if cursor.eat_all(&["NOT", "NULL"]) {
            column.nullable = false;
        } else if cursor.eat("NULL") {
            // The default, written out.
        } else if cursor.eat("COMMENT") {
            let comment = cursor.string("a comment")?;
            once("COMMENT", column.comment.replace(comment).is_none())?;
        } else if cursor.is("GENERATED") {
            column.generated = Some(generated(cursor, &column.name)?);
        } else if cursor.is("CONSTRAINT") || cursor.is("CHECK") {
            check(cursor, checks, &column.name)?;
        } else if matches!(cursor.peek(), Token::Comma | Token::RParen) {
            return Ok(column);
        } else {
            return refused_column_option(cursor, &column.name);
        }
    }
}

fn generated(cursor: &mut Cursor, column: &str) -> Result<Expr> {
    cursor.expect("GENERATED")?;
    if cursor.is("BY") || cursor.are(&["ALWAYS", "AS", "IDENTITY"]) {
        return Err(EngineError::unsupported(
            format!("the identity column {column}"),
            "fill it in the query, for instance with row_number() or uuid()",
        ));
    }
    cursor.expect("ALWAYS")?;
    cursor.expect("AS")?;
    cursor.expect_token(&Token::LParen)?;
    let expression = cursor.expression()?;
    cursor.expect_token(&Token::RParen)?;
    Ok(expression)
}

fn refused_column_option<T>(cursor: &Cursor, column: &str) -> Result<T> {
    const REFUSED: [(&[&str], &str); 8] = [
        (
            &["DEFAULT"],
            "leave the column out of INSERT for NULL, or write the value in the query",
        ),
        (
            &["PRIMARY", "KEY"],
            "no key is enforced, so none is declared; use NOT NULL and CHECK",
        ),
        (
            &["UNIQUE"],
            "no key is enforced, so none is declared; use NOT NULL and CHECK",
        ),
        (
            &["REFERENCES"],
            "no key is enforced, so none is declared; use NOT NULL and CHECK",
        ),
        (
            &["MASK"],
            "leave the column out in a view; policies are not kept yet",
        ),
        (
            &["MASKING", "POLICY"],
            "leave the column out in a view; policies are not kept yet",
        ),
        (
            &["WITH", "MASKING"],
            "leave the column out in a view; policies are not kept yet",
        ),
        (
            &["COLLATE"],
            "compare lower(column), or write the order in the query",
        ),
    ];
    for (words, instead) in REFUSED {
        if cursor.are(words) {
            return Err(EngineError::unsupported(
                format!("{} of column {column}", words.join(" ")),
                instead,
            ));
        }
    }
    cursor.unexpected("NOT NULL, COMMENT, GENERATED ALWAYS AS, CHECK, a comma or )")
}

/// Takes `[CONSTRAINT name] CHECK (expression)`; `of` names an unnamed one.
fn check(cursor: &mut Cursor, checks: &mut Vec<Check>, of: &str) -> Result<()> {
    let name = if cursor.eat("CONSTRAINT") {
        Some(cursor.identifier("a constraint name")?)
    } else {
        None
    };
    if !cursor.is("CHECK") {
        let kind = ["PRIMARY", "FOREIGN", "UNIQUE"]
            .into_iter()
            .find(|word| cursor.is(word));
        return match kind {
            Some(kind) => Err(EngineError::unsupported(
                format!("a {kind} constraint"),
                "no key is enforced, so none is declared; use NOT NULL and CHECK",
            )),
            None => cursor.unexpected("CHECK"),
        };
    }
    cursor.expect("CHECK")?;
    cursor.expect_token(&Token::LParen)?;
    let expression = cursor.expression()?;
    cursor.expect_token(&Token::RParen)?;
    let taken = |name: &str| checks.iter().any(|c| c.name.eq_ignore_ascii_case(name));
    let name = match name {
        Some(name) if taken(&name) => {
            return Err(EngineError::invalid(format!(
                "constraint {name} is given twice"
            )));
        }
        Some(name) => name,
        None => (1..=checks.len() + 1)
            .map(|n| match n {
                1 => format!("{of}_check"),
                n => format!("{of}_check_{n}"),
            })
            .find(|name| !taken(name))
            .unwrap_or_else(|| format!("{of}_check_{}", checks.len() + 2)),
    };
    checks.push(Check { name, expression });
    Ok(())
}

fn partition_item(cursor: &mut Cursor) -> Result<PartitionItem> {
    if cursor.peek_nth(1) == Token::LParen {
        return transform(cursor);
    }
    let names_a_type = matches!(cursor.peek_nth(1), Token::Word(_) | Token::Colon);
    if names_a_type {
        let column = column(cursor, &mut Vec::new())?;
        if column.generated.is_some() {
            return Err(EngineError::unsupported(
                format!("GENERATED in PARTITIONED BY ({})", column.name),
                "declare the column in the column list and name it in PARTITIONED BY",
            ));
        }
        return Ok(PartitionItem::NewColumn(column));
    }
    Ok(PartitionItem::Column(cursor.identifier("a column name")?))
}

fn transform(cursor: &mut Cursor) -> Result<PartitionItem> {
    const FUNCTIONS: &str = "date, years, months, days, hours, bucket or truncate";
    let known = [
        "DATE", "YEARS", "YEAR", "MONTHS", "MONTH", "DAYS", "DAY", "HOURS", "HOUR",
    ];
    let Some(name) = cursor.eat_one_of(&[&known[..], &["BUCKET", "TRUNCATE"]].concat()) else {
        return cursor.unexpected(FUNCTIONS);
    };
    cursor.expect_token(&Token::LParen)?;
    let function = match name {
        "DATE" => PartitionFunction::Date,
        "YEARS" | "YEAR" => PartitionFunction::Years,
        "MONTHS" | "MONTH" => PartitionFunction::Months,
        "DAYS" | "DAY" => PartitionFunction::Days,
        "HOURS" | "HOUR" => PartitionFunction::Hours,
        _ => {
            let parameter = cursor.number::<u32>("a number above 0")?;
            cursor.expect_token(&Token::Comma)?;
            if parameter == 0 {
                return Err(EngineError::invalid(format!(
                    "{name}(0, …) divides by zero"
                )));
            }
            match name {
                "BUCKET" => PartitionFunction::Bucket(parameter),
                _ => PartitionFunction::Truncate(parameter),
            }
        }
    };
    let column = cursor.identifier("a column name")?;
    cursor.expect_token(&Token::RParen)?;
    Ok(PartitionItem::Transform { function, column })
}

/// What needs no catalog to be seen as wrong.
fn validate(table: &CreateTable) -> Result<()> {
    let new_columns = table.partitioned_by.iter().filter_map(|item| match item {
        PartitionItem::NewColumn(column) => Some(column),
        _ => None,
    });
    let all: Vec<&Column> = table.columns.iter().chain(new_columns).collect();
    for (n, column) in all.iter().enumerate() {
        if all[..n]
            .iter()
            .any(|c| c.name.eq_ignore_ascii_case(&column.name))
        {
            return Err(EngineError::invalid(format!(
                "column {} is given twice",
                column.name
            )));
        }
    }
    if table.query.is_some() && !all.is_empty() {
        return Err(EngineError::unsupported(
            "CREATE TABLE with both a column list and AS",
            "name and cast the columns in the query, or CREATE TABLE first and INSERT INTO it",
        ));
    }
    if table.query.is_some() {
        return Ok(());
    }
    // A table that exists at the location brings its columns along.
    if all.is_empty() && table.partitioned_by.is_empty() && table.location.is_some() {
        return Ok(());
    }
    if all.is_empty() {
        let Name(parts) = &table.name;
        return Err(EngineError::invalid(format!(
            "table {} has no columns: write CREATE TABLE {0} (column TYPE, …) or … AS SELECT",
            parts.join(".")
        )));
    }
    for item in &table.partitioned_by {
        let (PartitionItem::Column(column) | PartitionItem::Transform { column, .. }) = item else {
            continue;
        };
        if !table
            .columns
            .iter()
            .any(|c| c.name.eq_ignore_ascii_case(column))
        {
            return Err(EngineError::invalid(format!(
                "PARTITIONED BY names the column {column}, which {} does not have; \
                 write its type behind it to add it",
                table.name
            )));
        }
    }
    Ok(())
}
