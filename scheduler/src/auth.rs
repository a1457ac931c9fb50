//! Who may come in: the users file, password checks and bearer tokens.
//!
//! The users file (`flight.users_file`) has one `name:credential` per line; blank lines and lines
//! that begin with `#` are skipped. A credential is either
//!
//! - an argon2 hash of a password ([`hash_password`]), for the Flight handshake, or
//! - `$blake3$` and the hexadecimal hash of a bearer token ([`hash_token`]), for programs. A name
//!   may have one password and any number of tokens.
//!
//! Promises: the file is read again when it changes, and a user who was removed or given another
//! password is out at once, open sessions included. A changed file that cannot be read leaves the
//! users as they were and is logged. Whether a name exists cannot be told from how long a refusal
//! takes. Clients without a name are let in only if `flight.anonymous` says so and the front door
//! listens on a loopback address. No password, token or hash is ever printed.

use std::collections::HashMap;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use argon2::password_hash::rand_core::OsRng;
use argon2::password_hash::{PasswordHash, PasswordHasher, PasswordVerifier, SaltString};
use argon2::{Argon2, password_hash};
use parking_lot::Mutex;
use shoal_config::FlightSettings;
use shoal_engine::Principal;
use tokio::sync::Semaphore;

/// How long an answer about the users file may be used before its modification time is looked at
/// again.
const RECHECK_AFTER: Duration = Duration::from_secs(1);

/// Password checks at a time: each takes 19 MiB and some tens of milliseconds of a CPU.
const CHECKS_AT_A_TIME: usize = 2;

/// Fewest characters of a bearer token. Tokens are hashed without a slow function, so they have to
/// be long and random.
pub const SHORTEST_TOKEN: usize = 32;

/// Name of whoever comes in without one; no user may have it.
const ANONYMOUS: &str = "anonymous";

const TOKEN_PREFIX: &str = "$blake3$";

/// What can be wrong with who may come in.
#[derive(Debug, thiserror::Error)]
pub enum AuthError {
    /// The users file could not be read.
    #[error("cannot read the users file {} (flight.users_file): {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A line of the users file is not `name:credential`.
    #[error("users file {}, line {line}: {problem}", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
        /// What is wrong and what is expected.
        problem: &'static str,
    },
    /// Anonymous clients on an address others can reach.
    #[error(
        "flight.anonymous is true, and flight.bind_host is {0}, which others can reach; \
         bind to 127.0.0.1, or set flight.anonymous to false and name a flight.users_file"
    )]
    AnonymousOffLoopback(IpAddr),
    /// Neither users nor anonymous clients.
    #[error(
        "nobody could connect: flight.anonymous is false and there is no flight.users_file; \
         set one of them (`shoal hash-password` makes the lines of the file)"
    )]
    NobodyAdmitted,
    /// A password could not be hashed.
    #[error("cannot hash the password: {0}")]
    Hash(password_hash::Error),
    /// A token that is too easy to guess.
    #[error("a bearer token has at least {SHORTEST_TOKEN} random characters")]
    ShortToken,
}

/// Hashes a password for the users file: `echo "alice:$(hash)" >> users`.
pub fn hash_password(password: &str) -> Result<String, AuthError> {
    Argon2::default()
        .hash_password(password.as_bytes(), &SaltString::generate(&mut OsRng))
        .map(|hash| hash.to_string())
        .map_err(AuthError::Hash)
}

/// Hashes a bearer token for the users file. Refuses tokens shorter than [`SHORTEST_TOKEN`].
pub fn hash_token(token: &str) -> Result<String, AuthError> {
    if token.chars().count() < SHORTEST_TOKEN {
        return Err(AuthError::ShortToken);
    }
    Ok(format!(
        "{TOKEN_PREFIX}{}",
        blake3::hash(token.as_bytes()).to_hex()
    ))
}

/// Someone who was let in, and by which credential.
#[derive(Clone, Debug)]
pub struct Identity {
    /// Who it is.
    pub principal: Principal,
    credential: Option<blake3::Hash>,
}

/// Decides who may come in.
pub struct Authenticator {
    anonymous: bool,
    file: Option<PathBuf>,
    loaded: Mutex<Loaded>,
    checks: Semaphore,
    /// Checked when a name is not known, so that a refusal takes as long as for one that is.
    decoy: String,
}

struct Loaded {
    users: Arc<Users>,
    modified: Option<SystemTime>,
    checked: Instant,
}

