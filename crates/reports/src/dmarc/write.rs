//! Writing an aggregate report.

use super::{
    AuthResults, DkimAuthResult, Feedback, Identifiers, Metadata, PolicyEvaluated, PolicyPublished,
    Record, Row, SpfAuthResult,
};
use crate::text::{TEXT_BYTES_MAX, clean};

/// The namespace of the format. RFC 9990 appendix A.
const NAMESPACE: &str = "urn:ietf:params:xml:ns:dmarc-2.0";

/// Writes a report as XML. RFC 9990 appendix A.
///
/// Texts become what [`parse`](super::parse) makes of them: without control characters, which XML
/// cannot express, and of bounded length. Takes time linear in the size of the report.
///
/// Deviation: RFC 9990 appendix A has no `pct` in `policy_published`; it is written if it is given,
/// since records by RFC 7489 §6.3 still have one and their owners look for it.
#[must_use]
pub fn to_xml(feedback: &Feedback) -> String {
    let mut xml = Writer { out: String::new(), depth: 0 };
    xml.out.push_str("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    xml.open_with("feedback", &format!(" xmlns=\"{NAMESPACE}\""));
    xml.option("version", Some(&feedback.version));
    metadata(&mut xml, &feedback.report_metadata);
    policy_published(&mut xml, &feedback.policy_published);
    feedback.records.iter().for_each(|found| record(&mut xml, found));
    xml.close("feedback");
    xml.out
}

/// How many bytes a record takes in the report.
pub(super) fn record_bytes(found: &Record) -> usize {
    let mut xml = Writer { out: String::new(), depth: 1 };
    record(&mut xml, found);
    xml.out.len()
}

fn metadata(xml: &mut Writer, metadata: &Metadata) {
    xml.open("report_metadata");
    xml.text("org_name", &metadata.org_name);
    xml.text("email", &metadata.email);
    xml.option("extra_contact_info", metadata.extra_contact_info.as_deref());
    xml.text("report_id", &metadata.report_id);
    xml.open("date_range");
    xml.text("begin", &metadata.date_range.begin.0.to_string());
    xml.text("end", &metadata.date_range.end.0.to_string());
    xml.close("date_range");
    metadata.errors.iter().for_each(|error| xml.text("error", error));
    xml.option("generator", metadata.generator.as_deref());
    xml.close("report_metadata");
}

fn policy_published(xml: &mut Writer, policy: &PolicyPublished) {
    xml.open("policy_published");
    xml.text("domain", &policy.domain);
    xml.option("discovery_method", policy.discovery_method.as_ref().map(|word| word.as_str()));
    xml.option("p", policy.p.as_ref().map(|word| word.as_str()));
    xml.option("sp", policy.sp.as_ref().map(|word| word.as_str()));
    xml.option("np", policy.np.as_ref().map(|word| word.as_str()));
    xml.option("adkim", policy.adkim.as_ref().map(|word| word.as_str()));
    xml.option("aspf", policy.aspf.as_ref().map(|word| word.as_str()));
    xml.option("pct", policy.pct.map(|percent| percent.to_string()).as_deref());
    xml.option("fo", policy.fo.as_deref());
    xml.option("testing", policy.testing.map(|is_test| if is_test { "y" } else { "n" }));
    xml.close("policy_published");
}

fn record(xml: &mut Writer, record: &Record) {
    xml.open("record");
    row(xml, &record.row);
    identifiers(xml, &record.identifiers);
    auth_results(xml, &record.auth_results);
    xml.close("record");
}

fn row(xml: &mut Writer, row: &Row) {
    xml.open("row");
    xml.option("source_ip", row.source_ip.map(|ip| ip.to_string()).as_deref());
    xml.text("count", &row.count.to_string());
    policy_evaluated(xml, &row.policy_evaluated);
    xml.close("row");
}

