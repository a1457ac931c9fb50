//! `array[n]` as in Spark: elements are counted from 0, and where there is none the value is NULL.

use datafusion::arrow::datatypes::DataType;
use datafusion::common::{DFSchema, Result, ScalarValue};
use datafusion::functions_nested::expr_fn::array_element;
use datafusion::logical_expr::planner::{ExprPlanner, PlannerResult, RawFieldAccessExpr};
use datafusion::logical_expr::{Expr, ExprSchemable, GetFieldAccess, cast, lit, when};

/// Plans subscripts of arrays; those of maps and structs are left to DataFusion.
#[derive(Debug)]
pub(crate) struct ArraySubscripts;

impl ExprPlanner for ArraySubscripts {
    fn plan_field_access(
        &self,
        access: RawFieldAccessExpr,
        schema: &DFSchema,
    ) -> Result<PlannerResult<RawFieldAccessExpr>> {
        let RawFieldAccessExpr {
            field_access: GetFieldAccess::ListIndex { key },
            expr,
        } = &access
        else {
            return Ok(PlannerResult::Original(access));
        };
        let is_array = matches!(
            expr.get_type(schema)?,
            DataType::List(_)
                | DataType::LargeList(_)
                | DataType::ListView(_)
                | DataType::LargeListView(_)
                | DataType::FixedSizeList(..)
        );
        if !is_array || !key.get_type(schema)?.is_integer() {
            return Ok(PlannerResult::Original(access));
        }
        let index = cast(key.as_ref().clone(), DataType::Int64);
        // DataFusion counts from 1, and from the end where the index is negative.
        let element = array_element(expr.clone(), index.clone() + lit(1_i64));
        let element = match key.as_ref() {
            Expr::Literal(value, _) if is_natural(value) => element,
            _ => when(index.gt_eq(lit(0_i64)), element).end()?,
        };
        Ok(PlannerResult::Planned(element))
    }
}

fn is_natural(value: &ScalarValue) -> bool {
    matches!(value.cast_to(&DataType::Int64), Ok(ScalarValue::Int64(Some(n))) if n >= 0)
}
