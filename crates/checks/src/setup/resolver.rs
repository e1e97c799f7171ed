//! Whether answers of DNS are validated.

use std::time::Duration;

use mox_dns::{Name, RecordType, Resolver};

use crate::Finding;
use crate::services::within;

/// How long the question about the resolver takes at most: it may have to start up.
pub const RESOLVER_WAIT: Duration = Duration::from_secs(10);

/// A zone that is signed and that every resolver knows.
const SIGNED_ZONE: &str = "com";

/// How to get a resolver that validates.
const INSTALL: &str = "\
Without validation, servers that publish keys with DANE cannot be verified, and mail to them can be
read on the way. Run a resolver that validates on this machine, such as unbound:
  1. Install it: apt install unbound (or dnf install unbound, apk add unbound).
  2. Have it tell why it refuses an answer. Write to /etc/unbound/unbound.conf.d/ede.conf:
       server:
           ede: yes
           val-log-level: 2
  3. Start it: systemctl enable --now unbound; systemctl restart unbound
  4. Use it. /etc/resolv.conf must contain only these lines:
       nameserver 127.0.0.1
       options edns0 trust-ad
     If a program rewrites that file (systemd-resolved, NetworkManager, resolvconf, dhclient), tell
     that program to use 127.0.0.1, or switch it off and make resolv.conf a plain file.
  5. Try it: mox dns lookup ns com. must say \"with dnssec\".";

/// Asks something whose answer must be validated. RFC 4035 §3.2.3.
///
/// An error means that DNS does not work at all, a warning that nobody validates.
pub async fn resolver_validates<R: Resolver + ?Sized>(resolver: &R) -> Finding {
    let Ok(name) = Name::parse(SIGNED_ZONE) else { return Finding::ok("") };
    match within(RESOLVER_WAIT, resolver.lookup(&name, RecordType::Ns)).await {
        Ok(answer) if answer.security.is_secure() => Finding::ok("answers of DNS are validated"),
        Ok(_) => Finding::warning("answers of DNS are not validated (no DNSSEC)", INSTALL),
        Err(error) => Finding::error(
            format!("DNS does not work: look up the servers of {SIGNED_ZONE}.: {error}"),
            format!(
                "Nothing can be set up without DNS. Look at /etc/resolv.conf: it names the servers \
                 that are asked.\nTry: mox dns lookup ns com.\n{INSTALL}"
            ),
        ),
    }
}

#[cfg(test)]
mod tests {
    use mox_dns::{Data, DnsError, FakeDns, SilentDns, Trouble};

    use super::*;
    use crate::Level;

    #[track_caller]
    fn check(dns: &FakeDns, want: Level, says: &str) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let finding = runtime.block_on(resolver_validates(dns));
        assert_eq!(finding.level, want, "{finding}");
        assert!(finding.what.contains(says), "{finding}");
        assert_eq!(finding.next_step.contains("unbound"), want > Level::Ok, "{finding}");
    }

    #[test]
    fn a_resolver_must_validate() {
        let mut dns = FakeDns::new();
        dns.add("com", Data::Ns(Name::parse("a.gtld-servers.net").unwrap()));
        check(&dns, Level::Warning, "not validated");
        dns.sign("com");
        check(&dns, Level::Ok, "validated");
        dns.fail("com", RecordType::Ns, DnsError::Temporary(Trouble::Unreachable));
        check(&dns, Level::Error, "no DNS server can be reached");
    }

    #[tokio::test(start_paused = true)]
    async fn it_is_not_waited_for_without_end() {
        let finding = resolver_validates(&SilentDns).await;
        assert!(finding.what.ends_with("no answer in time"), "{finding}");
    }
}
