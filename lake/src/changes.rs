//! What a statement changes in a table: the commit half of every format adapter.

use std::collections::BTreeMap;

use crate::data_file::DataFile;

/// What happens to the rows that are in the table already.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WriteMode {
    /// They stay.
    Append,
    /// They go.
    Overwrite,
    /// Those in the partition with these values (text form, `None` is NULL) go.
    OverwritePartition(BTreeMap<String, Option<String>>),
    /// Those in partitions that receive new rows go (Spark's dynamic partition overwrite).
    OverwriteTouchedPartitions,
}

/// The changes of one statement.
#[derive(Debug, Clone)]
pub struct Changes {
    /// What happens to existing rows.
    pub mode: WriteMode,
    /// New files.
    pub add: Vec<DataFile>,
}

impl Changes {
    /// Rows in the new files.
    pub fn rows(&self) -> u64 {
        self.add.iter().filter_map(|f| f.rows).sum()
    }
}
