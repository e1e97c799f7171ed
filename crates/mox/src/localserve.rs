//! `mox localserve`: a server for one machine, to try things and to test other programs against.
//!
//! [`init`] writes a directory with configuration, certificate and the account, everything a
//! server needs; `mox localserve` then runs it. All mail, for whomever, goes to the one account,
//! and some recipients give errors on demand (`mox_smtp::simulate`).

mod dns;

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use mox_base::{Address, Clock as _, Domain, UnixSeconds};
use mox_config::{
    Account, Dkim, DomainSettings, Dynamic, KeyCert, Listener, ListenerTls, Live, LogLevel,
    NamedFiles, PortService, Selector, Smtp, Static, Submission, TlsService,
};
use mox_login::set_password;
use mox_mailauth::dkim::PrivateKey;
use mox_net::SystemClock;
use mox_sasl::Password;
use mox_store::RealDisk;
use rcgen::{CertificateParams, DnType, KeyPair};

use crate::data_dir::DataDir;
use crate::log::Levels;
use crate::server::{Bound, faults_text};
use crate::service::Service;
use crate::services::{Mode, Services};

pub(crate) use dns::LocalDns;

/// The account.
pub const ACCOUNT: &str = "mox";

/// Its address.
pub const ADDRESS: &str = "mox@localhost";

/// Its password.
pub const PASSWORD: &str = "moxmoxmox";

/// What is added to the usual port of a service to get the one that is written: 1025 for SMTP, 1143
/// for IMAP, and so on.
pub const PORT_BASE_DEFAULT: u16 = 1_000;

/// The largest port base: with it, the port of IMAPS is still a port.
pub const PORT_BASE_MAX: u16 = u16::MAX - 993;

/// How long the certificate is valid: from an hour ago, for clocks that differ, to four years on.
const CERT_BEFORE: Duration = Duration::from_secs(60 * 60);
const CERT_AFTER: Duration = Duration::from_secs(4 * 365 * 24 * 60 * 60);

/// The name of the certificate's file, for mail programs that shall trust it.
pub const CERT_FILE: &str = "localhost.crt";

const KEY_FILE: &str = "localhost.key";

/// The key that messages are signed with, by the selector `localserve`.
const DKIM_FILE: &str = "dkim.localserve.privatekey.pkcs8.pem";

/// Its name in DNS, which a localserve answers for by itself.
const DKIM_SELECTOR: &str = "localserve";

/// What a new directory is to be like.
#[derive(Clone, Debug)]
pub struct InitOptions {
    /// The one address to listen on, instead of those of the loopback interface.
    pub ip: Option<IpAddr>,
    /// See [`PORT_BASE_DEFAULT`].
    pub port_base: u16,
}

impl Default for InitOptions {
    fn default() -> Self {
        Self { ip: None, port_base: PORT_BASE_DEFAULT }
    }
}

/// The directory that is used if none is given: `mox-localserve` in the user's directory for
/// configuration.
///
/// # Errors
///
/// If the environment does not tell where that is.
pub fn default_dir() -> Result<PathBuf> {
    let set = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let config = set("XDG_CONFIG_HOME").filter(|dir| dir.is_absolute());
    let config = config.or_else(|| set("HOME").map(|home| home.join(".config")));
    let config = config.context("neither HOME nor XDG_CONFIG_HOME is set: give --dir")?;
    Ok(config.join("mox-localserve"))
}

/// Makes the directory and everything in it. Blocks.
///
/// # Errors
///
/// If it exists, or something cannot be written; the directory is removed again then.
pub fn init(dir: &Path, options: &InitOptions) -> Result<()> {
    if options.port_base > PORT_BASE_MAX {
        bail!("the port base may be {PORT_BASE_MAX} at most");
    }
    if let Some(parent) = dir.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        fs::create_dir_all(parent).with_context(|| format!("make {}", parent.display()))?;
    }
    // Mail and keys are in it: nobody else is to look.
    let made = DirBuilder::new().mode(0o700).create(dir);
    made.with_context(|| format!("make {}", dir.display()))?;
    fill(dir, options).inspect_err(|_| {
        if let Err(error) = fs::remove_dir_all(dir) {
            tracing::error!(%error, dir = %dir.display(), "remove incomplete directory");
        }
    })
}

