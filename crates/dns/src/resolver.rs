//! Who answers questions.

use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;

use crate::{Answer, Data, DnsError, Found, Name, RecordType, Tlsa};

/// An answer that is on its way. To drop it is to give up.
pub type Pending<'a> = Pin<Box<dyn Future<Output = Result<Answer, DnsError>> + Send + 'a>>;

/// Answers DNS questions.
///
/// An implementation follows CNAME records (not when they are what is asked for), ends after a
/// time of its own, and returns [`DnsError::NotFound`] rather than an answer without records.
/// How many questions are asked is the caller's to bound.
pub trait Resolver: Send + Sync {
    /// The records of one kind that a name has.
    fn lookup<'a>(&'a self, name: &'a Name, kind: RecordType) -> Pending<'a>;
}

impl<R: Resolver + ?Sized> Resolver for Arc<R> {
    fn lookup<'a>(&'a self, name: &'a Name, kind: RecordType) -> Pending<'a> {
        (**self).lookup(name, kind)
    }
}

impl<R: Resolver + ?Sized> Resolver for &R {
    fn lookup<'a>(&'a self, name: &'a Name, kind: RecordType) -> Pending<'a> {
        (**self).lookup(name, kind)
    }
}

/// Questions by kind, with records of the right type. Every [`Resolver`] has them.
pub trait Lookups: Resolver {
    /// The texts of a name, each joined of its strings.
    fn txt(&self, name: &Name) -> impl Future<Output = Result<Found<Vec<u8>>, DnsError>> + Send {
        one_kind(self, name, RecordType::Txt, |data| match data {
            Data::Txt(text) => Some(text),
            _ => None,
        })
    }

    /// The hosts that take mail for a name, the lowest preference first.
    fn mx(&self, name: &Name) -> impl Future<Output = Result<Found<(u16, Name)>, DnsError>> + Send {
        let found = one_kind(self, name, RecordType::Mx, |data| match data {
            Data::Mx { preference, exchange } => Some((preference, exchange)),
            _ => None,
        });
        async {
            let mut found = found.await?;
            found.records.sort();
            Ok(found)
        }
    }

    /// The IPv4 addresses of a name.
    fn ipv4(&self, name: &Name) -> impl Future<Output = Result<Found<IpAddr>, DnsError>> + Send {
        one_kind(self, name, RecordType::A, |data| match data {
            Data::A(ip) => Some(ip.into()),
            _ => None,
        })
    }

    /// The IPv6 addresses of a name.
    fn ipv6(&self, name: &Name) -> impl Future<Output = Result<Found<IpAddr>, DnsError>> + Send {
        one_kind(self, name, RecordType::Aaaa, |data| match data {
            Data::Aaaa(ip) => Some(ip.into()),
            _ => None,
        })
    }

    /// All addresses of a name, IPv4 first. Both kinds are asked for at the same time; what is
    /// found of one kind is returned even if there is trouble with the other.
    fn ips(&self, name: &Name) -> impl Future<Output = Result<Found<IpAddr>, DnsError>> + Send {
        async move {
            match futures_util::join!(self.ipv4(name), self.ipv6(name)) {
                (Ok(mut all), Ok(other)) => {
                    all.records.extend(other.records);
                    all.security = all.security.and(other.security);
                    all.ttl_secs = all.ttl_secs.min(other.ttl_secs);
                    Ok(all)
                }
                (Ok(found), Err(_)) | (Err(_), Ok(found)) => Ok(found),
                (Err(one), Err(other)) => Err(if one.is_temporary() { one } else { other }),
            }
        }
    }

    /// The names of an address.
    fn ptr(&self, ip: IpAddr) -> impl Future<Output = Result<Found<Name>, DnsError>> + Send {
        async move {
            let name = Name::reverse(ip);
            let names = one_kind(self, &name, RecordType::Ptr, |data| match data {
                Data::Ptr(name) => Some(name),
                _ => None,
            });
            names.await
        }
    }

    /// The name that this one stands for.
    fn cname(&self, name: &Name) -> impl Future<Output = Result<Found<Name>, DnsError>> + Send {
        one_kind(self, name, RecordType::Cname, |data| match data {
            Data::Cname(name) => Some(name),
            _ => None,
        })
    }

    /// The certificates of a service.
    fn tlsa(&self, name: &Name) -> impl Future<Output = Result<Found<Tlsa>, DnsError>> + Send {
        one_kind(self, name, RecordType::Tlsa, |data| match data {
            Data::Tlsa(record) => Some(record),
            _ => None,
        })
    }
}

impl<R: Resolver + ?Sized> Lookups for R {}

async fn one_kind<R: Resolver + ?Sized, T>(
    resolver: &R,
    name: &Name,
    kind: RecordType,
    pick: impl Fn(Data) -> Option<T>,
) -> Result<Found<T>, DnsError> {
    let found = resolver.lookup(name, kind).await?.filter_map(pick);
    if found.records.is_empty() {
        // A resolver that answers with something else has not found what was asked for.
        let Found { security, ttl_secs, .. } = found;
        return Err(DnsError::NotFound { exists: true, security, ttl_secs });
    }
    Ok(found)
}
