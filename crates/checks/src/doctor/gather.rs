//! Gathers what is so, as far as it can be seen from outside of a running server.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use mox_base::{Domain, UnixSeconds};
use mox_config::{Config, Listener};
use mox_net::Wait;
use mox_net::http::is_public;
use mox_net::tls::client::Verify;
use nix::sys::statvfs::statvfs;
use tokio::time::timeout;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::certificates::Shown;
use super::clock::http_date;
use super::files::{FILES_MAX, FileFault, FileProblem};
use super::ports::{PORT_WAIT, PORTS_MAX, Port, PortState};
use super::room::Room;
use crate::domain::{self, CheckResult};
use crate::setup::{BLOCKLISTS, blocklists, resolver_validates};
use crate::{Finding, Level, Services};

/// Domains that are checked; those behind them are not. Ours: each takes some seconds.
pub const DOMAINS_MAX: usize = 50;

/// How long asking others about the clock takes at most.
pub const OUTSIDE_WAIT: Duration = Duration::from_secs(10);

/// Directories below each other that are looked into.
const DEPTH_MAX: usize = 4;

/// The first words of a server that are looked at, in bytes.
const GREETING_BYTES_MAX: usize = 512;

/// Where Linux tells of memory.
const MEMINFO: &str = "/proc/meminfo";

/// What was asked of others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outside {
    /// How far the clock is ahead, in seconds; why that is not known.
    pub clock_ahead_secs: Result<i64, String>,
    /// Whether answers of DNS are validated.
    pub resolver: Option<Finding>,
    /// What block lists have.
    pub blocklists: Vec<Finding>,
}

impl Default for Outside {
    fn default() -> Self {
        let clock_ahead_secs = Err("not asked".to_owned());
        Self { clock_ahead_secs, resolver: None, blocklists: Vec::new() }
    }
}

/// Asks others: the time, whether DNS is validated, block lists about the public addresses.
pub async fn outside(services: &Services, config: &Config) -> Outside {
    let zones = zones(config);
    let mut ips = mox_admin::records::sending_ips(config);
    ips.retain(|ip| is_public(*ip));
    let (clock_ahead_secs, resolver, mut blocklists) = tokio::join!(
        clock_ahead(services),
        resolver_validates(&*services.resolver),
        blocklists(&*services.resolver, &zones, &ips),
    );
    blocklists.retain(|finding| finding.level > Level::Ok);
    if blocklists.is_empty() && !ips.is_empty() {
        blocklists.push(Finding::ok("no address is on a block list"));
    }
    Outside { clock_ahead_secs, resolver: Some(resolver), blocklists }
}

/// The block lists to ask: those of the configuration, or well-known ones.
fn zones(config: &Config) -> Vec<Domain> {
    let zones = crate::blocklist_monitor::zones(config);
    if !zones.is_empty() {
        return zones;
    }
    BLOCKLISTS.iter().filter_map(|zone| Domain::parse(zone).ok()).collect()
}

async fn clock_ahead(services: &Services) -> Result<i64, String> {
    let asked = timeout(OUTSIDE_WAIT, services.network.date()).await;
    let date = asked.map_err(|_| "no answer in time".to_owned())?;
    let date = date.map_err(|error| error.to_string())?;
    let there = http_date(&date).ok_or("the answer has no date")?;
    Ok(services.clock.now().secs_since(there))
}

/// Checks all domains of the configuration, one after the other; the first [`DOMAINS_MAX`].
pub async fn domains(services: &Services, config: &Arc<Config>) -> Vec<CheckResult> {
    let mut all = Vec::new();
    for name in config.dynamic.domains.keys().take(DOMAINS_MAX) {
        all.push(Box::pin(domain::check(services, config, &name.0.0)).await);
    }
    all
}

/// What is said on a port before anything else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum First {
    Tls,
    Smtp,
    Imap,
    Nothing,
}

/// The services of a listener with their ports.
fn services_of(config: &Config, listener: &Listener) -> Vec<(&'static str, u16, First)> {
    let mail = [
        ("smtp", listener.smtp_port(), First::Smtp),
        ("submission", listener.submission_port(), First::Smtp),
        ("submissions", listener.submissions_port(), First::Tls),
        ("imap", listener.imap_port(), First::Imap),
        ("imaps", listener.imaps_port(), First::Tls),
    ];
    let mail = mail.into_iter().filter_map(|(service, port, first)| Some((service, port?, first)));
    let web = config.http_ports(listener).into_iter().map(|port| match port.is_tls {
        true => ("https", port.number, First::Tls),
        false => ("http", port.number, First::Nothing),
    });
    mail.chain(web).collect()
}

