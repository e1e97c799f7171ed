//! Checks of accounts, destinations and rulesets.

use mox_base::MailboxName;
use mox_sconf::Path as Key;

use super::{domains, reply_text, split_url, web_url};
use crate::finding::Checker;
use crate::snapshot::Config;
use crate::text::Syntax;
use crate::{Account, Destination, JunkFilter, Pattern, Ruleset, Text};

/// The longest name of an account, in bytes: it is the name of a directory.
pub(crate) const ACCOUNT_NAME_BYTES_MAX: usize = 200;

pub(super) fn accounts(config: &Config, checker: &mut Checker<'_>) {
    for (name, account) in &config.dynamic.accounts {
        let key = Key::root().key("Accounts").key(name);
        account_name(name, &key, checker);
        if let Some(domain) = &account.domain.0.0
            && !config.is_configured_domain(domain)
        {
            checker.fault(
                &key.key("Domain"),
                format_args!("{domain} is not a configured domain: add it to Domains"),
            );
        }
        reply_text(&account.login_disabled, &key.key("LoginDisabled"), checker);
        if let Some(hook) = &account.outgoing_webhook {
            hook_url(&hook.url, &key.key("OutgoingWebhook").key("URL"), checker);
        }
        if let Some(hook) = &account.incoming_webhook {
            hook_url(&hook.url, &key.key("IncomingWebhook").key("URL"), checker);
        }
        from_id_addresses(config, name, account, &key, checker);
        mailboxes(account, &key, checker);
        if let Some(filter) = &account.junk_filter {
            junk_filter(filter, &key.key("JunkFilter"), checker);
        }
        for (index, name) in account.imap_capabilities_disabled.iter().enumerate() {
            // RFC 9051 §9 (`capability`); names are compared in upper case.
            let known = |b: u8| b.is_ascii_graphic() && !b.is_ascii_lowercase();
            if name.is_empty() || !name.bytes().all(known) {
                let key = key.key("IMAPCapabilitiesDisabled").index(index);
                checker.fault(&key, format_args!("{name:?} must be a name in upper case"));
            }
        }
        for (address, destination) in &account.destinations {
            let key = key.key("Destinations").key(address);
            self::destination(destination, &key, checker);
        }
        domains::routes(config, &account.routes, &key, checker);
    }
}

/// A user name in the URL would be passed over, and each call fail; what is wrong is told without it.
fn hook_url(url: &str, key: &Key, checker: &mut Checker<'_>) {
    if split_url(url).is_some_and(|(host, _)| host.contains('@')) {
        checker.fault(key, "must be without user name and password: set Authorization");
    } else {
        web_url(url, key, checker);
    }
}

/// An account name is the name of a directory, so that it must not lead out of its place.
fn account_name(name: &str, key: &Key, checker: &mut Checker<'_>) {
    let bad = name.len() > ACCOUNT_NAME_BYTES_MAX
        || name.starts_with('.')
        || name.trim() != name
        || name.chars().any(|c| matches!(c, '/' | '\\') || c.is_control());
    if bad {
        checker.fault(
            key,
            "the name of an account must not start with a dot, nor have slashes, control \
             characters or spaces at its ends",
        );
    }
}

fn from_id_addresses(
    config: &Config,
    name: &str,
    account: &Account,
    key: &Key,
    checker: &mut Checker<'_>,
) {
    for (index, Text(address)) in account.from_id_login_addresses.iter().enumerate() {
        let key = key.key("FromIDLoginAddresses").index(index);
        let target = config.account_for_login(&address.to_string());
        if target.map_or(true, |target| &*target.account != name) {
            checker.fault(&key, format_args!("{address} is no address of this account"));
            continue;
        }
        if config.separator(&address.domain).is_none() {
            let domain = &address.domain;
            checker.fault(
                &key,
                format_args!("{domain} needs a separator: set LocalpartCatchallSeparator"),
            );
        }
    }
}

fn mailboxes(account: &Account, key: &Key, checker: &mut Checker<'_>) {
    let is_inbox = |name: &Option<Text<MailboxName>>| name.as_ref().is_some_and(|n| n.is_inbox());
    if is_inbox(&account.rejects_mailbox) {
        checker.fault(&key.key("RejectsMailbox"), "must not be Inbox: name another mailbox");
    }
    if is_inbox(&account.introbox) {
        checker.fault(&key.key("Introbox"), "must not be Inbox: name another mailbox");
    } else if account.introbox.is_some() && account.introbox == account.rejects_mailbox {
        checker.fault(&key.key("Introbox"), "must not be the RejectsMailbox: name another mailbox");
    }
}

