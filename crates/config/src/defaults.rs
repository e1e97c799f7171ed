//! What programs write for new set-ups, domains and accounts.

use mox_base::{Address, Domain, Localpart, MailboxName};

use crate::text::Syntax;
use crate::{
    Account, AutomaticJunkFlags, DefaultDomain, Destination, DestinationKey, DomainSettings,
    Duration, Dynamic, JunkFilter, JunkParams, LogLevel, Pattern, Postmaster, ReportAddress,
    Static, SubjectPass, Text,
};

/// Mailboxes whose messages are junk.
const JUNK_MAILBOXES: &str = "^(junk|spam)";

/// Mailboxes whose messages are neither junk nor not.
const NEUTRAL_MAILBOXES: &str = "^(inbox|introbox|neutral|postmaster|dmarc|tlsrpt|rejects)";

impl Static {
    /// The least a server needs, but for listeners: one at least must be added.
    ///
    /// - `postmaster`: the account that mail for postmaster goes to, in its mailbox `Postmaster`.
    #[must_use]
    pub fn minimal(data_dir: &str, hostname: &Domain, postmaster: &str) -> Self {
        Self {
            data_dir: data_dir.to_owned(),
            log_level: Text(LogLevel::Info),
            hostname: hostname.clone().into(),
            postmaster: Postmaster {
                account: postmaster.to_owned(),
                mailbox: mailbox("Postmaster").unwrap_or_default(),
            },
            ..Self::default()
        }
    }
}

impl Dynamic {
    /// One domain with one account and its address, with the settings for new ones.
    #[must_use]
    pub fn minimal(account: &str, address: &Address) -> Self {
        let mut dynamic = Self::default();
        let domain = DomainSettings::with_defaults(&address.domain);
        dynamic.domains.insert(address.domain.clone().into(), domain);
        dynamic.accounts.insert(account.to_owned(), Account::with_defaults(address));
        dynamic
    }
}

impl DomainSettings {
    /// The settings of a new domain, without keys and report addresses.
    #[must_use]
    pub fn with_defaults(domain: &Domain) -> Self {
        let client = Domain::parse(&format!("mail.{}", domain.ascii())).ok();
        Self {
            client_settings_domain: client.map(Text),
            localpart_catchall_separator: "+".to_owned(),
            ..Self::default()
        }
    }

    /// Adds the usual addresses for reports, `dmarcreports` and `tlsreports`.
    pub fn add_reports(&mut self, account: &str) {
        let report = |localpart: &str, name: &str| {
            Some(ReportAddress {
                localpart: Text(Localpart::from_decoded(localpart).ok()?),
                domain: None,
                account: account.to_owned(),
                mailbox: mailbox(name)?,
            })
        };
        self.dmarc = report("dmarcreports", "DMARC");
        self.tlsrpt = report("tlsreports", "TLSRPT");
    }
}

impl Account {
    /// The settings of a new account with one address.
    #[must_use]
    pub fn with_defaults(address: &Address) -> Self {
        let key = Text(DestinationKey::Address(address.clone()));
        Self {
            domain: Text(DefaultDomain(Some(address.domain.clone()))),
            destinations: [(key, Destination::default())].into(),
            rejects_mailbox: mailbox("Rejects"),
            no_custom_password: true,
            subject_pass: SubjectPass { period: Duration::from_hours(12) },
            automatic_junk_flags: AutomaticJunkFlags {
                enabled: true,
                junk_mailbox_regexp: pattern(JUNK_MAILBOXES),
                neutral_mailbox_regexp: pattern(NEUTRAL_MAILBOXES),
                ..AutomaticJunkFlags::default()
            },
            junk_filter: Some(JunkFilter {
                threshold: 0.95,
                params: Some(JunkParams {
                    onegrams: true,
                    max_power: 0.01,
                    top_words: 10,
                    ignore_words: 0.1,
                    rare_words: 2,
                    ..JunkParams::default()
                }),
                ..JunkFilter::default()
            }),
            ..Self::default()
        }
    }
}

fn mailbox(name: &str) -> Option<Text<MailboxName>> {
    MailboxName::parse(name).ok().map(Text)
}

fn pattern(text: &str) -> Text<Pattern> {
    Text(Pattern::read(text).unwrap_or_default())
}
