//! The resolver until there is a real one.

use mox_dns::{DnsError, Name, Pending, RecordType, Resolver, Security};

/// Finds nothing.
pub(crate) struct NoDns;

impl Resolver for NoDns {
    fn lookup<'a>(&'a self, _name: &'a Name, _kind: RecordType) -> Pending<'a> {
        let (exists, security, ttl_secs) = (false, Security::Insecure, 0);
        Box::pin(async move { Err(DnsError::NotFound { exists, security, ttl_secs }) })
    }
}
