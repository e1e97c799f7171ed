//! Who gets mail, logs in and may send.

use std::path::Path;

use mox_base::Localpart;

use super::{MOX_CONF, address, domain};
use crate::{Config, LookupError, Target};

const DOMAINS_CONF: &str = "\
Domains:
\texample.org:
\t\tLocalpartCatchallSeparators:
\t\t\t- +
\t\t\t- --
\t\tDMARC:
\t\t\tLocalpart: Dmarc--reports
\t\t\tAccount: mjl
\t\t\tMailbox: DMARC
\t\tTLSRPT:
\t\t\tLocalpart: tls
\t\t\tDomain: reports.example
\t\t\tAccount: mjl
\t\t\tMailbox: TLSRPT
\t\tAliases:
\t\t\tTeam:
\t\t\t\tAddresses:
\t\t\t\t\t- mjl+x@example.org
\t\t\t\t\t- other@catch.example
\t\t\t\tAllowMsgFrom: true
\t\t\tquiet:
\t\t\t\tAddresses:
\t\t\t\t\t- mjl@example.org
\tcatch.example: nil
\tcase.example:
\t\tLocalpartCaseSensitive: true
\toff.example:
\t\tDisabled: true
\tempty.example: nil
\treports.example: nil
\tbücher.example: nil
Accounts:
\tmjl:
\t\tDomain: example.org
\t\tDestinations:
\t\t\tmjl@example.org: nil
\t\t\t\u{3a9}@example.org: nil
\t\t\t\"\"@example.org: nil
\t\t\tm\u{fc}ller@example.org:
\t\t\t\tMailbox: Mueller
\t\t\tMjl@case.example: nil
\t\t\tme@off.example: nil
\t\t\talone: nil
\tother:
\t\tDomain: catch.example
\t\tDestinations:
\t\t\t@catch.example: nil
\t\t\tother@catch.example: nil
\t\t\tpostmaster@xn--bcher-kva.example: nil
";

fn config() -> Config {
    let mox_conf = format!(
        "{MOX_CONF}HostTLSRPT:\n\tAccount: other\n\tMailbox: TLSRPT\n\tLocalpart: tlsreports\n"
    );
    Config::parse(Path::new("/etc/mox"), &mox_conf, DOMAINS_CONF).unwrap()
}

/// Looks an address up for delivery; the answer is `account key mailbox`, or the alias, or the
/// error. A text without `@` is a localpart without domain.
#[track_caller]
fn check(config: &Config, text: &str, want: Result<&str, LookupError>) {
    let got = match text.rsplit_once('@') {
        Some((localpart, at)) => {
            config.lookup_address(&Localpart::parse(localpart).unwrap(), Some(&domain(at)))
        }
        None => config.lookup_address(&Localpart::parse(text).unwrap(), None),
    };
    let got = got.map(|target| match target {
        Target::Account(target) => {
            format!("{} {} {}", target.account, target.key, target.destination.mailbox())
        }
        Target::Alias(alias) => format!("alias {}", alias.address),
    });
    assert_eq!(got.as_deref().map_err(|error| *error), want, "{text}");
}

