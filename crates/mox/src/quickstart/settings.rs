//! The text of both configuration files.

use std::collections::BTreeMap;
use std::net::IpAddr;

use anyhow::{Context, Result};
use mox_base::{Address, Domain, Localpart, MailboxName};
use mox_config::{
    Account, Acme, DomainSettings, Dynamic, HostTlsRpt, KeyCert, Listener, ListenerTls, LogLevel,
    PolicyService, PortService, Static, Text, WebService, Webserver,
};
use mox_sconf::{Docs, Document, Path as Key};

/// The provider of certificates by its name in the configuration.
const ACME: &str = "letsencrypt";

/// Its directory (RFC 8555 §7.1.1).
const ACME_DIRECTORY: &str = "https://acme-v02.api.letsencrypt.org/directory";

/// Its name in CAA records.
const ACME_ISSUER: &str = "letsencrypt.org";

/// The block lists that are watched, and that are proposed for asking about strangers.
pub(super) const BLOCK_LISTS: [&str; 2] = ["sbl.spamhaus.org", "bl.spamcop.net"];

/// The port of the pages of this machine if another web server has port 80.
pub(super) const PROXIED_PAGES_PORT: u16 = 1080;

/// The port of what that web server passes on from the internet.
pub(super) const PROXIED_PORT: u16 = 81;

/// The mailbox and the localpart for reports about TLS with this host.
const TLS_REPORTS: (&str, &str) = ("TLSRPT", "tlsreports");

/// What was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Choices {
    /// The first address.
    pub(super) address: Address,
    /// Its account.
    pub(super) account: String,
    /// The user that the server is to run as.
    pub(super) user: String,
    /// Another web server has ports 80 and 443.
    pub(super) has_webserver: bool,
}

/// What was found out about the machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Machine {
    /// Its name.
    pub(super) hostname: Domain,
    /// The addresses for the internet.
    pub(super) public_ips: Vec<IpAddr>,
    /// What the internet sees in their place.
    pub(super) nat_ips: Vec<IpAddr>,
    /// The addresses for pages that the internet is not to see.
    pub(super) internal_ips: Vec<IpAddr>,
}

impl Choices {
    /// The domain of the first address.
    pub(super) fn domain(&self) -> &Domain {
        &self.address.domain
    }

    /// Whom a provider of certificates may write to. It may not know addresses beyond ASCII.
    fn contact(&self) -> Result<String> {
        if self.address.localpart.as_str().is_ascii() {
            return Ok(format!("{}@{}", self.address.localpart, self.domain().ascii()));
        }
        Ok(format!("postmaster@{}", self.domain().ascii()))
    }

    /// The names for which certificates are needed.
    pub(super) fn tls_names(&self, machine: &Machine) -> Vec<String> {
        let domain = self.domain().ascii();
        let mut names = vec![machine.hostname.ascii().to_owned()];
        for label in ["mta-sts", "autoconfig", "mail"] {
            let name = format!("{label}.{domain}");
            names.extend((!names.contains(&name)).then_some(name));
        }
        names
    }
}

