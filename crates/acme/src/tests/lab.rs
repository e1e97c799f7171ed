//! A manager, its listeners on loopback and its provider, with a clock that is moved by hand.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use mox_base::{Clock as _, Domain, UnixSeconds};
use mox_dns::FakeDns;
use mox_net::tls::client::Connector;
use mox_net::tls::{TlsAcceptor, TlsOptions, UnknownName};
use mox_net::{Conn, Supervisor};
use mox_testkit::certificates::{self, TrustAll};
use mox_testkit::{ManualClock, TestRng};
use mox_tlspolicy::pkix::Roots;
use parking_lot::Mutex;
use rustls::pki_types::ServerName;
use rustls::{ALL_VERSIONS, SignatureScheme};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use x509_parser::prelude::{FromDer as _, GeneralName, X509Certificate};

use super::ca::{self, Ca};
use crate::{HostStatus, Manager, Services, Settings};

pub(super) const HOUR: Duration = Duration::from_secs(3600);
pub(super) const DAY: Duration = Duration::from_secs(24 * 3600);

pub(super) struct Lab {
    dir: tempfile::TempDir,
    pub(super) clock: ManualClock,
    pub(super) ca: Arc<Ca>,
    tls_at: SocketAddr,
    running: Arc<Mutex<Option<Running>>>,
}

struct Running {
    manager: Manager,
    acceptor: TlsAcceptor,
    supervisor: Supervisor,
}

pub(super) fn domain(name: &str) -> Domain {
    Domain::parse(name).unwrap()
}

impl Lab {
    pub(super) async fn new() -> Self {
        let clock = ManualClock::default();
        let (tls, http) = (listener().await, listener().await);
        let tls_at = tls.local_addr().unwrap();
        let ca = Ca::start(clock.clone(), (tls_at, http.local_addr().unwrap())).await;
        let running = Arc::new(Mutex::new(None));
        tokio::spawn(serve_tls(tls, Arc::clone(&running)));
        tokio::spawn(serve_http(http, Arc::clone(&running)));
        Self { dir: tempfile::tempdir().unwrap(), clock, ca, tls_at, running }
    }

    pub(super) fn dir(&self) -> &Path {
        self.dir.path()
    }

    pub(super) fn settings(&self) -> Settings {
        Settings {
            name: "test".to_owned(),
            directory_url: self.ca.directory(),
            contact: "admin@mail.example".to_owned(),
            renew_before: None,
            binding: None,
            dir: self.dir.path().to_owned(),
            hostname: domain("mail.example"),
            host_keys: BTreeMap::new(),
            has_http01: false,
            public_ips: BTreeSet::new(),
            user_agent: "mox/test".to_owned(),
            poll: Duration::from_millis(1),
        }
    }

    /// Starts a manager, as a server does, with hosts that are all in DNS.
    pub(super) fn start(&self, settings: Settings, hosts: &[&str]) {
        let mut dns = FakeDns::new();
        dns.add_ips(ca::HOST, &["127.0.0.1"]);
        for host in ["mail.example", "www.example", "new.example"] {
            dns.add_ips(host, &["192.0.2.1"]);
        }
        let resolver = Arc::new(dns);
        let mut roots = Roots::default();
        roots.add(&self.ca.root()).unwrap();
        let clock = Arc::new(self.clock.clone());
        let connector = Connector::new(roots, Arc::clone(&clock) as _);
        let supervisor = Supervisor::new(&*clock);
        let services = Services {
            clock: Arc::clone(&clock) as _,
            rng: Arc::new(TestRng::new(1)),
            supervisor: supervisor.clone(),
            http: mox_net::http::Client::new(connector, Arc::clone(&resolver) as _),
            resolver,
        };
        let manager = Manager::start(settings, services).unwrap();
        manager.set_hosts(hosts.iter().map(|host| domain(host)).collect());
        let options = TlsOptions { unknown_name: UnknownName::Refuse, ..TlsOptions::default() };
        let acceptor = TlsAcceptor::new(manager.certs(), options, clock);
        *self.running.lock() = Some(Running { manager, acceptor, supervisor });
    }

    pub(super) fn manager(&self) -> Manager {
        self.running.lock().as_ref().unwrap().manager.clone()
    }

    /// Ends the manager as the end of a server does.
    pub(super) async fn stop(&self) {
        let running = self.running.lock().take().unwrap();
        running.supervisor.shutdown(HOUR).await;
    }

    /// Goes on with what is on disk now, as after a crash.
    pub(super) fn crash(&mut self) {
        let dir = tempfile::tempdir().unwrap();
        copy(self.dir.path(), dir.path());
        self.dir = dir;
    }

