//! Types in expressions (`CAST(x AS BINARY)`) that Spark knows and DataFusion's planner does not.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, Fields, TimeUnit};
use datafusion::error::Result;
use datafusion::logical_expr::planner::TypePlanner;
use datafusion::sql::sqlparser::ast::DataType as SqlType;
use shoal_udfs::types::image_field;

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct SparkTypes;

impl TypePlanner for SparkTypes {
    fn plan_type_field(&self, sql_type: &SqlType) -> Result<Option<FieldRef>> {
        if matches!(sql_type, SqlType::Custom(name, _) if name.to_string().eq_ignore_ascii_case("image"))
        {
            return Ok(Some(Arc::new(image_field(""))));
        }
        let known = spark_type(sql_type);
        Ok(known.map(|data_type| Arc::new(Field::new("", data_type, true))))
    }
}

/// The Arrow type, or nothing where DataFusion knows better.
fn spark_type(sql_type: &SqlType) -> Option<DataType> {
    match sql_type {
        SqlType::Binary(_) | SqlType::Blob(_) | SqlType::Varbinary(_) => Some(DataType::Binary),
        SqlType::Custom(name, _) => match name.to_string().to_uppercase().as_str() {
            "BYTE" => Some(DataType::Int8),
            "SHORT" => Some(DataType::Int16),
            "LONG" => Some(DataType::Int64),
            "TIMESTAMP_NTZ" => Some(DataType::Timestamp(TimeUnit::Microsecond, None)),
            "TIMESTAMP_LTZ" => Some(DataType::Timestamp(
                TimeUnit::Microsecond,
                Some(Arc::from("UTC")),
            )),
            _ => None,
        },
        SqlType::TimestampNtz(_) => Some(DataType::Timestamp(TimeUnit::Microsecond, None)),
        SqlType::Map(key, value) => {
            let entries = Fields::from(vec![
                Field::new("key", spark_type(key)?, false),
                Field::new("value", spark_type(value)?, true),
            ]);
            let entries = Field::new("key_value", DataType::Struct(entries), false);
            Some(DataType::Map(Arc::new(entries), false))
        }
        _ => None,
    }
}