#[test]
fn addresses_are_found_in_each_of_their_forms() {
    let config = &config();
    // Valid.
    check(config, "mjl@example.org", Ok("mjl mjl@example.org Inbox"));
    check(config, "MJL@EXAMPLE.ORG", Ok("mjl mjl@example.org Inbox"));
    check(config, "mjl+a@example.org", Ok("mjl mjl@example.org Inbox"));
    check(config, "mjl--a@example.org", Ok("mjl mjl@example.org Inbox"));
    check(config, "Mjl+a--b@example.org", Ok("mjl mjl@example.org Inbox"));
    check(config, "mjl--a+b@example.org", Ok("mjl mjl@example.org Inbox"));
    check(config, "alone@example.org", Ok("mjl alone@example.org Inbox"));
    // NFC and NFD; the ohm sign and both cases of omega. RFC 6530 §10.1.
    check(config, "m\u{fc}ller@example.org", Ok("mjl m\u{fc}ller@example.org Mueller"));
    check(config, "Mu\u{308}ller@example.org", Ok("mjl m\u{fc}ller@example.org Mueller"));
    for omega in ["\u{3a9}", "\u{2126}", "\u{3c9}"] {
        check(config, &format!("{omega}@example.org"), Ok("mjl \u{3c9}@example.org Inbox"));
    }
    // At the edge of valid.
    check(config, "\"\"@example.org", Ok("mjl \"\"@example.org Inbox"));
    check(config, "+@example.org", Ok("mjl \"\"@example.org Inbox"));
    check(config, "+a@example.org", Ok("mjl \"\"@example.org Inbox"));
    // Just past the edge: a single hyphen is no separator, and a similar letter another letter.
    check(config, "mjl-a@example.org", Err(LookupError::UnknownUser));
    check(config, "m\u{458}l@example.org", Err(LookupError::UnknownUser));
    let long = "\u{130}".repeat(64);
    check(config, &format!("{long}@example.org"), Err(LookupError::UnknownUser));
    // Never valid.
    check(config, "nobody@example.org", Err(LookupError::UnknownUser));
    check(config, "mjl@other.example", Err(LookupError::UnknownDomain));
    check(config, "mjl", Err(LookupError::UnknownDomain));
}

#[test]
fn case_matters_only_where_the_domain_says_so() {
    let config = &config();
    check(config, "Mjl@case.example", Ok("mjl Mjl@case.example Inbox"));
    check(config, "mjl@case.example", Err(LookupError::UnknownUser));
    check(config, "Mjl+a@case.example", Err(LookupError::UnknownUser));
}

#[test]
fn a_catchall_takes_what_has_no_destination() {
    let config = &config();
    check(config, "anyone@catch.example", Ok("other @catch.example Inbox"));
    check(config, "other@catch.example", Ok("other other@catch.example Inbox"));
    check(config, "postmaster@catch.example", Ok("other @catch.example Inbox"));
}

#[test]
fn postmaster_is_always_reached() {
    // RFC 5321 §4.5.1, and §4.1.1.3 for the form without domain.
    let config = &config();
    check(config, "postmaster", Ok("mjl postmaster@mail.example.org Postmaster"));
    check(config, "PostMaster", Ok("mjl postmaster@mail.example.org Postmaster"));
    check(config, "postmaster@mail.example.org", Ok("mjl postmaster@mail.example.org Postmaster"));
    check(config, "postmaster@mx.example.org", Ok("mjl postmaster@mail.example.org Postmaster"));
    check(config, "Postmaster+a@example.org", Ok("mjl postmaster@example.org Postmaster"));
    check(config, "postmaster@bücher.example", Ok("other postmaster@bücher.example Inbox"));
    check(config, "postmaster@off.example", Err(LookupError::DomainDisabled));
    check(config, "postmaster@empty.example", Err(LookupError::UnknownDomain));
    check(config, "postmaster@other.example", Err(LookupError::UnknownDomain));
    check(config, "mjl@mail.example.org", Err(LookupError::UnknownDomain));
}

#[test]
fn report_addresses_are_not_cut_at_separators_in_them() {
    let config = &config();
    check(config, "dmarc--reports@example.org", Ok("mjl dmarc--reports@example.org DMARC"));
    check(config, "DMARC--reports+x@example.org", Ok("mjl dmarc--reports@example.org DMARC"));
    check(config, "tls@reports.example", Ok("mjl tls@reports.example TLSRPT"));
    check(config, "TLSreports@mail.example.org", Ok("other tlsreports@mail.example.org TLSRPT"));
    check(config, "dmarc--x@example.org", Err(LookupError::UnknownUser));
    check(config, "tls@example.org", Err(LookupError::UnknownUser));
    let target = config.lookup_address(
        &address("tls@reports.example").localpart,
        Some(&domain("reports.example")),
    );
    let Ok(Target::Account(target)) = target else { panic!("{target:?}") };
    assert!(target.reports.tls && !target.reports.dmarc);
}

