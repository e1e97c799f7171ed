//! The host that a request is for.

use std::net::{IpAddr, Ipv6Addr};

use hyper::header::{HOST, HeaderMap};
use hyper::{Uri, Version};
use mox_base::Domain;

/// The host of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Host {
    /// A literal address.
    Ip(IpAddr),
    /// A name, be it ours or not.
    Domain(Domain),
    /// None, as HTTP/1.0 allows, or one that can be nobody's name.
    Unknown,
}

/// What a request says where no host can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BadHost;

impl Host {
    /// The host of the target if that names one, else of the field. RFC 9112 §3.2.2, RFC 9113
    /// §8.3.1.
    pub(crate) fn of(uri: &Uri, headers: &HeaderMap, version: Version) -> Result<Self, BadHost> {
        let mut fields = headers.get_all(HOST).iter();
        let field = match (fields.next(), fields.next()) {
            (None, _) => None,
            (Some(field), None) => Some(field.to_str().map_err(|_| BadHost)?),
            // RFC 9112 §3.2: two can be meant for two servers on the way.
            (Some(_), Some(_)) => return Err(BadHost),
        };
        let authority = uri.authority().map(hyper::http::uri::Authority::as_str);
        match (authority, field) {
            (Some(authority), _) => Self::parse(authority),
            (None, Some(field)) => Self::parse(field),
            // RFC 9112 §3.2.
            (None, None) if version == Version::HTTP_11 => Err(BadHost),
            (None, None) => Ok(Self::Unknown),
        }
    }

    /// Parses `uri-host [ ":" port ]`. RFC 9110 §7.2, RFC 3986 §3.2.2.
    ///
    /// What is well-formed but neither an address nor a domain name is [`Host::Unknown`].
    pub(crate) fn parse(text: &str) -> Result<Self, BadHost> {
        let bad = |byte: u8| {
            byte.is_ascii_control() || matches!(byte, b' ' | b'/' | b'@' | b'?' | b'#' | b'\\')
        };
        if text.bytes().any(bad) {
            return Err(BadHost);
        }
        let (host, port) = match text.strip_prefix('[') {
            Some(rest) => {
                let (ip, port) = rest.split_once(']').ok_or(BadHost)?;
                let ip: Ipv6Addr = ip.parse().map_err(|_| BadHost)?;
                (Some(IpAddr::V6(ip)), port)
            }
            None => match text.split_once(':') {
                Some((_, port)) => (None, &text[text.len() - port.len() - 1..]),
                None => (None, ""),
            },
        };
        if !is_port(port) {
            return Err(BadHost);
        }
        if let Some(ip) = host {
            return Ok(Self::Ip(ip.to_canonical()));
        }
        let name = &text[..text.len() - port.len()];
        if let Ok(ip) = name.parse::<IpAddr>() {
            return Ok(Self::Ip(ip));
        }
        Ok(Domain::parse(name).map_or(Self::Unknown, Self::Domain))
    }

    /// The name, if it is one.
    pub(crate) fn domain(&self) -> Option<&Domain> {
        match self {
            Self::Domain(domain) => Some(domain),
            Self::Ip(_) | Self::Unknown => None,
        }
    }

    /// The name without a first label, if it has that label and more.
    pub(crate) fn below(&self, label: &str) -> Option<Domain> {
        let rest = self.domain()?.ascii().strip_prefix(label)?.strip_prefix('.')?;
        Domain::parse(rest).ok()
    }
}

/// `[ ":" *DIGIT ]`: the number may be left out. RFC 3986 §3.2.3.
fn is_port(text: &str) -> bool {
    match text.strip_prefix(':') {
        Some(digits) => digits.len() <= 5 && digits.bytes().all(|byte| byte.is_ascii_digit()),
        None => text.is_empty(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, want: Result<&str, BadHost>) {
        let found = Host::parse(text).map(|host| match host {
            Host::Ip(ip) => format!("ip {ip}"),
            Host::Domain(domain) => domain.unicode().to_owned(),
            Host::Unknown => "unknown".to_owned(),
        });
        assert_eq!(found, want.map(str::to_owned), "{text:?}");
    }

    /// RFC 3986 §3.2.2.
    #[test]
    fn hosts_are_addresses_or_names_with_or_without_port() {
        check("mail.example.org", Ok("mail.example.org"));
        check("Mail.Example.ORG:8443", Ok("mail.example.org"));
        check("localhost", Ok("localhost"));
        check("192.0.2.1:80", Ok("ip 192.0.2.1"));
        check("[2001:db8::1]:443", Ok("ip 2001:db8::1"));
        check("[::ffff:192.0.2.1]", Ok("ip 192.0.2.1"));
        check("xn--bcher-kva.example:443", Ok("bücher.example"));
        // At the edge.
        check("mail.example.org:", Ok("mail.example.org"));
        check("mail.example.org.", Ok("mail.example.org"));
        check("mail.example.org:65535", Ok("mail.example.org"));
        // Well-formed, but nobody's.
        check("", Ok("unknown"));
        check("a..b", Ok("unknown"));
        check("1.2.3", Ok("unknown"));
        check("%41.example", Ok("unknown"));
        // Never valid.
        check("mail.example.org:123456", Err(BadHost));
        check("mail.example.org:x", Err(BadHost));
        check("2001:db8::1", Err(BadHost));
        check("[2001:db8::1", Err(BadHost));
        check("[192.0.2.1]", Err(BadHost));
        check("[::1]x", Err(BadHost));
        check("a b", Err(BadHost));
        check("user@mail.example.org", Err(BadHost));
        check("mail.example.org/x", Err(BadHost));
    }

    #[track_caller]
    fn check_of(uri: &str, fields: &[&str], version: Version, want: Option<&str>) {
        let mut headers = HeaderMap::new();
        for field in fields {
            headers.append(HOST, field.parse().unwrap());
        }
        let found = Host::of(&uri.parse().unwrap(), &headers, version).ok();
        let found = found.map(|host| host.domain().map_or("none", Domain::ascii).to_owned());
        assert_eq!(found.as_deref(), want, "{uri} {fields:?}");
    }

    /// RFC 9112 §3.2 and §3.2.2.
    #[test]
    fn a_request_has_one_host() {
        let (old, v1, v2) = (Version::HTTP_10, Version::HTTP_11, Version::HTTP_2);
        check_of("/x", &["a.example"], v1, Some("a.example"));
        check_of("http://b.example/x", &["a.example"], v1, Some("b.example"));
        check_of("https://b.example/x", &[], v2, Some("b.example"));
        check_of("/x", &[], old, Some("none"));
        check_of("/x", &[], v1, None);
        check_of("/x", &["a.example", "a.example"], v1, None);
        check_of("https://b.example/x", &["a.example", "b.example"], v2, None);
    }

    #[test]
    fn first_labels_are_taken_off() {
        let below = |text, label| {
            Host::parse(text).unwrap().below(label).map(|domain| domain.ascii().to_owned())
        };
        assert_eq!(below("mta-sts.example.org", "mta-sts").as_deref(), Some("example.org"));
        for text in ["mta-sts", "mta-stsx.example.org", "example.org", "192.0.2.1"] {
            assert_eq!(below(text, "mta-sts"), None, "{text}");
        }
    }
}
