//! What is asked for, and what comes back.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

use crate::Name;

/// A kind of record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RecordType {
    /// IPv4 addresses. RFC 1035 §3.4.1.
    A,
    /// IPv6 addresses. RFC 3596 §2.1.
    Aaaa,
    /// Another name for the same. RFC 1035 §3.3.1.
    Cname,
    /// Hosts that take mail. RFC 1035 §3.3.9.
    Mx,
    /// Servers of a zone. RFC 1035 §3.3.11.
    Ns,
    /// Names of an address. RFC 1035 §3.3.12.
    Ptr,
    /// Hosts and ports of a service. RFC 2782.
    Srv,
    /// Certificates of a service. RFC 6698 §2.1.
    Tlsa,
    /// Text. RFC 1035 §3.3.14.
    Txt,
}

impl fmt::Display for RecordType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::A => "A",
            Self::Aaaa => "AAAA",
            Self::Cname => "CNAME",
            Self::Mx => "MX",
            Self::Ns => "NS",
            Self::Ptr => "PTR",
            Self::Srv => "SRV",
            Self::Tlsa => "TLSA",
            Self::Txt => "TXT",
        })
    }
}

/// A record without its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Data {
    /// An IPv4 address.
    A(Ipv4Addr),
    /// An IPv6 address.
    Aaaa(Ipv6Addr),
    /// The name that this one stands for.
    Cname(Name),
    /// A host that takes mail; lower preferences first.
    Mx {
        /// Lower is tried earlier.
        preference: u16,
        /// The root says that there is no mail. RFC 7505 §3.
        exchange: Name,
    },
    /// A server of the zone.
    Ns(Name),
    /// A name of the address.
    Ptr(Name),
    /// A host and port of a service. RFC 2782.
    Srv {
        /// Lower is tried earlier.
        priority: u16,
        /// The share among those of the same priority.
        weight: u16,
        /// The port of the service.
        port: u16,
        /// The root says that there is no such service.
        target: Name,
    },
    /// A certificate of a service.
    Tlsa(Tlsa),
    /// The strings of a record, joined without anything between them.
    Txt(Vec<u8>),
}

impl Data {
    /// What kind it is.
    #[must_use]
    pub fn kind(&self) -> RecordType {
        match self {
            Self::A(_) => RecordType::A,
            Self::Aaaa(_) => RecordType::Aaaa,
            Self::Cname(_) => RecordType::Cname,
            Self::Mx { .. } => RecordType::Mx,
            Self::Ns(_) => RecordType::Ns,
            Self::Ptr(_) => RecordType::Ptr,
            Self::Srv { .. } => RecordType::Srv,
            Self::Tlsa(_) => RecordType::Tlsa,
            Self::Txt(_) => RecordType::Txt,
        }
    }
}

/// A TLSA record, as it stands: values outside the registries are kept. RFC 6698 §2.1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tlsa {
    /// Certificate usage.
    pub usage: u8,
    /// Which part of the certificate is compared.
    pub selector: u8,
    /// How it is compared.
    pub matching: u8,
    /// What it is compared with.
    pub data: Vec<u8>,
}

/// Whether DNSSEC vouches for an answer. A bogus one is no answer but [`DnsError::Bogus`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Security {
    /// Nothing vouches for it: the zone is not signed, or nobody has looked.
    Insecure,
    /// It was validated. RFC 4033 §5.
    Secure,
}

impl Security {
    /// Whether it was validated.
    #[must_use]
    pub fn is_secure(self) -> bool {
        self == Self::Secure
    }

    /// Of two answers that are needed together.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        self.min(other)
    }
}

/// Records of one kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found<T> {
    /// The name that has the records: the one asked for, or where its CNAME records lead.
    pub canonical: Name,
    /// At least one.
    pub records: Vec<T>,
    /// Of all of the answer, with the CNAME records on the way.
    pub security: Security,
    /// How long it may be kept, in seconds.
    pub ttl_secs: u32,
}

/// An answer with records.
pub type Answer = Found<Data>;

impl<T> Found<T> {
    /// The same with other records; those without one are left out.
    #[must_use]
    pub fn filter_map<U>(self, pick: impl FnMut(T) -> Option<U>) -> Found<U> {
        let Self { canonical, records, security, ttl_secs } = self;
        let records = records.into_iter().filter_map(pick).collect();
        Found { canonical, records, security, ttl_secs }
    }
}

/// Why there are no records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DnsError {
    /// There are none: the name does not exist, or has no records of this kind.
    NotFound {
        /// Whether the name exists.
        exists: bool,
        /// Whether the absence was validated.
        security: Security,
        /// How long that may be kept, in seconds. RFC 2308 §5.
        ttl_secs: u32,
    },
    /// Signatures that must be there are missing or wrong: nothing is known, and later it may be
    /// otherwise. RFC 4033 §5.
    Bogus,
    /// No answer, for a reason that may pass.
    Temporary(Trouble),
}

/// What stood in the way of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Trouble {
    /// None came in time.
    Timeout,
    /// The server could not find one: SERVFAIL.
    ServerFailure,
    /// The server would not.
    Refused,
    /// The answer could not be read, is about something else, or leads in a circle.
    Malformed,
    /// The server could not be reached, or there is none.
    Unreachable,
}

impl DnsError {
    /// Whether there certainly are no such records.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::NotFound { .. })
    }

    /// Whether asking again may help.
    #[must_use]
    pub fn is_temporary(&self) -> bool {
        !self.is_not_found()
    }
}

impl fmt::Display for DnsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotFound { exists: false, .. } => "the name does not exist",
            Self::NotFound { exists: true, .. } => "no such records",
            Self::Bogus => "the answer is not signed as it must be (DNSSEC)",
            Self::Temporary(Trouble::Timeout) => "no answer in time",
            Self::Temporary(Trouble::ServerFailure) => "the DNS server failed",
            Self::Temporary(Trouble::Refused) => "the DNS server refused",
            Self::Temporary(Trouble::Malformed) => "the answer of the DNS server is damaged",
            Self::Temporary(Trouble::Unreachable) => "no DNS server can be reached",
        })
    }
}

impl std::error::Error for DnsError {}
