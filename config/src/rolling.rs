//! A log file that is closed at a size or an age, with a bounded number of older ones kept beside
//! it as `name.1` (newest) to `name.N`.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use crate::logging::Rotation;

/// Appends to a file and rotates it. Each write is one event; it goes to the system at once, so
/// nothing is lost when the process is killed.
pub(crate) struct RollingFile {
    path: PathBuf,
    rotation: Rotation,
    current: Mutex<Current>,
}

struct Current {
    file: File,
    size: u64,
    opened: SystemTime,
}

impl RollingFile {
    /// Opens `path` for appending, with its folder.
    pub fn open(path: &Path, rotation: Rotation) -> io::Result<Self> {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        let current = Mutex::new(Current::open(path)?);
        Ok(Self {
            path: path.to_path_buf(),
            rotation,
            current,
        })
    }

    fn is_due(&self, current: &Current, more: usize) -> bool {
        let age = current.opened.elapsed().unwrap_or_default();
        let full = current.size + more as u64 > self.rotation.max_size.0;
        current.size > 0 && (full || age >= Duration::from_secs(self.rotation.max_age_hours * 3600))
    }

    /// Renames `name` → `name.1` → `name.2` …, dropping what is past the number kept.
    fn rotate(&self) -> io::Result<Current> {
        let numbered = |number: usize| {
            let mut name = self.path.clone().into_os_string();
            name.push(format!(".{number}"));
            PathBuf::from(name)
        };
        if self.rotation.keep == 0 {
            std::fs::remove_file(&self.path)?;
            return Current::open(&self.path);
        }
        for number in (1..self.rotation.keep).rev() {
            if numbered(number).exists() {
                std::fs::rename(numbered(number), numbered(number + 1))?;
            }
        }
        std::fs::rename(&self.path, numbered(1))?;
        Current::open(&self.path)
    }
}

impl Current {
    fn open(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().create(true).append(true).open(path)?;
        let metadata = file.metadata()?;
        let opened = metadata.created().unwrap_or_else(|_| SystemTime::now());
        Ok(Self {
            file,
            size: metadata.len(),
            opened,
        })
    }
}

impl Write for &RollingFile {
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        // A rotation that fails (a full disk, a folder made read-only) leaves the old file in use.
        if self.is_due(&current, event.len())
            && let Ok(next) = self.rotate()
        {
            *current = next;
        }
        let written = current.file.write(event)?;
        current.size += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.current
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .file
            .flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ByteSize;

    #[test]
    fn a_full_file_is_closed_and_only_the_newest_are_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("logs/shoal.log");
        let rotation = Rotation {
            max_size: ByteSize(10),
            max_age_hours: 1,
            keep: 2,
        };
        let file = RollingFile::open(&path, rotation).unwrap();
        for event in ["first 1\n", "second 2\n", "third 3\n", "fourth 4\n"] {
            (&file).write_all(event.as_bytes()).unwrap();
        }
        let read = |name: &str| std::fs::read_to_string(folder.path().join("logs").join(name)).ok();
        assert_eq!(read("shoal.log").as_deref(), Some("fourth 4\n"));
        assert_eq!(read("shoal.log.1").as_deref(), Some("third 3\n"));
        assert_eq!(read("shoal.log.2").as_deref(), Some("second 2\n"));
        assert_eq!(read("shoal.log.3"), None);
    }
}
