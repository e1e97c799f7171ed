//! Checks of `mox.conf`.

use std::collections::HashSet;
use std::path::Path;

use mox_base::{Address, Domain, MailboxName};
use mox_sconf::Path as Key;

use super::named_files::{Files, Pem};
use super::{listeners, reply_text, web_url};
use crate::finding::Checker;
use crate::snapshot::NamedFiles;
use crate::{Acme, Fail, Smarthost, Socks, Static, Text, Transport};

/// Checks `mox.conf` by itself.
pub(crate) fn statics(
    statics: &Static,
    dir: &Path,
    named_files: NamedFiles,
    checker: &mut Checker<'_>,
) {
    let root = Key::root();
    let files = Files { dir, named_files };
    if statics.data_dir.is_empty() {
        checker.fault(&root.key("DataDir"), "is empty: give a directory, such as ../data");
    }
    if Domain::parse_host(statics.hostname.ascii()).is_err() {
        checker.fault(&root.key("Hostname"), "is not the name of a host: it has an underscore");
    }
    trusted(statics, files, checker);
    for (name, acme) in &statics.acme {
        provider(acme, &root.key("ACME").key(name), files, checker);
    }
    listeners::listeners(statics, files, checker);
    if let Some(reports) = &statics.host_tlsrpt
        && reports.localpart.is_international()
    {
        // RFC 6068 §2 and RFC 8460 §3: it is put in DNS, where only ASCII is sure to be read.
        checker.fault(&root.key("HostTLSRPT").key("Localpart"), "must be ASCII");
    }
    initial_mailboxes(statics, checker);
    for (name, transport) in &statics.transports {
        self::transport(transport, &root.key("Transports").key(name), checker);
    }
}

fn trusted(statics: &Static, files: Files<'_>, checker: &mut Checker<'_>) {
    let Some(ca) = &statics.tls.ca else { return };
    let key = Key::root().key("TLS").key("CA");
    if !ca.additional_to_system && ca.cert_files.is_empty() {
        checker.notice(&key, "trusts no certificate at all: add CertFiles or AdditionalToSystem");
    }
    for (index, name) in ca.cert_files.iter().enumerate() {
        files.pem(name, Pem::Certificate, &key.key("CertFiles").index(index), checker);
    }
}

fn provider(acme: &Acme, key: &Key, files: Files<'_>, checker: &mut Checker<'_>) {
    web_url(&acme.directory_url, &key.key("DirectoryURL"), checker);
    if let Err(error) = Address::parse(&acme.contact_email) {
        checker.fault(&key.key("ContactEmail"), format_args!("{error}: give a mail address"));
    }
    let Some(binding) = &acme.external_account_binding else { return };
    let key = key.key("ExternalAccountBinding").key("KeyFile");
    if let Some(text) = files.read(&binding.key_file, &key, checker) {
        // RFC 8555 §7.3.4 and RFC 4648 §5.
        let known = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
        if text.trim().is_empty() || !text.trim().bytes().all(known) {
            checker.fault(&key, "the file must hold base64 for URLs, without padding");
        }
    }
}

fn initial_mailboxes(statics: &Static, checker: &mut Checker<'_>) {
    let roles = &statics.initial_mailboxes.special_use;
    let key = Key::root().key("InitialMailboxes");
    let special = key.key("SpecialUse");
    let by_role = [
        ("Sent", &roles.sent),
        ("Archive", &roles.archive),
        ("Trash", &roles.trash),
        ("Draft", &roles.draft),
        ("Junk", &roles.junk),
    ];
    let by_role = by_role
        .iter()
        .filter_map(|(role, name)| name.as_ref().map(|name| (special.key(role), name)));
    let regular = statics.initial_mailboxes.regular.iter().enumerate();
    let regular = regular.map(|(index, name)| (key.key("Regular").index(index), name));
    let mut seen: HashSet<&MailboxName> = HashSet::new();
    for (key, Text(name)) in by_role.chain(regular) {
        if name.is_inbox() {
            checker.fault(&key, "Inbox is always made: remove it here");
        }
        if name.parent().is_some() {
            checker.fault(&key, "must be at the top, without a slash");
        }
        if !seen.insert(name) {
            checker.fault(&key, format_args!("mailbox {name} is named twice: remove one"));
        }
    }
    let key = Key::root().key("DefaultMailboxes");
    if !statics.default_mailboxes.is_empty() {
        match seen.is_empty() {
            true => checker.notice(&key, "is deprecated: use InitialMailboxes"),
            false => checker.fault(&key, "excludes InitialMailboxes: remove DefaultMailboxes"),
        }
    }
    for (index, name) in statics.default_mailboxes.iter().enumerate() {
        if name.parent().is_some() {
            checker.fault(&key.index(index), "must be at the top, without a slash");
        }
    }
}

fn transport(transport: &Transport, key: &Key, checker: &mut Checker<'_>) {
    let set = [
        transport.submissions.is_some(),
        transport.submission.is_some(),
        transport.smtp.is_some(),
        transport.socks.is_some(),
        transport.direct.is_some(),
        transport.fail.is_some(),
    ];
    if set.iter().filter(|set| **set).count() > 1 {
        checker.fault(key, "has more than one kind: keep one, make a transport for each other");
    }
    if let Some(host) = &transport.submissions {
        let key = key.key("Submissions");
        if host.starttls_insecure_skip_verify || host.no_starttls {
            checker.fault(&key, "has TLS from the start: remove the STARTTLS keys");
        }
        smarthost(host, &key, checker);
    }
    for (name, host) in [("Submission", &transport.submission), ("SMTP", &transport.smtp)] {
        host.iter().for_each(|host| smarthost(host, &key.key(name), checker));
    }
    if let Some(socks) = &transport.socks {
        self::socks(socks, &key.key("Socks"), checker);
    }
    if transport.direct.as_ref().is_some_and(|direct| direct.disable_ipv4 && direct.disable_ipv6) {
        checker.fault(&key.key("Direct"), "nothing is left: remove DisableIPv4 or DisableIPv6");
    }
    if let Some(fail) = &transport.fail {
        self::fail(fail, &key.key("Fail"), checker);
    }
}

fn smarthost(host: &Smarthost, key: &Key, checker: &mut Checker<'_>) {
    let Some(auth) = &host.auth else { return };
    let mut seen = HashSet::new();
    for (index, mechanism) in auth.mechanisms.iter().enumerate() {
        if !seen.insert(mechanism) {
            let key = key.key("Auth").key("Mechanisms").index(index);
            checker.fault(&key, format_args!("{mechanism} is named twice: remove one"));
        }
    }
    if auth.username.is_empty() {
        checker.fault(&key.key("Auth").key("Username"), "is empty");
    }
}

fn socks(socks: &Socks, key: &Key, checker: &mut Checker<'_>) {
    let port = socks.address.rsplit_once(':').filter(|(host, _)| !host.is_empty());
    if port.and_then(|(_, port)| port.parse::<u16>().ok()).is_none_or(|port| port == 0) {
        checker.fault(&key.key("Address"), "must be a host and port, such as localhost:1080");
    }
}

fn fail(fail: &Fail, key: &Key, checker: &mut Checker<'_>) {
    if !matches!(fail.smtp_code, 0 | 400..=599) {
        checker.fault(&key.key("SMTPCode"), "must be from 400 to 599");
    }
    reply_text(&fail.smtp_message, &key.key("SMTPMessage"), checker);
}