/// Tries each port of the configuration, from this machine.
pub async fn ports(services: &Services, config: &Config) -> Vec<Port> {
    let mut all: BTreeSet<(SocketAddr, &'static str, First, &Domain)> = BTreeSet::new();
    for listener in config.statics.listeners.values() {
        let host = config.listener_hostname(listener);
        for ip in &listener.ips {
            for (service, port, first) in services_of(config, listener) {
                all.insert((SocketAddr::new(reached(*ip), port), service, first, host));
            }
        }
    }
    let tried = all.into_iter().take(PORTS_MAX).map(async |(address, service, first, host)| {
        let work = Box::pin(try_port(services, address, first, host));
        let late = || PortState::Strange("it says nothing".to_owned());
        let state = timeout(PORT_WAIT * 2, work).await.unwrap_or_else(|_| late());
        Port { service, address, state }
    });
    join_all(tried).await
}

/// Where this machine is reached that listens on an address.
fn reached(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    }
}

async fn try_port(
    services: &Services,
    address: SocketAddr,
    first: First,
    host: &Domain,
) -> PortState {
    let mut conn = match services.network.dial(address, PORT_WAIT).await {
        Ok(conn) => conn,
        Err(error) => return PortState::Closed(error.to_string()),
    };
    let want: &[u8] = match first {
        First::Nothing => return PortState::Ours(None),
        First::Smtp => b"220 ",
        First::Imap => b"* OK",
        First::Tls => {
            let verify = Verify { names: vec![host.clone()], ..Verify::default() };
            return match services.connector.connect(conn, &verify).await {
                Ok((_, outcome)) => {
                    let end = outcome.chain.first().and_then(|cert| not_after(cert));
                    let fault = outcome.pkix.err();
                    let shown = Shown { host: host.to_string(), not_after: end, fault };
                    PortState::Ours(Some(shown))
                }
                Err(error) => PortState::Strange(format!("tls: {error}")),
            };
        }
    };
    let wait = Wait::new("greeting", PORT_WAIT);
    while !conn.buffered().contains(&b'\n') && conn.buffered().len() < GREETING_BYTES_MAX {
        match conn.fill(wait).await {
            Ok(0) => return PortState::Strange("it closes the connection".to_owned()),
            Ok(_) => {}
            Err(error) => return PortState::Strange(error.to_string()),
        }
    }
    let line = conn.buffered().split(|byte| *byte == b'\n').next().unwrap_or_default();
    let is_named = first != First::Smtp || contains(line, host.ascii().as_bytes());
    if line.starts_with(want) && is_named {
        return PortState::Ours(None);
    }
    let line = line.get(..GREETING_BYTES_MAX).unwrap_or(line);
    PortState::Strange(format!("it says {:?}", String::from_utf8_lossy(line).trim_end()))
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len().max(1)).any(|window| window.eq_ignore_ascii_case(part))
}

/// When a certificate ends. RFC 5280 §4.1.2.5.
fn not_after(cert: &[u8]) -> Option<UnixSeconds> {
    let (_, parsed) = X509Certificate::from_der(cert).ok()?;
    Some(UnixSeconds(parsed.validity().not_after.timestamp()))
}

/// Looks at the files of a configuration and at the data directory. Blocks.
#[must_use]
pub fn local_files(config: &Config) -> Vec<FileFault> {
    let mut faults = Vec::new();
    let dir = config.dir();
    let is_open = others(dir).is_some_and(|mode| mode & 1 != 0);
    for path in secret_files(config) {
        judge_secret(&path, is_open, &mut faults);
    }
    let data = config.data_dir();
    match fs::symlink_metadata(&data) {
        Err(error) => faults.push(failed(&data, &error)),
        Ok(found) => {
            let mode = found.permissions().mode();
            let open = |bits| mode & bits != 0;
            if open(0o002) {
                faults.push(fault(&data, FileProblem::AllWrite));
            } else if open(0o005) {
                faults.push(fault(&data, FileProblem::AllRead));
            }
            let mut budget = FILES_MAX;
            owners(&data, found.uid(), DEPTH_MAX, &mut budget, &mut faults);
        }
    }
    faults
}

/// The files that a configuration names and that nobody else should read.
fn secret_files(config: &Config) -> BTreeSet<PathBuf> {
    let mut names: Vec<&str> = vec![mox_config::STATIC_FILE, mox_config::DYNAMIC_FILE];
    names.extend(Some(config.statics.admin_password_file.as_str()).filter(|name| !name.is_empty()));
    for tls in config.statics.listeners.values().filter_map(|listener| listener.tls.as_ref()) {
        names.extend(tls.host_private_key_files.iter().map(String::as_str));
        names.extend(tls.key_certs.iter().map(|pair| pair.key_file.as_str()));
    }
    for settings in config.dynamic.domains.values() {
        let selectors = settings.dkim.selectors.values();
        names.extend(selectors.map(|selector| selector.private_key_file.as_str()));
    }
    names.into_iter().map(|name| config.path(name)).collect()
}