fn policy_evaluated(xml: &mut Writer, evaluated: &PolicyEvaluated) {
    xml.open("policy_evaluated");
    xml.option("disposition", evaluated.disposition.as_ref().map(|word| word.as_str()));
    xml.option("dkim", evaluated.dkim.as_ref().map(|word| word.as_str()));
    xml.option("spf", evaluated.spf.as_ref().map(|word| word.as_str()));
    for reason in &evaluated.reasons {
        xml.open("reason");
        xml.text("type", reason.kind.as_str());
        xml.option("comment", reason.comment.as_deref());
        xml.close("reason");
    }
    xml.close("policy_evaluated");
}

fn identifiers(xml: &mut Writer, identifiers: &Identifiers) {
    xml.open("identifiers");
    // These two may be empty: for the null sender (RFC 5321 §4.5.5).
    identifiers.envelope_to.iter().for_each(|text| xml.text("envelope_to", text));
    identifiers.envelope_from.iter().for_each(|text| xml.text("envelope_from", text));
    xml.text("header_from", &identifiers.header_from);
    xml.close("identifiers");
}

fn auth_results(xml: &mut Writer, results: &AuthResults) {
    xml.open("auth_results");
    results.dkim.iter().for_each(|found| dkim(xml, found));
    results.spf.iter().for_each(|found| spf(xml, found));
    xml.close("auth_results");
}

fn dkim(xml: &mut Writer, found: &DkimAuthResult) {
    xml.open("dkim");
    xml.text("domain", &found.domain);
    xml.option("selector", found.selector.as_deref());
    xml.option("result", found.result.as_ref().map(|word| word.as_str()));
    xml.option("human_result", found.human_result.as_deref());
    xml.close("dkim");
}

fn spf(xml: &mut Writer, found: &SpfAuthResult) {
    xml.open("spf");
    xml.text("domain", &found.domain);
    xml.option("scope", found.scope.as_ref().map(|word| word.as_str()));
    xml.option("result", found.result.as_ref().map(|word| word.as_str()));
    xml.option("human_result", found.human_result.as_deref());
    xml.close("spf");
}

/// Elements, one on a line, indented by their depth.
struct Writer {
    out: String,
    depth: usize,
}

impl Writer {
    fn open(&mut self, name: &str) {
        self.open_with(name, "");
    }

    fn open_with(&mut self, name: &str, attributes: &str) {
        self.indent();
        self.out.extend(["<", name, attributes, ">\n"]);
        self.depth += 1;
    }

    fn close(&mut self, name: &str) {
        self.depth = self.depth.saturating_sub(1);
        self.indent();
        self.out.extend(["</", name, ">\n"]);
    }

    fn text(&mut self, name: &str, text: &str) {
        self.indent();
        self.out.extend(["<", name, ">"]);
        escape(&clean(text, TEXT_BYTES_MAX), &mut self.out);
        self.out.extend(["</", name, ">\n"]);
    }

    /// An element that says nothing is left out.
    fn option(&mut self, name: &str, text: Option<&str>) {
        if let Some(text) = text
            && !clean(text, TEXT_BYTES_MAX).is_empty()
        {
            self.text(name, text);
        }
    }

    fn indent(&mut self) {
        self.out.extend(std::iter::repeat_n("  ", self.depth));
    }
}

