//! Why a call has no answer for a row.

use datafusion::common::DataFusionError;
use shoal_images::error::ImageError;

/// What went wrong with one row.
#[derive(Debug)]
pub(super) enum Failure {
    /// The file is not a picture that can be used: NULL, unless the caller asked for an error.
    Picture(ImageError),
    /// The picture is sound, or an IMAGE value, and cannot be used for this reason: as above.
    Unusable(String),
    /// The query is at fault: always an error.
    Query(DataFusionError),
}

impl From<ImageError> for Failure {
    fn from(error: ImageError) -> Self {
        Self::Picture(error)
    }
}

impl From<DataFusionError> for Failure {
    fn from(error: DataFusionError) -> Self {
        Self::Query(error)
    }
}
