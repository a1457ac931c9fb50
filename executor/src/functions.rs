//! The functions tasks can call. Plans name a function, so the names here have to be those that
//! the engine plans with.

use std::sync::Arc;

use ballista_core::registry::BallistaFunctionRegistry;
use datafusion::error::Result;
use datafusion::execution::FunctionRegistry;
use datafusion::execution::session_state::SessionStateBuilder;
use shoal_images::probe::Limits;
use shoal_lake::Downloads;
use shoal_models::Models;
use shoal_udfs::url_download;

/// DataFusion's functions and Shoal's, under the very names that sessions know.
pub(crate) fn registry(
    models: &Models,
    downloads: Arc<Downloads>,
    limits: Limits,
) -> Result<BallistaFunctionRegistry> {
    let mut session = SessionStateBuilder::new_with_default_features().build();
    shoal_udfs::register_functions(&mut session, limits)?;
    shoal_models::register_functions(&mut session, models, limits)?;
    let download = url_download(Arc::new(move |urls: &[&str]| Ok(downloads.fetch(urls)?)));
    session.register_udf(Arc::new(download))?;
    Ok(BallistaFunctionRegistry {
        scalar_functions: session.scalar_functions().clone(),
        aggregate_functions: session.aggregate_functions().clone(),
        window_functions: session.window_functions().clone(),
        higher_order_functions: session.higher_order_functions().clone(),
    })
}
