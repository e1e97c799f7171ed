//! The keys of `mox.conf`, but for listeners and transports.

use std::collections::BTreeMap;

use mox_base::{Localpart, MailboxName};
use mox_sconf::{Duration, settings};

use crate::listener::Listener;
use crate::text::{Text, UnicodeDomain, words};
use crate::transport::Transport;

words! {
    /// How much is logged, from least to most.
    pub enum LogLevel, "log level", {
        /// Only what is printed in any case.
        "print" => Print,
        /// Errors that end the program.
        "fatal" => Fatal,
        /// What must be looked at.
        "error" => Error,
        /// What may have to be looked at.
        "warn" => Warn,
        /// One line or so for each connection and message.
        #[default]
        "info" => Info,
        /// What helps to find faults.
        "debug" => Debug,
        /// Protocol lines too, without secrets and message data.
        "trace" => Trace,
        /// Protocol lines with secrets, without message data.
        "traceauth" => TraceAuth,
        /// All that goes over the wire.
        "tracedata" => TraceData,
    }
}

settings! {
    /// `mox.conf`: what needs a restart to change.
    pub struct Static {
        /// Directory for all data: accounts, queue, certificates. A relative path starts at the
        /// directory of this file.
        "DataDir" => data_dir: String,
        /// How much to log: error, warn, info, debug, trace, traceauth or tracedata. With trace,
        /// protocol lines are logged without secrets and message data; traceauth adds the
        /// secrets, tracedata the data.
        "LogLevel" => log_level: Text<LogLevel>,
        /// Log levels for single parts of the server, such as smtpserver or imapserver.
        "PackageLogLevels" optional => package_log_levels: BTreeMap<String, Text<LogLevel>>,
        /// User to become after the network ports are bound, if started as root. A name, or the
        /// number of a user that also is the number of its group. Default: mox.
        "User" optional => user: String,
        /// Leave the owners and modes of the configuration and data files alone at start. Without
        /// it they are set so that the user above can read what it must and nobody else can.
        "NoFixPermissions" optional => no_fix_permissions: bool,
        /// Full name of this machine, such as mail.example.org, in Unicode. It is what other mail
        /// servers are greeted with and what they look up in DNS.
        "Hostname" => hostname: Text<UnicodeDomain>,
        /// Ask once a day by DNS whether there is a newer release.
        "CheckUpdates" optional => check_updates: bool,
        /// Refuse what deviates from the protocols even where it does no harm. For testing other
        /// software, not for a server that wants to receive mail.
        "Pedantic" optional => pedantic: bool,
        /// Outgoing TLS connections.
        "TLS" optional => tls: OutgoingTls,
        /// Certificate authorities that issue TLS certificates on request. The names are used by
        /// listeners. A common name is letsencrypt.
        "ACME" optional => acme: BTreeMap<String, Acme>,
        /// File with the bcrypt hash of the password for the admin pages.
        "AdminPasswordFile" optional => admin_password_file: String,
        /// Groups of IP addresses with the services offered on them. The name public stands for
        /// the addresses that the internet reaches: their DNS records and block lists are checked.
        "Listeners" => listeners: BTreeMap<String, Listener>,
        /// Where mail for postmaster goes: without domain, at the host name, and at each domain
        /// that has no destination for it.
        "Postmaster" => postmaster: Postmaster,
        /// Where reports about TLS connections to this host go.
        "HostTLSRPT" optional => host_tlsrpt: Option<HostTlsRpt>,
        /// Mailboxes made for new accounts, besides Inbox. Default: Sent, Archive, Trash, Drafts
        /// and Junk, with these roles.
        "InitialMailboxes" optional => initial_mailboxes: InitialMailboxes,
        /// Deprecated: mailboxes made for new accounts, with roles by their common names. Use
        /// InitialMailboxes.
        "DefaultMailboxes" optional => default_mailboxes: Vec<Text<MailboxName>>,
        /// Ways to send mail other than directly to the servers of its recipients. The names are
        /// used by routes.
        "Transports" optional => transports: BTreeMap<String, Transport>,
        /// Do not send DMARC reports about the mail received.
        "NoOutgoingDMARCReports" optional => no_outgoing_dmarc_reports: bool,
        /// Do not send reports about TLS connections made to others.
        "NoOutgoingTLSReports" optional => no_outgoing_tls_reports: bool,
        /// Send TLS reports also where all connections succeeded.
        "OutgoingTLSReportsForAllSuccess" optional => outgoing_tls_reports_for_all_success: bool,
        /// Most bytes of messages an account may hold, unless it has its own limit. 0 is no limit.
        "QuotaMessageSize" optional => quota_message_size: i64,
    }

    /// TLS settings for connections made by the server.
    pub struct OutgoingTls {
        /// Whose certificates are trusted.
        "CA" optional => ca: Option<CaCerts>,
    }

    /// Trusted certificate authorities.
    pub struct CaCerts {
        /// Trust the authorities of the system too.
        "AdditionalToSystem" optional => additional_to_system: bool,
        /// PEM files with certificates of authorities.
        "CertFiles" optional => cert_files: Vec<String>,
    }

    /// An ACME provider (RFC 8555).
    pub struct Acme {
        /// URL of the provider's directory, such as
        /// https://acme-v02.api.letsencrypt.org/directory.
        "DirectoryURL" => directory_url: String,
        /// How long before the end of a certificate to ask for the next. Default: 30 days.
        "RenewBefore" optional => renew_before: Duration,
        /// Address that the provider may write to about certificates.
        "ContactEmail" => contact_email: String,
        /// TCP port on which the provider's connections arrive, if port 443 is forwarded to
        /// another one here. Default: 443.
        "Port" optional => port: u16,
        /// Name of the provider for CAA records in DNS. Default for Let's Encrypt:
        /// letsencrypt.org.
        "IssuerDomainName" optional => issuer_domain_name: String,
        /// An account that exists at the provider, for providers that want one.
        "ExternalAccountBinding" optional => external_account_binding: Option<AccountBinding>,
    }

    /// External account binding (RFC 8555 §7.3.4).
    pub struct AccountBinding {
        /// Identifier given by the provider.
        "KeyID" => key_id: String,
        /// File with the key given by the provider, in base64 for URLs without padding.
        "KeyFile" => key_file: String,
    }

    /// An account and a mailbox in it.
    pub struct Postmaster {
        /// Name of the account.
        "Account" => account: String,
        /// Mailbox in the account, such as Postmaster.
        "Mailbox" => mailbox: Text<MailboxName>,
    }

    /// Where TLS reports about the host arrive (RFC 8460).
    pub struct HostTlsRpt {
        /// Name of the account.
        "Account" => account: String,
        /// Mailbox in the account, such as TLSRPT.
        "Mailbox" => mailbox: Text<MailboxName>,
        /// Part before the @ of the address at the host name, such as tlsreports. ASCII.
        "Localpart" => localpart: Text<Localpart>,
    }

    /// Mailboxes of new accounts.
    pub struct InitialMailboxes {
        /// Mailboxes that mail programs use for a purpose.
        "SpecialUse" optional => special_use: SpecialUse,
        /// Other mailboxes.
        "Regular" optional => regular: Vec<Text<MailboxName>>,
    }

    /// Mailboxes by role (RFC 6154).
    pub struct SpecialUse {
        /// Copies of sent messages.
        "Sent" optional => sent: Option<Text<MailboxName>>,
        /// Messages that are done with.
        "Archive" optional => archive: Option<Text<MailboxName>>,
        /// Messages to be deleted.
        "Trash" optional => trash: Option<Text<MailboxName>>,
        /// Messages being written.
        "Draft" optional => draft: Option<Text<MailboxName>>,
        /// Unwanted messages.
        "Junk" optional => junk: Option<Text<MailboxName>>,
    }
}

