//! An optimizer rule: several image functions of the same picture become one call, which decodes
//! each picture once, and chains such as `image_hash(image_resize(content, 64, 64))` become a call
//! that never makes a column of pixels.
//!
//! ```text
//! Projection: image_features(content), image_width(image_thumbnail(content, 100))
//!   Scan
//! ```
//! becomes
//! ```text
//! Projection: image_fused_answer(fused, 1), image_fused_answer(fused, 3)
//!   Projection: image_fused(content, 'image_features', 0, true, 0, 'image_thumbnail', …) AS fused
//!     Scan
//! ```
//!
//! Calls that may not be evaluated (branches of CASE, operands of AND and OR) stay where they are;
//! a chain among them becomes one call in its place.
//! The rule is meant to be the last one: then columns that nobody reads are gone, and what the
//! elimination of common expressions has moved into a projection of its own is found there.

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, Result, internal_err};
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::{
    Expr, LogicalPlan, LogicalPlanBuilder, Operator, Projection, ScalarUDF, lit,
};
use datafusion::optimizer::{ApplyOrder, OptimizerConfig, OptimizerRule};
use shoal_images::probe::Limits;

use crate::functions::{LooksAt, fused_answer_function, fused_function, looks_at};

/// The rule. See the module.
#[derive(Debug)]
pub struct FuseImageCalls {
    fused: Arc<ScalarUDF>,
    answer: Arc<ScalarUDF>,
}

impl FuseImageCalls {
    /// The rule for functions that were registered with these limits.
    pub fn new(limits: Limits) -> Self {
        Self {
            fused: Arc::new(fused_function(limits)),
            answer: Arc::new(fused_answer_function()),
        }
    }
}

impl OptimizerRule for FuseImageCalls {
    fn name(&self) -> &str {
        "fuse_image_calls"
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        Some(ApplyOrder::TopDown)
    }

    fn rewrite(
        &self,
        plan: LogicalPlan,
        _config: &dyn OptimizerConfig,
    ) -> Result<Transformed<LogicalPlan>> {
        if matches!(plan, LogicalPlan::Filter(_)) {
            return self.fuse_chains(plan);
        }
        if !matches!(plan, LogicalPlan::Projection(_) | LogicalPlan::Aggregate(_)) {
            return Ok(Transformed::no(plan));
        }
        let plan = sink(plan)?;
        let mut programs = programs(&plan.data.expressions())?;
        programs.retain(Program::is_worth_it);
        if programs.is_empty() {
            return plan.transform_data(|plan| self.fuse_chains(plan));
        }
        let fused = self.fuse(plan.data, &programs)?;
        Ok(Transformed::yes(self.fuse_chains(fused)?.data))
    }
}

impl FuseImageCalls {
    /// Puts `programs` into a projection below `plan`, whose expressions take the answers from it.
    fn fuse(&self, plan: LogicalPlan, programs: &[Program]) -> Result<LogicalPlan> {
        let input = only_input(&plan)?.clone();
        let replaced = rewrite_expressions(&plan, |expr| {
            expr.transform_down(|expr| Ok(self.answered(expr, programs)))
        })?;
        let used = |column: &Column| {
            replaced
                .iter()
                .any(|expr| expr.column_refs().contains(column))
        };
        let columns = input.schema().columns();
        let kept = columns.into_iter().filter(used).map(Expr::Column);
        let fused = programs.iter().enumerate().map(|(index, program)| {
            let call = ScalarFunction::new_udf(Arc::clone(&self.fused), program.arguments());
            Expr::ScalarFunction(call).alias(program_column(index))
        });
        let inner = LogicalPlanBuilder::from(input)
            .project(fused.chain(kept).collect::<Vec<_>>())?
            .build()?;
        plan.with_new_exprs(replaced, vec![inner])
    }

    /// Makes one call of each chain in the expressions of `plan`, where it stands: nothing is
    /// evaluated that was not before.
    fn fuse_chains(&self, plan: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
        let is_chain = |expr: &Expr| match expr {
            Expr::ScalarFunction(call) => {
                looks_at(call.name()).is_some() && call.args.first() != Some(picture_of(call))
            }
            _ => false,
        };
        let mut found = false;
        for expr in plan.expressions() {
            found |= expr.exists(|expr| Ok(is_chain(expr)))?;
        }
        if !found {
            return Ok(Transformed::no(plan));
        }
        let replaced = rewrite_expressions(&plan, |expr| {
            expr.transform_down(|expr| {
                if !is_chain(&expr) {
                    return Ok(Transformed::no(expr));
                }
                let programs = programs(std::slice::from_ref(&expr))?;
                let Some(program) = programs.first() else {
                    return Ok(Transformed::no(expr));
                };
                let fused = ScalarFunction::new_udf(Arc::clone(&self.fused), program.arguments());
                let fused = Expr::ScalarFunction(fused);
                let answer = self.answer_of(fused, program.steps.len());
                Ok(Transformed::new(answer, true, TreeNodeRecursion::Jump))
            })
        })?;
        let inputs = plan.inputs().into_iter().cloned().collect();
        Ok(Transformed::yes(plan.with_new_exprs(replaced, inputs)?))
    }

