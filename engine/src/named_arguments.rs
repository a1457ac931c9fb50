//! Arguments given by name to image functions: `image_resize(content, 64, 64, filter => 'lanczos')`.
//!
//! DataFusion knows names, but no gaps: all arguments before a named one must be given. Here what is
//! left out becomes NULL, which stands for the default.

use datafusion::sql::sqlparser::ast::{
    Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, Value,
};

use crate::error::{EngineError, Result};

/// Puts the named arguments of an image function in their places.
///
/// # Errors
/// When a name is unknown or given twice, or a named argument stands before one without a name.
pub(crate) fn place_named_arguments(call: &mut Function) -> Result<()> {
    let FunctionArguments::List(list) = &mut call.args else {
        return Ok(());
    };
    if !list.args.iter().any(|argument| name_of(argument).is_some()) {
        return Ok(());
    }
    let function = call.name.to_string().to_lowercase();
    let Some(parameters) = shoal_udfs::image_function_parameters(&function) else {
        return Ok(());
    };
    let mut placed: Vec<Option<FunctionArg>> = Vec::new();
    let mut seen_name = false;
    for argument in list.args.drain(..) {
        let Some(name) = name_of(&argument) else {
            if seen_name {
                return Err(EngineError::invalid(format!(
                    "{function}: arguments with a name come after those without"
                )));
            }
            placed.push(Some(argument));
            continue;
        };
        seen_name = true;
        let place = parameters.iter().position(|known| *known == name);
        let Some(place) = place else {
            return Err(EngineError::invalid(format!(
                "{function} has no argument {name}; it has {}",
                parameters.join(", ")
            )));
        };
        if placed.len() <= place {
            placed.resize(place + 1, None);
        }
        if placed[place].is_some() {
            return Err(EngineError::invalid(format!(
                "{function} is given its argument {name} twice"
            )));
        }
        placed[place] = Some(without_name(argument));
    }
    let null = || FunctionArg::Unnamed(FunctionArgExpr::Expr(Expr::Value(Value::Null.into())));
    list.args = placed
        .into_iter()
        .map(|argument| argument.unwrap_or_else(null))
        .collect();
    Ok(())
}

fn name_of(argument: &FunctionArg) -> Option<String> {
    match argument {
        FunctionArg::Named { name, .. } => Some(name.value.to_lowercase()),
        FunctionArg::ExprNamed {
            name: Expr::Identifier(name),
            ..
        } => Some(name.value.to_lowercase()),
        FunctionArg::ExprNamed { .. } | FunctionArg::Unnamed(_) => None,
    }
}

fn without_name(argument: FunctionArg) -> FunctionArg {
    match argument {
        FunctionArg::Named { arg, .. } | FunctionArg::ExprNamed { arg, .. } => {
            FunctionArg::Unnamed(arg)
        }
        unnamed @ FunctionArg::Unnamed(_) => unnamed,
    }
}