impl Authenticator {
    /// Reads the users file and checks that the settings admit somebody, and nobody by mistake.
    /// `address` is the one the front door listens on.
    pub fn new(settings: &FlightSettings, address: IpAddr) -> Result<Self, AuthError> {
        if settings.anonymous && !address.is_loopback() {
            return Err(AuthError::AnonymousOffLoopback(address));
        }
        let (users, modified) = match &settings.users_file {
            Some(path) => (Users::read(path)?, modified(path)),
            None if settings.anonymous => (Users::default(), None),
            None => return Err(AuthError::NobodyAdmitted),
        };
        Ok(Self {
            anonymous: settings.anonymous,
            file: settings.users_file.clone(),
            loaded: Mutex::new(Loaded {
                users: Arc::new(users),
                modified,
                checked: Instant::now(),
            }),
            checks: Semaphore::new(CHECKS_AT_A_TIME),
            decoy: hash_password("")?,
        })
    }

    /// Lets in a client that names nobody, if the settings say so.
    pub fn anonymous(&self) -> Option<Identity> {
        self.anonymous.then(|| Identity {
            principal: Principal {
                name: ANONYMOUS.into(),
                anonymous: true,
            },
            credential: None,
        })
    }

    /// Lets in whoever knows the password of `name`.
    pub async fn password(&self, name: &str, password: &str) -> Option<Identity> {
        let known = self.users().passwords.get(name).cloned();
        let exists = known.is_some();
        let hash = known.unwrap_or_else(|| self.decoy.clone());
        let credential = blake3::hash(hash.as_bytes());
        let password = password.to_owned();
        let _permit = self.checks.acquire().await.ok()?;
        let matches = tokio::task::spawn_blocking(move || {
            PasswordHash::new(&hash).is_ok_and(|hash| {
                Argon2::default()
                    .verify_password(password.as_bytes(), &hash)
                    .is_ok()
            })
        })
        .await
        .unwrap_or(false);
        (matches && exists).then(|| Identity {
            principal: Principal {
                name: name.to_owned(),
                anonymous: false,
            },
            credential: Some(credential),
        })
    }

    /// Lets in whoever presents a bearer token of the users file.
    pub fn token(&self, token: &str) -> Option<Identity> {
        let hash = blake3::hash(token.as_bytes());
        let name = self.users().tokens.get(hash.as_bytes())?.clone();
        Some(Identity {
            principal: Principal {
                name,
                anonymous: false,
            },
            credential: Some(hash),
        })
    }

    /// Whether `identity` would still be let in by the credential it came with.
    pub fn still_admits(&self, identity: &Identity) -> bool {
        let Some(credential) = identity.credential else {
            return self.anonymous;
        };
        let users = self.users();
        let name = &identity.principal.name;
        users.tokens.get(credential.as_bytes()) == Some(name)
            || users
                .passwords
                .get(name)
                .is_some_and(|hash| blake3::hash(hash.as_bytes()) == credential)
    }

    /// The users as the file has them, read again if it has changed.
    fn users(&self) -> Arc<Users> {
        let mut loaded = self.loaded.lock();
        if let Some(path) = &self.file
            && loaded.checked.elapsed() >= RECHECK_AFTER
        {
            loaded.checked = Instant::now();
            let modified = modified(path);
            if modified != loaded.modified {
                match Users::read(path) {
                    Ok(users) => {
                        tracing::info!(path = %path.display(), "users file read again");
                        loaded.users = Arc::new(users);
                        loaded.modified = modified;
                    }
                    Err(error) => {
                        tracing::error!(%error, "users file changed and is not usable; keeping the users as they were");
                    }
                }
            }
        }
        Arc::clone(&loaded.users)
    }
}

fn modified(path: &Path) -> Option<SystemTime> {
    std::fs::metadata(path)
        .and_then(|file| file.modified())
        .ok()
}

/// The users file in memory.
#[derive(Default)]
struct Users {
    /// argon2 hash by name.
    passwords: HashMap<String, String>,
    /// Name by hash of the token.
    tokens: HashMap<[u8; 32], String>,
}

impl Users {
    fn read(path: &Path) -> Result<Self, AuthError> {
        let text = std::fs::read_to_string(path).map_err(|source| AuthError::Read {
            path: path.to_owned(),
            source,
        })?;
        let mut users = Self::default();
        for (index, line) in text.lines().enumerate() {
            users.add(line.trim()).map_err(|problem| AuthError::Line {
                path: path.to_owned(),
                line: index + 1,
                problem,
            })?;
        }
        Ok(users)
    }

