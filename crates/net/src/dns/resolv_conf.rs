//! Which servers are asked: the file `resolv.conf` of the system.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::time::Duration;

/// Servers that are asked at most; those after them in the file are left out, as the system's own
/// resolver does.
pub const SERVERS_MAX: usize = 3;

/// How often each server is asked at most, whatever the file says.
pub const ATTEMPTS_MAX: u32 = 5;

/// How long an answer is waited for at most, whatever the file says.
pub const TIMEOUT_MAX: Duration = Duration::from_secs(30);

/// How long an answer is waited for if the file does not say.
const TIMEOUT_DEFAULT: Duration = Duration::from_secs(5);

/// How often each server is asked if the file does not say.
const ATTEMPTS_DEFAULT: u32 = 2;

/// The port of DNS. RFC 1035 §4.2.
const PORT: u16 = 53;

/// Where questions are sent, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResolvConf {
    /// The servers, the preferred one first.
    pub servers: Vec<SocketAddr>,
    /// How long one answer of one server is waited for.
    pub timeout: Duration,
    /// How often each server is asked.
    pub attempts: u32,
    /// Whether the servers, and the way to them, may be trusted to have validated what they say
    /// they have. Servers on this machine are trusted without it.
    pub trust_ad: bool,
    /// Whether questions go by TCP only.
    pub tcp_only: bool,
}

impl Default for ResolvConf {
    /// What holds where there is no file: a server on this machine.
    fn default() -> Self {
        Self::parse("", |_| None)
    }
}

impl ResolvConf {
    /// Reads the file: `nameserver`, and of `options` `timeout`, `attempts`, `trust-ad` and `use-vc`.
    ///
    /// All else is ignored: names that are looked up here are absolute, so that there is nothing to
    /// search, and EDNS is used whether or not `edns0` asks for it. What cannot be read is ignored
    /// too, so that a new option does not stop the mail.
    ///
    /// - `index`: the number of a network interface, by its name: addresses that hold on one link only
    ///   come with either. RFC 4007 §11.2.
    #[must_use]
    pub fn parse(text: &str, index: impl Fn(&str) -> Option<u32>) -> Self {
        let mut conf = Self {
            servers: Vec::new(),
            timeout: TIMEOUT_DEFAULT,
            attempts: ATTEMPTS_DEFAULT,
            trust_ad: false,
            tcp_only: false,
        };
        for line in text.lines() {
            let mut words = line.split_ascii_whitespace();
            match words.next() {
                Some("nameserver") if conf.servers.len() < SERVERS_MAX => {
                    conf.servers.extend(words.next().and_then(|text| server(text, &index)));
                }
                Some("options") => words.for_each(|option| conf.set(option)),
                _ => {}
            }
        }
        if conf.servers.is_empty() {
            conf.servers.push(SocketAddr::new(Ipv4Addr::LOCALHOST.into(), PORT));
        }
        conf
    }

    fn set(&mut self, option: &str) {
        match option.split_once(':') {
            Some(("timeout", secs)) => {
                let secs = secs.parse().map(Duration::from_secs);
                self.timeout =
                    secs.map_or(self.timeout, |t| t.clamp(Duration::from_secs(1), TIMEOUT_MAX));
            }
            Some(("attempts", times)) => {
                self.attempts =
                    times.parse().map_or(self.attempts, |n: u32| n.clamp(1, ATTEMPTS_MAX));
            }
            None if option == "trust-ad" => self.trust_ad = true,
            None if option == "use-vc" => self.tcp_only = true,
            _ => {}
        }
    }

    /// Whether a server is believed that it has validated an answer: one on this machine, or any if
    /// the file says so. RFC 6840 §5.8, RFC 4035 §4.9.3.
    #[must_use]
    pub fn trusts(&self, server: SocketAddr) -> bool {
        self.trust_ad || server.ip().to_canonical().is_loopback()
    }

    /// The same with only the servers that are trusted, if there are any.
    #[must_use]
    pub fn trusted(mut self) -> Option<Self> {
        let trust_ad = self.trust_ad;
        self.servers.retain(|server| trust_ad || server.ip().to_canonical().is_loopback());
        (!self.servers.is_empty()).then_some(self)
    }
}

