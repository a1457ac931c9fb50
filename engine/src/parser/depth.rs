//! Limits on how deep an expression may be. Everything below the parser walks expressions by
//! recursion, so one that is too deep would exhaust the stack and take the process down.
//!
//! A long chain of `AND` or `OR` is deep only by the way it is parsed: it is balanced instead.

use std::mem;
use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{BinaryOperator, Expr, Value, VisitMut, VisitorMut};
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan};

use crate::error::{EngineError, Result};

/// Deepest expression. Half of what a thread of 2 MiB takes in a build without optimization.
const MAX_DEPTH: usize = 128;

/// Most operands of one chain of `AND` or `OR`.
const MAX_CHAIN: usize = 500;

/// Most words and signs between two commas, parentheses or the like: what is longer may be a chain
/// that the parser itself cannot let go of.
const MAX_RUN: usize = 10_000;

/// Most set operations (`UNION` …) in a statement.
const MAX_SET_OPERATIONS: usize = 128;

/// Deepest CASE within a CASE: beyond it the parser gives up, with a message about its syntax.
const MAX_CASES: usize = 40;

/// Chains of at least this many operands are balanced.
const LONG_CHAIN: usize = MAX_DEPTH / 2;

/// Refuses a statement whose tokens alone tell that it is too deep.
pub(super) fn check_tokens(tokens: &[TokenWithSpan]) -> Result<()> {
    let (mut run, mut set_operations, mut cases) = (0, 0, 0_usize);
    for token in tokens {
        match &token.token {
            Token::Comma | Token::LParen | Token::RParen => run = 0,
            Token::Whitespace(_) => {}
            Token::Word(word) => {
                run += 1;
                let set_operation = ["UNION", "EXCEPT", "INTERSECT", "MINUS"]
                    .iter()
                    .any(|name| word.value.eq_ignore_ascii_case(name));
                set_operations += usize::from(set_operation && word.quote_style.is_none());
                match word.keyword {
                    Keyword::CASE => cases += 1,
                    Keyword::END => cases = cases.saturating_sub(1),
                    _ => {}
                }
            }
            _ => run += 1,
        }
        if cases > MAX_CASES {
            return Err(EngineError::invalid(format!(
                "CASE is nested more than {MAX_CASES} levels deep; write further conditions as \
                 WHEN … THEN of one CASE"
            )));
        }
        if run > MAX_RUN {
            return Err(too_deep(
                "write IN (…) in place of many comparisons, or split it",
            ));
        }
    }
    if set_operations > MAX_SET_OPERATIONS {
        return Err(EngineError::invalid(format!(
            "the statement has {set_operations} set operations, and {MAX_SET_OPERATIONS} are \
             possible; write VALUES for constants, or insert the parts one by one"
        )));
    }
    Ok(())
}

/// Balances long chains of `AND` and `OR` and refuses what is too deep all the same.
pub(super) fn limit(node: &mut impl VisitMut) -> Result<()> {
    match node.visit(&mut Limit { depth: 0 }) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(error) => Err(error),
    }
}

struct Limit {
    depth: usize,
}

impl VisitorMut for Limit {
    type Break = EngineError;

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<EngineError> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return ControlFlow::Break(too_deep("split it with WITH or a subquery"));
        }
        match balance(expr) {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => ControlFlow::Break(error),
        }
    }

    fn post_visit_expr(&mut self, _expr: &mut Expr) -> ControlFlow<EngineError> {
        self.depth -= 1;
        ControlFlow::Continue(())
    }
}

fn too_deep(instead: &str) -> EngineError {
    EngineError::invalid(format!(
        "an expression is nested more than {MAX_DEPTH} levels deep; {instead}"
    ))
}

fn balance(expr: &mut Expr) -> Result<()> {
    let Expr::BinaryOp {
        op: chained @ (BinaryOperator::And | BinaryOperator::Or),
        ..
    } = expr
    else {
        return Ok(());
    };
    let chained = chained.clone();
    if chain_length(expr, &chained) < LONG_CHAIN {
        return Ok(());
    }
    let mut operands = Vec::new();
    let mut rest = mem::replace(expr, Expr::Value(Value::Null.into()));
    loop {
        match rest {
            Expr::BinaryOp { left, op, right } if op == chained => {
                operands.push(*right);
                rest = *left;
            }
            first => {
                operands.push(first);
                break;
            }
        }
    }
    if operands.len() > MAX_CHAIN {
        return Err(EngineError::invalid(format!(
            "a chain of {chained} has {} conditions, and {MAX_CHAIN} are possible; write IN (…), or \
             join with a table of the values",
            operands.len()
        )));
    }
    operands.reverse();
    *expr = joined(operands, &chained);
    Ok(())
}

fn chain_length(mut expr: &Expr, chained: &BinaryOperator) -> usize {
    let mut length = 1;
    while let Expr::BinaryOp { left, op, .. } = expr
        && op == chained
    {
        length += 1;
        expr = left;
    }
    length
}

/// `operands`, of which there is at least one, joined pairwise: as deep as their number's logarithm.
fn joined(mut operands: Vec<Expr>, op: &BinaryOperator) -> Expr {
    while operands.len() > 1 {
        let mut pairs = Vec::with_capacity(operands.len().div_ceil(2));
        let mut left_over = operands.into_iter();
        while let Some(left) = left_over.next() {
            pairs.push(match left_over.next() {
                Some(right) => Expr::BinaryOp {
                    left: Box::new(left),
                    op: op.clone(),
                    right: Box::new(right),
                },
                None => left,
            });
        }
        operands = pairs;
    }
    operands
        .pop()
        .unwrap_or_else(|| Expr::Value(Value::Null.into()))
}

#[cfg(test)]
mod tests {
    use crate::parser::{parse, parse_expression};

    #[test]
    fn long_chains_of_conditions_keep_their_text() {
        let text = format!("a = 0{}", " OR a = 1 AND b".repeat(400));
        assert_eq!(parse_expression(&text).unwrap().to_string(), text);
    }

    #[test]
    fn what_would_exhaust_the_stack_is_refused() {
        for sql in [
            format!("SELECT 1{}", " + 1".repeat(500)),
            format!("SELECT 1{}", " + 1".repeat(1_000_000)),
            format!("SELECT 1{}", "::INT".repeat(300)),
            format!("SELECT true{}", " IS NULL".repeat(300)),
            format!("SELECT 1 WHERE a{}", " AND a".repeat(600)),
            format!(
                "SELECT {}1{}",
                "CASE WHEN a THEN b ELSE ".repeat(60),
                " END".repeat(60)
            ),
            format!("SELECT 1{}", " UNION ALL SELECT 1".repeat(1000)),
            format!("CREATE TABLE t (a INT CHECK (a{} > 1))", " + 1".repeat(300)),
        ] {
            let error = parse(&sql).unwrap_err().to_string();
            assert!(
                error.contains("deep") || error.contains("possible"),
                "{error}"
            );
        }
    }
}
