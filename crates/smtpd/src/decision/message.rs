//! A message as the decision sees it, and its recipients.

use std::time::Duration;

use mox_base::{Address, Validation};
use mox_config::{Account, Config, Pattern, Text};
use mox_dns::organizational_domain;
use mox_mailauth::dkim::{Status, Verification};
use mox_mailauth::dmarc::{self, Exemption, OverrideReason, Policy};
use mox_mailauth::{iprev, spf};
use mox_mime::{decode_header, fields, first_field, parse_address_list};
use mox_policy::{
    Author, Dmarc, DmarcOverride, DmarcStatus, Message, PassSettings, Proven, RULE_FIELDS_MAX,
    Recipient, ReportsTo, Ruleset, Signature, TO_AND_CC_MAX,
};
use mox_smtp::ReversePath;
use mox_smtp::server::Envelope;
use regex::Regex;

use crate::Port;
use crate::facts::Facts;
use crate::routing::Copy;

/// The service that a key must be for if it signs TLS reports. RFC 8460 §3.
const TLS_REPORT_SERVICE: &str = "tlsrpt";

/// What is the same for all recipients.
///
/// - `header`: the header section, or its start.
/// - `size_bytes`: what a copy takes, with the fields that are put before it.
pub(crate) fn message(
    facts: &Facts,
    envelope: &Envelope,
    header: &[u8],
    size_bytes: u64,
) -> Message {
    let sender = &facts.sender;
    let helo = facts.helo.as_ref().unwrap_or(&facts.spf);
    let ehlo = sender.helo.domain();
    let reverse_path = &envelope.mail.reverse_path;
    Message {
        remote_ip: sender.ip,
        is_tls: envelope.is_tls,
        has_iprev: facts.iprev.status == iprev::Status::Pass,
        ehlo: ehlo.map(|name| Proven { name: name.clone(), validation: validation(helo) }),
        mail_from_text: mail_from_text(reverse_path),
        mail_from: sender
            .mail_from
            .clone()
            .map(|name| Proven { name, validation: validation(&facts.spf) }),
        mail_from_validation: validation(&facts.spf),
        is_smtputf8: envelope.mail.is_utf8,
        size_bytes,
        author: author(facts),
        to_and_cc: to_and_cc(header),
        subject: first_field(header, "Subject").map(decode_header).unwrap_or_default(),
        fields: facts.dkim.is_ok().then(|| decoded_fields(header)),
        signatures: facts.dkim.iter().flatten().filter_map(signature).collect(),
        dmarc: dmarc(&facts.dmarc),
    }
}

/// MAIL FROM without brackets.
pub(crate) fn mail_from_text(path: &ReversePath) -> String {
    path.mailbox().map(ToString::to_string).unwrap_or_default()
}

fn author(facts: &Facts) -> Option<Author> {
    let address = facts.author.as_ref().ok()?.clone();
    let organization = organizational_domain(&address.domain);
    Some(Author { address, organization, validation: facts.author_validation() })
}

/// What SPF says, as it is remembered. RFC 7208 §2.6.
fn validation(received: &spf::Received) -> Validation {
    match received.status {
        spf::Status::None => Validation::None,
        spf::Status::Neutral => Validation::Neutral,
        spf::Status::Pass => Validation::Pass,
        spf::Status::Fail => Validation::Fail,
        spf::Status::SoftFail => Validation::SoftFail,
        spf::Status::TempError => Validation::TempError,
        spf::Status::PermError => Validation::PermError,
    }
}

fn to_and_cc(header: &[u8]) -> Vec<Address> {
    let mut addresses = Vec::new();
    for field in fields(header).filter(|field| field.is("To") || field.is("Cc")) {
        let room = TO_AND_CC_MAX.saturating_sub(addresses.len());
        if room == 0 {
            break;
        }
        let list = parse_address_list(field.value, room);
        addresses.extend(list.iter().filter_map(mox_mime::EnvelopeAddress::address));
    }
    addresses
}

/// Names and decoded values, for rules.
fn decoded_fields(header: &[u8]) -> Vec<(String, String)> {
    let named = fields(header).filter(|field| !field.name.is_empty()).take(RULE_FIELDS_MAX);
    let name = |name: &[u8]| String::from_utf8_lossy(name.trim_ascii_end()).into_owned();
    named.map(|field| (name(field.name), decode_header(field.value))).collect()
}

fn signature(found: &Verification) -> Option<Signature> {
    if found.status != Status::Pass {
        return None;
    }
    let (signature, key) = (found.signature.as_ref()?, found.key.as_ref()?);
    let services = &key.record.services;
    let is_for_reports = |service: &String| service == "*" || service == TLS_REPORT_SERVICE;
    Some(Signature {
        domain: signature.domain.clone(),
        organization: organizational_domain(&signature.domain),
        covers_body: signature.body_bytes.is_none(),
        allows_tls_reports: services.is_empty() || services.iter().any(is_for_reports),
    })
}

