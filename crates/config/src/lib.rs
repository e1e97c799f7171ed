//! The settings of a mail server: `mox.conf` and `domains.conf`, typed, checked, kept up to date.
//!
//! `mox.conf` ([`Static`]) is read at start. `domains.conf` ([`Dynamic`]) is followed while the
//! server runs and rewritten by it, keeping comments and order. [`Config`] is a snapshot of both
//! with look-ups of addresses; [`Live`] holds the current one. Checks report all faults at once,
//! with file and line.
//!
//! Not in here: what is done with a setting, DNS, certificates beyond their files being there.
//!
//! ```
//! use mox_base::Localpart;
//! use mox_config::{Config, Target};
//!
//! let mox_conf = "\
//! DataDir: data
//! LogLevel: info
//! Hostname: mail.example.org
//! Listeners:
//! \tlocal:
//! \t\tIPs:
//! \t\t\t- 127.0.0.1
//! Postmaster:
//! \tAccount: mjl
//! \tMailbox: Postmaster
//! ";
//! let domains_conf = "\
//! Domains:
//! \texample.org:
//! \t\tLocalpartCatchallSeparator: +
//! Accounts:
//! \tmjl:
//! \t\tDomain: example.org
//! \t\tDestinations:
//! \t\t\tmjl@example.org: nil
//! ";
//! let config = Config::parse("/etc/mox".as_ref(), mox_conf, domains_conf).unwrap();
//! let domain = mox_base::Domain::parse("example.org").unwrap();
//! let localpart = Localpart::parse("MJL+shop").unwrap();
//! let Target::Account(target) = config.lookup_address(&localpart, Some(&domain)).unwrap() else {
//!     panic!("not an alias");
//! };
//! assert_eq!(&*target.account, "mjl");
//! ```

mod account;
mod addresses;
mod certificate_hosts;
mod check;
pub mod client_settings;
mod defaults;
mod dynamic;
mod files;
mod finding;
mod http_ports;
mod listener;
mod live;
mod snapshot;
mod statics;
mod text;
mod transport;
mod web;

#[cfg(test)]
mod tests;

pub use account::{
    Account, AutomaticJunkFlags, Destination, FIRST_TIME_RECIPIENTS_PER_DAY_DEFAULT,
    IncomingWebhook, JunkFilter, JunkParams, OUTGOING_MESSAGES_PER_DAY_DEFAULT, OutgoingWebhook,
    Ruleset, SmtpError, SubjectPass, WebhookEvent,
};
pub use addresses::{
    ALIAS_MEMBERS_MAX, AccountTarget, AliasMember, AliasTarget, LookupError, Reports, Target,
    TargetKind,
};
pub use dynamic::{
    Alias, Canonicalization, Dkim, DkimHash, DomainSettings, Dynamic, MtaSts, MtaStsMode,
    ReportAddress, Route, Selector,
};
pub use files::write_atomically;
pub use finding::{Finding, Report};
pub use http_ports::{HttpPort, HttpService};
pub use listener::{
    FIRST_TIME_SENDER_DELAY_DEFAULT, KeyCert, Listener, ListenerTls, MESSAGE_BYTES_DEFAULT,
    PolicyService, PortService, Smtp, Submission, TlsService, TlsVersion, WebService, Webserver,
};
pub use live::{EditError, Live, WriteError, test, test_files};
pub use mox_sconf::Duration;
pub use snapshot::{Config, DYNAMIC_FILE, NamedFiles, PassedFiles, STATIC_FILE};
pub use statics::{
    AccountBinding, Acme, CaCerts, HostTlsRpt, InitialMailboxes, LogLevel, OutgoingTls, Postmaster,
    SpecialUse, Static,
};
pub use text::{DefaultDomain, DestinationKey, Pattern, Syntax, Text, UnicodeDomain};
pub use transport::{Direct, Fail, Mechanism, Smarthost, SmarthostAuth, Socks, Transport};
pub use web::{WebForward, WebHandler, WebInternal, WebRedirect, WebServiceName, WebStatic};

use mox_sconf::Described;

/// A template of `mox.conf`: all keys with their docs. Not a valid file as it stands.
#[must_use]
pub fn describe_static() -> String {
    mox_sconf::describe(&Static::SHAPE)
}

/// A template of `domains.conf`: all keys with their docs. Not a valid file as it stands.
#[must_use]
pub fn describe_domains() -> String {
    mox_sconf::describe(&Dynamic::SHAPE)
}
