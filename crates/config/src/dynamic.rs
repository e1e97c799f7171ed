//! The keys of `domains.conf`: domains, and what is at its top.

use std::collections::BTreeMap;

use mox_base::{Domain, Localpart, MailboxName};
use mox_sconf::{Duration, settings};

use crate::account::Account;
use crate::text::{Text, UnicodeDomain, words};
use crate::web::WebHandler;

words! {
    /// How a policy is to be applied (RFC 8461 §3.2).
    pub enum MtaStsMode, "MTA-STS mode", {
        /// Deliver only with verified TLS.
        #[default]
        "enforce" => Enforce,
        /// Deliver anyway and report.
        "testing" => Testing,
        /// No policy any more.
        "none" => None,
    }
}

words! {
    /// The hash of a DKIM signature (RFC 6376 §3.3).
    pub enum DkimHash, "DKIM hash", {
        /// RFC 6376 §3.3.2.
        #[default]
        "sha256" => Sha256,
        /// Not to be used any more (RFC 8301 §3.1).
        "sha1" => Sha1,
    }
}

settings! {
    /// `domains.conf`: what can change while the server runs.
    pub struct Dynamic {
        /// Domains that mail is received for. The keys are domain names in Unicode.
        "Domains" => domains: BTreeMap<Text<UnicodeDomain>, DomainSettings>,
        /// Accounts: who has mail here. The keys are names of the account, used for directories.
        "Accounts" => accounts: BTreeMap<String, Account>,
        /// Domains of which all web requests are redirected to another domain.
        "WebDomainRedirects" optional => web_domain_redirects: BTreeMap<Text<Domain>, Text<Domain>>,
        /// What the web server does with requests. The first handler that matches is used.
        "WebHandlers" optional => web_handlers: Vec<WebHandler>,
        /// Which transport sends a message. Routes of the account come first, then those of the
        /// domain, then these; the first that matches is used.
        "Routes" optional => routes: Vec<Route>,
        /// DNS block lists to watch for the addresses of this machine, besides those of the
        /// listeners.
        "MonitorDNSBLs" optional => monitor_dnsbls: Vec<Text<Domain>>,
    }

    /// A domain.
    pub struct DomainSettings {
        /// Take and send no mail for now, and get no certificates. Its addresses can still log in.
        "Disabled" optional => disabled: bool,
        /// Free text.
        "Description" optional => description: String,
        /// Host name that mail programs are told to use, such as mail.example.org.
        "ClientSettingsDomain" optional => client_settings_domain: Option<Text<Domain>>,
        /// Text that ends the localpart of an address: with +, mail to you+shop arrives at you.
        "LocalpartCatchallSeparator" optional => localpart_catchall_separator: String,
        /// Several of them, instead of the one above. The first is used when addresses are made.
        "LocalpartCatchallSeparators" optional => localpart_catchall_separators: Vec<String>,
        /// Upper and lower case in localparts mean different addresses.
        "LocalpartCaseSensitive" optional => localpart_case_sensitive: bool,
        /// Signing of outgoing messages.
        "DKIM" optional => dkim: Dkim,
        /// Where reports about the use of the domain arrive.
        "DMARC" optional => dmarc: Option<ReportAddress>,
        /// Policy that asks other servers for verified TLS.
        "MTASTS" optional => mtasts: Option<MtaSts>,
        /// Where reports about TLS connections arrive.
        "TLSRPT" optional => tlsrpt: Option<ReportAddress>,
        /// Routes for messages sent from this domain.
        "Routes" optional => routes: Vec<Route>,
        /// Addresses that stand for several others. The keys are localparts in this domain.
        "Aliases" optional => aliases: BTreeMap<Text<Localpart>, Alias>,
    }

    /// DKIM signing (RFC 6376).
    pub struct Dkim {
        /// Keys. The names are what stands before _domainkey in DNS.
        "Selectors" => selectors: BTreeMap<String, Selector>,
        /// Selectors that messages are signed with.
        "Sign" optional => sign: Vec<String>,
    }

    /// A DKIM key.
    pub struct Selector {
        /// sha256, the default, or sha1, which receivers ignore.
        "Hash" optional => hash: Option<Text<DkimHash>>,
        /// Whether white space may change on the way.
        "Canonicalization" optional => canonicalization: Canonicalization,
        /// Headers to sign. Default: From, To, Cc, Bcc, Reply-To, References, In-Reply-To, Subject,
        /// Date, Message-Id, Content-Type. From must be among them.
        "Headers" optional => headers: Vec<String>,
        /// Allow headers to be added on the way that are signed but not in the message.
        "DontSealHeaders" optional => dont_seal_headers: bool,
        /// How long a signature is valid, such as 72h.
        "Expiration" optional => expiration: Duration,
        /// PEM file with the private key: PKCS #8, RSA of at least 1024 bits or Ed25519.
        "PrivateKeyFile" => private_key_file: String,
    }

    /// Which canonical form is signed (RFC 6376 §3.4).
    pub struct Canonicalization {
        /// Headers may be folded anew on the way.
        "HeaderRelaxed" => header_relaxed: bool,
        /// White space in the body may change on the way.
        "BodyRelaxed" => body_relaxed: bool,
    }

    /// Where reports arrive.
    pub struct ReportAddress {
        /// Part before the @, such as dmarcreports or tlsreports. ASCII.
        "Localpart" => localpart: Text<Localpart>,
        /// Domain of the address, if it is not this one.
        "Domain" optional => domain: Option<Text<Domain>>,
        /// Account that gets the reports.
        "Account" => account: String,
        /// Mailbox in the account, such as DMARC or TLSRPT.
        "Mailbox" => mailbox: Text<MailboxName>,
    }

    /// An MTA-STS policy (RFC 8461).
    pub struct MtaSts {
        /// Letters and digits that change whenever the policy does, such as a date.
        "PolicyID" => policy_id: String,
        /// enforce, testing or none.
        "Mode" => mode: Text<MtaStsMode>,
        /// How long others may keep the policy, such as 24h.
        "MaxAge" => max_age: Duration,
        /// Hosts that take mail for the domain. Default: this host.
        "MX" optional => mx: Vec<String>,
    }

    /// A rule for choosing a transport. A message must match what is given.
    pub struct Route {
        /// Domains of the sender. With a dot at the start, subdomains match too.
        "FromDomain" optional => from_domain: Vec<String>,
        /// Domains of the recipient. With a dot at the start, subdomains match too.
        "ToDomain" optional => to_domain: Vec<String>,
        /// Number of attempts made before.
        "MinimumAttempts" optional => minimum_attempts: u32,
        /// Name of a transport in mox.conf.
        "Transport" => transport: String,
    }

    /// An address that stands for several others.
    pub struct Alias {
        /// The members: addresses of accounts on this server.
        "Addresses" => addresses: Vec<Text<mox_base::Address>>,
        /// Anyone may write to it, not only its members.
        "PostPublic" optional => post_public: bool,
        /// Members may see who the members are.
        "ListMembers" optional => list_members: bool,
        /// Members may write as the address itself.
        "AllowMsgFrom" optional => allow_msg_from: bool,
    }
}

impl DomainSettings {
    /// The catch-all separators, in the order in which they are looked for.
    pub fn separators(&self) -> impl Iterator<Item = &str> {
        let single = Some(self.localpart_catchall_separator.as_str()).filter(|s| !s.is_empty());
        single.into_iter().chain(self.localpart_catchall_separators.iter().map(String::as_str))
    }
}