    /// Lets time pass, waits until all is done, and tells what the provider was asked.
    pub(super) async fn pass(&self, time: Duration) -> Vec<String> {
        self.clock.advance(time);
        self.manager().settle().await;
        self.ca.take_log()
    }

    pub(super) fn status(&self, host: &str) -> HostStatus {
        let all = self.manager().status();
        all.into_iter().find(|status| status.host == domain(host)).unwrap()
    }

    /// How many seconds it is to a moment.
    pub(super) fn until(&self, at: Option<UnixSeconds>) -> i64 {
        at.unwrap().secs_since(self.clock.now())
    }

    /// The certificate that a client of our TLS port is shown.
    pub(super) async fn shown(&self, name: &str, is_rsa_only: bool) -> Option<Vec<u8>> {
        let stream = connect(self.tls_at, name, None, is_rsa_only).await.ok()?;
        Some(stream.get_ref().1.peer_certificates().unwrap()[0].to_vec())
    }
}

fn copy(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            fs::create_dir(&to).unwrap();
            copy(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), &to).unwrap();
        }
    }
}

async fn listener() -> TcpListener {
    TcpListener::bind(("127.0.0.1", 0)).await.unwrap()
}

async fn serve_tls(listener: TcpListener, running: Arc<Mutex<Option<Running>>>) {
    while let Ok((stream, peer)) = listener.accept().await {
        let acceptor = running.lock().as_ref().map(|running| running.acceptor.clone());
        let Some(acceptor) = acceptor else { continue };
        tokio::spawn(async move {
            let conn = Conn::tcp(stream, peer, peer);
            if let Ok(conn) = conn.start_tls(&acceptor).await {
                conn.close().await;
            }
        });
    }
}

/// What a web server does of it.
async fn serve_http(listener: TcpListener, running: Arc<Mutex<Option<Running>>>) {
    while let Ok((mut stream, _)) = listener.accept().await {
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            assert!(stream.read_buf(&mut request).await.unwrap() > 0);
        }
        let request = String::from_utf8(request).unwrap();
        let token = request.split(' ').nth(1).unwrap().rsplit('/').next().unwrap();
        let host = request.split_once("Host: ").unwrap().1.split("\r\n").next().unwrap();
        let manager = running.lock().as_ref().unwrap().manager.clone();
        let answer = manager.http01(token, &domain(host));
        assert!(manager.http01(token, &domain("other.example")).is_none());
        let text = match answer {
            Some(proof) => format!("HTTP/1.1 200 OK\r\n\r\n{proof}"),
            None => "HTTP/1.1 404 not found\r\n\r\n".to_owned(),
        };
        stream.write_all(text.as_bytes()).await.unwrap();
    }
}

async fn connect(
    at: SocketAddr,
    name: &str,
    alpn: Option<&[u8]>,
    is_rsa_only: bool,
) -> std::io::Result<tokio_rustls::client::TlsStream<TcpStream>> {
    let rsa = SignatureScheme::RSA_PSS_SHA256;
    let schemes =
        if is_rsa_only { vec![rsa] } else { vec![SignatureScheme::ECDSA_NISTP256_SHA256, rsa] };
    // Whatever is shown is looked at afterwards.
    let mut config = certificates::client(Arc::new(TrustAll(schemes)), ALL_VERSIONS, None);
    config.alpn_protocols = alpn.map(<[u8]>::to_vec).into_iter().collect();
    let stream = TcpStream::connect(at).await?;
    let name = ServerName::try_from(name.to_owned()).unwrap();
    tokio_rustls::TlsConnector::from(Arc::new(config)).connect(name, stream).await
}

/// What a provider does: RFC 8737 §3.
pub(super) async fn check_tls(at: SocketAddr, host: &str, digest: &[u8]) -> Result<(), String> {
    const ALPN: &[u8] = b"acme-tls/1";
    let stream = connect(at, host, Some(ALPN), false).await;
    let stream = stream.map_err(|error| error.to_string())?;
    let session = stream.get_ref().1;
    assert_eq!(session.alpn_protocol(), Some(ALPN));
    let shown = session.peer_certificates().unwrap()[0].clone();
    let (_, cert) = X509Certificate::from_der(&shown).map_err(|error| error.to_string())?;
    let names = cert.subject_alternative_name().unwrap().unwrap();
    assert_eq!(names.value.general_names, [GeneralName::DNSName(host)]);
    let mut extensions = cert.extensions().iter();
    let proof = extensions.find(|one| one.oid.to_id_string() == "1.3.6.1.5.5.7.1.31");
    let proof = proof.ok_or("no proof in the certificate")?;
    assert!(proof.critical);
    let want = [&[4, 32], digest].concat();
    if proof.value == want { Ok(()) } else { Err("another proof".to_owned()) }
}
