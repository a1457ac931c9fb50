//! Images as rows: a listing of objects as a table of those that are pictures, or of all others.
//!
//! [`list`] finds the objects on the scheduler, [`ImageFiles`] makes them a table that
//! executors read: each object is fetched, sniffed, hashed and probed where it is read, and a file that
//! is no usable picture becomes a row with a `reason` instead of an error. `COPY INTO` takes the ones into a
//! table and the others into another; `read_images` shows all of them.

mod list;
mod source;
mod table;

use std::time::Duration;

use shoal_config::ImageSettings;
use shoal_images::probe::Limits;

/// The limits on pictures that the settings say.
pub fn image_limits(settings: &ImageSettings) -> Limits {
    Limits {
        max_file_bytes: settings.max_file_bytes.0,
        max_pixels: settings.max_pixels,
        max_alloc: settings.max_alloc.0,
        max_time: Duration::from_secs(settings.max_seconds),
    }
}

pub use list::{ImageObject, list, split_pattern};
pub(crate) use source::ImageSource;
pub use source::{UNREADABLE, Wanted};
pub use table::{ImageFiles, image_schema};
