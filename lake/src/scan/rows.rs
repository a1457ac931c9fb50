//! Chosen rows of some files, wherever the rows are: a row selection per file.

use std::collections::{BTreeSet, HashMap};

use datafusion::datasource::physical_plan::{FileGroup, parquet::ParquetRowSelection};
use datafusion_datasource::PartitionedFile;
use parquet::arrow::arrow_reader::{RowSelection, RowSelector};
use serde::{Deserialize, Serialize};

/// The rows to read of one file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ChosenRows {
    /// Rows in the file.
    pub(crate) of: u64,
    /// Numbers of those that are read.
    pub(crate) rows: BTreeSet<u64>,
}

impl ChosenRows {
    /// As the Parquet reader takes it.
    pub(super) fn selection(&self) -> RowSelection {
        let mut selectors = Vec::new();
        let mut next = 0;
        for &row in self.rows.iter().filter(|row| **row < self.of) {
            if row > next {
                selectors.push(RowSelector::skip((row - next) as usize));
            }
            selectors.push(RowSelector::select(1));
            next = row + 1;
        }
        if self.of > next {
            selectors.push(RowSelector::skip((self.of - next) as usize));
        }
        RowSelection::from(selectors)
    }
}

/// Rows by path of the file; files that are not there are read whole.
pub(crate) type RowsByFile = HashMap<String, ChosenRows>;

/// The groups with their selections given to files.
pub(crate) fn select(groups: Vec<FileGroup>, rows: &RowsByFile) -> Vec<FileGroup> {
    let with_rows = |file: PartitionedFile| match rows.get(file.object_meta.location.as_ref()) {
        Some(chosen) => file.with_extension(ParquetRowSelection::new(chosen.selection())),
        None => file,
    };
    groups
        .into_iter()
        .map(|group| FileGroup::new(group.into_inner().into_iter().map(with_rows).collect()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_selection_counts_every_row_of_its_file() {
        for (of, rows, expected) in [
            (5, vec![], vec![RowSelector::skip(5)]),
            (
                5,
                vec![0, 4],
                vec![
                    RowSelector::select(1),
                    RowSelector::skip(3),
                    RowSelector::select(1),
                ],
            ),
            (
                3,
                vec![1, 9],
                vec![
                    RowSelector::skip(1),
                    RowSelector::select(1),
                    RowSelector::skip(1),
                ],
            ),
        ] {
            let chosen = ChosenRows {
                of,
                rows: rows.into_iter().collect(),
            };
            let selectors: Vec<RowSelector> = chosen.selection().into();
            assert_eq!(selectors, expected);
            assert_eq!(
                selectors.iter().map(|s| s.row_count as u64).sum::<u64>(),
                of
            );
        }
    }
}
