//! What is told when all is made: settings, records, how to start.

use std::path::Path;

use mox_base::Domain;
use mox_config::client_settings::all;
use mox_config::{Config, Static};

use super::making::{UNIT, zone_name};
use super::output::LOG;
use super::settings::{PROXIED_PAGES_PORT, PROXIED_PORT};

/// What the words depend on besides the configuration.
#[derive(Clone, Copy, Debug)]
pub(super) struct Told<'a> {
    /// Where the set-up is.
    pub(super) dir: &'a Path,
    /// The domain.
    pub(super) domain: &'a Domain,
    /// Whether the user that the server is to run as exists.
    pub(super) has_user: bool,
    /// Whether this is a container, which starts the server by itself.
    pub(super) is_container: bool,
}

/// The services for mail programs, as a table.
pub(super) fn client_settings(config: &Config, domain: &Domain) -> String {
    let mut text = format!(
        "\nSettings for mail programs, with the whole address as user name:\n\n{:<18} {:<30} {:>5}  {}\n",
        "Protocol", "Host", "Port", "Note"
    );
    for service in all(config, domain).unwrap_or_default() {
        let (protocol, host, port) = (service.protocol, service.host.ascii(), service.port);
        text.push_str(&format!("{protocol:<18} {host:<30} {port:>5}  {}\n", service.note()));
    }
    text
}

/// The records, with where they are to be added.
pub(super) fn records(config: &Config, told: Told<'_>, zone: &str) -> String {
    let Told { domain, .. } = told;
    let host = config.hostname();
    format!(
        "
Add the DNS records below where {domain} is managed. They are also in {file}, which many
providers import as a zone file. Besides these, {host} needs an A record, and AAAA if it has IPv6, and
the addresses must lead back to {host} (PTR, set by the provider of the addresses).

{zone}
Later, \"mox config dnscheck {domain}\" tells whether all is as it must be, and \"mox config dnsrecords
{domain}\" prints the records again.
",
        file = zone_name(domain),
    )
}

/// What another web server is to do.
pub(super) fn proxy(config: &Config, told: Told<'_>) -> String {
    let domain = told.domain.ascii();
    let tls = config.statics.listeners.get("public").and_then(|listener| listener.tls.as_ref());
    let files = tls.map(|tls| tls.key_certs.as_slice()).unwrap_or_default();
    let mut text = format!(
        "
For your web server:
- Have it pass requests for https://mta-sts.{domain} and https://autoconfig.{domain}
  on to http://127.0.0.1:{PROXIED_PORT}, with the header fields Host, X-Forwarded-For and X-Forwarded-Proto.
- Pages of mox are on http://127.0.0.1:{PROXIED_PAGES_PORT}, to be passed on or to be used here.
- Have it get certificates for the names below, and put these files in place (the paths begin in
  config/, and may be changed in mox.conf). Let the user of mox read them: then renewed ones are
  taken up within a minute. If only root can read them, each renewal takes a stop and a start of
  mox; \"mox restart\" does not read them again:
"
    );
    for pair in files {
        text.push_str(&format!("\t{}\n\t{}\n", pair.cert_file, pair.key_file));
    }
    text.push_str(
        "- TLSA records (DANE) are not made: they would have to follow those certificates.\n",
    );
    text
}

/// How to start, and what then.
pub(super) fn start(statics: &Static, told: Told<'_>) -> String {
    let mut text = String::new();
    let dir = told.dir.display();
    if told.is_container {
        text.push_str("\nAll is ready. Start the container.\n");
    } else {
        text.push_str(&start_here(&statics.user, told));
    }
    let listener = statics.listeners.get("internal");
    let port = listener.map_or(0, |listener| listener.account_http.port);
    let port = if port == 0 { 80 } else { port };
    let host = if port == 80 { "localhost".to_owned() } else { format!("localhost:{port}") };
    let hostname = statics.hostname.ascii();
    text.push_str(&format!(
        "
Addresses of the web pages, on this machine only (this version has no pages there yet):
\taccount: http://{host}/
\twebmail: http://{host}/webmail/
\tadmin:   http://{host}/admin/
From elsewhere, reach them at http://localhost:8080/ with: ssh -L 8080:localhost:{port} you@{hostname}

The passwords above are also in {dir}/{LOG}: note them, then remove that file.
"
    ));
    text
}