#[test]
fn aliases_lead_to_their_members() {
    let config = &config();
    check(config, "team+x@example.org", Ok("alias team@example.org"));
    let found =
        config.lookup_address(&address("TEAM@example.org").localpart, Some(&domain("example.org")));
    let Ok(Target::Alias(alias)) = found else { panic!("{found:?}") };
    let members: Vec<_> =
        alias.members.iter().map(|m| (m.address.to_string(), &*m.target.account)).collect();
    let want = [("mjl@example.org".to_owned(), "mjl"), ("other@catch.example".to_owned(), "other")];
    assert_eq!(members, want);
    assert!(alias.allow_msg_from && !alias.post_public && !alias.list_members);
}

#[test]
fn a_disabled_domain_takes_no_mail() {
    let config = &config();
    check(config, "me@off.example", Err(LookupError::DomainDisabled));
    assert!(config.is_local_domain(&domain("off.example")));
    assert!(!config.is_local_domain(&domain("empty.example")));
    assert!(config.is_configured_domain(&domain("empty.example")));
}

#[test]
fn addresses_of_an_account_log_in() {
    let config = &config();
    #[track_caller]
    fn check(config: &Config, user: &str, want: Option<&str>) {
        let got = config.account_for_login(user).ok();
        assert_eq!(got.as_ref().map(|target| &*target.account), want, "{user}");
    }
    check(config, "mjl@example.org", Some("mjl"));
    check(config, "MJL+imap@example.org", Some("mjl"));
    check(config, "mu\u{308}ller@example.org", Some("mjl"));
    check(config, "\"\"@example.org", Some("mjl"));
    check(config, "me@off.example", Some("mjl"));
    check(config, "any@catch.example", Some("other"));
    check(config, "postmaster@xn--bcher-kva.example", Some("other"));
    // Neither names of accounts nor aliases, nor addresses that only postmaster mail comes to.
    check(config, "mjl", None);
    check(config, "team@example.org", None);
    check(config, "postmaster@example.org", None);
    check(config, "postmaster@mail.example.org", None);
    check(config, "tlsreports@mail.example.org", None);
    check(config, "nobody@example.org", None);
    check(config, "\u{0}@example.org", None);
    check(config, "", None);
}

#[test]
fn accounts_send_from_their_own_addresses() {
    let config = &config();
    #[track_caller]
    fn check(config: &Config, account: &str, from: &str, want: Result<bool, LookupError>) {
        assert_eq!(config.account_may_send_as(account, &address(from)), want, "{account} {from}");
    }
    check(config, "mjl", "mjl+x@example.org", Ok(true));
    check(config, "other", "any@catch.example", Ok(true));
    check(config, "other", "mjl@example.org", Ok(false));
    check(config, "mjl", "team@example.org", Ok(true));
    check(config, "other", "team@example.org", Ok(true));
    check(config, "mjl", "quiet@example.org", Ok(false));
    check(config, "mjl", "postmaster@example.org", Ok(false));
    check(config, "other", "postmaster@bücher.example", Ok(true));
    check(config, "mjl", "mjl@elsewhere.example", Ok(false));
    check(config, "mjl", "nobody@example.org", Ok(false));
    check(config, "mjl", "me@off.example", Err(LookupError::DomainDisabled));
}

#[test]
fn destinations_are_listed() {
    let config = &config();
    let own: Vec<_> = config.account_addresses("other").collect();
    assert_eq!(own, ["other@catch.example", "postmaster@bücher.example", "@catch.example"]);
    assert!(config.account_addresses("mjl").any(|address| address == "alone@example.org"));
    assert_eq!(config.account_addresses("nobody").count(), 0);
    let canonical = config.canonical_address(&address("Mjl+x@example.org"));
    assert_eq!(canonical, Some(address("mjl@example.org")));
    assert_eq!(config.canonical_address(&address("a@elsewhere.example")), None);
}