/// An address of a `nameserver` line. An IPv6 address may have a zone.
fn server(text: &str, index: &impl Fn(&str) -> Option<u32>) -> Option<SocketAddr> {
    if let Some((ip, zone)) = text.split_once('%') {
        let ip: Ipv6Addr = ip.parse().ok()?;
        let zone = zone.parse().ok().or_else(|| index(zone))?;
        return Some(SocketAddrV6::new(ip, PORT, 0, zone).into());
    }
    let ip: IpAddr = text.parse().ok()?;
    Some(SocketAddr::new(ip, PORT))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn index(name: &str) -> Option<u32> {
        (name == "eth0").then_some(7)
    }

    #[track_caller]
    fn check(text: &str, servers: &[&str], timeout_secs: u64, attempts: u32, flags: &str) {
        let conf = ResolvConf::parse(text, index);
        let found: Vec<_> = conf.servers.iter().map(ToString::to_string).collect();
        assert_eq!(found, servers, "{text:?}");
        assert_eq!(conf.timeout, Duration::from_secs(timeout_secs), "{text:?}");
        assert_eq!(conf.attempts, attempts, "{text:?}");
        let trust = if conf.trust_ad { "trust" } else { "" };
        let tcp = if conf.tcp_only { "tcp" } else { "" };
        assert_eq!(format!("{trust}{tcp}"), flags, "{text:?}");
    }

    #[test]
    fn the_file_is_read_leniently() {
        // Valid.
        check("nameserver 192.0.2.1\n", &["192.0.2.1:53"], 5, 2, "");
        check("nameserver ::1\nsearch a.example\n", &["[::1]:53"], 5, 2, "");
        check("nameserver fe80::1%eth0\n", &["[fe80::1%7]:53"], 5, 2, "");
        check("nameserver fe80::1%2\n", &["[fe80::1%2]:53"], 5, 2, "");
        let text = "# x\n; y\noptions timeout:3 attempts:4 edns0 trust-ad\noptions use-vc\n\
                    nameserver 127.0.0.53\n\tnameserver\t192.0.2.2 # second\r\n";
        check(text, &["127.0.0.53:53", "192.0.2.2:53"], 3, 4, "trusttcp");
        // At the edge.
        check("", &["127.0.0.1:53"], 5, 2, "");
        check("options timeout:30 attempts:5", &["127.0.0.1:53"], 30, 5, "");
        // Just past it.
        check("options timeout:31 attempts:6", &["127.0.0.1:53"], 30, 5, "");
        check("options timeout:0 attempts:0", &["127.0.0.1:53"], 1, 1, "");
        let four = "nameserver ::1\nnameserver ::2\nnameserver ::3\nnameserver ::4\n";
        check(four, &["[::1]:53", "[::2]:53", "[::3]:53"], 5, 2, "");
        // Never valid.
        check("nameserver\nnameserver x\nnameserver fe80::1%eth1", &["127.0.0.1:53"], 5, 2, "");
        check("options timeout:x attempts: timeout trust-ad:1", &["127.0.0.1:53"], 5, 2, "");
        check("#nameserver ::1\nname server ::1", &["127.0.0.1:53"], 5, 2, "");
    }

    #[track_caller]
    fn check_trust(text: &str, want: &[&str]) {
        let trusted = ResolvConf::parse(text, index).trusted().map(|conf| conf.servers);
        let found: Vec<_> = trusted.into_iter().flatten().map(|one| one.ip().to_string()).collect();
        assert_eq!(found, want, "{text}");
    }

    /// RFC 6840 §5.8.
    #[test]
    fn servers_elsewhere_are_trusted_only_if_the_file_says_so() {
        check_trust("nameserver 127.0.0.53\nnameserver 192.0.2.1", &["127.0.0.53"]);
        check_trust("nameserver ::1", &["::1"]);
        check_trust("nameserver ::ffff:127.0.0.1", &["::ffff:127.0.0.1"]);
        check_trust("nameserver 192.0.2.1\noptions trust-ad", &["192.0.2.1"]);
        check_trust("nameserver 192.0.2.1", &[]);
    }

    proptest! {
        #[test]
        fn any_text_gives_bounded_values(text in "(nameserver |options |timeout:|attempts:|[0-9:.\n ]){0,60}") {
            let conf = ResolvConf::parse(&text, index);
            prop_assert!((1..=SERVERS_MAX).contains(&conf.servers.len()));
            prop_assert!((1..=ATTEMPTS_MAX).contains(&conf.attempts));
            prop_assert!(conf.timeout >= Duration::from_secs(1) && conf.timeout <= TIMEOUT_MAX);
        }
    }
}
