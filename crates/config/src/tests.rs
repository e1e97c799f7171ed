//! Tests over both files.

mod faults;
mod files;
mod lookup;

use std::path::Path;

use mox_base::{Address, Domain};

use crate::{Config, Dynamic, Listener, Static};

/// A small `mox.conf`; line 14 on is for what a test adds at the top.
const MOX_CONF: &str = "\
DataDir: data
LogLevel: info
Hostname: mail.example.org
Listeners:
\tpublic:
\t\tIPs:
\t\t\t- 127.0.0.1
\t\tHostname: mx.example.org
\t\tSMTP:
\t\t\tEnabled: true
\t\t\tNoSTARTTLS: true
Postmaster:
\tAccount: mjl
\tMailbox: Postmaster
";

/// A small `domains.conf`; line 9 on is for what a test adds at the top.
const DOMAINS_CONF: &str = "\
Domains:
\texample.org:
\t\tLocalpartCatchallSeparator: +
Accounts:
\tmjl:
\t\tDomain: example.org
\t\tDestinations:
\t\t\tmjl@example.org: nil
";

/// Reads both files and returns the faults, without the directory.
fn faults(mox_conf: &str, domains_conf: &str) -> Vec<String> {
    let found = Config::parse(Path::new(""), mox_conf, domains_conf);
    found.err().unwrap_or_default().iter().map(ToString::to_string).collect()
}

fn domain(text: &str) -> Domain {
    Domain::parse(text).unwrap()
}

fn address(text: &str) -> Address {
    Address::parse(text).unwrap()
}

#[test]
fn settings_made_in_code_are_valid_and_survive_writing() {
    let mut statics = Static::minimal("data", &domain("localhost"), "mox");
    let listener = Listener { ips: vec!["127.0.0.1".parse().unwrap()], ..Listener::default() };
    statics.listeners.insert("local".into(), listener);
    let mut dynamic = Dynamic::minimal("mox", &address("mox@localhost"));
    for settings in dynamic.domains.values_mut() {
        settings.add_reports("mox");
    }
    let config = Config::new(Path::new("/x"), &statics, &dynamic).unwrap();
    assert_eq!((&*config.statics, &*config.dynamic), (&statics, &dynamic));
    assert_eq!(config.data_dir(), Path::new("/x/data"));
    // With docs the files mean the same.
    let dir = tempfile::tempdir().unwrap();
    statics.write(&dir.path().join("mox.conf")).unwrap();
    dynamic.write(&dir.path().join("domains.conf")).unwrap();
    let report = crate::test(dir.path());
    assert_eq!(report.faults, []);
    let text = std::fs::read_to_string(dir.path().join("domains.conf")).unwrap();
    assert!(text.contains("\t\t# What mail the account gets."), "{text}");
    let reread: Dynamic = mox_sconf::from_str(&text).unwrap();
    assert_eq!(reread, dynamic);
}

#[test]
fn settings_without_an_account_are_refused() {
    let statics = Static::minimal("data", &domain("localhost"), "mox");
    let error = Config::new(Path::new("/x"), &statics, &Dynamic::default()).unwrap_err();
    assert_eq!(error[0].to_string(), "/x/mox.conf: Listeners: must not be empty");
}

#[test]
fn mailboxes_of_new_accounts_have_their_roles() {
    let mut statics = Static::minimal("data", &domain("localhost"), "mox");
    let roles = statics.new_account_mailboxes().special_use;
    assert_eq!(roles.draft.unwrap().as_str(), "Drafts");
    statics.default_mailboxes =
        ["Inbox", "Junk", "Postmaster"].map(|name| name.parse().unwrap()).to_vec();
    let mailboxes = statics.new_account_mailboxes();
    assert_eq!(mailboxes.special_use.junk.unwrap().as_str(), "Junk");
    assert_eq!(mailboxes.special_use.sent, None);
    assert_eq!(mailboxes.regular.len(), 1);
}

#[test]
fn templates_have_all_keys_with_docs() {
    let (statics, domains) = (crate::describe_static(), crate::describe_domains());
    for (text, lines) in [
        (
            &statics,
            ["Hostname:\n", "\t\t\t# TCP port. Default: 25. (optional)\n", "Listeners:\n\tx:\n"],
        ),
        (
            &domains,
            ["Accounts:\n\tx:\n", "\t\t\t\t\t\t# Free text. (optional)\n", "WebHandlers:\n\t-\n"],
        ),
    ] {
        for line in lines {
            assert!(text.contains(line), "{line:?} in {text}");
        }
    }
}

#[test]
fn no_key_is_without_docs() {
    fn check(shape: &mox_sconf::Shape) {
        match shape {
            mox_sconf::Shape::Scalar(_) => {}
            mox_sconf::Shape::Map { value, .. } => check(value),
            mox_sconf::Shape::List(item) => check(item),
            mox_sconf::Shape::Struct(fields) => {
                for field in *fields {
                    assert!(field.doc.iter().any(|line| !line.trim().is_empty()), "{}", field.key);
                    check(field.shape);
                }
            }
        }
    }
    check(&<Static as mox_sconf::Described>::SHAPE);
    check(&<Dynamic as mox_sconf::Described>::SHAPE);
}

#[test]
fn quotas_are_those_of_the_account_or_of_all() {
    let quota = |all: &str, own: &str| {
        let mox_conf = format!("{MOX_CONF}QuotaMessageSize: {all}\n");
        let domains_conf = DOMAINS_CONF
            .replace("\t\tDestinations", &format!("\t\tQuotaMessageSize: {own}\n\t\tDestinations"));
        Config::parse(Path::new(""), &mox_conf, &domains_conf).unwrap().quota_bytes("mjl")
    };
    assert_eq!(quota("0", "0"), None);
    assert_eq!(quota("9", "0"), Some(9));
    assert_eq!(quota("9", "5"), Some(5));
    assert_eq!(quota("9", "-1"), None);
    assert_eq!(quota("-1", "0"), None);
}
