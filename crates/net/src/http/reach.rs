//! Which addresses are those of the internet.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Whether an address is one that others on the internet can have: not of this machine, not of a
/// private network, not for many at once, not reserved. RFC 6890, RFC 8190.
///
/// IPv6 addresses that stand for IPv4 ones are judged by those.
#[must_use]
pub fn is_public(ip: IpAddr) -> bool {
    match ip.to_canonical() {
        IpAddr::V4(ip) => is_public_v4(ip),
        IpAddr::V6(ip) => is_public_v6(ip),
    }
}

fn is_public_v4(ip: Ipv4Addr) -> bool {
    let [a, b, c, _] = ip.octets();
    let is_shared = a == 100 && (64..128).contains(&b);
    let is_protocol = (a, b, c) == (192, 0, 0);
    let is_benchmark = a == 198 && (18..20).contains(&b);
    !(a == 0
        || a >= 240
        || ip.is_loopback()
        || ip.is_private()
        || ip.is_link_local()
        || ip.is_multicast()
        || ip.is_documentation()
        || is_shared
        || is_protocol
        || is_benchmark)
}

fn is_public_v6(ip: Ipv6Addr) -> bool {
    let [a, b, c, d, e, f, g, h] = ip.segments();
    let v4 = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        is_public_v4(Ipv4Addr::new(a, b, c, d))
    };
    match (a, b) {
        // NAT64 (RFC 6052 §2.1).
        (0x64, 0xff9b) if (c, d, e, f) == (0, 0, 0, 0) => v4(g, h),
        // 6to4 (RFC 3056 §2).
        (0x2002, _) => v4(b, c),
        // Teredo and other protocols, then documentation.
        (0x2001, 0..0x200 | 0xdb8) | (0x3fff, 0..0x1000) => false,
        // All that is given out so far. RFC 4291 §2.4.
        _ => (0x2000..0x4000).contains(&a),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(ip: &str, want: bool) {
        assert_eq!(is_public(ip.parse().unwrap()), want, "{ip}");
    }

    /// RFC 6890 §2.2.
    #[test]
    fn addresses_of_the_inside_are_not_public() {
        for ip in ["1.1.1.1", "100.63.255.255", "172.32.0.1", "198.20.0.1", "239.0.0.0"] {
            check(ip, !ip.starts_with("239"));
        }
        for ip in ["2606:4700::1111", "2a00::1", "2002:101:101::1", "64:ff9b::1.1.1.1"] {
            check(ip, true);
        }
        for ip in [
            "0.0.0.0",
            "10.1.2.3",
            "100.64.0.1",
            "127.0.0.1",
            "169.254.169.254",
            "172.16.0.1",
            "192.0.0.1",
            "192.0.2.1",
            "192.168.0.1",
            "198.18.0.1",
            "224.0.0.1",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::ffff:10.0.0.1",
            "::10.0.0.1",
            "fe80::1",
            "fc00::1",
            "fd12::1",
            "ff02::1",
            "2001:db8::1",
            "2001::1",
            "2002:a00:1::1",
            "2002:7f00:1::1",
            "64:ff9b::10.0.0.1",
            "64:ff9b:1::1",
            "3fff::1",
            "4000::1",
        ] {
            check(ip, false);
        }
    }
}
