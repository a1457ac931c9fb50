//! URLs as messages show them.

use url::Url;

/// What a message shows of a URL, or of text that was meant to be one: nothing that may hold credentials, so
/// no user, password, query or fragment. The user of an `abfss://` URL is a container, and stays.
pub fn shown_url(text: &str) -> String {
    match Url::parse(text) {
        Ok(mut url) if !url.cannot_be_a_base() => {
            url.set_query(None);
            url.set_fragment(None);
            // A URL without a host has no user to take away.
            let _ = url.set_password(None);
            if url.scheme() != "abfss" {
                let _ = url.set_username("");
            }
            url.into()
        }
        _ => shown_text(text),
    }
}

/// The same where nobody can tell what is host and what is password.
fn shown_text(text: &str) -> String {
    let shown = match (text.find(':'), text.rfind('@')) {
        (Some(colon), Some(at)) if colon < at => format!("{}…{}", &text[..=colon], &text[at..]),
        _ => text.to_owned(),
    };
    let end = shown.find(['?', '#']).unwrap_or(shown.len());
    shown[..end].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_hold_credentials_is_not_shown() {
        for (text, shown) in [
            ("https://h/a.jpg", "https://h/a.jpg"),
            ("https://h:8443/a%20b.jpg", "https://h:8443/a%20b.jpg"),
            ("https://me:secret@h/a.jpg", "https://h/a.jpg"),
            ("https://secret@h/a.jpg", "https://h/a.jpg"),
            ("https://h/a?X-Amz-Signature=secret", "https://h/a"),
            ("https://h/a#secret", "https://h/a"),
            ("s3://me:secret@bucket/a", "s3://bucket/a"),
            ("az://c/a?sv=1&sig=secret", "az://c/a"),
            ("abfss://box:secret@acct/a?secret", "abfss://box@acct/a"),
            ("file:///photos/a@b.jpg?secret", "file:///photos/a@b.jpg"),
            // None of these is a URL with a host.
            ("https://me:secret/x@h/a.jpg", "https:…@h/a.jpg"),
            ("https://me:secret?x@h/a.jpg", "https:…@h/a.jpg"),
            ("me:secret@h/a.jpg", "me:…@h/a.jpg"),
            ("//h/a?secret", "//h/a"),
            ("mailto:a", "mailto:a"),
            ("photos/a@b.jpg", "photos/a@b.jpg"),
            ("no url", "no url"),
        ] {
            assert_eq!(shown_url(text), shown, "{text}");
        }
    }
}
