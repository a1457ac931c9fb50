//! A client of Shoal over Arrow Flight SQL: connect, run SQL, read Arrow batches as they are
//! produced, watch the progress, cancel.
//!
//! ```no_run
//! use futures::TryStreamExt;
//! use shoal_client::{Client, Credentials};
//!
//! # async fn run() -> Result<(), shoal_client::ClientError> {
//! let client = Client::connect("http://127.0.0.1:32010", Credentials::Anonymous).await?;
//!
//! let rows = client
//!     .execute("INSERT INTO curated.analytics SELECT * FROM processed.candidates")
//!     .await?;
//! println!("wrote {rows:?} rows");
//!
//! let mut images = client
//!     .query("SELECT filename, size FROM raw.images ORDER BY size DESC LIMIT 10")
//!     .await?;
//! while let Some(batch) = images.try_next().await? {
//!     println!("{} rows of {}", batch.num_rows(), batch.schema());
//! }
//! client.close().await;
//! # Ok(())
//! # }
//! ```
//!
//! A [`Client`] is one session: `SET` and `USE` hold for what it runs next. It is cheap to clone,
//! and its clones share the session. Nothing is fetched before it is asked for: a reader that
//! takes its time slows the query down instead of filling memory. Dropping a [`Statement`] or a
//! [`RowStream`] before its end cancels it on the server.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

mod connection;
mod error;
mod progress;
mod statement;

pub use connection::{Client, Credentials};
pub use error::ClientError;
pub use progress::{Progress, Stage};
pub use statement::{Canceller, Outcome, RowStream, Statement};