/// The settings of `mox.conf`.
///
/// - `host_keys`: the files with the private keys of the host, in the configuration directory.
///
/// # Errors
///
/// If a name is none, which cannot be for names that were made of valid ones.
pub(super) fn statics(
    choices: &Choices,
    machine: &Machine,
    host_keys: &[String],
) -> Result<Static> {
    let mut statics = Static::minimal("../data", &machine.hostname, &choices.account);
    statics.log_level = Text(LogLevel::Debug);
    statics.user.clone_from(&choices.user);
    statics.admin_password_file = "adminpasswd".to_owned();
    let (mailbox, localpart) = TLS_REPORTS;
    statics.host_tlsrpt = Some(HostTlsRpt {
        account: choices.account.clone(),
        mailbox: Text(MailboxName::parse(mailbox)?),
        localpart: Text(Localpart::from_decoded(localpart)?),
    });
    let mut public = mail(machine);
    let mut internal = pages(machine, choices.has_webserver);
    if choices.has_webserver {
        public.tls = Some(placeholders(choices, machine));
        proxied(&mut internal);
    } else {
        statics.acme = [(ACME.to_owned(), acme(choices)?)].into();
        let tls = ListenerTls {
            acme: ACME.to_owned(),
            host_private_key_files: host_keys.to_vec(),
            ..ListenerTls::default()
        };
        public.tls = Some(tls);
        let policies = PolicyService { enabled: true, ..PolicyService::default() };
        public.autoconfig_https = policies.clone();
        public.mtasts_https = policies;
        let webserver = Webserver { enabled: true, ..Webserver::default() };
        public.webserver_http = webserver.clone();
        public.webserver_https = webserver;
    }
    statics.listeners.insert("public".to_owned(), public);
    statics.listeners.insert("internal".to_owned(), internal);
    Ok(statics)
}

fn acme(choices: &Choices) -> Result<Acme> {
    Ok(Acme {
        directory_url: ACME_DIRECTORY.to_owned(),
        contact_email: choices.contact()?,
        issuer_domain_name: ACME_ISSUER.to_owned(),
        ..Acme::default()
    })
}

/// Mail, for everyone.
fn mail(machine: &Machine) -> Listener {
    let mut public = Listener {
        ips: machine.public_ips.clone(),
        nat_ips: machine.nat_ips.clone(),
        ..Listener::default()
    };
    public.smtp.enabled = true;
    public.submissions.enabled = true;
    public.imaps.enabled = true;
    public
}

/// Pages, for this machine and its own network.
fn pages(machine: &Machine, has_webserver: bool) -> Listener {
    let port = if has_webserver { PROXIED_PAGES_PORT } else { 0 };
    let page =
        WebService { enabled: true, port, forwarded: has_webserver, ..WebService::default() };
    Listener {
        ips: machine.internal_ips.clone(),
        hostname: Domain::parse("localhost").ok().map(Text),
        account_http: page.clone(),
        admin_http: page.clone(),
        webmail_http: page.clone(),
        web_api_http: page,
        metrics_http: PortService { enabled: true, ..PortService::default() },
        ..Listener::default()
    }
}

/// What the other web server gets from the internet and passes on.
fn proxied(internal: &mut Listener) {
    let policies =
        PolicyService { enabled: true, port: PROXIED_PORT, non_tls: true, forwarded: true };
    internal.autoconfig_https = policies.clone();
    internal.mtasts_https = policies;
    internal.webserver_http =
        Webserver { enabled: true, port: PROXIED_PORT, ..Webserver::default() };
}

/// Certificates that somebody else has to bring.
fn placeholders(choices: &Choices, machine: &Machine) -> ListenerTls {
    let files = |name: &String| KeyCert {
        cert_file: format!("path/to/{name}-chain.crt.pem"),
        key_file: format!("path/to/{name}.key.pem"),
    };
    let key_certs = choices.tls_names(machine).iter().map(files).collect();
    ListenerTls { key_certs, ..ListenerTls::default() }
}

/// The settings of `domains.conf`.
pub(super) fn dynamic(choices: &Choices, domain: DomainSettings, account: Account) -> Dynamic {
    let lists = BLOCK_LISTS.iter().filter_map(|list| Domain::parse(list).ok().map(Text));
    Dynamic {
        domains: [(choices.domain().clone().into(), domain)].into(),
        accounts: BTreeMap::from([(choices.account.clone(), account)]),
        monitor_dnsbls: lists.collect(),
        ..Dynamic::default()
    }
}

