//! Whether the keys of the hosts are published.

use mox_admin::records::Purpose;
use mox_base::Domain;
use mox_dns::{DnsError, Lookups as _, Name, Security, Tlsa};
use mox_tlspolicy::dane::record_text;

use super::context::Context;
use super::result::{DaneResult, Subject as _, Told};

/// The TLSA records of each host must be those of the keys of this one. RFC 7672 §2.2, §3.1.
pub(super) async fn check(context: &Context<'_>) -> DaneResult {
    let mut result = DaneResult::default();
    let told = result.told();
    if context.known.host_keys.is_empty() {
        told.warning("no keys of the host are configured: others cannot verify it by DANE");
        told.instruction(
            "Make keys with \"mox config ensureacmehostprivatekeys\" (with ACME), or list those of the \
             certificates as HostPrivateKeyFiles of the public listener in mox.conf.",
        );
    }
    // What is wrong with the records is told by the check of MX.
    let Ok(found) = context.mail_hosts().await else { return result };
    if !found.security.is_secure() {
        told.warning(format!(
            "DNSSEC does not vouch for the MX records of {}: others will not use DANE",
            context.domain
        ));
    }
    for host in found.records.iter().filter_map(|(_, name)| name.to_domain()) {
        check_host(context, &host, told).await;
    }
    result
}

async fn check_host(context: &Context<'_>, host: &Domain, told: &mut Told) {
    let keys = &context.known.host_keys;
    let Ok(name) = Name::below("_25._tcp", host) else { return };
    let found = match context.services.resolver.tlsa(&name).await {
        Ok(found) => found,
        // Without DNSSEC there is nothing to publish, and that is told elsewhere.
        Err(DnsError::NotFound { security: Security::Insecure, .. }) => return,
        Err(DnsError::NotFound { .. }) if keys.is_empty() => return,
        Err(error) => {
            told.error(format!("look up TLSA of {host}: {error}"));
            context.add_records(told, Purpose::Dane);
            return;
        }
    };
    if !found.security.is_secure() {
        told.error(format!(
            "DNSSEC does not vouch for the TLSA records of {host}: nobody uses them"
        ));
    }
    let missing: Vec<&Tlsa> = keys.iter().filter(|key| !found.records.contains(key)).collect();
    for key in &missing {
        told.error(format!("{host} has no TLSA record {}", record_text(key)));
    }
    for record in found.records.iter().filter(|record| !keys.contains(record)) {
        told.error(format!(
            "{host} has a TLSA record of no key configured here: {}",
            record_text(record)
        ));
        told.instruction(
            "Remove records of keys that are no longer in use. Others that find no match refuse to \
             deliver mail.",
        );
    }
    if !missing.is_empty() {
        context.add_records(told, Purpose::Dane);
    }
}

#[cfg(test)]
mod tests {
    use mox_dns::Data;

    use crate::domain::tests::{World, key, told};

    #[test]
    fn keys_must_be_published() {
        let mut world = World::clean();
        assert_eq!(told(&world.check().dane.told), "");
        world.known.host_keys.push(key(9));
        let found = told(&world.check().dane.told);
        assert!(found.starts_with("error: mx.a.example has no TLSA record 3 1 1 0909"), "{found}");
        let mut world = World::clean();
        world.dns.add("_25._tcp.mx.a.example", Data::Tlsa(key(8)));
        let found = told(&world.check().dane.told);
        let want = "error: mx.a.example has a TLSA record of no key configured here: 3 1 1 0808";
        assert!(found.starts_with(want), "{found}");
        world.unsign();
        let found = told(&world.check().dane.told);
        assert!(found.contains("DNSSEC does not vouch for the TLSA records"), "{found}");
        assert!(found.contains("DNSSEC does not vouch for the MX records"), "{found}");
    }

    #[test]
    fn without_keys_there_is_nothing_to_publish() {
        let mut world = World::clean();
        world.known.host_keys.clear();
        let found = told(&world.check().dane.told);
        assert!(found.contains("warning: no keys of the host are configured"), "{found}");
    }
}
