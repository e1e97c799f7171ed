//! Which addresses a machine has.

use std::collections::BTreeMap;
use std::io;
use std::net::IpAddr;

use nix::ifaddrs::getifaddrs;
use nix::net::if_::InterfaceFlags;

/// Interfaces that are looked at. Ours: hosts of containers have hundreds, and no more.
pub const INTERFACES_MAX: usize = 4_096;

/// A network interface.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Interface {
    /// Its name, such as eth0.
    pub name: String,
    /// Whether it is in use.
    pub is_up: bool,
    /// Its addresses.
    pub ips: Vec<IpAddr>,
}

/// The addresses of a machine by what they are good for. Sorted, each once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InterfaceAddresses {
    /// Of interfaces with only such addresses: others on the internet can have a connection to them.
    pub public: Vec<IpAddr>,
    /// Of networks like those at home and in offices, and the public ones beside them.
    pub private: Vec<IpAddr>,
    /// Only for this machine.
    pub loopback: Vec<IpAddr>,
}

impl InterfaceAddresses {
    /// Whether an interface has the address.
    #[must_use]
    pub fn contains(&self, ip: IpAddr) -> bool {
        [&self.public, &self.private, &self.loopback].into_iter().any(|ips| ips.contains(&ip))
    }
}

/// Sorts the addresses of interfaces by what they are good for.
///
/// Interfaces that are down do not count, nor do multicast and link-local addresses. An interface
/// with a private or loopback address is one of the inside, with all its addresses.
#[must_use]
pub fn interfaces(all: &[Interface]) -> InterfaceAddresses {
    let mut sorted = InterfaceAddresses::default();
    for interface in all.iter().take(INTERFACES_MAX).filter(|interface| interface.is_up) {
        let usable = || interface.ips.iter().map(IpAddr::to_canonical).filter(|ip| is_usable(*ip));
        let is_inside = usable().any(|ip| ip.is_loopback() || is_private(ip));
        for ip in usable() {
            let to = match (ip.is_loopback(), is_inside) {
                (true, _) => &mut sorted.loopback,
                (false, true) => &mut sorted.private,
                (false, false) => &mut sorted.public,
            };
            to.push(ip);
        }
    }
    for ips in [&mut sorted.public, &mut sorted.private, &mut sorted.loopback] {
        ips.sort_unstable();
        ips.dedup();
    }
    sorted
}

fn is_usable(ip: IpAddr) -> bool {
    let is_link_local = match ip {
        IpAddr::V4(ip) => ip.is_link_local() || ip.is_broadcast(),
        IpAddr::V6(ip) => ip.is_unicast_link_local(),
    };
    !ip.is_multicast() && !ip.is_unspecified() && !is_link_local
}

/// Whether an address is one of a private network: RFC 1918 §3, RFC 4193 §3, or the side of a
/// provider's address translation (RFC 6598 §4).
pub(super) fn is_private(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => {
            let [a, b, ..] = ip.octets();
            ip.is_private() || (a == 100 && (64..128).contains(&b))
        }
        IpAddr::V6(ip) => ip.is_unique_local(),
    }
}

/// Asks the system for its interfaces. May block for a moment.
///
/// # Errors
///
/// If the system does not tell.
pub fn system_interfaces() -> io::Result<Vec<Interface>> {
    let mut all: BTreeMap<String, Interface> = BTreeMap::new();
    for entry in getifaddrs()? {
        if all.len() >= INTERFACES_MAX && !all.contains_key(&entry.interface_name) {
            continue;
        }
        let interface = all.entry(entry.interface_name.clone()).or_default();
        interface.name = entry.interface_name;
        interface.is_up = entry.flags.contains(InterfaceFlags::IFF_UP);
        let Some(address) = entry.address else { continue };
        if let Some(v4) = address.as_sockaddr_in() {
            interface.ips.push(v4.ip().into());
        } else if let Some(v6) = address.as_sockaddr_in6() {
            interface.ips.push(v6.ip().into());
        }
    }
    Ok(all.into_values().collect())
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    #[track_caller]
    fn check(all: &[(bool, &[&str])], want: [&[&str]; 3]) {
        let parsed =
            |ips: &[&str]| ips.iter().map(|ip| ip.parse().unwrap()).collect::<Vec<IpAddr>>();
        let all: Vec<_> = all
            .iter()
            .map(|(is_up, ips)| Interface { name: "if".into(), is_up: *is_up, ips: parsed(ips) })
            .collect();
        let [public, private, loopback] = want.map(parsed);
        assert_eq!(interfaces(&all), InterfaceAddresses { public, private, loopback }, "{all:?}");
    }

    #[test]
    fn addresses_are_sorted_by_use() {
        // A rented server.
        check(
            &[(true, &["127.0.0.1", "::1"]), (true, &["8.8.4.4", "2a00::1", "fe80::1"])],
            [&["8.8.4.4", "2a00::1"], &[], &["127.0.0.1", "::1"]],
        );
        // At home: the IPv6 address is one of the internet, the interface is of the inside.
        check(&[(true, &["192.168.1.2", "2a00::1"])], [&[], &["192.168.1.2", "2a00::1"], &[]]);
        // Two networks.
        check(&[(true, &["10.0.0.1"]), (true, &["8.8.4.4"])], [&["8.8.4.4"], &["10.0.0.1"], &[]]);
        // Edges.
        check(
            &[(true, &["100.64.0.1"]), (true, &["100.128.0.1"])],
            [&["100.128.0.1"], &["100.64.0.1"], &[]],
        );
        check(
            &[(true, &["fd00::1"]), (true, &["8.8.4.4", "8.8.4.4"])],
            [&["8.8.4.4"], &["fd00::1"], &[]],
        );
        check(&[(true, &["::ffff:10.0.0.1"])], [&[], &["10.0.0.1"], &[]]);
        // What does not count.
        check(
            &[(false, &["8.8.4.4"]), (true, &["224.0.0.1", "169.254.1.1", "ff02::1"])],
            [&[], &[], &[]],
        );
        check(&[], [&[], &[], &[]]);
    }

    #[test]
    fn the_system_tells_its_loopback_address() {
        let all = system_interfaces().unwrap();
        assert!(all.iter().any(|one| one.ips.contains(&Ipv4Addr::LOCALHOST.into())), "{all:?}");
    }
}
