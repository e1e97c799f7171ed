//! For whom a proxy asks.

use std::net::IpAddr;

use hyper::header::{HeaderMap, HeaderName};
use mox_net::http::is_public;

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// The most addresses of a request that are looked at, from the end.
const ADDRESSES_MAX: usize = 20;

/// The address of the client, as our proxies tell it: the last public one, else the last of all.
///
/// Deviation: the original takes the first. Each proxy adds the address that it was connected from to
/// what was there, so the first is whatever a client likes to say, and with another one in each
/// request no limit would hold. Addresses of the inside at the end are those of further proxies.
pub(crate) fn client_ip(headers: &HeaderMap) -> Option<IpAddr> {
    let fields: Vec<_> = headers.get_all(&FORWARDED_FOR).iter().collect();
    let entries = fields.iter().rev().flat_map(|field| {
        let text = field.to_str().unwrap_or_default();
        text.rsplit(',').map(str::trim)
    });
    let mut last = None;
    for entry in entries.take(ADDRESSES_MAX) {
        // What our proxy did not understand it would not pass on: nothing before this is believed.
        let Some(ip) = parse(entry) else { break };
        if is_public(ip) {
            return Some(ip);
        }
        last.get_or_insert(ip);
    }
    last
}

/// An address, also with a port or in brackets as some proxies write them.
fn parse(entry: &str) -> Option<IpAddr> {
    if let Ok(ip) = entry.parse::<IpAddr>() {
        return Some(ip.to_canonical());
    }
    if let Ok(addr) = entry.parse::<std::net::SocketAddr>() {
        return Some(addr.ip().to_canonical());
    }
    let inner = entry.strip_prefix('[')?.strip_suffix(']')?;
    inner.parse().map(|ip: IpAddr| ip.to_canonical()).ok()
}

/// Whether the client speaks HTTPS with the proxy.
pub(crate) fn is_https(headers: &HeaderMap) -> bool {
    headers.get(&FORWARDED_PROTO).is_some_and(|proto| proto.as_bytes() == b"https")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(fields: &[&str], want: Option<&str>) {
        let mut headers = HeaderMap::new();
        for field in fields {
            headers.append(FORWARDED_FOR, field.parse().unwrap());
        }
        let want = want.map(|ip| ip.parse().unwrap());
        assert_eq!(client_ip(&headers), want, "{fields:?}");
    }

    #[test]
    fn what_our_own_proxy_added_counts() {
        check(&["1.2.3.4"], Some("1.2.3.4"));
        check(&["2606:4700::1"], Some("2606:4700::1"));
        check(&["1.2.3.4:5678"], Some("1.2.3.4"));
        check(&["[2606:4700::1]:5678"], Some("2606:4700::1"));
        check(&["[2606:4700::1]"], Some("2606:4700::1"));
        check(&["::ffff:1.2.3.4"], Some("1.2.3.4"));
        // Attack: the first is the client's own invention.
        check(&["9.9.9.9, 1.2.3.4"], Some("1.2.3.4"));
        check(&["9.9.9.9", "1.2.3.4"], Some("1.2.3.4"));
        // A second proxy of ours.
        check(&["9.9.9.9, 1.2.3.4, 10.0.0.1"], Some("1.2.3.4"));
        // All of the inside.
        check(&["10.0.0.2, 10.0.0.1"], Some("10.0.0.1"));
        check(&["1.2.3.4, unknown"], None);
        check(&["1.2.3.4, unknown, 10.0.0.1"], Some("10.0.0.1"));
        check(&[], None);
        check(&[""], None);
        check(&["1.2.3.4,"], None);
    }

    #[test]
    fn the_protocol_is_told_by_the_proxy() {
        let mut headers = HeaderMap::new();
        assert!(!is_https(&headers));
        headers.insert(FORWARDED_PROTO, "http".parse().unwrap());
        assert!(!is_https(&headers));
        headers.insert(FORWARDED_PROTO, "https".parse().unwrap());
        assert!(is_https(&headers));
    }
}