impl Static {
    /// The mailboxes of a new account besides Inbox, with their roles.
    #[must_use]
    pub fn new_account_mailboxes(&self) -> InitialMailboxes {
        let initial = &self.initial_mailboxes;
        let chosen = *initial != InitialMailboxes::default();
        match (chosen, self.default_mailboxes.is_empty()) {
            (true, _) => initial.clone(),
            (false, false) => by_common_names(&self.default_mailboxes),
            (false, true) => by_common_names(
                &["Sent", "Archive", "Trash", "Drafts", "Junk"]
                    .map(|name| MailboxName::parse(name).map(Text))
                    .into_iter()
                    .flatten()
                    .collect::<Vec<_>>(),
            ),
        }
    }
}

fn by_common_names(names: &[Text<MailboxName>]) -> InitialMailboxes {
    let mut mailboxes = InitialMailboxes::default();
    for name in names {
        let roles = &mut mailboxes.special_use;
        let role = match name.as_str() {
            "Sent" => &mut roles.sent,
            "Archive" => &mut roles.archive,
            "Trash" => &mut roles.trash,
            "Drafts" => &mut roles.draft,
            "Junk" => &mut roles.junk,
            _ => {
                mailboxes.regular.extend((!name.is_inbox()).then(|| name.clone()));
                continue;
            }
        };
        *role = Some(name.clone());
    }
    mailboxes
}
