//! URLs of HTTP. RFC 9110 §4.2, RFC 3986.

use std::fmt;
use std::net::IpAddr;

use hyper::Uri;
use mox_base::Domain;

/// The longest URL that is taken, in bytes.
pub const URL_BYTES_MAX: usize = 4_096;

/// A URL with scheme `http` or `https`, without user name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Url {
    is_https: bool,
    host: UrlHost,
    port: u16,
    /// Path and query; starts with a slash.
    target: String,
}

/// Where the server is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum UrlHost {
    Domain(Domain),
    /// `localhost` is this machine, whatever DNS says. RFC 6761 §6.3.
    Local,
    Ip(IpAddr),
}

impl Url {
    /// Parses a URL; `None` if it is none of HTTP, or has a user name in it.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if text.len() > URL_BYTES_MAX {
            return None;
        }
        let uri: Uri = text.parse().ok()?;
        let is_https = match uri.scheme_str()? {
            "https" => true,
            "http" => false,
            _ => return None,
        };
        let authority = uri.authority()?;
        if authority.as_str().contains('@') {
            return None;
        }
        let host = host(authority.host())?;
        let port = match authority.as_str().strip_prefix(authority.host())? {
            "" => default_port(is_https),
            port => port.strip_prefix(':')?.parse().ok().filter(|port| *port > 0)?,
        };
        let target = uri.path_and_query().map_or("/", |target| target.as_str());
        let target = if target.starts_with('/') { target.to_owned() } else { format!("/{target}") };
        Some(Self { is_https, host, port, target })
    }

    /// The URL of a file on the server of a domain, by HTTPS.
    #[must_use]
    pub fn https(domain: &Domain, path: &str) -> Option<Self> {
        Self::parse(&format!("https://{}{path}", domain.ascii()))
    }

    /// What `Location` means at this URL. RFC 3986 §5.2; of relative ones those that start with a
    /// slash are understood.
    pub(super) fn join(&self, location: &str) -> Option<Self> {
        let scheme = if self.is_https { "https" } else { "http" };
        if let Some(rest) = location.strip_prefix("//") {
            return Self::parse(&format!("{scheme}://{rest}"));
        }
        if location.starts_with('/') {
            return Self::parse(&format!("{scheme}://{}{location}", self.host_field()));
        }
        Self::parse(location)
    }

    pub(super) fn is_https(&self) -> bool {
        self.is_https
    }

    pub(super) fn is_same_server(&self, other: &Self) -> bool {
        (self.is_https, &self.host, self.port) == (other.is_https, &other.host, other.port)
    }

    pub(super) fn host(&self) -> &UrlHost {
        &self.host
    }

    pub(super) fn port(&self) -> u16 {
        self.port
    }

    pub(super) fn target(&self) -> &str {
        &self.target
    }

    /// The value of `Host`. RFC 9110 §7.2.
    pub(super) fn host_field(&self) -> String {
        match self.port {
            port if port == default_port(self.is_https) => self.host.to_string(),
            port => format!("{}:{port}", self.host),
        }
    }
}

impl fmt::Display for UrlHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Domain(domain) => f.write_str(domain.ascii()),
            Self::Local => f.write_str("localhost"),
            Self::Ip(IpAddr::V4(ip)) => ip.fmt(f),
            Self::Ip(IpAddr::V6(ip)) => write!(f, "[{ip}]"),
        }
    }
}

/// Without the query, which may hold secrets: for logs.
impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.is_https { "https" } else { "http" };
        let path = self.target.split('?').next().unwrap_or_default();
        write!(f, "{scheme}://{}{path}", self.host_field())
    }
}

fn default_port(is_https: bool) -> u16 {
    if is_https { 443 } else { 80 }
}

fn host(text: &str) -> Option<UrlHost> {
    if let Some(ip) = text.strip_prefix('[') {
        return ip.strip_suffix(']')?.parse().ok().map(IpAddr::V6).map(UrlHost::Ip);
    }
    if let Ok(ip) = text.parse() {
        return Some(UrlHost::Ip(IpAddr::V4(ip)));
    }
    if text.eq_ignore_ascii_case("localhost") {
        return Some(UrlHost::Local);
    }
    Domain::parse(text).ok().map(UrlHost::Domain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, want: Option<(&str, u16, &str)>) {
        let url = Url::parse(text);
        let got = url.as_ref().map(|url| (url.host.to_string(), url.port, url.target()));
        let got = got.as_ref().map(|(host, port, target)| (host.as_str(), *port, *target));
        assert_eq!(got, want, "{text}");
    }

    /// RFC 9110 §4.2.
    #[test]
    fn urls_of_http_are_parsed() {
        check("https://a.example", Some(("a.example", 443, "/")));
        check("http://A.example:8080/b?c=d#e", Some(("a.example", 8080, "/b?c=d")));
        check("http://localhost/x", Some(("localhost", 80, "/x")));
        check("http://127.0.0.1?x", Some(("127.0.0.1", 80, "/?x")));
        check("https://[2001:db8::1]:1/", Some(("[2001:db8::1]", 1, "/")));
        check(&format!("http://a.example/{}", "a".repeat(URL_BYTES_MAX)), None);
        check("ftp://a.example/", None);
        check("https://user:secret@a.example/", None);
        check("https://a.example:0/", None);
        check("https://a.example:65536/", None);
        check("https://a b/", None);
        check("a.example/", None);
        check("/x", None);
        check("https://", None);
        check("", None);
    }

    #[track_caller]
    fn check_join(location: &str, want: Option<&str>) {
        let base = Url::parse("https://a.example:8443/b?c").unwrap();
        assert_eq!(base.join(location).map(|url| url.to_string()).as_deref(), want, "{location}");
    }

    /// RFC 3986 §5.4.
    #[test]
    fn redirects_are_resolved() {
        check_join("https://b.example/x", Some("https://b.example/x"));
        check_join("//b.example/x?secret", Some("https://b.example/x"));
        check_join("/x", Some("https://a.example:8443/x"));
        check_join("x", None);
        check_join("javascript:x", None);
    }
}
