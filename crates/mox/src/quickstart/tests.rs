//! Whole set-ups, with DNS and a network that are made up.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use mox_base::UnixSeconds;
use mox_checks::FakeNetwork;
use mox_config::{Live, LogLevel, NamedFiles};
use mox_dns::{Data, DnsError, FakeDns, Name, Pending, RecordType, Resolver, Trouble};
use mox_login::Peer;
use mox_net::SystemClock;
use mox_net::tls::client::Connector;
use mox_sasl::ChannelBindings;
use mox_store::RealDisk;
use mox_testkit::TestRng;
use mox_testkit::certificates::Certified;
use mox_tlspolicy::pkix::Roots;

use super::settings::tests::machine;
use super::*;
use crate::data_dir::DataDir;
use crate::log::Levels;
use crate::services::Mode;

const IP: &str = "192.0.2.10";

/// DNS as it should be: validated, the host at its address and back.
fn dns() -> FakeDns {
    let mut dns = FakeDns::new();
    let server = Name::parse("a.gtld-servers.net").unwrap();
    dns.add("com", Data::Ns(server)).sign("com");
    dns.add_ips("mx1.example.org", &[IP]).sign("mx1.example.org");
    dns.add_ptr(IP, "mx1.example.org");
    dns.add_mx("gmail.com", 5, "mx.gmail.com").add_ips("mx.gmail.com", &["198.51.100.25"]);
    dns
}

fn interface(name: &str, ip: &str) -> Interface {
    Interface { name: name.to_owned(), is_up: true, ips: vec![ip.parse().unwrap()] }
}

fn world(dns: FakeDns) -> World {
    let clock = Arc::new(SystemClock::new());
    let mut network = FakeNetwork::new();
    network.add_open("198.51.100.25:25");
    let connector = Connector::new(Roots::default(), clock.clone());
    World {
        services: Services {
            resolver: Arc::new(dns),
            network: Arc::new(network),
            connector,
            clock,
        },
        rng: Arc::new(TestRng::new(1)),
        interfaces: vec![interface("lo", "127.0.0.1"), interface("eth0", IP)],
        system_name: "mx1.example.org".to_owned(),
        program: Some("/srv/mox/mox".into()),
        has_user: true,
        is_container: false,
        interrupt: Interrupt::new(),
    }
}

fn wishes(dir: &Path) -> Wishes {
    Wishes {
        dir: dir.to_owned(),
        address: Address::parse("you@example.org").unwrap(),
        user: "mox".to_owned(),
        hostname: None,
        has_webserver: false,
        skips_dial: false,
    }
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

/// Runs it, and returns what was shown.
fn shown(wishes: &Wishes, world: &World) -> (Result<()>, String) {
    let runtime = runtime();
    let mut screen = Vec::new();
    let done = run(wishes, world, &runtime, &mut screen);
    (done, String::from_utf8(screen).unwrap())
}

#[track_caller]
fn check_shown(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "{part:?} missing in\n{text}");
    }
}

/// All files below a directory, sorted.
fn files(dir: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut dirs = vec![dir.to_owned()];
    while let Some(one) = dirs.pop() {
        for entry in fs::read_dir(one).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                dirs.push(path);
            } else {
                found.push(path.strip_prefix(dir).unwrap().display().to_string());
            }
        }
    }
    found.sort();
    found
}

/// The account opens, and has the password that was shown.
#[track_caller]
fn check_login(dir: &Path, shown: &str) {
    let line = shown.lines().rfind(|line| line.contains("account password for you@")).unwrap();
    let password = line.rsplit_once(": ").unwrap().1;
    assert_eq!(password.len(), 12);
    let live = Live::load(&dir.join("config"), NamedFiles::Skip, UnixSeconds(0)).unwrap().0;
    let data = DataDir::take(&live.snapshot().data_dir()).unwrap();
    let (levels, disk) = (Levels::new(LogLevel::Info), Arc::new(RealDisk));
    let live = Arc::new(live);
    let services =
        crate::services::Services::build(Mode::Serve, live, levels, false, disk, None, &data);
    let services = services.unwrap();
    let peer = Peer {
        ip: "192.0.2.1".parse().unwrap(),
        bindings: ChannelBindings::default(),
        client_key: None,
    };
    let login = services.logins.password(&peer, "you@example.org", password);
    assert!(runtime().block_on(login).is_ok(), "{password:?} is refused");
}

