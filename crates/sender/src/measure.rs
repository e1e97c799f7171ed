//! What is counted and measured of deliveries.

use std::time::Duration;

use mox_metrics::{queue, smtpclient};
use mox_smtp::Reply;
use mox_smtp::client::Step;

use crate::deliver::{Batch, Fate};
use crate::plan::{Dane, Demand, Facts, Plan, Sts};

/// How a message was sent if no plan says it: by a transport, or to nobody.
const NO_PLAN: &str = "";

/// What metrics call the TLS that a host must have.
pub(crate) fn tls_mode(plan: &Plan, has_dane: bool) -> &'static str {
    match (plan.verifies_pkix, has_dane) {
        (true, true) => "mtasts+dane",
        (true, false) => "mtasts",
        (false, true) => "dane",
        (false, false) => "opportunistic",
    }
}

/// The policies of a host are known.
pub(crate) fn policies(facts: &Facts) {
    if facts.demand == Demand::NotRequired && (facts.sts != Sts::None || facts.dane != Dane::None) {
        queue::tls_not_required(if facts.dane == Dane::None { "mtastspolicy" } else { "dane" });
    }
    if matches!(facts.dane, Dane::Usable | Dane::Unusable) {
        queue::dane_required(facts.dane == Dane::Usable);
    }
}

/// An attempt ended.
///
/// - `tls_mode`: of [`tls_mode`], of the host that was tried last.
pub(crate) fn attempt(
    batch: &Batch,
    fates: &[Fate],
    tls_mode: Option<&'static str>,
    took: Duration,
) {
    let transport = batch.transport.as_deref().unwrap_or("default");
    for (lease, fate) in batch.leases.iter().zip(fates) {
        let result = match fate {
            Fate::Delivered { .. } => "ok",
            Fate::Failed(fault) if fault.is_permanent => "permerror",
            Fate::Failed(fault) if fault.code.is_some() => "temperror",
            Fate::Failed(_) => "error",
        };
        queue::delivery(lease.attempt, transport, tls_mode.unwrap_or(NO_PLAN), result, took);
        let is_report = lease.message.kind == mox_queue::Kind::DmarcReport;
        if is_report && result == "permerror" {
            queue::dmarc_report_failed();
        }
    }
}

/// Another server replied.
pub(crate) fn replied(step: Step, reply: &Reply, took: Duration) {
    let enhanced = reply.enhanced.as_ref().filter(|found| found.subject < 8 && found.detail < 100);
    let enhanced = enhanced.map(|found| format!("{}.{}", found.subject, found.detail));
    smtpclient::command(name(step), reply.code, &enhanced.unwrap_or_default(), took);
}

/// Another server was lost before it replied.
pub(crate) fn lost(step: Step, took: Duration) {
    smtpclient::command(name(step), 0, "", took);
}

fn name(step: Step) -> &'static str {
    match step {
        Step::Greeting => "connect",
        Step::Ehlo => "ehlo",
        Step::Helo => "helo",
        Step::StartTls => "starttls",
        Step::Auth => "auth",
        Step::Rset => "rset",
        Step::Mail => "mail",
        Step::Rcpt => "rcpt",
        Step::Data => "data",
        Step::Bdat => "bdat",
        Step::End => "dataend",
        Step::Quit => "quit",
    }
}