fn fill(dir: &Path, options: &InitOptions) -> Result<()> {
    let clock = SystemClock::new();
    write_certificate(dir, clock.now()).context("make certificate")?;
    let pem = PrivateKey::generate_ed25519().and_then(|key| key.to_pem(None));
    let pem = pem.context("make key for DKIM")?;
    write_new(&dir.join(DKIM_FILE), pem.as_bytes(), 0o600).context("write key for DKIM")?;
    let (statics, dynamic) = settings(options)?;
    statics.write(&dir.join("mox.conf")).context("write mox.conf")?;
    dynamic.write(&dir.join("domains.conf")).context("write domains.conf")?;

    let loaded = Live::load(dir, NamedFiles::Check, clock.now());
    let (live, _) = loaded.map_err(|faults| anyhow!("{}", faults_text(&faults)))?;
    // All that the first start would make: what can go wrong with the disk goes wrong here.
    let data = DataDir::take(&live.snapshot().data_dir())?;
    data.temporary()?;
    let levels = Levels::new(LogLevel::Info);
    let disk = Arc::new(RealDisk);
    let live = Arc::new(live);
    let services = Services::build(Mode::Localserve, live, levels, false, disk, None, &data)?;
    let account = services.store.account(ACCOUNT).context("make account")?;
    let password = Password::for_storing(PASSWORD)?;
    set_password(&account, &password, &*services.rng).wait().context("set password")
}

/// Makes a certificate for `localhost` that signs itself, with a P-256 key.
fn write_certificate(dir: &Path, now: UnixSeconds) -> Result<()> {
    let names = ["localhost", "127.0.0.1", "::1"].map(ToOwned::to_owned);
    let mut params = CertificateParams::new(names)?;
    params.distinguished_name.push(DnType::CommonName, "localhost");
    let now = Duration::from_secs(u64::try_from(now.0).unwrap_or_default());
    let epoch = rcgen::date_time_ymd(1970, 1, 1);
    params.not_before = epoch + now.saturating_sub(CERT_BEFORE);
    params.not_after = epoch + now + CERT_AFTER;
    let key = KeyPair::generate()?;
    let certificate = params.self_signed(&key)?;
    write_new(&dir.join(CERT_FILE), certificate.pem().as_bytes(), 0o644)?;
    write_new(&dir.join(KEY_FILE), key.serialize_pem().as_bytes(), 0o600)?;
    Ok(())
}