fn junk_filter(filter: &JunkFilter, key: &Key, checker: &mut Checker<'_>) {
    let mut within = |key: Key, value: f64, most: f64| {
        if !(0.0..=most).contains(&value) {
            checker.fault(&key, format_args!("must be from 0 to {most}"));
        }
    };
    let params = filter.params();
    let of_params = if filter.params.is_some() { key.key("Params") } else { key.clone() };
    within(key.key("Threshold"), filter.threshold, 1.0);
    within(of_params.key("MaxPower"), params.max_power, 0.5);
    within(of_params.key("IgnoreWords"), params.ignore_words, 0.5);
    for (name, count) in [("TopWords", params.top_words), ("RareWords", params.rare_words)] {
        if count < 0 {
            checker.fault(&of_params.key(name), "must not be negative");
        }
    }
    if filter.params.is_some() {
        if let Some(name) = filter.beside_params() {
            checker.fault(&key.key(name), "stands beside Params: leave it out here");
        }
    } else if filter.max_power.is_none() || filter.top_words.is_none() {
        checker
            .fault(key, "missing required key \"Params\", or MaxPower and TopWords in its place");
    }
}

fn destination(destination: &Destination, key: &Key, checker: &mut Checker<'_>) {
    let smtp_error = key.key("SMTPError");
    match (destination.smtp_error.is_empty(), destination.smtp_error()) {
        (true, _) => {}
        (false, None) => {
            checker.fault(&smtp_error, "must start with 421 or 550, then a space and a text");
        }
        (false, Some(error)) => {
            reply_text(error.text, &smtp_error, checker);
            if destination.mailbox.is_some() || !destination.rulesets.is_empty() {
                checker.fault(&smtp_error, "refuses all mail: remove Mailbox and Rulesets");
            }
        }
    }
    let text = &destination.message_auth_required_smtp_error;
    reply_text(text, &key.key("MessageAuthRequiredSMTPError"), checker);
    for (index, rules) in destination.rulesets.iter().enumerate() {
        ruleset(rules, &key.key("Rulesets").index(index), checker);
    }
}

fn ruleset(rules: &Ruleset, key: &Key, checker: &mut Checker<'_>) {
    let mail_from = !rules.smtp_mail_from_regexp.is_empty();
    let has_matcher = mail_from
        || !rules.msg_from_regexp.is_empty()
        || rules.verified_domain.is_some()
        || !rules.headers_regexp.is_empty();
    if !has_matcher {
        checker.fault(
            key,
            "matches nothing: add SMTPMailFromRegexp, MsgFromRegexp, VerifiedDomain or \
             HeadersRegexp",
        );
    }
    for (name, value) in &rules.headers_regexp {
        let key = key.key("HeadersRegexp").key(name);
        if let Err(reason) = Pattern::read(name) {
            checker.fault(&key, format_args!("bad regular expression: {reason}"));
        }
        // Deviation: only letters are looked at. A class such as \S is written in upper case.
        if has_upper_case(name) || has_upper_case(value.as_str()) {
            checker.fault(&key, "must be in lower case, as headers are when they are matched");
        }
    }
    if rules.is_forward {
        if !mail_from || rules.verified_domain.is_none() {
            checker.fault(
                &key.key("IsForward"),
                "needs SMTPMailFromRegexp and VerifiedDomain, by which the forwarder is known",
            );
        }
        if rules.list_allow_domain.is_some() {
            checker.fault(&key.key("IsForward"), "excludes ListAllowDomain: remove one");
        }
    }
    if rules.accept_rejects_to_mailbox.as_ref().is_some_and(|name| name.is_inbox()) {
        checker.fault(&key.key("AcceptRejectsToMailbox"), "must not be Inbox");
    }
}

/// Whether a pattern has an upper-case letter that is not an escape such as `\S`.
fn has_upper_case(pattern: &str) -> bool {
    let mut escaped = false;
    pattern.chars().any(|c| {
        let letter = c.is_uppercase() && !escaped;
        escaped = c == '\\' && !escaped;
        letter
    })
}