    /// What step `step` (from 1) of a program answers.
    fn answer_of(&self, fused: Expr, step: usize) -> Expr {
        let arguments = vec![fused, lit(step as i64)];
        Expr::ScalarFunction(ScalarFunction::new_udf(Arc::clone(&self.answer), arguments))
    }

    /// The program's answer in the place of a call that it computes.
    fn answered(&self, expr: Expr, programs: &[Program]) -> Transformed<Expr> {
        for (index, program) in programs.iter().enumerate() {
            let step = program
                .steps
                .iter()
                .position(|step| step.kept && step.expr == expr);
            if let Some(step) = step {
                let column = Expr::Column(Column::new_unqualified(program_column(index)));
                let answer = self.answer_of(column, step + 1);
                return Transformed::new(answer, true, TreeNodeRecursion::Jump);
            }
        }
        Transformed::no(expr)
    }
}

/// Moves the calls of `plan` into the projection below it, if that has calls of the same picture.
fn sink(plan: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
    let LogicalPlan::Projection(below) = only_input(&plan)? else {
        return Ok(Transformed::no(plan));
    };
    let known = programs(&below.expr)?;
    let mut sunk: Vec<(Expr, Expr)> = Vec::new();
    for call in programs(&plan.expressions())?
        .iter()
        .flat_map(Program::kept)
    {
        let Some(moved) = through(call, below)? else {
            continue;
        };
        let Expr::ScalarFunction(function) = &moved else {
            continue;
        };
        if known
            .iter()
            .any(|program| program.picture == *picture_of(function))
        {
            sunk.push((call.clone(), moved));
        }
    }
    if sunk.is_empty() {
        return Ok(Transformed::no(plan));
    }
    let name = |index: usize| format!("__image_call_{}", below.expr.len() + index);
    let moved = sunk
        .iter()
        .enumerate()
        .map(|(index, (_, moved))| moved.clone().alias(name(index)));
    let below_exprs: Vec<Expr> = below.expr.iter().cloned().chain(moved).collect();
    let inner = LogicalPlanBuilder::from(below.input.as_ref().clone())
        .project(below_exprs)?
        .build()?;
    let replaced = rewrite_expressions(&plan, |expr| {
        expr.transform_down(|expr| {
            let index = sunk.iter().position(|(call, _)| *call == expr);
            Ok(match index {
                Some(index) => {
                    let column = Expr::Column(Column::new_unqualified(name(index)));
                    Transformed::new(column, true, TreeNodeRecursion::Jump)
                }
                None => Transformed::no(expr),
            })
        })
    })?;
    Ok(Transformed::yes(
        plan.with_new_exprs(replaced, vec![inner])?,
    ))
}

/// `call` as it reads below the projection; `None` when it uses what is computed there.
fn through(call: &Expr, below: &Projection) -> Result<Option<Expr>> {
    let mut plain = true;
    let moved = call.clone().transform_down(|expr| {
        let Expr::Column(column) = &expr else {
            return Ok(Transformed::no(expr));
        };
        let index = below.schema.index_of_column(column)?;
        match below.expr.get(index).map(|expr| expr.clone().unalias()) {
            Some(source @ Expr::Column(_)) => Ok(Transformed::yes(source)),
            _ => {
                plain = false;
                Ok(Transformed::no(expr))
            }
        }
    })?;
    Ok(plain.then_some(moved.data))
}

fn only_input(plan: &LogicalPlan) -> Result<&LogicalPlan> {
    match plan.inputs().as_slice() {
        [input] => Ok(input),
        inputs => internal_err!("a projection or aggregate with {} inputs", inputs.len()),
    }
}

/// The expressions of `plan`, rewritten under the names they had.
fn rewrite_expressions(
    plan: &LogicalPlan,
    rewrite: impl Fn(Expr) -> Result<Transformed<Expr>>,
) -> Result<Vec<Expr>> {
    let names = NamePreserver::new(plan);
    let rewritten = plan.expressions().into_iter().map(|expr| {
        let name = names.save(&expr);
        Ok(name.restore(rewrite(expr)?.data))
    });
    rewritten.collect()
}

