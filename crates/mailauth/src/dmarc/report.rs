//! Whether reports may go to a domain that is not the one they are about.
//!
//! Source: RFC 9990 §4, RFC 7489 §7.1.

use mox_base::{Address, Domain};
use mox_dns::{DnsError, Lookups as _, Name, Resolver, Security};

use super::discover::{Method, Walker};
use super::record::{Record, is_record};
use super::uri::ReportUri;

/// Whether and where reports may be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReportTarget {
    /// To the address itself: it belongs to the organization that the report is about, or its
    /// domain agrees.
    Allowed(Address),
    /// Its domain agrees and wants them at other addresses it has.
    Replaced(Vec<ReportUri>),
    /// Its domain does not agree.
    Denied,
    /// It is no address.
    NotMail,
}

/// Finds out whether reports about `policy_domain`, the domain of the record, may go where that
/// record wants them. Otherwise anybody could have reports sent to anybody.
///
/// - `method`: how organizations are told apart.
///
/// Asks at most [`QUERIES_MAX`](super::QUERIES_MAX) questions for each of the two domains, and one
/// more.
///
/// # Errors
///
/// If DNS fails: the reports should wait.
pub async fn report_target<R: Resolver + ?Sized>(
    resolver: &R,
    policy_domain: &Domain,
    uri: &ReportUri,
    method: Method,
) -> Result<(ReportTarget, Security), DnsError> {
    let Some(address) = uri.address() else {
        return Ok((ReportTarget::NotMail, Security::Insecure));
    };
    let mut walker = Walker::new(resolver, method);
    let organization = walker.organization(policy_domain).await?;
    if walker.organization(&address.domain).await? == organization {
        return Ok((ReportTarget::Allowed(address), walker.security()));
    }
    let labels = format!("{}._report._dmarc", policy_domain.ascii());
    let Ok(name) = Name::below(&labels, &address.domain) else {
        return Ok((ReportTarget::Denied, walker.security()));
    };
    let target = match resolver.txt(&name).await {
        Ok(found) => {
            walker.depends_on(found.security);
            agreement(&found.records, address)
        }
        Err(DnsError::NotFound { security, .. }) => {
            walker.depends_on(security);
            ReportTarget::Denied
        }
        Err(error) => return Err(error),
    };
    Ok((target, walker.security()))
}

/// What the records of the other domain say.
fn agreement(records: &[Vec<u8>], address: Address) -> ReportTarget {
    let mut texts = records.iter().filter(|text| is_record(text)).peekable();
    if texts.peek().is_none() {
        return ReportTarget::Denied;
    }
    // Other addresses must be of the same host: it can speak only for itself.
    let others: Vec<ReportUri> = texts
        .filter_map(|text| Record::parse(text).ok())
        .find(|record| !record.aggregate.is_empty())
        .map(|record| record.aggregate)
        .unwrap_or_default();
    let own = |uri: &ReportUri| uri.address().is_some_and(|other| other.domain == address.domain);
    let others: Vec<ReportUri> = others.into_iter().filter(own).collect();
    if others.is_empty() { ReportTarget::Allowed(address) } else { ReportTarget::Replaced(others) }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;
    use mox_dns::{FakeDns, RecordType, Trouble};

    use super::*;

    fn dns() -> FakeDns {
        let mut dns = FakeDns::new();
        let mut agree = |host: &str, text: &str| {
            dns.add_txt(&format!("example.com._report._dmarc.{host}"), text);
        };
        agree("yes.example", "v=DMARC1");
        agree("also.example", "v=DMARC1;");
        agree("also.example", "something else");
        agree("other.example", "v=DMARC1; rua=mailto:b@other.example,mailto:c@elsewhere.example");
        agree("away.example", "v=DMARC1; rua=mailto:b@elsewhere.example");
        agree("no.example", "v=DMARC2");
        dns.add_txt("_dmarc.example.com", "v=DMARC1");
        let late = "example.com._report._dmarc.late.example";
        dns.fail(late, RecordType::Txt, DnsError::Temporary(Trouble::Timeout));
        dns
    }

    #[track_caller]
    fn check(uri: &str, want: &str) {
        let policy_domain = Domain::parse("example.com").unwrap();
        let record = Record::parse(format!("v=DMARC1; rua={uri}").as_bytes()).unwrap();
        let uri = record.aggregate.first().unwrap();
        let dns = dns();
        let got = report_target(&dns, &policy_domain, uri, Method::TreeWalk);
        let got = match got.now_or_never().unwrap() {
            Ok((ReportTarget::Allowed(address), _)) => address.to_string(),
            Ok((ReportTarget::Replaced(uris), _)) => {
                uris.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
            }
            Ok((ReportTarget::Denied, _)) => "denied".to_owned(),
            Ok((ReportTarget::NotMail, _)) => "not mail".to_owned(),
            Err(error) => error.to_string(),
        };
        assert_eq!(got, want, "{uri}");
    }

    /// RFC 9990 §4, RFC 7489 §7.1.
    #[test]
    fn another_domain_must_agree() {
        check("mailto:a@example.com", "a@example.com");
        check("mailto:a@reports.example.com", "a@reports.example.com");
        check("mailto:a@yes.example!10m", "a@yes.example");
        check("mailto:a@also.example", "a@also.example");
        check("mailto:a@other.example", "mailto:b@other.example");
        check("mailto:a@away.example", "a@away.example");
        check("mailto:a@no.example", "denied");
        check("mailto:a@nothing.example", "denied");
        check("mailto:a@late.example", "no answer in time");
        check("https://example.com/report", "not mail");
    }
}
