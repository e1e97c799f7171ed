//! The settings of new domains and accounts.

use mox_base::{Address, DateTime, Domain, UnixSeconds};
use mox_config::{
    Account, Canonicalization, Dkim, DomainSettings, Duration, MtaSts, MtaStsMode, Selector,
    Static, Text,
};
use mox_mailauth::dkim;

use crate::keys::{DkimKind, KeyError, KeyFile, stamp};

/// How long a DKIM signature is valid: as long as mail waits on its way, and not much longer, so that
/// what was signed once is not sent again for ever.
const SIGNATURE_HOURS: u32 = 72;

/// How long others may keep the MTA-STS policy. Short, so that a mistake in the first days can be
/// taken back. RFC 8461 §3.2.
const POLICY_HOURS: u32 = 24;

/// A new domain: its settings, and the files that they name, to be written before them.
#[derive(Debug)]
pub struct NewDomain {
    /// The settings.
    pub settings: DomainSettings,
    /// Files with new keys.
    pub key_files: Vec<KeyFile>,
}

/// A new domain, with two DKIM keys, one of them for signing and one to go over to, addresses for
/// reports that `account` gets, and an MTA-STS policy if a listener serves such.
///
/// Takes a second or so: it makes two RSA keys.
///
/// # Errors
///
/// If there is no randomness.
pub fn new_domain(
    statics: &Static,
    domain: &Domain,
    account: &str,
    now: UnixSeconds,
) -> Result<NewDomain, KeyError> {
    let mut settings = DomainSettings::with_defaults(domain);
    settings.add_reports(account);
    let (dkim, key_files) = dkim(domain, now)?;
    settings.dkim = dkim;
    if statics.listeners.values().any(|listener| listener.mtasts_https.enabled) {
        settings.mtasts = Some(MtaSts {
            policy_id: stamp(now),
            mode: Text(MtaStsMode::Enforce),
            max_age: Duration::from_hours(POLICY_HOURS),
            mx: vec![statics.hostname.ascii().to_owned()],
        });
    }
    Ok(NewDomain { settings, key_files })
}

fn dkim(domain: &Domain, now: UnixSeconds) -> Result<(Dkim, Vec<KeyFile>), KeyError> {
    let year = DateTime::from_unix(now).year;
    let (mut dkim, mut key_files) = (Dkim::default(), Vec::new());
    for letter in ["a", "b"] {
        let name = format!("{year:04}{letter}");
        let selector = dkim::Selector::parse(&name).map_err(|_| KeyError::Unusable)?;
        let file = KeyFile::dkim(DkimKind::Rsa, &selector, domain, now)?;
        dkim.selectors.insert(name.clone(), selector_settings(&file));
        key_files.push(file);
        // The other one is in DNS for the day when this one must go.
        if letter == "a" {
            dkim.sign.push(name);
        }
    }
    Ok((dkim, key_files))
}

/// The settings of a new DKIM key in a file.
#[must_use]
pub fn selector_settings(file: &KeyFile) -> Selector {
    Selector {
        // What relays do to white space is no reason to lose mail. RFC 6376 §3.4.
        canonicalization: Canonicalization { header_relaxed: true, body_relaxed: true },
        expiration: Duration::from_hours(SIGNATURE_HOURS),
        private_key_file: file.name.clone(),
        ..Selector::default()
    }
}

/// A new account with one address.
#[must_use]
pub fn new_account(address: &Address) -> Account {
    Account::with_defaults(address)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use mox_config::{Config, Dynamic, Listener, PolicyService};

    use super::*;

    const NOW: UnixSeconds = UnixSeconds(1_795_274_564);

    fn statics(has_policies: bool) -> Static {
        let mut statics = Static::minimal("data", &Domain::parse("mx.example.org").unwrap(), "mjl");
        let listener = Listener {
            ips: vec!["127.0.0.1".parse().unwrap()],
            mtasts_https: PolicyService {
                enabled: has_policies,
                non_tls: true,
                ..PolicyService::default()
            },
            ..Listener::default()
        };
        statics.listeners.insert("public".to_owned(), listener);
        statics
    }

    #[test]
    fn new_domains_have_keys_reports_and_a_policy() {
        let address = Address::parse("mjl@example.org").unwrap();
        let statics = statics(true);
        let new = new_domain(&statics, &address.domain, "mjl", NOW).unwrap();
        let mut dynamic = Dynamic::default();
        dynamic.domains.insert(address.domain.clone().into(), new.settings);
        dynamic.accounts.insert("mjl".to_owned(), new_account(&address));
        let dir = tempfile::tempdir().unwrap();
        for file in &new.key_files {
            file.write(dir.path()).unwrap();
        }
        Config::new(Path::new("/x"), &statics, &dynamic).unwrap();
        statics.write(&dir.path().join("mox.conf")).unwrap();
        dynamic.write(&dir.path().join("domains.conf")).unwrap();
        let report = mox_config::test(dir.path());
        assert_eq!(report.faults, []);
        let text = std::fs::read_to_string(dir.path().join("domains.conf")).unwrap();
        let is_setting = |line: &&str| !line.trim().is_empty() && !line.trim().starts_with('#');
        let text: String = text.lines().filter(is_setting).map(|l| format!("{l}\n")).collect();
        for part in [
            "\t\tClientSettingsDomain: mail.example.org\n",
            "\t\tLocalpartCatchallSeparator: +\n",
            "\t\t\t\t2026a:\n",
            "\t\t\t\t2026b:\n",
            "\t\t\t\t\tExpiration: 72h0m0s\n",
            "\t\t\tSign:\n\t\t\t\t- 2026a\n",
            "\t\t\tLocalpart: dmarcreports\n",
            "\t\t\tMailbox: DMARC\n",
            "\t\t\tLocalpart: tlsreports\n",
            "\t\t\tMailbox: TLSRPT\n",
            "\t\t\tPolicyID: 20261121T152244\n",
            "\t\t\tMode: enforce\n",
            "\t\t\tMaxAge: 24h0m0s\n",
            "\t\t\tMX:\n\t\t\t\t- mx.example.org\n",
            "\t\tRejectsMailbox: Rejects\n",
            "\t\tNoCustomPassword: true\n",
            "\t\t\tPeriod: 12h0m0s\n",
            "\t\t\tJunkMailboxRegexp: ^(junk|spam)\n",
            "\t\t\tThreshold: 0.95",
            "\t\t\tRareWords: 2\n",
        ] {
            assert!(text.contains(part), "{part:?} in {text}");
        }
        assert!(!text.contains("- 2026b"));
    }

    #[test]
    fn without_a_server_for_it_there_is_no_policy() {
        let domain = Domain::parse("example.org").unwrap();
        assert_eq!(new_domain(&statics(false), &domain, "mjl", NOW).unwrap().settings.mtasts, None);
    }
}
