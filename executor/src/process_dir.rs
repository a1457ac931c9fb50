//! Folders that belong to one process for as long as it lives.
//!
//! Beside each folder lies a lock file that the process holds open and locked. The operating
//! system drops the lock when the process dies, however it dies, so a folder whose lock can be
//! taken is left over and is removed by the next process that starts on the same root.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use tracing::{info, warn};

use crate::error::{ExecutorError, Result};

const PREFIX: &str = "executor-";
const LOCK: &str = "lock";

/// A folder below a shared root that only this process uses. Removed on drop.
#[derive(Debug)]
pub(crate) struct ProcessDir {
    path: PathBuf,
    lock_path: PathBuf,
    _lock: File,
}

impl ProcessDir {
    /// Makes the folder `executor-<name>` below `root`, after removing those of dead processes.
    /// `key` is the settings key of `root`, for messages.
    pub(crate) fn create(root: &Path, name: &str, key: &'static str) -> Result<Self> {
        let failed = |doing, path: &Path| {
            let path = path.to_path_buf();
            move |source| ExecutorError::Folder {
                doing,
                path,
                key,
                source,
            }
        };
        let root = std::path::absolute(root).map_err(failed("find", root))?;
        fs::create_dir_all(&root).map_err(failed("create", &root))?;
        remove_left_over(&root).map_err(failed("clean", &root))?;

        let path = root.join(format!("{PREFIX}{name}"));
        let lock_path = path.with_extension(LOCK);
        let lock = File::create(&lock_path).map_err(failed("create", &lock_path))?;
        lock.lock().map_err(failed("lock", &lock_path))?;
        fs::create_dir_all(&path).map_err(failed("create", &path))?;
        Ok(Self {
            path,
            lock_path,
            _lock: lock,
        })
    }

    /// The folder, as an absolute path.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether nothing lies in the folder. A folder that cannot be read counts as empty.
    pub(crate) fn is_empty(&self) -> bool {
        fs::read_dir(&self.path).map_or(true, |mut entries| entries.next().is_none())
    }
}

impl Drop for ProcessDir {
    fn drop(&mut self) {
        for removed in [
            fs::remove_dir_all(&self.path),
            fs::remove_file(&self.lock_path),
        ] {
            if let Err(error) = removed
                && error.kind() != io::ErrorKind::NotFound
            {
                warn!("cannot remove {}: {error}", self.path.display());
            }
        }
    }
}

/// Removes the folders below `root` whose process is dead.
fn remove_left_over(root: &Path) -> io::Result<()> {
    for entry in fs::read_dir(root)? {
        let lock_path = entry?.path();
        let is_ours = lock_path.extension().is_some_and(|e| e == LOCK)
            && lock_path
                .file_name()
                .is_some_and(|name| name.to_string_lossy().starts_with(PREFIX));
        if !is_ours {
            continue;
        }
        let lock = match File::open(&lock_path) {
            Ok(lock) => lock,
            // Another process that starts at the same time has removed it.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        match lock.try_lock() {
            Ok(()) => {
                let left_over = lock_path.with_extension("");
                info!("removing {} of a dead executor", left_over.display());
                ignore_missing(fs::remove_dir_all(&left_over))?;
                ignore_missing(fs::remove_file(&lock_path))?;
            }
            Err(TryLockError::WouldBlock) => {}
            Err(TryLockError::Error(error)) => return Err(error),
        }
    }
    Ok(())
}

fn ignore_missing(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_folder_of_a_dead_process_is_removed_and_that_of_a_living_one_stays() {
        let root = tempfile::tempdir().unwrap();
        let living = ProcessDir::create(root.path(), "living", "key").unwrap();
        // What kill -9 leaves behind: a folder and a lock file that nobody holds.
        fs::create_dir(root.path().join("executor-dead")).unwrap();
        fs::write(root.path().join("executor-dead/shuffle.arrow"), b"x").unwrap();
        fs::write(root.path().join("executor-dead.lock"), b"").unwrap();

        let other = ProcessDir::create(root.path(), "other", "key").unwrap();
        assert!(!root.path().join("executor-dead").exists());
        assert!(!root.path().join("executor-dead.lock").exists());
        assert!(living.path().exists());

        fs::write(living.path().join("shuffle.arrow"), b"x").unwrap();
        assert!(!living.is_empty());
        drop((living, other));
        assert_eq!(fs::read_dir(root.path()).unwrap().count(), 0);
    }
}
