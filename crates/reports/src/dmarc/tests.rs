use std::io::{Cursor, Write as _};

use flate2::Compression;
use flate2::write::GzEncoder;

use super::*;

/// A report as RFC 7489 has it.
const OLD: &str = r#"<?xml version="1.0" encoding="UTF-8" ?>
<feedback>
  <report_metadata>
    <org_name>Reporter &amp; Co</org_name>
    <email>noreply@reporter.example</email>
    <extra_contact_info>https://reporter.example/help</extra_contact_info>
    <report_id>1234567890</report_id>
    <date_range><begin>1795132800</begin><end>1795219199</end></date_range>
    <error>one</error>
    <error>two</error>
  </report_metadata>
  <policy_published>
    <domain>example.org</domain>
    <adkim>r</adkim>
    <aspf>s</aspf>
    <p>quarantine</p>
    <sp>none</sp>
    <pct>50</pct>
    <fo>1</fo>
  </policy_published>
  <record>
    <row>
      <source_ip>2001:db8::7</source_ip>
      <count>3</count>
      <policy_evaluated>
        <disposition>none</disposition>
        <dkim>fail</dkim>
        <spf>pass</spf>
        <reason><type>sampled_out</type><comment>spared</comment></reason>
        <reason><type>unheard_of</type></reason>
      </policy_evaluated>
    </row>
    <identifiers>
      <envelope_to>reporter.example</envelope_to>
      <envelope_from></envelope_from>
      <header_from>example.org</header_from>
    </identifiers>
    <auth_results>
      <dkim><domain>example.org</domain><selector>a</selector><result>hardfail</result>
        <human_result>body has changed</human_result></dkim>
      <dkim><domain>list.example</domain><result>pass</result></dkim>
      <spf><domain>example.org</domain><scope>mfrom</scope><result>unknown</result></spf>
    </auth_results>
  </record>
</feedback>
"#;

/// The same from another reporter, as RFC 9990 has it, with extensions.
const NEW: &str = r#"<feedback xmlns="urn:ietf:params:xml:ns:dmarc-2.0" xmlns:x="urn:example:x">
  <version>1.0</version>
  <report_metadata>
    <org_name>reporter</org_name><email>a@reporter.example</email><report_id>5@reporter</report_id>
    <date_range><begin>1795132800</begin><end>1795219200</end></date_range>
    <generator>Maker 1.2</generator>
  </report_metadata>
  <policy_published>
    <domain>example.org</domain><discovery_method>treewalk</discovery_method>
    <p>reject</p><np>reject</np><testing>y</testing>
  </policy_published>
  <extension><x:policy_published><domain>other.example</domain></x:policy_published></extension>
  <record>
    <row><source_ip>192.0.2.1</source_ip><count>1</count>
      <policy_evaluated><disposition>pass</disposition><dkim>pass</dkim><spf>fail</spf></policy_evaluated>
    </row>
    <identifiers><header_from>example.org</header_from></identifiers>
    <auth_results><dkim><domain>example.org</domain><selector>s</selector><result>pass</result></dkim></auth_results>
    <x:row><count>100</count></x:row>
  </record>
</feedback>"#;

