//! Where links lead: the hosts in URLs, as words.

use std::net::Ipv4Addr;

use crate::text::WORD_BYTES_MAX;
use crate::words::Words;

/// The longest name of a host that is looked at, in bytes. RFC 1035 §2.3.4.
const HOST_BYTES_MAX: usize = 253;

/// How many labels of a host are learnt together at most; and all of them, if the name is short.
const LABELS_MAX: usize = 4;

/// The most words of the path of one link.
const PATH_WORDS_MAX: usize = 8;

/// Finds the link in a text without blanks. Returns what is before it and its part from the host
/// on.
pub(crate) fn find_link(run: &str) -> Option<(&str, &str)> {
    // Looked for by bytes first: most texts have neither.
    if run.contains(':')
        && let Some((before, link)) = run.split_once("://")
    {
        let is_scheme = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.');
        return Some((before.trim_end_matches(is_scheme), link));
    }
    let at = (0..4).find(|at| run.get(*at..).is_some_and(|rest| rest.starts_with("www.")))?;
    run.split_at_checked(at)
}

/// The host of a link without its scheme; `None` if it has none that could be one.
pub(crate) fn host_of(link: &str) -> Option<&str> {
    let end = link.find(['/', '?', '#', '\\', '"', '<', '>', ')', ']', '\'']);
    let authority = link.get(..end.unwrap_or(link.len()))?;
    let host = authority.rsplit('@').next()?.split(':').next()?;
    let host = host.trim_end_matches(['.', ',', ';', '!']);
    let is_part = |c: char| c.is_alphanumeric() || matches!(c, '.' | '-' | '_');
    let is_host = host.contains('.') && host.len() <= HOST_BYTES_MAX && host.chars().all(is_part);
    is_host.then_some(host)
}

/// Adds what a link says: its host, and the words of its path. RFC 3986 §3.2.
pub(crate) fn add_link(link: &str, words: &mut Words) {
    let Some(host) = host_of(link) else { return };
    let authority = link.split(['/', '?', '#']).next().unwrap_or_default();
    if authority.contains('@') {
        // The attack: a well-known name where browsers expect that of a user.
        words.add_header("url:userinfo");
    }
    if host.parse::<Ipv4Addr>().is_ok() {
        words.add_header("url:address");
    } else {
        add_domain("url:", host, words);
        if let Some((_, last)) = host.rsplit_once('.') {
            words.add_header(&format!("url:.{}", last.to_lowercase()));
        }
    }
    let path = link.get(authority.len()..).unwrap_or_default();
    let parts = path.split(|c: char| !c.is_alphabetic());
    for part in parts.filter(|part| (4..=WORD_BYTES_MAX).contains(&part.len())).take(PATH_WORDS_MAX)
    {
        words.add_header(&format!("url:/{}", part.to_lowercase()));
    }
}

/// Adds a domain and those above it, but for the top-level one.
pub(crate) fn add_domain(prefix: &str, domain: &str, words: &mut Words) {
    let is_part = |c: char| c.is_alphanumeric() || matches!(c, '.' | '-' | '_');
    let end = domain.find(|c| !is_part(c)).unwrap_or(domain.len());
    let domain = domain.get(..end).unwrap_or_default().trim_matches('.');
    if domain.len() > HOST_BYTES_MAX {
        return;
    }
    let domain = domain.to_lowercase();
    let dots = domain.rmatch_indices('.').skip(1).map(|(at, _)| at + 1);
    for from in dots.take(LABELS_MAX - 1) {
        words.add_header(&format!("{prefix}{}", domain.get(from..).unwrap_or_default()));
    }
    if domain.contains('.') && domain.len() <= WORD_BYTES_MAX {
        words.add_header(&format!("{prefix}{domain}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(link: &str, want: &[&str]) {
        let mut words = Words::default();
        if let Some((_, link)) = find_link(link) {
            add_link(link, &mut words);
        }
        let mut got: Vec<_> = words.sorted().iter().map(|word| word.text.to_owned()).collect();
        got.sort_unstable();
        assert_eq!(got, want, "{link:?}");
    }

    /// RFC 3986 §3.2.
    #[test]
    fn links_are_known_by_their_hosts() {
        // Valid.
        check(
            "https://Shop.Example.COM/",
            &["url:.com", "url:example.com", "url:shop.example.com"],
        );
        check("(http://a.example:8080/Offer", &["url:.example", "url:/offer", "url:a.example"]);
        check("www.a.example", &["url:.example", "url:a.example", "url:www.a.example"]);
        check("http://192.0.2.1/x", &["url:address"]);
        check("http://bank.example@b.test/", &["url:.test", "url:b.test", "url:userinfo"]);
        check("ftp://café.example.", &["url:.example", "url:café.example"]);
        // At the edge: five labels.
        let five = ["url:.e", "url:a.b.c.d.e", "url:b.c.d.e", "url:c.d.e", "url:d.e"];
        check("http://a.b.c.d.e", &five);
        // Just past it: the whole name is too long for a word.
        let long = "x".repeat(WORD_BYTES_MAX);
        check(
            &format!("http://{long}.a.e/"),
            &["url:.e", "url:a.e", &format!("url:{long}.a.e")][..2],
        );
        // Never links.
        check("http://", &[]);
        check("http://localhost/", &[]);
        check("://!!", &[]);
        check(&format!("http://{}.e", "x".repeat(300)), &[]);
    }
}
