//! Which URLs may be fetched: those below an entry of `images.url_allow`.

use std::collections::HashSet;
use std::fmt;
use std::net::IpAddr;

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
/// and a path that goes on where the entry's ends.
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
                LakeError::Invalid(format!("images.url_allow: {entry:?} is no URL: {error}"))
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
            "url_download may not read from {place} ({url}); the setting images.url_allow lists what it may"
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