    fn add(&mut self, line: &str) -> Result<(), &'static str> {
        if line.is_empty() || line.starts_with('#') {
            return Ok(());
        }
        let Some((name, credential)) = line.split_once(':') else {
            return Err("expected name:credential");
        };
        if name.is_empty() {
            return Err("the name before the colon is empty");
        }
        if name == ANONYMOUS {
            return Err("the name anonymous is reserved for clients without a name");
        }
        if let Some(hex) = credential.strip_prefix(TOKEN_PREFIX) {
            let hash = blake3::Hash::from_hex(hex)
                .map_err(|_| "expected 64 hexadecimal digits after $blake3$")?;
            self.tokens.insert(*hash.as_bytes(), name.to_owned());
            return Ok(());
        }
        if !credential.starts_with("$argon2") || PasswordHash::new(credential).is_err() {
            return Err("the credential is neither an argon2 hash ($argon2id$…) nor $blake3$…");
        }
        match self
            .passwords
            .insert(name.to_owned(), credential.to_owned())
        {
            None => Ok(()),
            Some(_) => Err("this name already has a password further up"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
    const TOKEN: &str = "0123456789abcdef0123456789abcdef";

    fn settings(users: &tempfile::NamedTempFile) -> FlightSettings {
        FlightSettings {
            users_file: Some(users.path().to_owned()),
            ..FlightSettings::default()
        }
    }

    fn users_file(lines: &str) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), lines).unwrap();
        file
    }

    #[tokio::test]
    async fn a_user_comes_in_by_password_or_by_token_and_by_nothing_else() {
        let file = users_file(&format!(
            "# people\n\nalice:{}\nrobot:{}\n",
            hash_password("open sesame").unwrap(),
            hash_token(TOKEN).unwrap(),
        ));
        let door = Authenticator::new(&settings(&file), LOOPBACK).unwrap();
        let alice = door.password("alice", "open sesame").await.unwrap();
        assert_eq!(alice.principal.name, "alice");
        assert!(door.password("alice", "open").await.is_none());
        assert!(door.password("bob", "").await.is_none());
        assert!(door.password("robot", TOKEN).await.is_none());
        assert_eq!(door.token(TOKEN).unwrap().principal.name, "robot");
        assert!(door.token("open sesame").is_none());
        assert!(door.anonymous().is_none());
    }

    #[tokio::test]
    async fn a_user_who_is_removed_is_out_at_once() {
        let file = users_file(&format!("alice:{}\n", hash_password("a").unwrap()));
        let door = Authenticator::new(&settings(&file), LOOPBACK).unwrap();
        let alice = door.password("alice", "a").await.unwrap();
        assert!(door.still_admits(&alice));

        std::fs::write(file.path(), "alice\n").unwrap();
        std::thread::sleep(RECHECK_AFTER);
        assert!(door.still_admits(&alice), "a broken file changes nothing");

        std::fs::write(file.path(), "# nobody\n").unwrap();
        std::thread::sleep(RECHECK_AFTER);
        assert!(!door.still_admits(&alice));
    }

    #[test]
    fn anonymous_clients_are_refused_on_an_address_others_can_reach() {
        let settings = FlightSettings {
            anonymous: true,
            ..FlightSettings::default()
        };
        let everywhere = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
        assert!(matches!(
            Authenticator::new(&settings, everywhere),
            Err(AuthError::AnonymousOffLoopback(_))
        ));
        let door = Authenticator::new(&settings, LOOPBACK).unwrap();
        assert!(door.anonymous().unwrap().principal.anonymous);
    }

    #[test]
    fn settings_that_admit_nobody_are_refused() {
        assert!(matches!(
            Authenticator::new(&FlightSettings::default(), LOOPBACK),
            Err(AuthError::NobodyAdmitted)
        ));
    }

    #[test]
    fn a_bad_line_is_named_by_its_number_and_never_repeated() {
        let file = users_file("# people\nalice:plain-text-password\n");
        let error = Authenticator::new(&settings(&file), LOOPBACK)
            .err()
            .unwrap()
            .to_string();
        assert!(error.contains("line 2"), "{error}");
        assert!(!error.contains("plain-text-password"), "{error}");
    }

    #[test]
    fn a_short_token_is_refused() {
        assert!(matches!(hash_token("secret"), Err(AuthError::ShortToken)));
    }
}