fn program_column(index: usize) -> String {
    format!("__image_fused_{index}")
}

/// All calls whose pictures come from one expression.
struct Program {
    picture: Expr,
    steps: Vec<Step>,
}

struct Step {
    /// The call as it was written.
    expr: Expr,
    function: String,
    /// 0 is the picture, n the answer of step n.
    input: usize,
    arguments: Vec<Expr>,
    kept: bool,
    decodes: bool,
}

impl Program {
    /// Whether it saves a second decoding or a column of pixels.
    fn is_worth_it(&self) -> bool {
        let decodings = self
            .steps
            .iter()
            .filter(|step| step.input == 0 && step.decodes);
        decodings.count() >= 2 || self.steps.iter().any(|step| step.input > 0)
    }

    /// The calls whose answers are asked for, as they were written.
    fn kept(&self) -> impl Iterator<Item = &Expr> {
        let kept = self.steps.iter().filter(|step| step.kept);
        kept.map(|step| &step.expr)
    }

    /// Adds a call and those it is applied to; the number of its step, from 1.
    fn add(&mut self, expr: &Expr, call: &ScalarFunction, looks: LooksAt) -> usize {
        if let Some(known) = self.steps.iter().position(|step| step.expr == *expr) {
            return known + 1;
        }
        let input = match call.args.first() {
            Some(inner @ Expr::ScalarFunction(inner_call)) => match looks_at(inner_call.name()) {
                Some(inner_looks) => self.add(inner, inner_call, inner_looks),
                None => 0,
            },
            _ => 0,
        };
        self.steps.push(Step {
            expr: expr.clone(),
            function: call.name().to_owned(),
            input,
            arguments: call.args.iter().skip(1).cloned().collect(),
            kept: false,
            decodes: looks == LooksAt::Pixels,
        });
        self.steps.len()
    }

    /// The arguments of `image_fused`.
    fn arguments(&self) -> Vec<Expr> {
        let steps = self.steps.iter().flat_map(|step| {
            let head = [
                lit(step.function.as_str()),
                lit(step.input as i64),
                lit(step.kept),
                lit(step.arguments.len() as i64),
            ];
            head.into_iter().chain(step.arguments.iter().cloned())
        });
        std::iter::once(self.picture.clone()).chain(steps).collect()
    }
}

/// One program for each expression that gives pictures to calls in `exprs`.
fn programs(exprs: &[Expr]) -> Result<Vec<Program>> {
    let mut programs: Vec<Program> = Vec::new();
    for expr in exprs {
        expr.apply(|expr| {
            let Expr::ScalarFunction(call) = expr else {
                return Ok(beneath(expr));
            };
            let Some(looks) = looks_at(call.name()) else {
                return Ok(if call.func.short_circuits() {
                    TreeNodeRecursion::Jump
                } else {
                    TreeNodeRecursion::Continue
                });
            };
            let picture = picture_of(call);
            if picture.is_volatile() {
                return Ok(TreeNodeRecursion::Jump);
            }
            let known = programs.iter().position(|known| known.picture == *picture);
            let index = known.unwrap_or_else(|| {
                programs.push(Program {
                    picture: picture.clone(),
                    steps: Vec::new(),
                });
                programs.len() - 1
            });
            if let Some(program) = programs.get_mut(index) {
                let step = program.add(expr, call, looks);
                if let Some(step) = program.steps.get_mut(step - 1) {
                    step.kept = true;
                }
            }
            Ok(TreeNodeRecursion::Jump)
        })?;
    }
    Ok(programs)
}

/// What the innermost of nested image calls is applied to.
fn picture_of(call: &ScalarFunction) -> &Expr {
    match call.args.first() {
        Some(Expr::ScalarFunction(inner)) if looks_at(inner.name()).is_some() => picture_of(inner),
        Some(picture) => picture,
        None => &Expr::Literal(datafusion::common::ScalarValue::Null, None),
    }
}

/// Whether calls below `expr` are evaluated for every row.
fn beneath(expr: &Expr) -> TreeNodeRecursion {
    match expr {
        Expr::Case(_) => TreeNodeRecursion::Jump,
        Expr::BinaryExpr(binary) if matches!(binary.op, Operator::And | Operator::Or) => {
            TreeNodeRecursion::Jump
        }
        _ => TreeNodeRecursion::Continue,
    }
}

#[cfg(test)]
mod tests;
