//! The functions that Spark's analysts type and DataFusion does not have, from `datafusion-spark`.
//!
//! Where both have a function of the same name, DataFusion's is kept: queries written for
//! PostgreSQL or DataFusion keep their meaning, and a function travels from scheduler to executor
//! by its name, so a name must mean one thing.

use std::{collections::HashSet, sync::Arc};

use datafusion::{
    arrow::datatypes::{DataType, Field},
    common::{Result, ScalarValue, plan_err},
    functions::all_default_functions,
    functions_aggregate::all_default_aggregate_functions,
    functions_nested::{
        all_default_nested_functions, extract::array_element_udf, map_extract::map_extract_udf,
    },
    logical_expr::{
        AggregateUDF, ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
        Volatility, registry::FunctionRegistry,
    },
};

use crate::binary_length;

/// Spark's scalar functions under names that DataFusion leaves free.
pub fn spark_scalar_functions() -> Vec<Arc<ScalarUDF>> {
    let own: Vec<_> = all_default_functions()
        .into_iter()
        .chain(all_default_nested_functions())
        .collect();
    let taken: HashSet<&str> = own
        .iter()
        .flat_map(|f| f.aliases().iter().map(String::as_str).chain([f.name()]))
        .collect();
    datafusion_spark::all_default_scalar_functions()
        .into_iter()
        .filter(|function| !taken.contains(function.name()))
        .collect()
}

/// Spark's aggregate functions under names that DataFusion leaves free.
pub fn spark_aggregate_functions() -> Vec<Arc<AggregateUDF>> {
    let own = all_default_aggregate_functions();
    let taken: HashSet<&str> = own
        .iter()
        .flat_map(|f| f.aliases().iter().map(String::as_str).chain([f.name()]))
        .collect();
    datafusion_spark::all_default_aggregate_functions()
        .into_iter()
        .filter(|function| !taken.contains(function.name()))
        .collect()
}

/// Registers Spark's functions on top of DataFusion's, which `registry` must have already.
pub(crate) fn register(registry: &mut dyn FunctionRegistry) -> Result<()> {
    for function in spark_scalar_functions() {
        // An alias that DataFusion uses keeps DataFusion's meaning.
        let clashing: Vec<_> = function
            .aliases()
            .iter()
            .filter_map(|alias| registry.udf(alias).ok())
            .collect();
        registry.register_udf(function)?;
        for own in clashing {
            registry.register_udf(own)?;
        }
    }
    for function in spark_aggregate_functions() {
        let clashing: Vec<_> = function
            .aliases()
            .iter()
            .filter_map(|alias| registry.udaf(alias).ok())
            .collect();
        registry.register_udaf(function)?;
        for own in clashing {
            registry.register_udaf(own)?;
        }
    }
    registry.register_udf(Arc::new(ScalarUDF::from(ElementAt::default())))?;
    for function in binary_length::functions() {
        registry.register_udf(function)?;
    }
    Ok(())
}

/// Spark's `element_at`: the element of a list at a position counted from 1 (from the end if
/// negative), or the value of a map for a key. DataFusion's alias of that name takes maps only and
/// answers with a list.
#[derive(Debug, PartialEq, Eq, Hash)]
struct ElementAt {
    signature: Signature,
}

impl Default for ElementAt {
    fn default() -> Self {
        Self {
            signature: Signature::any(2, Volatility::Immutable),
        }
    }
}

impl ScalarUDFImpl for ElementAt {
    fn name(&self) -> &str {
        "element_at"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, arguments: &[DataType]) -> Result<DataType> {
        match arguments.first() {
            Some(DataType::List(item) | DataType::LargeList(item)) => Ok(item.data_type().clone()),
            Some(DataType::Map(entries, _)) => match entries.data_type() {
                DataType::Struct(fields) if fields.len() == 2 => Ok(fields[1].data_type().clone()),
                other => plan_err!("element_at takes a list or a map, not a map of {other}"),
            },
            other => plan_err!("element_at takes a list or a map, not {other:?}"),
        }
    }

    fn invoke_with_args(&self, mut args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let is_map = matches!(
            args.args.first().map(ColumnarValue::data_type),
            Some(DataType::Map(_, _))
        );
        if is_map {
            let found = self.values_of_key(&args)?;
            let one = ColumnarValue::Scalar(ScalarValue::Int64(Some(1)));
            args.arg_fields[0] = Arc::new(Field::new("found", found.data_type(), true));
            args.args = vec![found, one];
        } else if let Some(position) = args.args.get_mut(1) {
            *position = position.cast_to(&DataType::Int64, None)?;
        }
        if let Some(field) = args.arg_fields.get_mut(1) {
            *field = Arc::new(Field::new("position", DataType::Int64, true));
        }
        array_element_udf().invoke_with_args(args)
    }
}

impl ElementAt {
    /// For each row, the list of values that the map has for the key: one or none.
    fn values_of_key(&self, args: &ScalarFunctionArgs) -> Result<ColumnarValue> {
        let values = self.return_type(&[args.args[0].data_type()])?;
        let list = DataType::List(Arc::new(Field::new_list_field(values, true)));
        map_extract_udf().invoke_with_args(ScalarFunctionArgs {
            args: args.args.clone(),
            arg_fields: args.arg_fields.clone(),
            number_rows: args.number_rows,
            return_field: Arc::new(Field::new("values", list, true)),
            config_options: args.config_options.clone(),
        })
    }
}

#[cfg(test)]
mod tests {
    use datafusion::prelude::SessionContext;

    use super::*;

    #[test]
    fn functions_of_datafusion_keep_their_meaning() {
        let plain = SessionContext::new().state();
        let mut state = plain.clone();
        register(&mut state).unwrap();
        // These take more than DataFusion's do.
        let wider = [
            "element_at",
            "length",
            "char_length",
            "character_length",
            "octet_length",
            "bit_length",
        ];
        for (name, function) in plain.scalar_functions() {
            if wider.contains(&name.as_str()) {
                continue;
            }
            assert_eq!(state.scalar_functions()[name], *function, "{name}");
        }
        for (name, function) in plain.aggregate_functions() {
            assert_eq!(state.aggregate_functions()[name], *function, "{name}");
        }
    }

    #[test]
    fn names_that_spark_users_type_are_there() {
        let mut state = SessionContext::new().state();
        register(&mut state).unwrap();
        for name in [
            "if",
            "size",
            "date_add",
            "date_sub",
            "datediff",
            "add_months",
            "last_day",
            "next_day",
            "hour",
            "minute",
            "second",
            "unhex",
            "hex",
            "base64",
            "crc32",
            "sha2",
            "xxhash64",
            "array",
            "slice",
            "pmod",
            "format_string",
            "parse_url",
            "map_from_arrays",
        ] {
            assert!(state.scalar_functions().contains_key(name), "{name}");
        }
        for name in ["collect_list", "collect_set"] {
            assert!(state.aggregate_functions().contains_key(name), "{name}");
        }
    }
}