/// Writes character data: nothing in it is markup, and what XML 1.0 §2.2 (`Char`) leaves out, and
/// control characters that were not cleaned away, are replaced.
fn escape(text: &str, out: &mut String) {
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '\u{fffe}' | '\u{ffff}' => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use mox_base::UnixSeconds;
    use proptest::prelude::*;

    use super::super::{
        Alignment, DateRange, DiscoveryMethod, Disposition, DkimResult, DmarcResult, Override,
        OverrideReason, SpfResult, SpfScope, parse,
    };
    use super::*;

    /// Texts that survive: in one line, without blanks around them.
    fn text() -> impl Strategy<Value = String> {
        "[!-~&<>\"'\u{e4}\u{20ac}\u{1f600}]{1,9}( [!-~]{1,5})?"
    }

    fn dkim_result() -> impl Strategy<Value = DkimAuthResult> {
        let result = prop::option::of(text().prop_map(|word| DkimResult::from_word(&word)));
        (text(), prop::option::of(text()), result, prop::option::of(text())).prop_map(
            |(domain, selector, result, human_result)| DkimAuthResult {
                domain,
                selector,
                result,
                human_result,
            },
        )
    }

    fn any_record() -> impl Strategy<Value = Record> {
        let ip = prop::option::of(any::<std::net::IpAddr>());
        let envelope_from = prop::option::of("[a-z.]{0,9}");
        let results = prop::collection::vec(dkim_result(), 0..3);
        let reasons = prop::collection::vec(prop::option::of(text()), 0..3);
        (ip, any::<u64>(), envelope_from, text(), results, reasons).prop_map(
            |(source_ip, count, envelope_from, header_from, dkim, comments)| {
                let reason = |comment| OverrideReason { kind: Override::MailingList, comment };
                let policy_evaluated = PolicyEvaluated {
                    disposition: Some(Disposition::Quarantine),
                    dkim: Some(DmarcResult::Fail),
                    spf: None,
                    reasons: comments.into_iter().map(reason).collect(),
                };
                let spf = SpfAuthResult {
                    domain: header_from.clone(),
                    scope: Some(SpfScope::Helo),
                    result: Some(SpfResult::TempError),
                    human_result: None,
                };
                Record {
                    row: Row { source_ip, count, policy_evaluated },
                    identifiers: Identifiers { envelope_to: None, envelope_from, header_from },
                    auth_results: AuthResults { dkim, spf: vec![spf] },
                }
            },
        )
    }

    fn feedback(records: Vec<Record>, name: &str) -> Feedback {
        Feedback {
            version: "1.0".to_owned(),
            report_metadata: Metadata {
                org_name: name.to_owned(),
                email: "postmaster@mx.example".to_owned(),
                extra_contact_info: None,
                report_id: "20261121.00.a".to_owned(),
                date_range: DateRange { begin: UnixSeconds(1), end: UnixSeconds(86_399) },
                errors: vec![name.to_owned(), String::new()],
                generator: Some(name.to_owned()),
            },
            policy_published: PolicyPublished {
                domain: "example.org".to_owned(),
                discovery_method: Some(DiscoveryMethod::TreeWalk),
                adkim: Some(Alignment::Strict),
                aspf: Some(Alignment::Relaxed),
                p: Some(Disposition::Reject),
                sp: Some(Disposition::None),
                np: None,
                pct: Some(50),
                fo: Some("0:d".to_owned()),
                testing: Some(true),
            },
            records,
        }
    }

    proptest! {
        /// RFC 9990 appendix A.
        #[test]
        fn what_is_written_is_read_as_it_was(
            records in prop::collection::vec(any_record(), 0..4),
            name in text(),
        ) {
            let feedback = feedback(records, &name);
            let xml = to_xml(&feedback);
            prop_assert_eq!(parse(xml.as_bytes()), Ok(feedback));
        }

        #[test]
        fn no_text_is_markup(name in any::<String>()) {
            let xml = to_xml(&feedback(Vec::new(), &name));
            let read = parse(xml.as_bytes()).unwrap();
            prop_assert_eq!(&read.policy_published, &feedback(Vec::new(), "").policy_published);
            prop_assert_eq!(to_xml(&read), xml);
        }
    }

    #[test]
    fn elements_are_in_lines_of_their_own() {
        let xml = to_xml(&feedback(vec![Record::default()], "a & b <c>\r\n"));
        let lines: Vec<_> = xml.lines().map(str::trim_start).collect();
        assert_eq!(lines[1], "<feedback xmlns=\"urn:ietf:params:xml:ns:dmarc-2.0\">");
        for line in [
            "<version>1.0</version>",
            "<org_name>a &amp; b &lt;c&gt;</org_name>",
            "<count>0</count>",
        ] {
            assert!(lines.contains(&line), "{line} in {xml}");
        }
        assert!(!xml.contains("source_ip"));
    }
}
