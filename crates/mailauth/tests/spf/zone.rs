//! Checks against zones written as text.

use std::cell::Cell;

use futures_util::FutureExt as _;
use mox_base::{Address, Domain, Host, UnixSeconds};
use mox_dns::{DnsError, FakeDns, RecordType, Trouble};
use mox_mailauth::spf::{Args, QUESTIONS_MAX, Received, check};

/// Zones that a test asks, one record a line: `name TYPE value`. `name FAIL TYPE` fails a question.
/// The number is that of the questions of the last check.
pub(crate) struct Zone(pub(crate) FakeDns, Cell<usize>);

impl Zone {
    pub(crate) fn new(text: &str) -> Self {
        let mut dns = FakeDns::new();
        for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
            let mut fields = line.splitn(3, ' ');
            let mut field = || fields.next().expect("three fields in a line");
            match (field(), field(), field()) {
                (name, "TXT", text) => dns.add_txt(name, text),
                (name, "A" | "AAAA", ip) => dns.add_ips(name, &[ip]),
                (name, "MX", host) => dns.add_mx(name, 10, host),
                (ip, "PTR", name) => dns.add_ptr(ip, name),
                (name, "FAIL", kind) => {
                    let kind = match kind {
                        "TXT" => RecordType::Txt,
                        "A" => RecordType::A,
                        "MX" => RecordType::Mx,
                        "PTR" => RecordType::Ptr,
                        other => panic!("{other}"),
                    };
                    dns.fail(name, kind, DnsError::Temporary(Trouble::Timeout))
                }
                other => panic!("{other:?}"),
            };
        }
        Self(dns, Cell::default())
    }

    /// Checks a sender, or, without one, what the client calls itself.
    pub(crate) fn received(&self, ip: &str, mail_from: &str, helo: &str) -> Received {
        let address = (!mail_from.is_empty()).then(|| Address::parse(mail_from).unwrap());
        let helo = match helo.strip_prefix('[').and_then(|text| text.strip_suffix(']')) {
            Some(ip) => Host::Ip(ip.parse().unwrap()),
            None => Host::Domain(Domain::parse(helo).unwrap()),
        };
        let args = Args {
            ip: ip.parse().unwrap(),
            mail_from: address.as_ref(),
            helo: &helo,
            receiver: &Domain::parse("mx.receiver.example").unwrap(),
            now: UnixSeconds(1_700_000_000),
        };
        let received = check(&self.0, &args).now_or_never().expect("a fake answers at once");
        self.1.set(self.0.take_asked().len());
        assert!(self.asked() <= QUESTIONS_MAX);
        received
    }

    /// The number of questions of the last check.
    pub(crate) fn asked(&self) -> usize {
        self.1.get()
    }

    /// Checks the sender `user@` a domain; the outcome is its word, and behind it what explains.
    #[track_caller]
    pub(crate) fn check(&self, ip: &str, domain: &str, want: &str) {
        self.check_sender(ip, &format!("user@{domain}"), "client.example", want);
    }

    #[track_caller]
    pub(crate) fn check_sender(&self, ip: &str, mail_from: &str, helo: &str, want: &str) {
        let received = self.received(ip, mail_from, helo);
        let mut got = received.status.as_str().to_owned();
        if let Some(explanation) = &received.explanation {
            got = format!("{got} {explanation}");
        }
        assert_eq!(got, want, "{ip} {mail_from} {helo}: {:?}", received.problem);
    }
}