#[test]
fn a_server_is_set_up() {
    let dir = tempfile::tempdir().unwrap();
    let (wishes, world) = (wishes(dir.path()), world(dns()));
    let (done, text) = shown(&wishes, &world);
    done.unwrap();
    let checks = [
        "Checking the resolver ... OK\n",
        "Checking what this machine is called ... OK\n",
        "Checking the addresses of mx1.example.org ... OK\n",
        "Checking the names of those addresses ... OK\n",
        "Checking whether mail can go out ... OK\n",
        "Checking the age of the domain ... OK\n",
        "Checking block lists ... OK\n",
    ];
    check_shown(&text, &checks);
    // All kinds of records.
    let records = [
        "\n_25._tcp.mx1.example.org. TLSA 3 1 1 ",
        "\nmx1.example.org. TXT \"v=spf1 a -all\"\n",
        "\n_smtp._tls.mx1.example.org. TXT \"v=TLSRPTv1; rua=mailto:tlsreports@mx1.example.org\"\n",
        "\nexample.org. MX 10 mx1.example.org.\n",
        "a._domainkey.example.org. TXT (\n\t\"v=DKIM1;h=sha256;p=",
        "b._domainkey.example.org. TXT (\n",
        "\nexample.org. TXT \"v=spf1 ip4:192.0.2.10 mx ~all\"\n",
        "\n_dmarc.example.org. TXT \"v=DMARC1;p=reject;rua=mailto:dmarcreports@example.org!10m\"\n",
        "\nmta-sts.example.org. CNAME mx1.example.org.\n",
        "\n_mta-sts.example.org. TXT \"v=STSv1; id=",
        "\n_smtp._tls.example.org. TXT \"v=TLSRPTv1; rua=mailto:tlsreports@example.org\"\n",
        "\nmail.example.org. CNAME mx1.example.org.\n",
        "\nautoconfig.example.org. CNAME mx1.example.org.\n",
        "\n_autodiscover._tcp.example.org. SRV 0 1 443 mx1.example.org.\n",
        "\n_imaps._tcp.example.org. SRV 0 1 993 mail.example.org.\n",
        "\n_submissions._tcp.example.org. SRV 0 1 465 mail.example.org.\n",
        "\n_pop3._tcp.example.org. SRV 0 0 0 .\n",
        "\nexample.org. CAA 0 issue \"letsencrypt.org\"\n",
    ];
    check_shown(&text, &records);
    check_shown(&text, &["Admin password: ", "systemctl enable", "PS: If a web server"]);
    assert!(text.starts_with(NOTICE) && text.ends_with(NOTICE));
    let path = |name: &str| dir.path().join(name);
    assert_eq!(fs::read_to_string(path(output::LOG)).unwrap(), text);
    let zone = fs::read_to_string(path("config/example.org.zone")).unwrap();
    assert!(text.contains(&zone) && !zone.contains("WARNING"));

    assert_eq!(mox_config::test(&path("config")).faults, []);
    let mode = |name: &str| fs::metadata(path(name)).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode("config/mox.conf"), mode("config/adminpasswd")), (0o660, 0o660));
    assert_eq!((mode("mox.service"), mode("data")), (0o644, 0o750));
    let made = files(dir.path());
    assert_eq!(made.iter().filter(|name| name.starts_with("config/hostkeys/")).count(), 2);
    assert_eq!(made.iter().filter(|name| name.starts_with("config/dkim/")).count(), 2);
    assert!(!made.iter().any(|name| name.contains(".quickstart") || name.contains("state")));
    let hash = fs::read_to_string(path("config/adminpasswd")).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix("Admin password: ")).unwrap();
    assert!(bcrypt::verify(line, &hash).unwrap());
    check_login(dir.path(), &text);

    // Another run refuses, and changes nothing.
    let (done, text) = shown(&wishes, &world);
    assert!(done.unwrap_err().to_string().contains("there is a set-up already"));
    assert_eq!((text.as_str(), files(dir.path()).len()), ("", made.len()));
}

