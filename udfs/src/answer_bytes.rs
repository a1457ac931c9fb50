//! What the image functions of a plan make of a row, told before they do: for plans that bound the
//! memory of a batch.

use std::sync::Arc;

use datafusion::arrow::datatypes::DataType;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{DFSchema, Result};
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::{Expr, ExprSchemable, ScalarUDF, lit};
use shoal_images::probe::Limits;

use crate::functions::{answer_bytes_function, is_fused, looks_at};
use crate::types::is_image;

/// Numbers of a vector that count as a tensor: a picture of 64 x 64.
const TENSOR_LENGTH: i32 = 3 * 64 * 64;

/// Makes the expressions that tell it.
#[derive(Debug)]
pub struct AnswerBytes {
    function: Arc<ScalarUDF>,
    unknown: Expr,
}

impl AnswerBytes {
    /// For functions that were registered with these limits. Where nothing can be told, `unknown` bytes are.
    pub fn new(limits: Limits, unknown: i64) -> Self {
        Self {
            function: Arc::new(answer_bytes_function(limits)),
            unknown: lit(unknown),
        }
    }

    /// One expression for each call in `expr` that gives pictures or tensors of rows of `schema`: a
    /// BIGINT, the bytes of its answer at most. They read the headers of columns and decode nothing.
    ///
    /// # Errors
    /// When `expr` does not fit `schema`.
    pub fn of(&self, expr: &Expr, schema: &DFSchema) -> Result<Vec<Expr>> {
        let mut bytes = Vec::new();
        expr.apply(|expr| {
            if let Some((call, picture)) = large_call(expr, schema)? {
                bytes.push(match (picture, program(call)) {
                    (Expr::Column(_), Some(arguments)) => {
                        let call = ScalarFunction::new_udf(Arc::clone(&self.function), arguments);
                        Expr::ScalarFunction(call)
                    }
                    _ => self.unknown.clone(),
                });
            }
            Ok(TreeNodeRecursion::Continue)
        })?;
        Ok(bytes)
    }
}

/// What gives pictures to the calls in `expr` for which [`AnswerBytes::of`] can tell nothing, as it does of a
/// column. Only expressions that are evaluated for every row, so that a plan may put them below: none out of the
/// branches of CASE and the operands of AND and OR.
///
/// # Errors
/// When `expr` does not fit `schema`.
pub fn computed_pictures(expr: &Expr, schema: &DFSchema) -> Result<Vec<Expr>> {
    let mut pictures = Vec::new();
    expr.apply(|expr| {
        if let Some((_, picture)) = large_call(expr, schema)?
            && !matches!(picture, Expr::Column(_))
            && !picture.is_volatile()
        {
            pictures.push(picture.clone());
        }
        Ok(match may_be_left_out(expr) {
            true => TreeNodeRecursion::Jump,
            false => TreeNodeRecursion::Continue,
        })
    })?;
    Ok(pictures)
}

/// Whether what is below `expr` may not be evaluated for a row, or only once its variables have values.
fn may_be_left_out(expr: &Expr) -> bool {
    match expr {
        Expr::HigherOrderFunction(_) => true,
        Expr::AggregateFunction(call) => call.params.filter.is_some(),
        other => other.short_circuits(),
    }
}

/// The call that `expr` is and what gives it pictures, if its answers may be pictures or tensors. None where
/// one picture is for all rows: it is decoded once.
fn large_call<'a>(
    expr: &'a Expr,
    schema: &DFSchema,
) -> Result<Option<(&'a ScalarFunction, &'a Expr)>> {
    let Expr::ScalarFunction(call) = expr else {
        return Ok(None);
    };
    if !is_fused(call.name()) && looks_at(call.name()).is_none() {
        return Ok(None);
    }
    match call.args.first() {
        Some(picture) if varies(picture)? && is_large(&expr.get_type(schema)?) => {
            Ok(Some((call, picture)))
        }
        _ => Ok(None),
    }
}

