//! Whether addresses lead back to the host.

use std::collections::BTreeMap;
use std::net::IpAddr;

use futures_util::future::join_all;
use mox_base::Domain;
use mox_dns::{Lookups as _, Name};

use super::HOSTS_MAX;
use super::context::Context;
use super::result::{IpRevResult, Subject as _};

/// All addresses that the name of the host has, and those that mail is sent from. RFC 1912 §2.1.
pub(super) async fn check(context: &Context<'_>) -> IpRevResult {
    let host = context.host();
    let mut result = IpRevResult { hostname: host.to_string(), ..IpRevResult::default() };
    let mut ips: BTreeMap<IpAddr, &Domain> =
        context.sending().into_iter().map(|one| (one.ip, one.host)).collect();
    match context.ips(&Name::from(host)).await {
        Ok(found) => {
            for ip in found {
                if ip.is_loopback() {
                    result
                        .told()
                        .error(format!("{host} leads to {ip}, which only this machine can reach"));
                    result.told().instruction(format!(
                        "Remove {host} from the lines with {ip} in /etc/hosts, and make sure that DNS has \
                         its A and AAAA records with the addresses that others reach."
                    ));
                } else {
                    ips.entry(ip).or_insert(host);
                }
            }
        }
        Err(error) => {
            result.told().error(format!("look up addresses of {host}: {error}"));
            result.told().instruction(format!("Add A and AAAA records for {host}."));
        }
    }
    let asked = ips
        .iter()
        .take(HOSTS_MAX)
        .map(async |(ip, host)| (*ip, *host, context.services.resolver.ptr(*ip).await));
    for (ip, host, found) in join_all(asked).await {
        let names = match found {
            Ok(found) => found.records,
            Err(error) => {
                result.told().error(format!("look up the name of {ip}: {error}"));
                tell_how(&mut result, ip, host);
                continue;
            }
        };
        let names: Vec<String> =
            names.iter().take(HOSTS_MAX).map(|name| name.as_str().to_owned()).collect();
        let is_ours = names.iter().any(|name| name == host.ascii());
        if !is_ours || names.len() > 1 {
            result
                .told()
                .warning(format!("{ip} leads to {}, not to {host} alone", names.join(", ")));
            tell_how(&mut result, ip, host);
        }
        result.ip_names.insert(ip, names);
    }
    result
}

fn tell_how(result: &mut IpRevResult, ip: IpAddr, host: &Domain) {
    result.told().instruction(format!(
        "Have the provider of {ip} set its reverse DNS (PTR) to {host}: many servers refuse mail from \
         addresses that do not lead back."
    ));
}

#[cfg(test)]
mod tests {
    use mox_dns::{DnsError, RecordType, Trouble};

    use crate::domain::tests::{World, told};

    #[track_caller]
    fn check(change: impl FnOnce(&mut World), want: &str) {
        let mut world = World::clean();
        change(&mut world);
        assert_eq!(told(&world.check().ip_rev.told), want);
    }

    #[test]
    fn addresses_must_lead_back() {
        check(|_| {}, "");
        let want =
            "warning: 8.8.4.4 leads to mx.a.example, other.example, not to mx.a.example alone\n";
        check(|world| _ = world.dns.add_ptr("8.8.4.4", "other.example"), want);
        let want = "error: mx.a.example leads to 127.0.1.1, which only this machine can reach\n";
        check(|world| _ = world.dns.add_ips("mx.a.example", &["127.0.1.1"]), want);
        let want = "error: look up the name of 9.9.9.9: the name does not exist\n";
        check(|world| _ = world.dns.add_ips("mx.a.example", &["9.9.9.9"]), want);
        let late = DnsError::Temporary(Trouble::Timeout);
        let want = "error: look up addresses of mx.a.example: no answer in time\n";
        check(
            |world| {
                world.dns.fail("mx.a.example", RecordType::A, late.clone());
                world.dns.fail("mx.a.example", RecordType::Aaaa, late);
            },
            want,
        );
    }

    #[test]
    fn proxies_lead_to_their_own_names() {
        let mut world = World::clean();
        world.add_proxy();
        let found = world.check().ip_rev;
        assert_eq!(
            told(&found.told),
            "error: look up the name of 9.9.9.10: the name does not exist\n"
        );
        world.dns.add_ptr("9.9.9.10", "proxy.example");
        assert_eq!(told(&world.check().ip_rev.told), "");
    }
}