/// The rights of everybody else.
fn others(path: &Path) -> Option<u32> {
    Some(fs::metadata(path).ok()?.permissions().mode() & 7)
}

/// What everybody may do counts only if they get into the directory.
fn judge_secret(path: &Path, is_open: bool, faults: &mut Vec<FileFault>) {
    match fs::metadata(path) {
        Err(error) => faults.push(failed(path, &error)),
        Ok(found) if is_open => match found.permissions().mode() & 7 {
            mode if mode & 2 != 0 => faults.push(fault(path, FileProblem::AllWrite)),
            mode if mode & 4 != 0 => faults.push(fault(path, FileProblem::AllRead)),
            _ => {}
        },
        Ok(_) => {}
    }
}

/// Looks for what is of another user than the data directory. Symbolic links are not followed.
fn owners(dir: &Path, uid: u32, depth: usize, budget: &mut usize, faults: &mut Vec<FileFault>) {
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) => {
            faults.push(failed(dir, &error));
            return;
        }
    };
    for entry in entries.flatten() {
        if *budget == 0 {
            return;
        }
        *budget -= 1;
        let path = entry.path();
        let Ok(found) = fs::symlink_metadata(&path) else { continue };
        if found.uid() != uid {
            faults.push(fault(&path, FileProblem::OtherOwner));
        } else if found.is_dir() && depth > 1 {
            owners(&path, uid, depth - 1, budget, faults);
        }
    }
}

fn fault(path: &Path, problem: FileProblem) -> FileFault {
    FileFault { path: path.display().to_string(), problem }
}

fn failed(path: &Path, error: &io::Error) -> FileFault {
    let is_missing = error.kind() == io::ErrorKind::NotFound;
    fault(path, if is_missing { FileProblem::Missing } else { FileProblem::Unreadable })
}

/// What is left of the disk with a path, and of memory, in bytes; `None` where the system does not
/// tell. Blocks for a moment.
#[must_use]
pub fn room(path: &Path) -> (Option<Room>, Option<u64>) {
    let disk = statvfs(path).ok().map(|found| Room {
        path: path.display().to_string(),
        free_bytes: found.blocks_available().saturating_mul(found.fragment_size()),
        total_bytes: found.blocks().saturating_mul(found.fragment_size()),
        free_files: found.files_available(),
        total_files: found.files(),
    });
    let memory = fs::read_to_string(MEMINFO).ok().and_then(|text| available(&text));
    (disk, memory)
}