fn write_new(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// The settings of both files.
///
/// What has no feature yet is left out, but for the settings that all new accounts get.
fn settings(options: &InitOptions) -> Result<(Static, Dynamic)> {
    let domain = Domain::parse("localhost").map_err(|error| anyhow!("{error}"))?;
    let address = Address::parse(ADDRESS).map_err(|error| anyhow!("{error}"))?;
    let mut statics = Static::minimal(".", &domain, ACCOUNT);
    // It is there to see what mail programs do, so their logins are shown too.
    statics.log_level = LogLevel::TraceAuth.into();
    statics.pedantic = true;
    statics.listeners.insert("local".to_owned(), listener(options));

    let mut dynamic = Dynamic::default();
    let selector = Selector { private_key_file: DKIM_FILE.to_owned(), ..Selector::default() };
    let selectors = [(DKIM_SELECTOR.to_owned(), selector)].into();
    let settings = DomainSettings {
        localpart_catchall_separator: "+".to_owned(),
        dkim: Dkim { selectors, sign: vec![DKIM_SELECTOR.to_owned()] },
        ..DomainSettings::default()
    };
    dynamic.domains.insert(domain.into(), settings);
    let account = Account {
        no_custom_password: false,
        no_first_time_sender_delay: true,
        keep_retired_message_period: mox_config::Duration::from_hours(72),
        keep_retired_webhook_period: mox_config::Duration::from_hours(72),
        ..Account::with_defaults(&address)
    };
    dynamic.accounts.insert(ACCOUNT.to_owned(), account);
    Ok((statics, dynamic))
}

fn listener(options: &InitOptions) -> Listener {
    let loopback = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];
    let port = |usual: u16| options.port_base.saturating_add(usual);
    let key_cert = KeyCert { cert_file: CERT_FILE.to_owned(), key_file: KEY_FILE.to_owned() };
    let tls = ListenerTls { key_certs: vec![key_cert], ..ListenerTls::default() };
    Listener {
        ips: options.ip.map_or_else(|| loopback.to_vec(), |ip| vec![ip]),
        tls: Some(tls),
        smtp: Smtp { enabled: true, port: port(25), ..Smtp::default() },
        submission: Submission { enabled: true, port: port(587), no_require_starttls: true },
        submissions: TlsService { enabled: true, port: port(465), enabled_on_https: false },
        imap: Submission { enabled: true, port: port(143), no_require_starttls: true },
        imaps: TlsService { enabled: true, port: port(993), enabled_on_https: false },
        metrics_http: PortService { enabled: true, port: port(81) },
        ..Listener::default()
    }
}

/// What is told to whoever starts a localserve.
///
/// - `is_new`: the directory was made just now.
#[must_use]
pub fn welcome(dir: &Path, bound: &[Bound], is_new: bool) -> String {
    let mut text = format!("login with address {ADDRESS} and password {PASSWORD}\n\n");
    for bound in bound {
        let line = match bound.service {
            Service::Smtp => "mail from anyone, for any recipient; STARTTLS optional",
            Service::Submission => "mail by programs, with login; STARTTLS optional",
            Service::Submissions => "mail by programs, with login and TLS",
            Service::Imap => "reading mail; STARTTLS optional",
            Service::Imaps => "reading mail with TLS",
            Service::Http => "HTTP: metrics and settings of mail programs",
            Service::Https => "HTTP with TLS, mail by ALPN",
        };
        let (name, addr) = (bound.service.name(), bound.addr);
        text.push_str(&format!("{name:<12} {addr:<21} {line}\n"));
    }
    text.push_str(&format!(
        "
All mail is delivered to account {ACCOUNT}, whoever it is for; what is submitted goes through the queue
first. To have errors, send to a localpart that ends in temperror, permerror, timeout, or a code of
400 to 599; with mailfrom at its start (as the sender) or rcptto, the error comes earlier than at the
end of the data, and with queue later: when what was submitted is sent on.
The certificate is made here and nobody vouches for it: {cert}
Everything said is logged, passwords too: for less, set LogLevel in mox.conf or give --loglevel.

What a server would have refused is in mailbox Rejects; mox decisions shows why. Mail from names
below localhost, such as ann@home.localhost, counts as proven by SPF.

Not there yet: web pages (webmail, account, admin) and the HTTP API. Their settings have no effect
yet.

{age} configuration in {dir}
",
        cert = dir.join(CERT_FILE).display(),
        age = if is_new { "new" } else { "existing" },
        dir = dir.display(),
    ));
    text
}

#[cfg(test)]
mod tests {
    use mox_net::tls::{Certs, KeyCertFiles};

    use super::*;

