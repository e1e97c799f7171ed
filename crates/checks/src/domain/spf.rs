//! From where mail of the domain may come.

use std::net::IpAddr;

use mox_admin::records::Purpose;
use mox_base::{Address, Domain, Host, Localpart};
use mox_dns::Name;
use mox_mailauth::spf::{self, Args, LookupError, Problem, Status};

use super::context::Context;
use super::result::{SpfResult, Subject as _, Told};
use super::shown;

/// The records of the domain and of the host must let mail through from each address that it is sent
/// from. RFC 7208 §2.3, §2.4.
pub(super) async fn check(context: &Context<'_>) -> SpfResult {
    let mut result = SpfResult::default();
    let (domain, host) = (context.domain, context.host());
    let told = result.told();
    let sending = context.sending();
    if sending.is_empty() {
        told.warning("mox.conf names no address that mail is sent from: they cannot be checked");
        told.instruction(
            "List the addresses of this machine as IPs of the public listener instead of 0.0.0.0 and ::.",
        );
    }
    let mut all = Told::default();
    let (txt, record) = record(context, domain, &mut all).await;
    for one in &sending {
        evaluate(context, one.ip, Some(domain), one.host, &mut all).await;
    }
    finish(context, &mut result, all, Purpose::Spf);
    (result.domain_txt, result.domain_record) = (txt, record);
    if host != domain {
        let mut all = Told::default();
        let (txt, record) = self::record(context, host, &mut all).await;
        for one in sending.iter().filter(|one| one.host == host) {
            evaluate(context, one.ip, None, host, &mut all).await;
        }
        finish(context, &mut result, all, Purpose::HostSpf);
        (result.host_txt, result.host_record) = (txt, record);
    }
    result
}

/// Adds what was found about one of both records, with what to do.
fn finish(context: &Context<'_>, result: &mut SpfResult, found: Told, purpose: Purpose) {
    let told = result.told();
    if !found.is_clean() {
        context.add_records(told, purpose);
    }
    found.errors.into_iter().for_each(|text| told.error(text));
}

/// The record of a domain: its text, and what was understood.
async fn record(
    context: &Context<'_>,
    domain: &Domain,
    told: &mut Told,
) -> (String, Option<String>) {
    match spf::lookup(&*context.services.resolver, &Name::from(domain)).await {
        Ok((record, text, _)) => return (shown(text.as_bytes()), Some(record.to_string())),
        Err(LookupError::NoRecord(_)) => told.error(format!("{domain} has no SPF record")),
        Err(LookupError::Problem(problem)) => {
            told.error(format!("SPF record of {domain}: {problem}"));
        }
    }
    (String::new(), None)
}

/// Whether mail from an address of ours passes: of a sender in the domain, or of the host itself.
async fn evaluate(
    context: &Context<'_>,
    ip: IpAddr,
    domain: Option<&Domain>,
    host: &Domain,
    told: &mut Told,
) {
    let Ok(localpart) = Localpart::parse("postmaster") else { return };
    let sender = domain.map(|domain| Address { localpart, domain: domain.clone() });
    let helo = Host::Domain(host.clone());
    let now = context.services.clock.now();
    let args = Args { ip, mail_from: sender.as_ref(), helo: &helo, receiver: host, now };
    let received = spf::check(&*context.services.resolver, &args).await;
    // That there is none, or a faulty one, is told already.
    let is_told =
        matches!(received.problem, Some(Problem::Record(..) | Problem::SeveralRecords(_)));
    if matches!(received.status, Status::Pass | Status::None) || is_told {
        return;
    }
    let of = domain.unwrap_or(host);
    let why = received.problem.map(|problem| format!(": {problem}")).unwrap_or_default();
    told.error(format!(
        "SPF of {of} does not let mail through from {ip}: {}{why}",
        received.status.as_str()
    ));
}

#[cfg(test)]
mod tests {
    use crate::domain::tests::{World, told};

    #[track_caller]
    fn check(change: impl FnOnce(&mut World), want: &str) {
        let mut world = World::clean();
        change(&mut world);
        assert_eq!(told(&world.check().spf.told), want);
    }

    /// RFC 7208 §2.6, §4.5.
    #[test]
    fn our_addresses_must_pass() {
        check(|_| {}, "");
        let want = "error: SPF record of a.example: several records at a.example\n";
        check(|world| _ = world.dns.add_txt("a.example", "v=spf1 -all"), want);
        check(
            World::add_proxy,
            "error: SPF of a.example does not let mail through from 9.9.9.10: softfail\n",
        );
        let unspecified = |config: String| config.replace("- 8.8.4.4", "- 0.0.0.0");
        let want =
            "warning: mox.conf names no address that mail is sent from: they cannot be checked\n";
        check(|world| world.change(unspecified), want);
    }

    #[test]
    fn the_records_to_add_are_told() {
        let spf = World::without_records().check().spf.told;
        assert_eq!(spf.errors, ["a.example has no SPF record", "mx.a.example has no SPF record"]);
        let want = [
            "Make sure that DNS has:\n\ta.example. TXT \"v=spf1 ip4:8.8.4.4 mx ~all\"",
            "Make sure that DNS has:\n\tmx.a.example. TXT \"v=spf1 a -all\"",
        ];
        assert_eq!(spf.instructions, want);
    }
}
