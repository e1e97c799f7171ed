//! Rules of a destination: which mailbox, and which checks to leave out.

use mox_base::{Domain, MailboxName};
use regex::Regex;

use crate::facts::Message;

/// Header fields that rules look at; the others are as if not there.
pub const RULE_FIELDS_MAX: usize = 1_000;

/// Bytes of a value that rules look at.
pub const RULE_VALUE_BYTES_MAX: usize = 8 * 1024;

/// A rule. All conditions that are given must hold, and one must be given.
///
/// Expressions match anywhere in a text unless they are anchored. Their cost is linear in it.
#[derive(Clone, Debug)]
pub struct Ruleset {
    /// For the whole of MAIL FROM.
    pub mail_from: Option<Regex>,
    /// For the author's address.
    pub msg_from: Option<Regex>,
    /// A domain that is proven to have sent the message, or its parent.
    pub verified_domain: Option<Domain>,
    /// For name and value of fields, in lower case, without space around the value. Each pair must
    /// match some field.
    pub headers: Vec<(Regex, Regex)>,
    /// The message is passed on by a server the user trusts.
    pub is_forward: bool,
    /// The mailing list whose proven messages are accepted.
    pub list_allow_domain: Option<Domain>,
    /// Where messages go that would be refused.
    pub accept_rejects_to: Option<MailboxName>,
    /// Where messages go.
    pub mailbox: MailboxName,
}

/// The first rule that matches. None does, if the header cannot be read.
pub(crate) fn first_match<'a>(rulesets: &'a [Ruleset], message: &Message) -> Option<&'a Ruleset> {
    let fields = message.fields.as_deref()?;
    let has_conditions = rulesets.iter().any(|ruleset| !ruleset.headers.is_empty());
    let fields = if has_conditions { lowered(fields) } else { Vec::new() };
    rulesets.iter().find(|ruleset| ruleset.matches(message, &fields))
}

/// Names and values as rules see them.
fn lowered(fields: &[(String, String)]) -> Vec<(String, String)> {
    let fields = fields.iter().take(RULE_FIELDS_MAX);
    let lower = fields.map(|(name, value)| {
        let end = value.floor_char_boundary(RULE_VALUE_BYTES_MAX);
        let value = value.get(..end).unwrap_or_default();
        (name.to_lowercase(), value.trim().to_lowercase())
    });
    lower.collect()
}

impl Ruleset {
    fn matches(&self, message: &Message, fields: &[(String, String)]) -> bool {
        let is_empty = self.mail_from.is_none()
            && self.msg_from.is_none()
            && self.verified_domain.is_none()
            && self.headers.is_empty();
        let mail_from = |regex: &Regex| regex.is_match(&message.mail_from_text);
        let author = message.author.as_ref().map(|author| author.address.to_string());
        let msg_from = |regex: &Regex| author.as_ref().is_some_and(|author| regex.is_match(author));
        !is_empty
            && self.mail_from.as_ref().is_none_or(mail_from)
            && self.msg_from.as_ref().is_none_or(msg_from)
            && self.verified_domain.as_ref().is_none_or(|domain| has_proof(message, domain))
            && self.headers.iter().all(|(name, value)| {
                fields.iter().any(|field| name.is_match(&field.0) && value.is_match(&field.1))
            })
    }
}

/// Whether SPF or DKIM prove the domain, or one below it.
fn has_proof(message: &Message, domain: &Domain) -> bool {
    let ehlo = message.ehlo.iter().filter(|ehlo| ehlo.validation.is_validated());
    let mail_from = message.mail_from.iter().filter(|from| from.validation.is_validated());
    let sent = ehlo.map(|ehlo| &ehlo.name).chain(mail_from.map(|from| &from.name.domain));
    let signed = message.signatures.iter().map(|signature| &signature.domain);
    sent.chain(signed).any(|proven| proven.is_within(domain))
}

#[cfg(test)]
mod tests {
    use mox_base::Validation;

    use super::*;
    use crate::fixture::{message, ruleset, signature};

    fn regex(text: &str) -> Option<Regex> {
        Some(Regex::new(text).unwrap())
    }

    fn pair(name: &str, value: &str) -> (Regex, Regex) {
        (Regex::new(name).unwrap(), Regex::new(value).unwrap())
    }

