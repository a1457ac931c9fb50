//! Which URLs may be fetched: those below an entry of `images.url_allow`.

use std::collections::HashSet;
use std::fmt;
use std::net::IpAddr;

use percent_encoding::percent_decode_str;
use shoal_config::shown_url;
use url::{Host, Url};

use crate::error::{LakeError, Result};

/// A URL or address that the settings do not allow.
#[derive(Debug, Clone)]
pub(super) struct Refused(String);

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Refused {}

/// The entries of `images.url_allow`. An entry allows its URL and all below it: same scheme, host and port,
/// and a path that goes on where the entry's ends and does not lead up again, however a server decodes it.
#[derive(Debug)]
pub(super) struct AllowList {
    entries: Vec<Url>,
    addresses: HashSet<IpAddr>,
}

impl AllowList {
    /// # Errors
    /// When an entry is no URL.
    pub(super) fn new(entries: &[String]) -> Result<Self> {
        let entries = entries.iter().map(|entry| {
            Url::parse(entry).map_err(|error| {
                LakeError::Invalid(format!(
                    "images.url_allow: {:?} is no URL: {error}",
                    shown_url(entry)
                ))
            })
        });
        let entries = entries.collect::<Result<Vec<Url>>>()?;
        let addresses = entries.iter().filter_map(address).collect();
        Ok(AllowList { entries, addresses })
    }

    /// # Errors
    /// When no entry allows the URL.
    pub(super) fn check(&self, url: &Url) -> std::result::Result<(), Refused> {
        if self.entries.iter().any(|entry| allows(entry, url)) {
            return Ok(());
        }
        let place = match url.host_str() {
            Some(host) => format!("{}://{host}", url.scheme()),
            None => format!("{}://", url.scheme()),
        };
        Err(Refused(format!(
            "url_download may not read from {place} ({}); the setting images.url_allow lists what it may",
            shown_url(url.as_str())
        )))
    }

    /// # Errors
    /// When `address`, which the host of an allowed URL has, is private and not the host of an entry.
    pub(super) fn check_address(
        &self,
        host: &str,
        address: IpAddr,
    ) -> std::result::Result<(), Refused> {
        if super::address::is_public(address) || self.addresses.contains(&address) {
            return Ok(());
        }
        Err(Refused(format!(
            "url_download may not read from {host}: its address {address} is private; if that is meant, \
             add the address to the setting images.url_allow, as in http://{address}/"
        )))
    }
}

fn address(url: &Url) -> Option<IpAddr> {
    match url.host()? {
        Host::Ipv4(address) => Some(address.into()),
        Host::Ipv6(address) => Some(address.into()),
        Host::Domain(_) => None,
    }
}

fn allows(entry: &Url, url: &Url) -> bool {
    let same_place = entry.scheme() == url.scheme()
        && entry.host() == url.host()
        && entry.port_or_known_default() == url.port_or_known_default();
    let rest = url.path().strip_prefix(entry.path());
    same_place
        && rest.is_some_and(|rest| {
            rest.is_empty() || entry.path().ends_with('/') || rest.starts_with('/')
        })
        && !leads_up(url.path())
}

/// A path that is still encoded after so many rounds is nobody's: it is not looked into, and refused.
const MOST_DECODED: usize = 8;

/// Whether a server may take the path for one with `..` in it. [`Url`] has taken away those that every server
/// sees, plain or as `%2e`. The rest depends: one decodes `%2f` before it looks for `..`, a proxy before it may
/// have decoded once already, others take `\` for a slash, or cut parameters off as in `..;x`.
fn leads_up(path: &str) -> bool {
    let mut path = path.to_owned();
    for _ in 0..MOST_DECODED {
        let decoded = percent_decode_str(&path).decode_utf8_lossy().into_owned();
        if decoded == path {
            return path
                .split(['/', '\\'])
                .any(|part| part.split(';').next() == Some(".."));
        }
        path = decoded;
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed(entries: &[&str], url: &str) -> bool {
        let entries: Vec<String> = entries.iter().map(ToString::to_string).collect();
        let list = AllowList::new(&entries).unwrap();
        list.check(&Url::parse(url).unwrap()).is_ok()
    }

    #[test]
    fn an_entry_allows_what_lies_below_it_and_nothing_else() {
        let entries = [
            "https://images.example.com/",
            "http://b.org:8080/pub",
            "file:///photos/",
        ];
        for url in [
            "https://images.example.com/a/b.jpg?size=1",
            "https://images.example.com:443/",
            "https://IMAGES.example.com/x",
            "http://b.org:8080/pub",
            "http://b.org:8080/pub/x.png",
            "file:///photos/x.png",
            "http://b.org:8080/pub/o/images%2Fcat..jpg",
            "http://b.org:8080/pub/50%25/..x/a;b.png?next=../c",
        ] {
            assert!(allowed(&entries, url), "{url}");
        }
        for url in [
            "http://images.example.com/a.jpg",
            "https://images.example.com.evil.org/",
            "https://images.example.com@evil.org/",
            "https://images.example.com:444/",
            "https://example.com/",
            "http://b.org:8080/public/x.png",
            "http://b.org:8080/pub/../secret",
            "http://b.org:8080/pub/%2e%2e/secret",
            "file:///photos/../etc/passwd",
            "file:///etc/passwd",
            // What some servers decode before they look for dots.
            "http://b.org:8080/pub/..%2fsecret",
            "http://b.org:8080/pub/x%2F..%2F..%2Fsecret",
            "http://b.org:8080/pub/%2e%2e%2fsecret",
            "http://b.org:8080/pub/..%5csecret",
            "http://b.org:8080/pub/..\\secret",
            "http://b.org:8080/pub/%252e%252e%252fsecret",
            "http://b.org:8080/pub/..;x=1/secret",
            "http://b.org:8080/pub/%25252525252525252e.",
            "file:///photos/..%2fetc/passwd",
        ] {
            assert!(!allowed(&entries, url), "{url}");
        }
        assert!(!allowed(&[], "https://images.example.com/"));
    }

    #[test]
    fn a_private_address_is_allowed_only_by_itself() {
        let list =
            AllowList::new(&["http://intern/".into(), "http://10.0.0.7:9000/".into()]).unwrap();
        assert!(
            list.check_address("intern", "10.0.0.7".parse().unwrap())
                .is_ok()
        );
        assert!(
            list.check_address("intern", "93.184.215.14".parse().unwrap())
                .is_ok()
        );
        let message = list
            .check_address("intern", "10.0.0.8".parse().unwrap())
            .unwrap_err()
            .to_string();
        assert!(
            message.contains("10.0.0.8 is private") && message.contains("images.url_allow"),
            "{message}"
        );
    }

    #[test]
    fn a_refusal_names_the_file_and_no_credentials() {
        let list = AllowList::new(&["https://h/ok/".into()]).unwrap();
        let url = Url::parse("https://me:secret@h/a.jpg?X-Amz-Signature=secret").unwrap();
        let message = list.check(&url).unwrap_err().to_string();
        assert!(message.contains("(https://h/a.jpg)"), "{message}");
        assert!(!message.contains("secret"), "{message}");
    }

    #[test]
    fn an_entry_that_is_no_url_is_named() {
        let message = AllowList::new(&["example.com".into()])
            .unwrap_err()
            .to_string();
        assert!(
            message.contains("images.url_allow") && message.contains("example.com"),
            "{message}"
        );
    }
}
