//! `CAST(list AS VECTOR(n))` and `CAST(list AS TENSOR(…))` as calls of `to_vector` and `to_tensor`,
//! which check every list's length and mark a tensor with its shape.

use arrow::datatypes::DataType;
use datafusion::sql::sqlparser::ast::{
    CastKind, DataType as SqlType, Expr, FunctionArg, FunctionArgExpr, FunctionArguments,
};
use shoal_udfs::types::tensor_shape;

use crate::error::{EngineError, Result};
use crate::parser::{FIXED_SIZE, fixed_size_type, parse_expression, sql_type};

/// The call that a cast stands for; none for any other expression.
///
/// # Errors
/// When the type makes no sense, and for `TRY_CAST`.
pub(crate) fn replacement(cast: &Expr) -> Result<Option<Expr>> {
    let Expr::Cast {
        kind,
        expr: list,
        data_type: SqlType::Custom(name, parameters),
        ..
    } = cast
    else {
        return Ok(None);
    };
    let name = name.to_string().to_uppercase();
    if !FIXED_SIZE.contains(&name.as_str()) {
        return Ok(None);
    }
    if matches!(kind, CastKind::TryCast | CastKind::SafeCast) {
        return Err(EngineError::unsupported(
            format!("TRY_CAST to {name}"),
            "CASE WHEN cardinality(list) = n THEN CAST(list AS VECTOR(n)) END",
        ));
    }
    let field = fixed_size_type(&name, parameters)?;
    let DataType::FixedSizeList(item, length) = field.data_type() else {
        return Ok(None);
    };
    let (function, sizes) = match tensor_shape(&field) {
        Some(shape) => ("to_tensor", shape),
        None => ("to_vector", vec![*length]),
    };
    let mut items = parse_expression(&format!(
        "CAST(NULL AS ARRAY<{}>)",
        sql_type(item.data_type())
    ))?;
    if let Expr::Cast { expr, .. } = &mut items {
        *expr = list.clone();
    }
    let sizes: Vec<String> = sizes.iter().map(i32::to_string).collect();
    let mut call = parse_expression(&format!("{function}(NULL, {})", sizes.join(", ")))?;
    if let Expr::Function(function) = &mut call
        && let FunctionArguments::List(arguments) = &mut function.args
        && let Some(first) = arguments.args.first_mut()
    {
        *first = FunctionArg::Unnamed(FunctionArgExpr::Expr(items));
    }
    Ok(Some(call))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn replaced(sql: &str) -> String {
        let cast = parse_expression(sql).unwrap();
        match replacement(&cast) {
            Ok(Some(call)) => call.to_string(),
            Ok(None) => cast.to_string(),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn casts_to_vectors_and_tensors_are_calls() {
        assert_eq!(
            replaced("CAST(x AS vector(3))"),
            "to_vector(CAST(x AS ARRAY<FLOAT>), 3)"
        );
        assert_eq!(
            replaced("array(1, 2)::VECTOR(2, DOUBLE)"),
            "to_vector(CAST(array(1, 2) AS ARRAY<DOUBLE>), 2)"
        );
        assert_eq!(
            replaced("CAST(x AS TENSOR(2, 3, SMALLINT))"),
            "to_tensor(CAST(x AS ARRAY<SMALLINT>), 2, 3)"
        );
        assert_eq!(replaced("CAST(x AS IMAGE)"), "CAST(x AS IMAGE)");
    }

    #[test]
    fn types_without_sense_are_refused_by_what_was_written() {
        for sql in [
            "CAST(x AS VECTOR(0))",
            "CAST(x AS VECTOR(2, 3))",
            "CAST(x AS VECTOR(3, STRING))",
            "CAST(x AS VECTOR)",
            "CAST(x AS TENSOR(DOUBLE))",
            "CAST(x AS TENSOR(65536, 65536))",
        ] {
            let message = replaced(sql);
            assert!(
                message.contains("is not a type: write VECTOR(n)"),
                "{message}"
            );
        }
        assert!(replaced("TRY_CAST(x AS VECTOR(3))").contains("CASE WHEN cardinality"));
    }
}