/// `MemAvailable` of Linux, in bytes.
fn available(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use mox_dns::FakeDns;
    use tokio::io::AsyncWriteExt as _;

    use super::*;
    use crate::FakeNetwork;
    use crate::tests::services;

    const MOX_CONF: &str = "\
DataDir: data
LogLevel: info
Hostname: mx.a.example
Listeners:
\tpublic:
\t\tIPs:
\t\t\t- 8.8.4.4
\t\tSMTP:
\t\t\tEnabled: true
\t\t\tNoSTARTTLS: true
\t\tIMAP:
\t\t\tEnabled: true
\t\t\tNoRequireSTARTTLS: true
Postmaster:
\tAccount: mjl
\tMailbox: Postmaster
";

    const DOMAINS_CONF: &str = "\
Domains:
\ta.example:
\t\tDKIM:
\t\t\tSelectors:
\t\t\t\ts1:
\t\t\t\t\tPrivateKeyFile: s1.pem
Accounts:
\tmjl:
\t\tDomain: a.example
\t\tDestinations:
\t\t\tmjl@a.example: nil
MonitorDNSBLs:
\t- bl.example
";

    fn config(dir: &Path) -> Config {
        Config::parse(dir, MOX_CONF, DOMAINS_CONF).unwrap()
    }

    fn says(network: &mut FakeNetwork, address: &str, greeting: &'static str) {
        network.add_server(address.parse().unwrap(), move |mut conn| {
            tokio::spawn(async move {
                conn.write_all(greeting.as_bytes()).await.unwrap();
                // Held open: a server waits for what the client says.
                std::future::pending::<()>().await;
                drop(conn);
            });
        });
    }

    #[track_caller]
    fn check_ports(smtp: Option<&'static str>, imap: Option<&'static str>, want: [&str; 2]) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .start_paused(true)
            .build()
            .unwrap();
        let mut network = FakeNetwork::new();
        for (address, greeting) in [("8.8.4.4:25", smtp), ("8.8.4.4:143", imap)] {
            if let Some(greeting) = greeting {
                says(&mut network, address, greeting);
            }
        }
        let found = runtime.block_on(async {
            ports(&services(FakeDns::new(), network), &config(Path::new("/none"))).await
        });
        let told: Vec<_> = found
            .iter()
            .map(|port| match &port.state {
                PortState::Ours(_) => format!("{} ours", port.service),
                PortState::Strange(what) => format!("{} strange: {what}", port.service),
                PortState::Closed(what) => format!("{} closed: {what}", port.service),
            })
            .collect();
        assert_eq!(told, want);
    }

    #[test]
    fn ports_are_tried() {
        let good = Some("220 MX.a.example ESMTP\r\n");
        check_ports(good, Some("* OK hello\r\n"), ["smtp ours", "imap ours"]);
        let other = Some("220 other.example ESMTP Postfix\r\n");
        let want = "smtp strange: it says \"220 other.example ESMTP Postfix\"";
        check_ports(other, Some("* OK hello\r\n"), [want, "imap ours"]);
        let want = "imap closed: connect to 8.8.4.4:143: connection refused";
        check_ports(good, None, ["smtp ours", want]);
        let want = "imap strange: greeting: nothing for 5s";
        check_ports(good, Some(""), ["smtp ours", want]);
    }

    #[test]
    fn files_are_looked_at() {
        let dir = tempfile::tempdir().unwrap();
        let set = |name: &str, mode: u32| {
            let path = dir.path().join(name);
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        };
        let check = |want: &[(&str, FileProblem)]| {
            let mut found: Vec<_> = local_files(&config(dir.path()))
                .into_iter()
                .map(|one| {
                    (one.path.replace(&format!("{}/", dir.path().display()), ""), one.problem)
                })
                .collect();
            found.sort();
            let want: Vec<_> =
                want.iter().map(|(path, what)| ((*path).to_owned(), *what)).collect();
            assert_eq!(found, want);
        };
        for name in ["mox.conf", "domains.conf", "s1.pem"] {
            fs::write(dir.path().join(name), "x").unwrap();
            set(name, 0o640);
        }
        check(&[("data", FileProblem::Missing)]);
        fs::create_dir(dir.path().join("data")).unwrap();
        set("data", 0o750);
        set("", 0o751);
        check(&[]);
        set("data", 0o755);
        set("s1.pem", 0o644);
        set("mox.conf", 0o666);
        let want = [
            ("data", FileProblem::AllRead),
            ("mox.conf", FileProblem::AllWrite),
            ("s1.pem", FileProblem::AllRead),
        ];
        check(&want);
        // Nobody else gets at them.
        set("", 0o750);
        check(&want[..1]);
        fs::remove_file(dir.path().join("s1.pem")).unwrap();
        set("data", 0o752);
        check(&[("data", FileProblem::AllWrite), ("s1.pem", FileProblem::Missing)]);
    }

    #[test]
    fn the_clock_is_compared_and_lists_are_asked() {
        let mut network = FakeNetwork::new();
        network.set_date("Thu, 01 Jan 2026 00:01:00 GMT");
        let mut dns = FakeDns::new();
        dns.add_ips("4.4.8.8.bl.example", &["127.0.0.2"]);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let config = config(Path::new("/none"));
        let found = runtime.block_on(outside(&services(dns, network), &config));
        assert_eq!(found.clock_ahead_secs, Ok(-60));
        assert!(found.resolver.is_some_and(|one| one.level == Level::Error));
        assert_eq!(found.blocklists.len(), 1);
        assert!(found.blocklists[0].what.contains("8.8.4.4 is listed at bl.example"));
        let found =
            runtime.block_on(outside(&services(FakeDns::new(), FakeNetwork::new()), &config));
        assert!(found.clock_ahead_secs.is_err());
        assert_eq!(found.blocklists, [Finding::ok("no address is on a block list")]);
    }

    #[test]
    fn the_system_tells_what_is_left() {
        assert_eq!(available("MemTotal: 1 kB\nMemAvailable:    3 kB\n"), Some(3 * 1024));
        assert_eq!(available("MemAvailable: x kB"), None);
        let (disk, _) = room(Path::new("/"));
        assert!(
            disk.is_some_and(|disk| disk.total_bytes > 0 && disk.free_bytes <= disk.total_bytes)
        );
        assert_eq!(room(Path::new("/none/at/all")).0, None);
    }
}