#[test]
fn a_server_behind_another_web_server_is_set_up() {
    let dir = tempfile::tempdir().unwrap();
    let wishes = Wishes { has_webserver: true, skips_dial: true, ..wishes(dir.path()) };
    let (done, text) = shown(&wishes, &world(dns()));
    done.unwrap();
    check_shown(&text, &["http://127.0.0.1:81", "path/to/mta-sts.example.org-chain.crt.pem"]);
    check_shown(&text, &["_mta-sts.example.org. TXT", "http://localhost:1080/admin/"]);
    for part in ["TLSA 3 1 1", "PS: ", "whether mail can go out"] {
        assert!(!text.contains(part), "{part:?} in\n{text}");
    }
    // Only the certificates are missing, and then nothing.
    let config = dir.path().join("config");
    let faults = mox_config::test(&config).faults;
    assert!(faults.len() >= 4, "{faults:?}");
    for fault in faults {
        assert!(fault.message.contains("path/to/"), "{fault}");
    }
    let certificate = Certified::new(&["mx1.example.org"]);
    fs::create_dir_all(config.join("path/to")).unwrap();
    for name in ["mx1", "mta-sts", "autoconfig", "mail"] {
        let file = |end| config.join(format!("path/to/{name}.example.org{end}"));
        fs::write(file("-chain.crt.pem"), certificate.cert_pem()).unwrap();
        fs::write(file(".key.pem"), certificate.key_pem()).unwrap();
    }
    assert_eq!(mox_config::test(&config).faults, []);
    crate::server::check_certificates(&config).unwrap();
}

#[test]
fn what_is_not_as_it_should_be_is_told_with_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let mut dns = FakeDns::new();
    let server = Name::parse("a.gtld-servers.net").unwrap();
    dns.add("com", Data::Ns(server));
    dns.add_ips("mx1.example.org", &["198.51.100.7"]);
    dns.add_mx("example.org", 10, "mail.elsewhere.example");
    let mut world = world(dns);
    world.interfaces = vec![interface("lo", "127.0.0.1"), interface("eth0", "10.0.0.5")];
    world.has_user = false;
    let (done, text) = shown(&wishes(dir.path()), &world);
    done.unwrap();
    let parts = [
        "Checking the resolver ...\n\nWARNING: answers of DNS are not validated",
        "unbound",
        "address translation (NAT)",
        "WARNING: look up the name of 198.51.100.7",
        "WARNING: connect to port 25",
        "WARNING: mail to example.org goes to mail.elsewhere.example now",
        ";; _25._tcp.mx1.example.org. TLSA",
        "useradd --system",
    ];
    check_shown(&text, &parts);
    let mox_conf = fs::read_to_string(dir.path().join("config/mox.conf")).unwrap();
    check_shown(&mox_conf, &["\t\t\t- 10.0.0.5\n", "\t\t\t- 198.51.100.7\n", "NATIPs:\n"]);
}

#[test]
fn without_dns_nothing_is_made() {
    let dir = tempfile::tempdir().unwrap();
    let mut dns = dns();
    dns.fail("com", RecordType::Ns, DnsError::Temporary(Trouble::Unreachable));
    let (done, text) = shown(&wishes(dir.path()), &world(dns));
    assert!(done.unwrap_err().to_string().contains("DNS does not work"));
    check_shown(&text, &["ERROR: DNS does not work", "Nothing was set up"]);
    assert_eq!(files(dir.path()), ["quickstart.log"]);
    let log = fs::read_to_string(dir.path().join("quickstart.log")).unwrap();
    check_shown(&log, &["fatal: DNS does not work"]);
    // Once it works, the same directory will do.
    shown(&wishes(dir.path()), &world(self::dns())).0.unwrap();
}

#[test]
fn files_of_others_stay_and_stop_it() {
    for name in ["mox.service", "config/adminpasswd", "config/domains.conf", "data/mail"] {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, "mine").unwrap();
        let (done, text) = shown(&wishes(dir.path()), &world(dns()));
        let error = format!("{:#}", done.unwrap_err());
        assert!(error.contains(name.split('/').next_back().unwrap()), "{error}");
        assert!(!text.contains("Admin password"), "{text}");
        let mut want = [name, "quickstart.log"];
        want.sort_unstable();
        assert_eq!(files(dir.path()), want);
        assert_eq!(fs::read_to_string(&path).unwrap(), "mine");
    }
}

#[test]
fn a_container_needs_no_unit() {
    let dir = tempfile::tempdir().unwrap();
    // Folders of the machine that runs it.
    fs::create_dir(dir.path().join("config")).unwrap();
    fs::create_dir_all(dir.path().join("data/lost+found")).unwrap();
    let world = World { is_container: true, ..world(dns()) };
    let (done, text) = shown(&wishes(dir.path()), &world);
    done.unwrap();
    check_shown(&text, &["Start the container."]);
    assert!(!dir.path().join("mox.service").exists());
    check_login(dir.path(), &text);
}