fn dmarc(outcome: &dmarc::Outcome) -> Dmarc {
    let status = match outcome.status {
        dmarc::Status::None => DmarcStatus::None,
        dmarc::Status::Pass => DmarcStatus::Pass,
        dmarc::Status::Fail => DmarcStatus::Fail,
        dmarc::Status::TempError => DmarcStatus::TempError,
        dmarc::Status::PermError => DmarcStatus::PermError,
    };
    Dmarc {
        status,
        wants_refusal: status == DmarcStatus::Fail && outcome.policy != Policy::None,
        is_sampled: outcome.exemption.is_none(),
        has_record: outcome.record().is_some(),
    }
}

/// Why DMARC's outcome was not followed, as it is reported. RFC 9989 §4.7, RFC 9990 (overrides).
pub(crate) fn overrides(overrides: &[DmarcOverride], facts: &Facts) -> Vec<OverrideReason> {
    let is_test = facts.dmarc.exemption == Some(Exemption::Test);
    let reason = |one: &DmarcOverride| match one {
        DmarcOverride::MailingList => OverrideReason::MailingList,
        DmarcOverride::Forwarded => OverrideReason::Forwarded,
        DmarcOverride::SampledOut if is_test => OverrideReason::PolicyTestMode,
        DmarcOverride::SampledOut => OverrideReason::SampledOut,
    };
    overrides.iter().map(reason).collect()
}

/// What counts for one copy.
pub(crate) fn recipient(copy: &Copy, account: &Account, port: &Port) -> Recipient {
    let destination = &*copy.destination;
    let text = &destination.message_auth_required_smtp_error;
    let period = account.subject_pass.period.0;
    Recipient {
        rcpt_to: rcpt_to(copy, port),
        mailbox: destination.mailbox(),
        rulesets: destination.rulesets.iter().filter_map(ruleset).collect(),
        auth_required_text: (!text.is_empty()).then(|| text.clone()),
        introbox: account.introbox.as_ref().map(|name| name.0.clone()),
        pass: (!period.is_zero()).then_some(PassSettings { period, key: None }),
        junk_threshold: account.junk_filter.as_ref().map(|filter| filter.threshold),
        reports: ReportsTo {
            dmarc: copy.reports.dmarc,
            tls: copy.reports.tls || copy.reports.host_tls,
        },
        has_blocklists: !port.blocklists.is_empty(),
        first_time_delay: if account.no_first_time_sender_delay {
            Duration::ZERO
        } else {
            port.first_time_delay
        },
    }
}

/// RCPT TO as given. An address literal of ours stands for our name.
fn rcpt_to(copy: &Copy, port: &Port) -> Address {
    let mailbox = copy.rcpt.mailbox().unwrap_or(&copy.address);
    mailbox.address().unwrap_or_else(|| Address {
        localpart: mailbox.localpart.clone(),
        domain: port.hostname.clone(),
    })
}

/// The address whose passes count: one for all ways to write it.
pub(crate) fn pass_address(config: &Config, recipient: &Recipient) -> Address {
    config.canonical_address(&recipient.rcpt_to).unwrap_or_else(|| recipient.rcpt_to.clone())
}

/// `None` if an expression does not compile, which was checked when the configuration was read.
fn ruleset(rule: &mox_config::Ruleset) -> Option<Ruleset> {
    let regex = |pattern: &Text<Pattern>| pattern.regex().cloned();
    let header = |(name, value): (&String, &Text<Pattern>)| {
        Some((Regex::new(name).ok()?, Regex::new(value.as_str()).ok()?))
    };
    Some(Ruleset {
        mail_from: regex(&rule.smtp_mail_from_regexp),
        msg_from: regex(&rule.msg_from_regexp),
        verified_domain: rule.verified_domain.as_ref().map(|domain| domain.0.clone()),
        // A condition must not be left out alone: the rule would match more.
        headers: rule.headers_regexp.iter().map(header).collect::<Option<_>>()?,
        is_forward: rule.is_forward,
        list_allow_domain: rule.list_allow_domain.as_ref().map(|domain| domain.0.clone()),
        accept_rejects_to: rule.accept_rejects_to_mailbox.as_ref().map(|name| name.0.clone()),
        mailbox: rule.mailbox.0.clone(),
    })
}

#[cfg(test)]
mod tests {
    use mox_config::Syntax as _;

    use super::*;
    use crate::facts::fixture::{facts, signed, spf};

    const KEY: &str = "v=DKIM1; k=ed25519; p=AAAA";

    #[track_caller]
    fn check_signature(tags: &str, record: &str, want: (bool, bool)) {
        let found = signed("mail.example.co.uk", Status::Pass, tags, record);
        let got = signature(&found).unwrap();
        assert_eq!(got.organization.ascii(), "example.co.uk");
        assert_eq!((got.covers_body, got.allows_tls_reports), want, "{tags} {record}");
    }