fn gzip(content: &str) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(content.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

/// A report that says as little as it may, with `policy` and `records` put in.
fn small(policy: &str, records: &str) -> String {
    format!(
        "<feedback><report_metadata><date_range><begin>1</begin><end>2</end></date_range>\
         </report_metadata>{policy}{records}</feedback>"
    )
}

const POLICY: &str = "<policy_published><domain>example.org</domain></policy_published>";

/// RFC 7489 appendix C.
#[test]
fn reports_by_rfc_7489_are_read() {
    let feedback = parse(OLD.as_bytes()).unwrap();
    let metadata = &feedback.report_metadata;
    assert_eq!(metadata.org_name, "Reporter & Co");
    assert_eq!(metadata.report_id, "1234567890");
    assert_eq!(metadata.extra_contact_info.as_deref(), Some("https://reporter.example/help"));
    assert_eq!(
        (metadata.date_range.begin.0, metadata.date_range.end.0),
        (1_795_132_800, 1_795_219_199)
    );
    assert_eq!(metadata.errors, ["one", "two"]);
    let policy = &feedback.policy_published;
    assert_eq!(policy.policy_domain().unwrap().ascii(), "example.org");
    assert_eq!(
        (&policy.adkim, &policy.aspf),
        (&Some(Alignment::Relaxed), &Some(Alignment::Strict))
    );
    assert_eq!((&policy.p, &policy.sp), (&Some(Disposition::Quarantine), &Some(Disposition::None)));
    assert_eq!((policy.pct, policy.testing, &policy.np), (Some(50), None, &None));
    let [record] = feedback.records.as_slice() else { panic!("one record") };
    assert_eq!(
        (record.row.source_ip.unwrap().to_string().as_str(), record.row.count),
        ("2001:db8::7", 3)
    );
    let evaluated = &record.row.policy_evaluated;
    assert_eq!(
        (&evaluated.dkim, &evaluated.spf),
        (&Some(DmarcResult::Fail), &Some(DmarcResult::Pass))
    );
    let reasons: Vec<_> = evaluated.reasons.iter().map(|reason| reason.kind.as_str()).collect();
    assert_eq!(reasons, ["sampled_out", "unheard_of"]);
    assert_eq!(record.identifiers.envelope_from.as_deref(), Some(""));
    let [first, second] = record.auth_results.dkim.as_slice() else { panic!("two signatures") };
    assert_eq!((&first.result, first.selector.as_deref()), (&Some(DkimResult::Fail), Some("a")));
    assert_eq!((&second.result, &second.selector), (&Some(DkimResult::Pass), &None));
    let [spf] = record.auth_results.spf.as_slice() else { panic!("one result") };
    assert_eq!((&spf.result, &spf.scope), (&Some(SpfResult::TempError), &Some(SpfScope::MailFrom)));
}

/// RFC 9990 §3.1.1, §5 (extensions).
#[test]
fn reports_by_rfc_9990_are_read() {
    let feedback = parse(NEW.as_bytes()).unwrap();
    assert_eq!(feedback.version, "1.0");
    assert_eq!(feedback.report_metadata.generator.as_deref(), Some("Maker 1.2"));
    let policy = &feedback.policy_published;
    assert_eq!(policy.domain, "example.org");
    assert_eq!(policy.discovery_method, Some(DiscoveryMethod::TreeWalk));
    assert_eq!((policy.testing, &policy.np), (Some(true), &Some(Disposition::Reject)));
    let [record] = feedback.records.as_slice() else { panic!("one record") };
    assert_eq!(record.row.count, 1);
    assert_eq!(record.row.policy_evaluated.disposition, Some(Disposition::Pass));
}

#[test]
fn a_report_survives_its_json() {
    for text in [OLD, NEW] {
        let feedback = parse(text.as_bytes()).unwrap();
        let json = serde_json::to_string(&feedback).unwrap();
        assert_eq!(serde_json::from_str::<Feedback>(&json).unwrap(), feedback);
    }
}

#[track_caller]
fn check(text: &str, want: Result<(), ReportError>) {
    assert_eq!(parse(text.as_bytes()).map(|_| ()), want);
    assert_eq!(parse(gzip(text).as_slice()).map(|_| ()), want);
}

#[test]
fn what_a_report_must_say_is_required() {
    let range = |range: &str| {
        format!("<feedback><report_metadata>{range}</report_metadata>{POLICY}</feedback>")
    };
    let dates = |begin: &str, end: &str| {
        range(&format!("<date_range><begin>{begin}</begin><end>{end}</end></date_range>"))
    };
    let count =
        |count: &str| small(POLICY, &format!("<record><row><count>{count}</count></row></record>"));
    // Valid.
    check(&small(POLICY, ""), Ok(()));
    check(&dates("0", "0"), Ok(()));
    check(&dates("1.5", "253402300799"), Ok(()));
    check(&count("18446744073709551615"), Ok(()));
    // Just past.
    check(&dates("2", "1"), Err(ReportError::BadValue("date_range")));
    check(&dates("0", "253402300800"), Err(ReportError::BadValue("end")));
    check(&dates("-1", "0"), Err(ReportError::BadValue("begin")));
    check(&count("18446744073709551616"), Err(ReportError::BadValue("count")));
    check(&count("-1"), Err(ReportError::BadValue("count")));
    // Never.
    check(&range(""), Err(ReportError::Missing("date_range")));
    check(&range("<date_range><begin>1</begin></date_range>"), Err(ReportError::Missing("end")));
    check(&small("", ""), Err(ReportError::Missing("policy_published")));
    check(&small(&POLICY.repeat(2), ""), Err(ReportError::TooMany("policy_published")));
    check("<feedback/>", Err(ReportError::Missing("date_range")));
    check("<html/>", Err(ReportError::OtherRoot));
    check("", Err(ReportError::BadXml));
    check(OLD.trim_end().trim_end_matches("/feedback>"), Err(ReportError::BadXml));
    check("<!DOCTYPE feedback><feedback/>", Err(ReportError::DocType));
}

/// Values that cannot be read are absent, where the report is of use without them.
#[test]
fn odd_values_are_absent() {
    let policy = "<policy_published><domain>not a domain</domain><p></p><pct>101</pct>\
        <testing>maybe</testing></policy_published>";
    let record = "<record><row><source_ip>somewhere</source_ip></row></record>";
    let feedback = parse(small(policy, record).as_bytes()).unwrap();
    let policy = &feedback.policy_published;
    assert_eq!((policy.policy_domain(), policy.domain.as_str()), (None, "not a domain"));
    assert_eq!((&policy.p, policy.pct, policy.testing), (&None, None, None));
    assert_eq!(feedback.records[0].row, Row::default());
}

#[test]
fn counts_are_bounded() {
    let records = |count: usize| small(POLICY, &"<record/>".repeat(count));
    check(&records(RECORDS_MAX), Ok(()));
    check(&records(RECORDS_MAX + 1), Err(ReportError::TooMany("records")));
    let results = |what: &str, count: usize| {
        let results = what.repeat(count);
        small(POLICY, &format!("<record><auth_results>{results}</auth_results></record>"))
    };
    check(&results("<dkim/>", SIGNATURES_MAX), Ok(()));
    check(&results("<dkim/>", SIGNATURES_MAX + 1), Err(ReportError::TooMany("signatures")));
    check(&results("<spf/>", SIGNATURES_MAX + 1), Err(ReportError::TooMany("results of spf")));
    let reasons = |count: usize| {
        let reasons = "<reason/>".repeat(count);
        let row = format!("<row><policy_evaluated>{reasons}</policy_evaluated></row>");
        small(POLICY, &format!("<record>{row}</record>"))
    };
    check(&reasons(REASONS_MAX), Ok(()));
    check(&reasons(REASONS_MAX + 1), Err(ReportError::TooMany("reasons")));
    let errors = "<error>x</error>".repeat(ERRORS_MAX + 1);
    let many = small(POLICY, "").replace("<date_range>", &format!("{errors}<date_range>"));
    assert_eq!(parse(many.as_bytes()).unwrap().report_metadata.errors.len(), ERRORS_MAX);
}

/// 20 MB of blanks in 20 KB.
#[test]
fn bombs_are_refused_by_size() {
    let blanks = " ".repeat(1 << 20);
    let head = OLD.trim_end().trim_end_matches("</feedback>");
    let comment = format!("<!--{}-->", "x".repeat(60 << 10));
    let bomb = format!("{head}{}</feedback>", comment.repeat(400));
    assert!(bomb.len() as u64 > REPORT_BYTES_MAX && gzip(&bomb).len() < 100_000);
    check(&bomb, Err(ReportError::TooLarge));
    check(&format!("{head}{blanks}</feedback>"), Err(ReportError::TooLong));
}

#[track_caller]
fn check_message(header: &str, body: &[u8], want: Result<&str, ReportError>) {
    let mut message = format!("From: a@reporter.example\r\n{header}\r\n\r\n").into_bytes();
    message.extend(body);
    let got = from_message(&mut Cursor::new(message)).map(|report| report.policy_published.domain);
    assert_eq!(got.as_deref(), want.as_ref().map(|domain| *domain), "{header}");
}

/// RFC 9990 §3.5, RFC 7489 §7.2.1.1, RFC 6713.
#[test]
fn reports_are_found_in_messages() {
    let packed = gzip(OLD);
    let domain = Ok("example.org");
    for kind in
        ["application/gzip", "application/zip", "Application/X-GZIP", "application/octet-stream"]
    {
        check_message(&format!("Content-Type: {kind}; name=a.xml.gz"), &packed, domain);
    }
    for kind in ["text/xml", "application/xml; charset=utf-8", "application/octet-stream"] {
        check_message(&format!("Content-Type: {kind}"), OLD.as_bytes(), domain);
    }
    check_message("Subject: x", OLD.as_bytes(), domain);
    let mut multipart = b"--b\r\nContent-Type: text/plain\r\n\r\nSee there.\r\n--b\r\n\
        Content-Type: application/gzip\r\n\r\n"
        .to_vec();
    multipart.extend(&packed);
    multipart.extend(b"\r\n--b--\r\n");
    check_message("Content-Type: multipart/mixed; boundary=b", &multipart, domain);
    // Not a report.
    check_message("Content-Type: text/plain", OLD.as_bytes(), Err(ReportError::NoReport));
    check_message("Content-Type: image/png", &packed, Err(ReportError::NoReport));
    check_message("Subject: x", b"Hello.\r\n", Err(ReportError::NoReport));
    check_message("Content-Type: text/xml", b"<svg/>", Err(ReportError::OtherRoot));
    check_message("Content-Type: application/gzip", &packed[..50], Err(ReportError::BadPacking));
}