#[test]
fn an_interrupt_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let world = world(dns());
    world.interrupt.cancel();
    let (done, _) = shown(&wishes(dir.path()), &world);
    assert_eq!(done.unwrap_err().to_string(), "interrupted");
    assert_eq!(files(dir.path()), ["quickstart.log"]);
}

/// Answers for the names that the inner one knows, and never for others.
struct Silent(FakeDns);

impl Resolver for Silent {
    fn lookup<'a>(&'a self, name: &'a Name, kind: RecordType) -> Pending<'a> {
        Box::pin(async move {
            match self.0.lookup(name, kind).await {
                Err(DnsError::NotFound { exists: false, .. }) => std::future::pending().await,
                answer => answer,
            }
        })
    }
}

/// Every step has an end, and all of them together are within the time for all.
#[test]
fn nothing_waits_for_ever() {
    let dir = tempfile::tempdir().unwrap();
    let mut known = FakeDns::new();
    known.add("com", Data::Ns(Name::parse("a.gtld-servers.net").unwrap())).sign("com");
    known.add_ips("host.example.org", &["198.51.100.7"]);
    known.add_mx("gmail.com", 5, "mx.gmail.com").add_ips("mx.gmail.com", &["198.51.100.25"]);
    let mut network = FakeNetwork::new();
    network.add_silent("198.51.100.25:25");
    let mut world = world(FakeDns::new());
    world.services.resolver = Arc::new(Silent(known));
    world.services.network = Arc::new(network);
    world.system_name = "host".to_owned();
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build();
    let runtime = runtime.unwrap();
    let begun = runtime.block_on(async { tokio::time::Instant::now() });
    let mut screen = Vec::new();
    run(&wishes(dir.path()), &world, &runtime, &mut screen).unwrap();
    let took = runtime.block_on(async { begun.elapsed() });
    assert!(took < survey::SURVEY_WAIT, "{took:?}");
    let text = String::from_utf8(screen).unwrap();
    check_shown(
        &text,
        &["WARNING: look up the name of 198.51.100.7", "WARNING: connect to port 25"],
    );
    check_shown(&text, &["host.example.org is a guess", "in time"]);
}

/// What is made after the look at the machine, with a kill after some steps.
fn made(dir: &Path, materials: &Materials, steps: Option<usize>) -> (Result<()>, Former) {
    let choices = settings::tests::choices(false);
    let program = Some(Path::new("/srv/mox/mox"));
    let plan = Plan { dir, choices: &choices, is_secure: true, program, now: UnixSeconds(0) };
    let mut screen = Vec::new();
    let mut output = Output::open(dir, &mut screen).unwrap();
    let (mut journal, former) = Journal::open(dir, MOX_CONF, Interrupt::new()).unwrap();
    if former == Former::Kept {
        return (Ok(()), former);
    }
    journal.steps_left = steps;
    (make(plan, materials, &mut journal, &mut output), former)
}

/// Wherever a run is killed, the next makes a set-up that works, and has nothing left of the first.
#[test]
fn a_run_after_a_kill_at_any_step_makes_a_server() {
    let (choices, rng) = (settings::tests::choices(false), TestRng::new(1));
    let make = || Materials::make(&choices, &machine(), UnixSeconds(1_795_274_564), &rng, 4);
    let (first, second) = (make().unwrap(), make().unwrap());
    let mut kept = 0;
    for steps in 0.. {
        // Synced some thousand times: in memory, where there is such a directory.
        let dir = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
        let (done, _) = made(dir.path(), &first, Some(steps));
        let (again, former) = made(dir.path(), &second, None);
        again.unwrap_or_else(|error| panic!("after {steps} steps: {error:#}"));
        kept += usize::from(former == Former::Kept);
        // What is left to do is told by a whole run.
        if done.is_err() && former == Former::Kept {
            let (done, text) = shown(&wishes(dir.path()), &world(dns()));
            done.unwrap();
            check_shown(
                &text,
                &["A former run made everything", "_dmarc.example.org", "./mox serve"],
            );
            assert!(!files(dir.path()).iter().any(|name| name.contains(".quickstart")));
        }
        assert_eq!(mox_config::test(&dir.path().join("config")).faults, []);
        if done.is_ok() {
            assert!(steps > 30 && kept == 2, "{steps} {kept}");
            let log = fs::read_to_string(dir.path().join("quickstart.log")).unwrap();
            check_login(dir.path(), &log);
            return;
        }
    }
}