    /// RFC 6376 §3.5 (`l=`), §3.6.1 (`s=`); RFC 8460 §3.
    #[test]
    fn signatures_say_what_they_are_good_for() {
        check_signature("", KEY, (true, true));
        check_signature("", "v=DKIM1; k=ed25519; s=*; p=AAAA", (true, true));
        check_signature("", "v=DKIM1; k=ed25519; s=email:tlsrpt; p=AAAA", (true, true));
        check_signature("l=10", KEY, (false, true));
        check_signature("", "v=DKIM1; k=ed25519; s=email; p=AAAA", (true, false));
        for status in [Status::Fail, Status::Policy, Status::TempError, Status::PermError] {
            assert!(signature(&signed("a.example", status, "", KEY)).is_none(), "{status}");
        }
    }

    #[track_caller]
    fn check_dmarc(
        status: dmarc::Status,
        policy: Policy,
        exemption: Option<Exemption>,
        refuses: bool,
    ) {
        let outcome = dmarc::Outcome { status, policy, exemption, ..facts("a@b.example").dmarc };
        assert_eq!(dmarc(&outcome).refuses(), refuses, "{outcome:?}");
        assert_eq!(outcome.asks_for_rejection(), refuses, "{outcome:?}");
    }

    /// RFC 7489 §6.3, §6.6.4; RFC 9989 §4.7.
    #[test]
    fn policies_count_for_messages_that_fail() {
        use dmarc::Status as Dmarc;
        check_dmarc(Dmarc::Fail, Policy::Reject, None, true);
        check_dmarc(Dmarc::Fail, Policy::Quarantine, None, true);
        check_dmarc(Dmarc::Fail, Policy::None, None, false);
        check_dmarc(Dmarc::Fail, Policy::Reject, Some(Exemption::SampledOut), false);
        check_dmarc(Dmarc::Fail, Policy::Reject, Some(Exemption::Test), false);
        for status in [Dmarc::Pass, Dmarc::None, Dmarc::TempError, Dmarc::PermError] {
            check_dmarc(status, Policy::Reject, None, false);
        }
    }

    #[test]
    fn a_policy_that_is_tried_out_is_told_from_one_that_is_sampled() {
        let mut facts = facts("a@b.example");
        let all = [DmarcOverride::Forwarded, DmarcOverride::SampledOut];
        let sampled = [OverrideReason::Forwarded, OverrideReason::SampledOut];
        assert_eq!(overrides(&all, &facts), sampled);
        facts.dmarc.exemption = Some(Exemption::Test);
        let tested = [OverrideReason::Forwarded, OverrideReason::PolicyTestMode];
        assert_eq!(overrides(&all, &facts), tested);
        assert_eq!(overrides(&[DmarcOverride::MailingList], &facts), [OverrideReason::MailingList]);
    }

    /// RFC 7208 §2.6.
    #[test]
    fn results_of_spf_are_remembered_one_by_one() {
        for (status, want) in [
            (spf::Status::Pass, Validation::Pass),
            (spf::Status::Fail, Validation::Fail),
            (spf::Status::SoftFail, Validation::SoftFail),
            (spf::Status::Neutral, Validation::Neutral),
            (spf::Status::None, Validation::None),
            (spf::Status::TempError, Validation::TempError),
            (spf::Status::PermError, Validation::PermError),
        ] {
            assert_eq!(validation(&spf("a.example", status)), want);
        }
    }

    #[test]
    fn recipients_in_the_header_are_found_and_bounded() {
        let header = b"To: a@b.example, g: <c@d.example>, broken;\r\nCC: e@f.example\r\n\
            Bcc: no@f.example\r\n\r\nTo: no@f.example\r\n";
        let found: Vec<String> = to_and_cc(header).iter().map(ToString::to_string).collect();
        assert_eq!(found, ["a@b.example", "c@d.example", "e@f.example"]);
        let many = format!("To: {}\r\n", "a@b.example, ".repeat(700)).repeat(3);
        assert_eq!(to_and_cc(many.as_bytes()).len(), TO_AND_CC_MAX);
    }

    #[test]
    fn fields_for_rules_are_decoded_and_bounded() {
        let header = b"X-A : =?utf-8?q?b=C3=BCcher?=\r\n\tx\r\nno field\r\n\r\nX-B: y\r\n";
        assert_eq!(decoded_fields(header), [("X-A".to_owned(), "b\u{fc}cher\tx".to_owned())]);
        let many = "X: y\r\n".repeat(RULE_FIELDS_MAX + 1);
        assert_eq!(decoded_fields(many.as_bytes()).len(), RULE_FIELDS_MAX);
    }

    #[test]
    fn a_rule_with_a_condition_that_cannot_be_read_is_none() {
        let pattern = |text: &str| Text(Pattern::read(text).unwrap());
        let mut rule = mox_config::Ruleset {
            msg_from_regexp: pattern("@b\\.example$"),
            headers_regexp: [("^x-a$".to_owned(), pattern("y"))].into(),
            ..mox_config::Ruleset::default()
        };
        let got = ruleset(&rule).unwrap();
        assert!(got.mail_from.is_none() && got.msg_from.unwrap().is_match("a@b.example"));
        assert!(got.headers[0].0.is_match("x-a") && got.headers[0].1.is_match("xyz"));
        rule.headers_regexp.insert("(".to_owned(), pattern("y"));
        assert!(ruleset(&rule).is_none());
    }
}