/// The text of `mox.conf`, with proposals as comments.
///
/// # Errors
///
/// If a value cannot be written, such as a line break.
pub(super) fn mox_conf(statics: &Static) -> Result<String> {
    let text = mox_sconf::to_string(statics, Docs::Write).context("write mox.conf")?;
    let updates = "
# RECOMMENDED: ask once a day, by DNS, whether there is a newer release, and tell the postmaster.
# Remove the # in front to turn it on.
#CheckUpdates: true
";
    let text = with_comment(&text, &Key::root().key("Hostname"), 0, updates)?;
    let mut lists = "\
# Block lists to ask about senders that nobody here knows yet. Read the terms of their operators,
# then remove the # in front.
#DNSBLs:
"
    .to_owned();
    for list in BLOCK_LISTS {
        lists.push_str(&format!("#\t- {list}\n"));
    }
    let smtp = Key::root().key("Listeners").key("public").key("SMTP").key("Enabled");
    with_comment(&text, &smtp, 3, &lists)
}

/// The text of `domains.conf`, with an example of rules as comment.
///
/// # Errors
///
/// If a value cannot be written, such as a line break.
pub(super) fn domains_conf(choices: &Choices, dynamic: &Dynamic) -> Result<String> {
    let text = mox_sconf::to_string(dynamic, Docs::Write).context("write domains.conf")?;
    let address = choices.address.to_string();
    let example = format!(
        "\
# To have the messages of a mailing list in a mailbox of their own, put this in place of the line
# above, without the #. The list must prove by SPF or DKIM who it is.
#{address}:
#\tRulesets:
#\t\t-
#\t\t\tVerifiedDomain: lists.example.org
#\t\t\tHeadersRegexp:
#\t\t\t\t^list-id$: <name\\.lists\\.example\\.org>
#\t\t\tListAllowDomain: lists.example.org
#\t\t\tMailbox: Lists/Name
"
    );
    let account = Key::root().key("Accounts").key(&choices.account);
    with_comment(&text, &account.key("Destinations").key(&address), 3, &example)
}

/// Puts a comment below the line of a key.
///
/// - `depth`: how many tabs stand before each of its lines.
fn with_comment(text: &str, key: &Key, depth: usize, comment: &str) -> Result<String> {
    let document = Document::parse(text)
        .map_err(|faults| anyhow::anyhow!("{} faults in what was written", faults.len()))?;
    let line = document.entry(key).context("a key that was written is missing")?.line();
    let indent = "\t".repeat(depth);
    let mut with = String::with_capacity(text.len() + comment.len() * 2);
    for (index, one) in text.lines().enumerate() {
        with.push_str(one);
        with.push('\n');
        if index + 1 == line {
            for one in comment.lines() {
                let indent = if one.is_empty() { "" } else { indent.as_str() };
                with.push_str(&format!("{indent}{one}\n"));
            }
        }
    }
    Ok(with)
}

#[cfg(test)]
pub(super) mod tests {
    use std::path::Path;

    use mox_config::Config;

    use super::*;

    pub(in crate::quickstart) fn choices(has_webserver: bool) -> Choices {
        Choices {
            address: Address::parse("you@example.org").unwrap(),
            account: "you".to_owned(),
            user: "mox".to_owned(),
            has_webserver,
        }
    }

    pub(in crate::quickstart) fn machine() -> Machine {
        Machine {
            hostname: Domain::parse("mx1.example.org").unwrap(),
            public_ips: vec!["192.0.2.10".parse().unwrap(), "2001:db8::10".parse().unwrap()],
            nat_ips: Vec::new(),
            internal_ips: vec!["127.0.0.1".parse().unwrap(), "::1".parse().unwrap()],
        }
    }

    fn texts(choices: &Choices, machine: &Machine) -> (Static, Dynamic, String, String) {
        let keys = ["hostkeys/a.pem".to_owned(), "hostkeys/b.pem".to_owned()];
        let statics = statics(choices, machine, &keys).unwrap();
        let mut domain = DomainSettings::with_defaults(choices.domain());
        domain.add_reports(&choices.account);
        let dynamic = dynamic(choices, domain, Account::with_defaults(&choices.address));
        let mox_conf = mox_conf(&statics).unwrap();
        let domains_conf = domains_conf(choices, &dynamic).unwrap();
        (statics, dynamic, mox_conf, domains_conf)
    }

