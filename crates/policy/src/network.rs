//! The networks an address belongs to, and how much mail may come from each.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A network of one of the three widths.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Network {
    /// The width.
    pub class: NetworkClass,
    ip: IpAddr,
}

/// How wide a network is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum NetworkClass {
    /// One host: IPv4 /32, IPv6 /64.
    Host,
    /// Its neighbours: /26, /48.
    Near,
    /// A provider's block: /21, /32.
    Wide,
}

impl NetworkClass {
    /// The three, narrowest first.
    pub const ALL: [Self; 3] = [Self::Host, Self::Near, Self::Wide];

    /// The bits of the mask for IPv4 and IPv6.
    fn bits(self) -> (u32, u32) {
        match self {
            Self::Host => (32, 64),
            Self::Near => (26, 48),
            Self::Wide => (21, 32),
        }
    }
}

impl Network {
    /// The network of an address. An IPv4 address mapped into IPv6 is taken as the IPv4 address.
    #[must_use]
    pub fn of(ip: IpAddr, class: NetworkClass) -> Self {
        let (v4, v6) = class.bits();
        let ip = match ip.to_canonical() {
            IpAddr::V4(ip) => {
                IpAddr::V4(Ipv4Addr::from_bits(ip.to_bits() & u32::MAX.unbounded_shl(32 - v4)))
            }
            IpAddr::V6(ip) => {
                IpAddr::V6(Ipv6Addr::from_bits(ip.to_bits() & u128::MAX.unbounded_shl(128 - v6)))
            }
        };
        Self { class, ip }
    }

    /// The three networks of an address, narrowest first.
    #[must_use]
    pub fn all_of(ip: IpAddr) -> [Self; 3] {
        NetworkClass::ALL.map(|class| Self::of(ip, class))
    }

    /// The first address of the network.
    #[must_use]
    pub fn first_ip(&self) -> IpAddr {
        self.ip
    }
}

/// With the width: `192.0.2.0/26`.
impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (v4, v6) = self.class.bits();
        let bits = if self.ip.is_ipv4() { v4 } else { v6 };
        write!(f, "{}/{bits}", self.ip)
    }
}

/// How much mail came from a network in some time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Messages.
    pub messages: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// What an account takes from a network in some time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateLimit {
    /// The time, in seconds.
    pub window_secs: i64,
    /// The most messages, the new one included.
    pub messages_max: u64,
    /// The most bytes, the new one included.
    pub bytes_max: u64,
}

const MB: u64 = 1024 * 1024;

/// Limits of a network by class: for a minute, and for a day. Ours.
#[must_use]
pub fn rate_limits(class: NetworkClass) -> [RateLimit; 2] {
    // Each class is given three times what the narrower one has.
    let factor = match class {
        NetworkClass::Host => 1,
        NetworkClass::Near => 3,
        NetworkClass::Wide => 9,
    };
    [
        RateLimit { window_secs: 60, messages_max: 500 * factor, bytes_max: 1_000 * MB * factor },
        RateLimit {
            window_secs: 24 * 3600,
            messages_max: 10_000 * factor,
            bytes_max: 3_000 * MB * factor,
        },
    ]
}

impl RateLimit {
    /// Whether a message of `size_bytes` is more than may come after `traffic`.
    #[must_use]
    pub fn is_exceeded(&self, traffic: Traffic, size_bytes: u64) -> bool {
        traffic.messages >= self.messages_max
            || traffic.bytes.saturating_add(size_bytes) > self.bytes_max
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(ip: &str, want: [&str; 3]) {
        let networks = Network::all_of(ip.parse().unwrap());
        assert_eq!(networks.map(|network| network.to_string()), want);
    }

    #[test]
    fn addresses_belong_to_three_networks() {
        check("192.0.2.201", ["192.0.2.201/32", "192.0.2.192/26", "192.0.0.0/21"]);
        check("::ffff:192.0.2.1", ["192.0.2.1/32", "192.0.2.0/26", "192.0.0.0/21"]);
        check("2001:db8:1:2:3::4", ["2001:db8:1:2::/64", "2001:db8:1::/48", "2001:db8::/32"]);
        check("255.255.255.255", ["255.255.255.255/32", "255.255.255.192/26", "255.255.248.0/21"]);
        check("::", ["::/64", "::/48", "::/32"]);
    }

    #[test]
    fn limits_grow_with_the_class() {
        let table = NetworkClass::ALL.map(rate_limits);
        let figures = table.map(|limits| limits.map(|l| (l.messages_max, l.bytes_max / MB)));
        assert_eq!(
            figures,
            [
                [(500, 1_000), (10_000, 3_000)],
                [(1_500, 3_000), (30_000, 9_000)],
                [(4_500, 9_000), (90_000, 27_000)],
            ]
        );
    }

    #[test]
    fn the_last_message_fits_and_the_next_does_not() {
        let [minute, _] = rate_limits(NetworkClass::Host);
        let traffic = |messages, bytes| Traffic { messages, bytes };
        let cases = [
            (traffic(0, 0), 0, false),
            (traffic(499, 0), 1, false),
            (traffic(0, 0), 1_000 * MB, false),
            (traffic(499, 999 * MB), MB, false),
            (traffic(500, 0), 1, true),
            (traffic(0, 0), 1_000 * MB + 1, true),
            (traffic(1, 999 * MB), MB + 1, true),
            (traffic(u64::MAX, u64::MAX), u64::MAX, true),
        ];
        for (traffic, size_bytes, want) in cases {
            assert_eq!(minute.is_exceeded(traffic, size_bytes), want, "{traffic:?} {size_bytes}");
        }
    }
}
