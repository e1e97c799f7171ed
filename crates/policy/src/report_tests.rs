use super::*;
use crate::content::TlsReport;
use crate::facts::{Dmarc, Message, ReportsTo};
use crate::fixture::{FakeContent, NOW, domain, facts, proven, recipient, signature};

/// A message with both kinds of reports, good ones.
fn reports() -> FakeContent {
    FakeContent {
        dmarc: Some((Some(domain("local.example")), true, NOW)),
        tls: Some(TlsReport { is_ours: true }),
        ..FakeContent::default()
    }
}

fn sender() -> Message {
    let mut message = proven("reports@mail.sender.example");
    message.dmarc = Dmarc { status: DmarcStatus::Pass, ..Dmarc::default() };
    message
}

const DMARC: ReportsTo = ReportsTo { dmarc: true, tls: false };
const TLS: ReportsTo = ReportsTo { dmarc: false, tls: true };

/// `want` is the kind, or the error.
#[track_caller]
fn check(message: Message, mut content: FakeContent, to: ReportsTo, want: Result<Report, &str>) {
    let mut recipient = recipient();
    recipient.reports = to;
    let found = find(&facts(message, recipient), &mut content);
    let got = found.report.ok_or_else(|| found.fields.first().map_or("", |(_, why)| *why));
    assert_eq!(got, want);
}

/// RFC 7489 §7.2.
#[test]
fn dmarc_reports_are_proven_ours_and_not_of_the_future() {
    check(sender(), reports(), DMARC, Ok(Report::Dmarc));
    let with = |dmarc| FakeContent { dmarc, ..reports() };
    let ours = || Some(domain("local.example"));
    check(sender(), with(Some((ours(), true, NOW.plus_secs(60)))), DMARC, Ok(Report::Dmarc));
    let future = "report has end date in the future";
    check(sender(), with(Some((ours(), true, NOW.plus_secs(61)))), DMARC, Err(future));
    let unknown = "published policy domain unrecognized";
    check(sender(), with(Some((ours(), false, NOW))), DMARC, Err(unknown));
    let unreadable = "could not parse domain in published policy";
    check(sender(), with(Some((None, false, NOW))), DMARC, Err(unreadable));
    check(sender(), with(None), DMARC, Err("could not parse report"));
    check(proven("reports@sender.example"), reports(), DMARC, Err("no DMARC pass"));
}

/// RFC 8460 §3.
#[test]
fn tls_reports_are_signed_by_their_sender() {
    check(sender(), reports(), TLS, Ok(Report::Tls));
    let signed = |change: &dyn Fn(&mut Signature)| {
        let mut message = sender();
        message.signatures = vec![signature("sender.example")];
        change(&mut message.signatures[0]);
        message
    };
    // The parent of the domain in From, but no other domain of the organisation.
    check(signed(&|_| ()), reports(), TLS, Ok(Report::Tls));
    let no = Err("no acceptable DKIM signature");
    check(signed(&|s| s.domain = domain("x.sender.example")), reports(), TLS, no);
    check(signed(&|s| s.domain = domain("a.mail.sender.example")), reports(), TLS, no);
    check(signed(&|s| s.organization = domain("example")), reports(), TLS, no);
    check(signed(&|s| s.covers_body = false), reports(), TLS, no);
    check(signed(&|s| s.allows_tls_reports = false), reports(), TLS, no);
    let mut none = sender();
    none.signatures.clear();
    check(none, reports(), TLS, no);
    let mut nobody = sender();
    nobody.author = None;
    check(nobody, reports(), TLS, no);
    let with = |tls| FakeContent { tls, ..reports() };
    check(sender(), with(None), TLS, Err("could not parse TLS report"));
    let other = Some(TlsReport { is_ours: false });
    check(sender(), with(other), TLS, Err("report for unknown domain"));
}

#[test]
fn reports_are_looked_for_where_they_are_expected() {
    check(sender(), reports(), ReportsTo::default(), Err(""));
    // An address for both kinds takes either, without a word about the other.
    let both = ReportsTo { dmarc: true, tls: true };
    let mut only_tls = FakeContent { dmarc: None, ..reports() };
    let mut recipient = recipient();
    recipient.reports = both;
    let found = find(&facts(sender(), recipient), &mut only_tls);
    assert_eq!(found, Found { report: Some(Report::Tls), fields: Vec::new() });
}

/// Attack: reports that take long to read, of nobody.
#[test]
fn unproven_messages_are_not_read() {
    let mut content = reports();
    let mut to_both = recipient();
    to_both.reports = ReportsTo { dmarc: true, tls: true };
    let mut message = sender();
    message.dmarc.status = DmarcStatus::Fail;
    message.signatures.clear();
    let found = find(&facts(message, to_both), &mut content);
    assert_eq!(content.reports_asked, 0);
    let names: Vec<&str> = found.fields.iter().map(|(name, _)| *name).collect();
    assert_eq!(names, [DMARC_REPORT_ERROR, TLS_REPORT_ERROR]);
}