    #[track_caller]
    fn check(ruleset: Ruleset, want: bool) {
        let mut message = message("carol@list.example.org");
        message.mail_from_text = "bounce+7@mx.example.org".to_owned();
        message.signatures = vec![signature("sig.example.com")];
        message.fields = Some(vec![
            ("List-ID".to_owned(), " <Talk.Example.ORG> ".to_owned()),
            ("Subject".to_owned(), "Hello".to_owned()),
        ]);
        let rulesets = [ruleset];
        assert_eq!(first_match(&rulesets, &message).is_some(), want, "{:?}", rulesets[0]);
    }

    #[test]
    fn conditions_match() {
        let rule = || ruleset("List");
        check(Ruleset { mail_from: regex("@mx\\.example\\.org$"), ..rule() }, true);
        check(Ruleset { mail_from: regex("example"), ..rule() }, true);
        check(Ruleset { msg_from: regex("^carol@list\\.example\\.org$"), ..rule() }, true);
        check(Ruleset { verified_domain: Domain::parse("example.com").ok(), ..rule() }, true);
        check(Ruleset { verified_domain: Domain::parse("sig.example.com").ok(), ..rule() }, true);
        check(
            Ruleset { headers: vec![pair("^list-id$", "^<talk\\.example\\.org>$")], ..rule() },
            true,
        );
        let two = vec![pair("^list-id$", "talk"), pair("^subject$", "^hello$")];
        check(Ruleset { headers: two, msg_from: regex("carol"), ..rule() }, true);
        // Just past: one of several does not hold, or a value belongs to another name.
        check(Ruleset { msg_from: regex("carol"), mail_from: regex("carol"), ..rule() }, false);
        check(Ruleset { headers: vec![pair("^list-id$", "hello")], ..rule() }, false);
        check(Ruleset { headers: vec![pair("^List-ID$", "talk")], ..rule() }, false);
        check(
            Ruleset { verified_domain: Domain::parse("x.sig.example.com").ok(), ..rule() },
            false,
        );
        // SPF did not prove the host of MAIL FROM.
        check(Ruleset { verified_domain: Domain::parse("mx.example.org").ok(), ..rule() }, false);
        // Never.
        check(rule(), false);
    }

    #[test]
    fn the_first_rule_that_matches_is_used() {
        let rulesets = [
            Ruleset { msg_from: regex("^dave@"), ..ruleset("Dave") },
            Ruleset { msg_from: regex("^carol@"), ..ruleset("First") },
            Ruleset { msg_from: regex("^carol@"), ..ruleset("Second") },
        ];
        let mut message = message("carol@example.org");
        let found = first_match(&rulesets, &message).map(|rule| rule.mailbox.as_str());
        assert_eq!(found, Some("First"));
        // Without an author, conditions on it do not hold; without a header, nothing does.
        message.author = None;
        assert!(first_match(&rulesets, &message).is_none());
        let any = [Ruleset { mail_from: regex(""), ..ruleset("Any") }];
        assert!(first_match(&any, &message).is_some());
        message.fields = None;
        assert!(first_match(&any, &message).is_none());
    }

    #[test]
    fn only_spf_passes_prove_a_domain() {
        let domain = Domain::parse("example.net").unwrap();
        for level in Validation::ALL {
            let mut message = message("carol@example.org");
            let ehlo = message.ehlo.as_mut().unwrap();
            ehlo.name = Domain::parse("mail.example.net").unwrap();
            ehlo.validation = level;
            assert_eq!(has_proof(&message, &domain), level.is_validated(), "{level:?}");
        }
    }

    /// Attack: a header that keeps expressions busy.
    #[test]
    fn fields_beyond_the_limits_are_not_seen() {
        let mut message = message("carol@example.org");
        let mut fields = vec![("X-A".to_owned(), "v".to_owned()); RULE_FIELDS_MAX];
        fields.push(("X-B".to_owned(), "v".to_owned()));
        fields[0].1 = format!("{}end", "\u{e9}".repeat(RULE_VALUE_BYTES_MAX));
        message.fields = Some(fields);
        let rule = |name, value| [Ruleset { headers: vec![pair(name, value)], ..ruleset("X") }];
        assert!(first_match(&rule("^x-a$", "^v$"), &message).is_some());
        assert!(first_match(&rule("^x-b$", "^v$"), &message).is_none());
        assert!(first_match(&rule("^x-a$", "end$"), &message).is_none());
    }
}
