//! What is to happen with mail that others send in the name of the domain.

use futures_util::future::join_all;
use mox_admin::records::Purpose;
use mox_base::Address;
use mox_mailauth::dmarc::{
    Method, Policy, Record, ReportTarget, ReportUri, discover, report_target,
};

use super::context::Context;
use super::result::{DmarcResult, Subject as _};
use super::shown;

/// There must be a policy that is asked for in earnest, and reports must reach us. RFC 9989 §4.7.
pub(super) async fn check(context: &Context<'_>) -> DmarcResult {
    let mut result = DmarcResult::default();
    let resolver = &*context.services.resolver;
    let found = match discover(resolver, context.domain, Method::TreeWalk).await {
        Ok(found) => found.found,
        Err(error) => {
            result.told().error(format!("look up DMARC of {}: {error}", context.domain));
            return result;
        }
    };
    let Some(found) = found else {
        result.told().error(format!("{} has no DMARC record", context.domain));
        context.add_records(result.told(), Purpose::Dmarc);
        return result;
    };
    result.domain = found.domain.to_string();
    result.txt = shown(found.text.as_bytes());
    match &found.record {
        Ok(record) => {
            result.record = Some(record.to_string());
            let is_below = found.domain != *context.domain;
            check_policy(&mut result, record, is_below);
            check_reports(context, &mut result, record).await;
        }
        Err(error) => result.told().error(format!("DMARC record of {}: {error}", found.domain)),
    }
    if !result.told.is_clean() {
        context.add_records(result.told(), Purpose::Dmarc);
    }
    result
}

fn check_policy(result: &mut DmarcResult, record: &Record, is_below: bool) {
    let told = result.told();
    let own = if is_below { record.policy_below(true) } else { record.policy };
    if own == Policy::None {
        told.warning(
            "the DMARC policy is none: others take mail that pretends to be of the domain. Once reports \
             show that all own mail passes, make it quarantine, then reject",
        );
    }
    if own != Policy::None && record.policy_below(true) == Policy::None {
        told.warning("the DMARC policy for subdomains is none: others take mail in their name");
    }
    if record.is_test || record.percent < 100 {
        told.warning("the DMARC policy is only tried out (t=y or pct), and not always applied");
    }
}

/// RFC 9990 §4.
async fn check_reports(context: &Context<'_>, result: &mut DmarcResult, record: &Record) {
    if record.aggregate.is_empty() {
        result.told().warning(
            "the DMARC record has no rua: nobody reports what is sent in the name of the domain",
        );
    }
    if let Some(own) = configured(context) {
        let has_own = record.aggregate_addresses().any(|(address, _)| address == own);
        if !record.aggregate.is_empty() && !has_own {
            result.told().error(format!(
                "the DMARC record has reports sent elsewhere than to {own}, the address in domains.conf"
            ));
        }
    } else if context.known.groups.is_ok() && context.settings.dmarc.is_none() {
        result.told().instruction(
            "No address for DMARC reports is configured: add DMARC to the domain in domains.conf, so that \
             reports are read and shown.",
        );
    }
    let resolver = &*context.services.resolver;
    let asked = record.aggregate.iter().map(async |uri: &ReportUri| {
        (uri, report_target(resolver, context.domain, uri, Method::TreeWalk).await)
    });
    for (uri, target) in join_all(asked).await {
        match target {
            Ok((ReportTarget::Allowed(_) | ReportTarget::Replaced(_), _)) => {}
            Ok((ReportTarget::NotMail, _)) => {
                result.told().warning(format!("rua {uri} is no address of mail"));
            }
            Ok((ReportTarget::Denied, _)) => denied(context, result, uri),
            Err(error) => {
                result.told().error(format!("look up whether reports may go to {uri}: {error}"));
            }
        }
    }
}

fn denied(context: &Context<'_>, result: &mut DmarcResult, uri: &ReportUri) {
    let Some(address) = uri.address() else { return };
    let (from, to) = (context.domain.ascii(), address.domain.ascii());
    result
        .told()
        .error(format!("{to} does not agree to reports about {from}: none are sent there"));
    result.told().instruction(format!(
        "Make sure that DNS has:\n\t{from}._report._dmarc.{to}. TXT \"v=DMARC1\""
    ));
}

/// The address that reports shall come to.
fn configured(context: &Context<'_>) -> Option<Address> {
    let settings = context.settings.dmarc.as_ref()?;
    let domain = settings.domain.as_deref().unwrap_or(context.domain).clone();
    Some(Address { localpart: settings.localpart.0.clone(), domain })
}

#[cfg(test)]
mod tests {
    use crate::domain::tests::{World, told};

    #[track_caller]
    fn check(record: &str, want: &str) {
        let mut world = World::clean();
        world.replace_txt("_dmarc.a.example", record);
        assert_eq!(told(&world.check().dmarc.told), want, "{record}");
    }

    const RUA: &str = "rua=mailto:dmarcreports@a.example!10m";

    /// RFC 9989 §4.7, RFC 9990 §4.
    #[test]
    fn the_policy_must_be_meant() {
        check(&format!("v=DMARC1;p=reject;{RUA}"), "");
        check(&format!("v=DMARC1;p=quarantine;{RUA}"), "");
        let none = "warning: the DMARC policy is none: others take mail that pretends to be of the \
                    domain. Once reports show that all own mail passes, make it quarantine, then reject\n";
        check(&format!("v=DMARC1;p=none;{RUA}"), none);
        let sub =
            "warning: the DMARC policy for subdomains is none: others take mail in their name\n";
        check(&format!("v=DMARC1;p=reject;sp=none;{RUA}"), sub);
        let test =
            "warning: the DMARC policy is only tried out (t=y or pct), and not always applied\n";
        check(&format!("v=DMARC1;p=reject;t=y;{RUA}"), test);
    }

    #[test]
    fn reports_must_arrive() {
        let none = "warning: the DMARC record has no rua: nobody reports what is sent in the name of the \
                    domain\n";
        check("v=DMARC1;p=reject", none);
        let elsewhere = "error: the DMARC record has reports sent elsewhere than to \
                         dmarcreports@a.example, the address in domains.conf\n";
        check("v=DMARC1;p=reject;rua=mailto:x@a.example", elsewhere);
        let denied =
            "error: far.example does not agree to reports about a.example: none are sent there\n";
        check(&format!("v=DMARC1;p=reject;{RUA},mailto:x@far.example"), denied);
        let page = "warning: rua https://a.example/ is no address of mail\n";
        check(&format!("v=DMARC1;p=reject;{RUA},https://a.example/"), page);
    }

    #[test]
    fn a_record_above_counts() {
        let mut world = World::clean();
        world.dns = Default::default();
        world.dns.add_txt("_dmarc.example", "v=DMARC1;p=reject;psd=y");
        let found = world.check().dmarc;
        assert_eq!(found.domain, "example");
        let dmarc = World::without_records().check().dmarc.told;
        assert_eq!(dmarc.errors, ["a.example has no DMARC record"]);
        let want = "Make sure that DNS has:\n\t_dmarc.a.example. TXT \"v=DMARC1;p=reject;rua=mailto:\
                    dmarcreports@a.example!10m\"";
        assert_eq!(dmarc.instructions, [want]);
    }
}