/// Whether `expr` may differ from row to row.
fn varies(expr: &Expr) -> Result<bool> {
    expr.exists(|expr| Ok(matches!(expr, Expr::Column(_) | Expr::LambdaVariable(_))))
}

/// The arguments of `image_fused` for a call of an image function.
fn program(call: &ScalarFunction) -> Option<Vec<Expr>> {
    let (picture, arguments) = call.args.split_first()?;
    if is_fused(call.name()) {
        return Some(call.args.clone());
    }
    looks_at(call.name())?;
    let head = [
        picture.clone(),
        lit(call.name()),
        lit(0_i64),
        lit(true),
        lit(arguments.len() as i64),
    ];
    Some([head.as_slice(), arguments].concat())
}

/// Whether values of a type may be pictures or tensors.
fn is_large(data_type: &DataType) -> bool {
    match data_type {
        image if is_image(image) => true,
        DataType::Binary => true,
        DataType::FixedSizeList(_, length) => *length >= TENSOR_LENGTH,
        DataType::Struct(fields) => fields.iter().any(|field| is_large(field.data_type())),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use datafusion::arrow::array::{AsArray, BinaryArray, RecordBatch};
    use datafusion::arrow::datatypes::{Field, Int64Type, Schema};
    use datafusion::common::Column;
    use datafusion::logical_expr::{BinaryExpr, Operator, when};
    use datafusion::prelude::SessionContext;
    use image::{DynamicImage, ImageFormat};

    use super::*;
    use crate::{FuseImageCalls, scalar_functions};

    const UNKNOWN: i64 = 77;

    fn file(image: &DynamicImage, format: ImageFormat) -> Vec<u8> {
        let mut bytes = Cursor::new(Vec::new());
        image.write_to(&mut bytes, format).unwrap();
        bytes.into_inner()
    }

    /// What the expressions in the projections of `sql` say of each of five rows: a gray PNG of 20 x 10,
    /// one of 16 bits with alpha, a JPEG, no picture, NULL.
    async fn told(sql: &str) -> Vec<Vec<Option<i64>>> {
        let files = [
            Some(file(&DynamicImage::new_luma8(20, 10), ImageFormat::Png)),
            Some(file(&DynamicImage::new_rgba16(20, 10), ImageFormat::Png)),
            Some(file(&DynamicImage::new_rgb8(20, 10), ImageFormat::Jpeg)),
            Some(b"no".to_vec()),
            None,
        ];
        let context = SessionContext::new();
        for function in scalar_functions(Limits::default()) {
            context.register_udf(function.as_ref().clone());
        }
        context.add_optimizer_rule(Arc::new(FuseImageCalls::new(Limits::default())));
        let content: BinaryArray = files.iter().map(Option::as_deref).collect();
        let batch = RecordBatch::try_from_iter([("content", Arc::new(content) as _)]).unwrap();
        context.register_batch("files", batch.clone()).unwrap();
        let plan = context
            .sql(sql)
            .await
            .unwrap()
            .into_optimized_plan()
            .unwrap();
        let mut bytes = Vec::new();
        plan.apply(|plan| {
            for expr in plan.expressions() {
                let schema = plan.inputs().first().map(|input| input.schema().clone());
                let of = AnswerBytes::new(Limits::default(), UNKNOWN);
                bytes.extend(of.of(&expr, &schema.unwrap()).unwrap());
            }
            Ok(TreeNodeRecursion::Continue)
        })
        .unwrap();
        let schema = DFSchema::try_from(batch.schema()).unwrap();
        let mut answers = Vec::new();
        for bytes in bytes {
            let content = Expr::Column(Column::from_name("content"));
            let bytes = bytes.transform_up(|expr| {
                Ok(match expr {
                    Expr::Column(_) => {
                        datafusion::common::tree_node::Transformed::yes(content.clone())
                    }
                    other => datafusion::common::tree_node::Transformed::no(other),
                })
            });
            let bytes = context
                .create_physical_expr(bytes.unwrap().data, &schema)
                .unwrap();
            let column = bytes.evaluate(&batch).unwrap().into_array(5).unwrap();
            answers.push(column.as_primitive::<Int64Type>().iter().collect());
        }
        answers
    }

    #[tokio::test]
    async fn answers_are_told_by_headers() {
        let decoded = vec![Some(200), Some(1600), Some(600), None, None];
        assert_eq!(
            told("SELECT image_decode(content) FROM files").await,
            [decoded]
        );
        let scaled = vec![Some(12), Some(96), Some(36), None, None];
        let sql = "SELECT image_resize(content, 4, 3)['data'] FROM files";
        assert_eq!(told(sql).await, [scaled]);
        let floats = vec![Some(2400), Some(2400), Some(2400), None, None];
        let sql = "SELECT image_convert(content, 'LAB') FROM files";
        assert_eq!(told(sql).await, [floats]);
        let tensor = vec![Some(120_000); 3].into_iter().chain([None, None]);
        let sql = "SELECT image_to_tensor(content, 100, 100) FROM files";
        assert_eq!(told(sql).await, [tensor.collect::<Vec<_>>()]);
    }

    #[tokio::test]
    async fn of_a_chain_only_the_end_counts_and_of_a_program_all_that_is_kept() {
        let chain = "SELECT image_rotate(image_resize(image_decode(content), 4, 3), 90) FROM files";
        let scaled = vec![Some(12), Some(96), Some(36), None, None];
        assert_eq!(told(chain).await, [scaled]);
        let both = "SELECT image_decode(content) AS a, image_flip(content, 'vertical') AS b, \
                    image_hash(content) AS c FROM files";
        let sum = vec![Some(400), Some(3200), Some(1200), None, None];
        assert_eq!(told(both).await, [sum]);
    }

    #[tokio::test]
    async fn small_answers_and_those_to_one_picture_for_all_rows_are_not_asked_about() {
        let none: [Vec<Option<i64>>; 0] = [];
        for select in [
            "image_hash(content), image_features(content), image_info(content)",
            "image_hash(image_decode(content))",
            "image_hash(content || X'00')",
            "image_decode(X'00')",
        ] {
            assert_eq!(told(&format!("SELECT {select} FROM files")).await, none);
        }
    }

    #[tokio::test]
    async fn nothing_is_known_of_computed_pictures() {
        for select in [
            "image_decode(content || X'00')",
            "image_rotate(image_resize(content || X'00', 4, 3), 90)",
            "CASE WHEN length(content) > 5 THEN image_decode(content || X'00') END",
        ] {
            let unknown = [vec![Some(UNKNOWN); 5]];
            assert_eq!(
                told(&format!("SELECT {select} FROM files")).await,
                unknown,
                "{select}"
            );
        }
    }

    #[test]
    fn what_may_be_left_out_is_not_put_below() {
        let content = || Expr::Column(Column::from_name("content"));
        let functions = scalar_functions(Limits::default());
        let decode = functions.iter().find(|f| f.name() == "image_decode");
        let decode = |picture: Expr| decode.unwrap().call(vec![picture]);
        let joined = || {
            Expr::BinaryExpr(BinaryExpr::new(
                Box::new(content()),
                Operator::StringConcat,
                Box::new(lit(vec![0_u8])),
            ))
        };
        let field = Field::new("content", DataType::Binary, true);
        let schema = DFSchema::try_from(Schema::new(vec![field])).unwrap();
        let pictures = |expr: Expr| computed_pictures(&expr, &schema).unwrap();

        assert_eq!(pictures(decode(joined()).is_null()), [joined()]);
        let guarded = || when(content().is_null(), joined()).end().unwrap();
        assert_eq!(pictures(decode(guarded())), [guarded()]);
        assert_eq!(pictures(decode(content())), []);
        let branch = when(content().is_null(), decode(joined()));
        assert_eq!(pictures(branch.end().unwrap()), []);
        let operand = content().is_null().and(decode(joined()).is_null());
        assert_eq!(pictures(operand), []);
    }
}