    fn made(options: &InitOptions) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        init(&dir.path().join("ls"), options).unwrap();
        dir
    }

    #[test]
    fn the_configuration_written_passes_its_test() {
        let dir = made(&InitOptions::default());
        let dir = dir.path().join("ls");
        let report = mox_config::test(&dir.join("mox.conf"));
        assert_eq!(report.faults, []);
        // What has no effect yet is in the defaults for accounts only.
        for notice in &report.notices {
            assert!(notice.message.starts_with("Accounts."), "{notice}");
        }
        crate::server::check_certificates(&dir).unwrap();
        let text = fs::read_to_string(dir.join("mox.conf")).unwrap();
        for port in [1025, 1587, 1465, 1143, 1993] {
            let line = format!("Port: {port}");
            assert!(text.lines().any(|one| one.trim() == line), "{line} missing in\n{text}");
        }
    }

    #[test]
    fn ports_and_address_can_be_chosen() {
        let ip = "127.0.0.2".parse().unwrap();
        let dir = made(&InitOptions { ip: Some(ip), port_base: PORT_BASE_MAX });
        let live = Live::load(&dir.path().join("ls"), NamedFiles::Check, UnixSeconds(0));
        let config = live.unwrap().0.snapshot();
        let listener = &config.statics.listeners["local"];
        assert_eq!(listener.ips, [ip]);
        assert_eq!(listener.imaps_port(), Some(u16::MAX));
        assert_eq!(listener.smtp_port(), Some(PORT_BASE_MAX + 25));

        let dir = tempfile::tempdir().unwrap();
        let past = InitOptions { port_base: PORT_BASE_MAX + 1, ..InitOptions::default() };
        assert!(init(&dir.path().join("ls"), &past).is_err());
        assert!(!dir.path().join("ls").exists());
    }

    #[test]
    fn the_certificate_is_for_this_machine_and_valid_now() {
        let dir = made(&InitOptions::default());
        let file = |name: &str| dir.path().join("ls").join(name);
        let files = KeyCertFiles { cert: file(CERT_FILE), key: file(KEY_FILE) };
        let certs = Certs::load(vec![files], "localhost").unwrap();
        let names = certs.names();
        assert!(names.contains(&"localhost".to_owned()), "{names:?}");
        let days = certs.first_expiry().unwrap().secs_since(SystemClock::new().now()) / 86_400;
        assert!((4 * 365 - 1..=4 * 365).contains(&days), "{days}");
    }

    #[test]
    fn others_do_not_look_into_it() {
        use std::os::unix::fs::PermissionsExt as _;

        let dir = made(&InitOptions::default());
        let mode = |name: &str| {
            let metadata = fs::metadata(dir.path().join("ls").join(name)).unwrap();
            metadata.permissions().mode() & 0o777
        };
        assert_eq!((mode(""), mode(KEY_FILE), mode(DKIM_FILE)), (0o700, 0o600, 0o600));
        // Made before the first start.
        assert_eq!((mode("decoy.key"), mode("receivedid.key")), (0o600, 0o600));
        assert!(dir.path().join("ls/auth.db").exists() && dir.path().join("ls/tmp").is_dir());
    }

    #[test]
    fn a_failed_init_leaves_nothing_and_an_existing_directory_alone() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        fs::write(&file, "mine").unwrap();
        assert!(init(dir.path(), &InitOptions::default()).is_err());
        assert!(init(&file.join("below"), &InitOptions::default()).is_err());
        assert_eq!(fs::read_to_string(&file).unwrap(), "mine");

        // A name so long that the control of the account's files below it fails.
        let long = dir.path().join("a".repeat(255)).join("b".repeat(256));
        assert!(init(&long, &InitOptions::default()).is_err());
        assert!(!long.exists());
    }

    #[test]
    fn the_welcome_tells_what_there_is_and_what_not() {
        let addr = "127.0.0.1:1143".parse().unwrap();
        let bound =
            [Bound { listener: "local".to_owned(), service: Service::Imap, addr, http: None }];
        let text = welcome(Path::new("/tmp/ls"), &bound, true);
        for part in ["mox@localhost", "moxmoxmox", "127.0.0.1:1143", "webmail", "new conf"] {
            assert!(text.contains(part), "{part} missing in\n{text}");
        }
        assert!(welcome(Path::new("x"), &[], false).contains("existing configuration in x"));
    }
}
