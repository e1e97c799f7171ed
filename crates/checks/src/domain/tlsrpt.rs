//! Where others report how TLS connections went.

use mox_admin::records::Purpose;
use mox_base::{Address, Domain};
use mox_dns::{Lookups as _, Name};
use mox_reports::tls::{RecordError, find_record, mailto};

use super::context::Context;
use super::result::{Subject as _, TlsRptResult};
use super::shown;

/// Reports about the host, where DANE is used. RFC 8460 §3.
pub(super) async fn check_host(context: &Context<'_>) -> TlsRptResult {
    let host = context.host();
    let settings = context.config.statics.host_tlsrpt.as_ref();
    let own = settings
        .map(|settings| Address { localpart: settings.localpart.0.clone(), domain: host.clone() });
    let how = "Add HostTLSRPT to mox.conf, with an account, a mailbox and the localpart tlsreports:\n\
               \tHostTLSRPT:\n\t\tAccount: ACCOUNT\n\t\tMailbox: TLSRPT\n\t\tLocalpart: tlsreports";
    // The domain of the host itself has one record for both.
    let purpose = if host == context.domain { Purpose::TlsRpt } else { Purpose::HostTlsRpt };
    check(context, host, own, how, purpose).await
}

/// Reports about the domain, where MTA-STS is used. RFC 8460 §3.
pub(super) async fn check_domain(context: &Context<'_>) -> TlsRptResult {
    let own = context.settings.tlsrpt.as_ref().map(|settings| {
        let domain = settings.domain.as_deref().unwrap_or(context.domain).clone();
        Address { localpart: settings.localpart.0.clone(), domain }
    });
    let how = "Add TLSRPT to the domain in domains.conf, with an account, a mailbox and the localpart \
               tlsreports:\n\tTLSRPT:\n\t\tLocalpart: tlsreports\n\t\tAccount: ACCOUNT\n\t\tMailbox: TLSRPT";
    check(context, context.domain, own, how, Purpose::TlsRpt).await
}

async fn check(
    context: &Context<'_>,
    domain: &Domain,
    own: Option<Address>,
    how: &str,
    purpose: Purpose,
) -> TlsRptResult {
    let mut result = TlsRptResult::default();
    if own.is_none() {
        result.told().error(format!("no address for TLS reports about {domain} is configured"));
        result.told().instruction(how);
    }
    let Ok(name) = Name::below("_smtp._tls", domain) else { return result };
    let texts = match context.services.resolver.txt(&name).await {
        Ok(found) => found.records,
        Err(error) if error.is_not_found() => Vec::new(),
        Err(error) => {
            result.told().error(format!("look up TLSRPT of {domain}: {error}"));
            return result;
        }
    };
    let record = match find_record(&texts) {
        Ok(record) => record,
        Err(RecordError::Missing) => {
            result.told().error(format!("{domain} has no TLSRPT record"));
            context.add_records(result.told(), purpose);
            return result;
        }
        Err(error) => {
            result.told().error(format!("TLSRPT of {domain}: {error}"));
            context.add_records(result.told(), purpose);
            return result;
        }
    };
    result.txt =
        shown(&texts.into_iter().find(|text| text.starts_with(b"v=TLSRPTv1")).unwrap_or_default());
    result.record = Some(record.to_string());
    if let Some(own) = own
        && !record.rua.iter().any(|uri| mailto(uri).as_ref() == Some(&own))
    {
        result.told().error(format!(
            "the TLSRPT record of {domain} has reports sent elsewhere than to {own}, the configured address"
        ));
        context.add_records(result.told(), purpose);
    }
    result
}

#[cfg(test)]
mod tests {
    use crate::domain::tests::{World, told};

    /// RFC 8460 §3.
    #[test]
    fn reports_must_come_here() {
        let mut world = World::clean();
        let found = world.check();
        assert_eq!(
            (told(&found.host_tls_rpt.told), told(&found.domain_tls_rpt.told)),
            Default::default()
        );
        world.replace_txt("_smtp._tls.a.example", "v=TLSRPTv1; rua=mailto:x@a.example");
        let want = "error: the TLSRPT record of a.example has reports sent elsewhere than to \
                    tlsreports@a.example, the configured address\n";
        assert_eq!(told(&world.check().domain_tls_rpt.told), want);
        world.replace_txt("_smtp._tls.a.example", "v=TLSRPTv1; nonsense");
        let want = "error: TLSRPT of a.example: malformed TLSRPT record\n";
        assert_eq!(told(&world.check().domain_tls_rpt.told), want);
    }

    #[test]
    fn what_is_missing_is_told() {
        let found = World::without_records().check();
        let want = "Make sure that DNS has:\n\t_smtp._tls.a.example. TXT \"v=TLSRPTv1; \
                    rua=mailto:tlsreports@a.example\"";
        assert_eq!(found.domain_tls_rpt.told.instructions, [want]);
        let want = "Make sure that DNS has:\n\t_smtp._tls.mx.a.example. TXT \"v=TLSRPTv1; \
                    rua=mailto:tlsreports@mx.a.example\"";
        assert_eq!(found.host_tls_rpt.told.instructions, [want]);
        let mut world = World::clean();
        world.change(|text| {
            let (before, _) = text.split_once("HostTLSRPT:").unwrap();
            before.to_owned()
        });
        let found = told(&world.check().host_tls_rpt.told);
        assert!(
            found.starts_with("error: no address for TLS reports about mx.a.example"),
            "{found}"
        );
    }
}