fn start_here(user: &str, told: Told<'_>) -> String {
    let dir = told.dir.display();
    let mut text = "\nAll is ready.".to_owned();
    if !told.has_user {
        text.push_str(&format!(
            " The server runs as user {user}, which is not there yet. Make it, as root:\n\n\
             \tuseradd --system --home-dir {dir} --shell /usr/sbin/nologin {user}\n\n"
        ));
    }
    text.push_str(&format!(
        "
To try it, start it as root; it gives up the rights of root and becomes {user}:

\tcd {dir}
\t./mox serve

To have it run always, with systemd, as root:

\tchmod 644 {dir}/{UNIT}
\tsystemctl enable {dir}/{UNIT}
\tsystemctl start {UNIT}
\tjournalctl -f -u {UNIT}\t# what it does
"
    ));
    text
}

/// A word on the other kind of set-up.
pub(super) fn postscript(has_webserver: bool) -> &'static str {
    if has_webserver {
        return "";
    }
    "
PS: If a web server runs on this machine and needs ports 80 and 443: remove what was made, and start
again with -existing-webserver.
"
}

#[cfg(test)]
mod tests {
    use mox_config::{Account, DomainSettings};

    use super::super::settings::tests::{choices, machine};
    use super::super::settings::{dynamic, statics};
    use super::*;

    fn config(has_webserver: bool) -> Config {
        let choices = choices(has_webserver);
        let statics = statics(&choices, &machine(), &["a.pem".to_owned()]).unwrap();
        let domain = DomainSettings::with_defaults(choices.domain());
        let dynamic = dynamic(&choices, domain, Account::with_defaults(&choices.address));
        Config::new(Path::new("/srv/mox/config"), &statics, &dynamic).unwrap()
    }

    fn told(domain: &Domain) -> Told<'_> {
        let dir = Path::new("/srv/mox");
        Told { dir, domain, has_user: true, is_container: false }
    }

    #[track_caller]
    fn check(text: &str, parts: &[&str], missing: &[&str]) {
        for part in parts {
            assert!(text.contains(part), "{part:?} missing in\n{text}");
        }
        for part in missing {
            assert!(!text.contains(part), "{part:?} in\n{text}");
        }
    }

    #[test]
    fn mail_programs_are_told_what_to_use() {
        let domain = choices(false).domain().clone();
        let text = client_settings(&config(false), &domain);
        let imap = "IMAP               mail.example.org                 993  with TLS\n";
        let submission = "Submission (SMTP)  mail.example.org                 465  with TLS\n";
        check(&text, &[imap, submission], &[" 143 ", " 587 "]);
    }

    #[test]
    fn the_start_is_told_for_machines_and_containers() {
        let domain = choices(false).domain().clone();
        let (config, told) = (config(false), told(&domain));
        let text = start(&config.statics, told);
        let systemd = "systemctl enable /srv/mox/mox.service";
        check(&text, &["./mox serve", systemd, "journalctl -f", "ssh -L"], &["useradd"]);
        check(&text, &["http://localhost/webmail/", "http://localhost/admin/"], &[":1080"]);
        let text = start(&config.statics, Told { has_user: false, ..told });
        check(&text, &["useradd --system --home-dir /srv/mox", "nologin mox\n"], &[]);
        let text = start(&config.statics, Told { is_container: true, has_user: false, ..told });
        check(&text, &["Start the container."], &["systemctl", "useradd", "./mox serve"]);
    }

    #[test]
    fn another_web_server_is_told_what_to_pass_on() {
        let domain = choices(true).domain().clone();
        let (config, told) = (config(true), told(&domain));
        let text = proxy(&config, told);
        let names = ["https://mta-sts.example.org", "https://autoconfig.example.org"];
        check(&text, &names, &[]);
        check(&text, &["http://127.0.0.1:81", "path/to/mail.example.org.key.pem"], &[]);
        let text = start(&config.statics, told);
        check(&text, &["http://localhost:1080/admin/", "8080:localhost:1080"], &[]);
        assert_eq!(postscript(true), "");
    }
}
