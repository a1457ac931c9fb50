//! A real PostgreSQL server for the duration of a test: made by `initdb` in a temporary folder,
//! listening on a socket in that folder, stopped and removed on drop. As root it runs as the user
//! `postgres`, because PostgreSQL refuses root.

use std::path::{Path, PathBuf};
use std::process::Command;

use sqlx::{AnyConnection, Connection};
use tempfile::TempDir;

pub struct Server {
    folder: TempDir,
    bin: PathBuf,
}

impl Server {
    pub fn start() -> Self {
        let server = Self {
            folder: tempfile::tempdir().unwrap(),
            bin: newest_installation(),
        };
        if is_root() {
            run(Command::new("chown")
                .arg("postgres")
                .arg(server.folder.path()));
        }
        run(server
            .command("initdb")
            .args(["--username=shoal", "--auth=trust", "--no-sync", "--pgdata"])
            .arg(server.data()));
        let listen = format!("-h '' -k {} -F", server.folder.path().display());
        run(server
            .command("pg_ctl")
            .args(["start", "--wait", "--silent", "-o", &listen, "--log"])
            .arg(server.folder.path().join("log"))
            .arg("--pgdata")
            .arg(server.data()));
        server
    }

    /// Makes an empty database and returns its URL.
    pub async fn create_database(&self, name: &str) -> String {
        sqlx::any::install_default_drivers();
        let mut connection = AnyConnection::connect(&self.url("postgres")).await.unwrap();
        sqlx::query(&format!("CREATE DATABASE {name}"))
            .execute(&mut connection)
            .await
            .unwrap();
        self.url(name)
    }

    fn url(&self, database: &str) -> String {
        let folder = self.folder.path().display();
        format!("postgres://shoal@localhost/{database}?host={folder}")
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn command(&self, program: &str) -> Command {
        let program = self.bin.join(program);
        let mut command = if is_root() {
            let mut command = Command::new("runuser");
            command.args(["-u", "postgres", "--"]).arg(program);
            command
        } else {
            Command::new(program)
        };
        command.current_dir(self.folder.path());
        command
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let stopped = self
            .command("pg_ctl")
            .args(["stop", "--wait", "--silent", "--mode=immediate", "--pgdata"])
            .arg(self.data())
            .status();
        if !matches!(stopped, Ok(status) if status.success()) {
            eprintln!("PostgreSQL in {:?} did not stop: {stopped:?}", self.folder);
        }
    }
}

fn newest_installation() -> PathBuf {
    let mut versions: Vec<(u32, PathBuf)> = Path::new("/usr/lib/postgresql")
        .read_dir()
        .into_iter()
        .flatten()
        .filter_map(|entry| {
            let path = entry.ok()?.path();
            let version = path.file_name()?.to_str()?.parse().ok()?;
            Some((version, path.join("bin")))
        })
        .filter(|(_, bin)| bin.join("initdb").exists())
        .collect();
    versions.sort();
    let (_, bin) = versions
        .pop()
        .expect("PostgreSQL is needed: install the Debian package `postgresql`");
    bin
}

fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata("/proc/self").unwrap().uid() == 0
}

fn run(command: &mut Command) {
    // Not `output()`: the server started by pg_ctl would keep the pipes open.
    let status = command
        .stdout(std::process::Stdio::null())
        .status()
        .unwrap();
    assert!(status.success(), "{command:?} failed: {status}");
}