    #[track_caller]
    fn check(choices: &Choices, machine: &Machine) -> (String, String) {
        let (statics, dynamic, mox_conf, domains_conf) = texts(choices, machine);
        let config = Config::parse(Path::new("/x"), &mox_conf, &domains_conf).unwrap();
        assert_eq!((&*config.statics, &*config.dynamic), (&statics, &dynamic));
        (mox_conf, domains_conf)
    }

    #[test]
    fn what_is_written_is_what_is_read() {
        check(&choices(false), &machine());
        check(&choices(true), &machine());
        let nat = Machine { nat_ips: vec!["198.51.100.1".parse().unwrap()], ..machine() };
        assert!(check(&choices(false), &nat).0.contains("\t\t\t- 198.51.100.1\n"));
        let unicode = Choices {
            address: Address::parse("ü@bücher.example").unwrap(),
            account: "ü".to_owned(),
            ..choices(false)
        };
        let (mox_conf, domains_conf) = check(&unicode, &machine());
        let contact = "\t\tContactEmail: postmaster@xn--bcher-kva.example\n";
        assert!(mox_conf.contains(contact), "{mox_conf}");
        assert!(domains_conf.contains("\t\t\t#ü@bücher.example:\n"), "{domains_conf}");
    }

    /// The proposals are valid when the `#` is taken away.
    #[test]
    fn the_comments_hold_settings_that_work() {
        let (mox_conf, domains_conf) = check(&choices(false), &machine());
        let uncommented = |text: &str| -> String {
            let mut lines: Vec<String> = Vec::new();
            for line in text.lines() {
                let depth = line.len() - line.trim_start_matches('\t').len();
                match line[depth..].strip_prefix('#') {
                    Some(setting) if !setting.starts_with(' ') => {
                        lines.push(format!("{}{setting}", "\t".repeat(depth)));
                    }
                    Some(_) => {}
                    None => lines.push(line.to_owned()),
                }
            }
            lines.retain(|line| line != "\t\t\tyou@example.org: nil");
            lines.join("\n") + "\n"
        };
        let (mox_conf, domains_conf) = (uncommented(&mox_conf), uncommented(&domains_conf));
        let config = Config::parse(Path::new("/x"), &mox_conf, &domains_conf).unwrap();
        assert!(config.statics.check_updates);
        assert_eq!(config.statics.listeners["public"].smtp.dnsbls.len(), 2);
        let destination = config.dynamic.accounts["you"].destinations.values().next().unwrap();
        assert_eq!(destination.rulesets.len(), 1);
    }

    #[test]
    fn behind_another_web_server_nothing_is_on_its_ports() {
        let (statics, ..) = texts(&choices(true), &machine());
        assert!(statics.acme.is_empty());
        let (public, internal) = (&statics.listeners["public"], &statics.listeners["internal"]);
        let tls = public.tls.as_ref().unwrap();
        let certs: Vec<_> = tls.key_certs.iter().map(|files| files.cert_file.as_str()).collect();
        let want = ["mx1.example.org", "mta-sts.example.org", "autoconfig.example.org"]
            .map(|name| format!("path/to/{name}-chain.crt.pem"));
        assert_eq!(certs[..3], want);
        assert!(tls.host_private_key_files.is_empty());
        assert!(!public.webserver_http.enabled && !public.mtasts_https.enabled);
        assert_eq!((internal.account_http.port, internal.mtasts_https.port), (1080, 81));
        assert!(internal.account_http.forwarded && internal.autoconfig_https.non_tls);
    }

    #[test]
    fn a_host_that_is_the_name_for_mail_programs_needs_one_certificate() {
        let hostname = Domain::parse("mail.example.org").unwrap();
        let names = choices(true).tls_names(&Machine { hostname, ..machine() });
        let want = ["mail.example.org", "mta-sts.example.org", "autoconfig.example.org"];
        assert_eq!(names, want);
    }
}
