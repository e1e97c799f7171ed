//! The configuration that tests are made with, and a server with it.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::{Request, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo};
use mox_base::UnixSeconds;
use mox_config::{Config, HttpPort, HttpService, Live, NamedFiles};
use mox_net::Supervisor;
use mox_testkit::ManualClock;
use tokio::io::{DuplexStream, duplex};

use crate::server::{Peer, Port, Server, Services};

const MOX_CONF: &str = "\
DataDir: data
LogLevel: info
Hostname: mail.example.org
Listeners:
\tinternal:
\t\tIPs:
\t\t\t- 127.0.0.1
\t\tHostname: inside.example.org
\t\tMetricsHTTP:
\t\t\tEnabled: true
\tpublic:
\t\tIPs:
\t\t\t- 192.0.2.1
\t\tHostname: mx.example.org
\t\tTLS:
\t\t\tKeyCerts:
\t\t\t\t-
\t\t\t\t\tCertFile: c
\t\t\t\t\tKeyFile: k
\t\tSubmissions:
\t\t\tEnabled: true
\t\t\tEnabledOnHTTPS: true
\t\tIMAP:
\t\t\tEnabled: true
\t\tAutoconfigHTTPS:
\t\t\tEnabled: true
\t\tMTASTSHTTPS:
\t\t\tEnabled: true
Postmaster:
\tAccount: mjl
\tMailbox: Postmaster
";

const DOMAINS_CONF: &str = "\
Domains:
\texample.org:
\t\tMTASTS:
\t\t\tPolicyID: 1
\t\t\tMode: enforce
\t\t\tMaxAge: 24h
\t\t\tMX:
\t\t\t\t- mail.example.org
\t\t\t\t- *.mx.example.org
\tbücher.example:
\t\tClientSettingsDomain: imap.bücher.example
\t\tMTASTS:
\t\t\tPolicyID: 2
\t\t\tMode: testing
\t\t\tMaxAge: 10m
\tnone.example: nil
\toff.example:
\t\tDisabled: true
\treports.example:
\t\tDescription: nobody has an address here
Accounts:
\tmjl:
\t\tDomain: example.org
\t\tDestinations:
\t\t\tmjl@example.org: nil
\t\t\tmjl@bücher.example: nil
\t\t\tmjl@none.example: nil
\t\t\tmjl@off.example: nil
";

/// Two listeners, five domains.
pub(crate) fn config() -> Config {
    Config::parse(Path::new(""), MOX_CONF, DOMAINS_CONF).unwrap()
}

/// When the clock of a test starts: the first second of an hour.
pub(crate) const START: UnixSeconds = UnixSeconds(1_800_000_000);

/// A server with one port.
pub(crate) struct TestServer {
    pub(crate) server: Server,
    pub(crate) clock: ManualClock,
    pub(crate) supervisor: Supervisor,
    pub(crate) port: Arc<Port>,
    _dir: tempfile::TempDir,
}

/// What came back.
#[derive(Clone, Debug)]
pub(crate) struct Got {
    pub(crate) status: StatusCode,
    pub(crate) headers: hyper::HeaderMap,
    pub(crate) body: Bytes,
}

impl Got {
    /// A field, empty if it is not there.
    pub(crate) fn field(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }
}

/// All that can be served.
pub(crate) fn all_services() -> BTreeSet<HttpService> {
    use HttpService::{AcmeHttp, Autoconfig, Metrics, MtaSts};
    [AcmeHttp, Autoconfig, Metrics, MtaSts].into()
}

impl TestServer {
    pub(crate) fn start() -> Self {
        Self::with(HttpPort { services: all_services(), ..HttpPort::default() })
    }

    pub(crate) fn with(port: HttpPort) -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("mox.conf"), MOX_CONF).unwrap();
        std::fs::write(dir.path().join("domains.conf"), DOMAINS_CONF).unwrap();
        let (config, _) = Live::load(dir.path(), NamedFiles::Skip, START).unwrap();
        let clock = ManualClock::at(START);
        let supervisor = Supervisor::new(&clock);
        let server = Server::new(Services {
            config: Arc::new(config),
            clock: Arc::new(clock.clone()),
            supervisor: supervisor.clone(),
            http01: Arc::new(|host, token| {
                (token == "token").then(|| format!("token.{}", host.ascii()))
            }),
            is_limited: true,
        });
        Self { server, clock, supervisor, port: Arc::new(Port::new(port)), _dir: dir }
    }

    /// A connection; what is served ends with the supervisor.
    pub(crate) fn connect_from(&self, ip: &str, is_http2: bool) -> DuplexStream {
        let (client, server) = duplex(64 << 10);
        let ip: IpAddr = ip.parse().unwrap();
        let cid = self.supervisor.next_cid();
        let peer = Peer { cid, remote: SocketAddr::new(ip, 1_234), is_http2, tls: "".into() };
        let stopping = self.supervisor.stopping();
        let served =
            self.server.clone().serve_stream(server, peer, stopping, Arc::clone(&self.port));
        self.supervisor.spawn("test", cid, served);
        client
    }

    pub(crate) fn connect(&self) -> DuplexStream {
        self.connect_from("192.0.2.7", false)
    }

    /// Makes a request on a connection of its own.
    pub(crate) async fn ask(&self, request: Request<Full<Bytes>>) -> Got {
        self.ask_from("192.0.2.7", request).await
    }

    pub(crate) async fn ask_from(&self, ip: &str, request: Request<Full<Bytes>>) -> Got {
        let io = TokioIo::new(self.connect_from(ip, false));
        let (mut sender, connection) = hyper::client::conn::http1::handshake(io).await.unwrap();
        let driver = tokio::spawn(connection);
        let got = got(sender.send_request(request).await.unwrap()).await;
        drop(sender);
        driver.await.unwrap().unwrap();
        got
    }

    /// Makes a request by HTTP/2.
    pub(crate) async fn ask_by_http2(&self, request: Request<Full<Bytes>>) -> Got {
        let io = TokioIo::new(self.connect_from("192.0.2.7", true));
        let executor = TokioExecutor::new();
        let (mut sender, connection) =
            hyper::client::conn::http2::handshake(executor, io).await.unwrap();
        let driver = tokio::spawn(connection);
        let got = got(sender.send_request(request).await.unwrap()).await;
        drop(sender);
        driver.await.unwrap().unwrap();
        got
    }

    /// Asks for a URL.
    pub(crate) async fn get(&self, host: &str, target: &str) -> Got {
        self.ask(get(host, target)).await
    }
}

async fn got(response: hyper::Response<hyper::body::Incoming>) -> Got {
    let (head, body) = response.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    Got { status: head.status, headers: head.headers, body }
}

pub(crate) fn get(host: &str, target: &str) -> Request<Full<Bytes>> {
    let request = Request::get(target).header("host", host);
    request.body(Full::new(Bytes::new())).unwrap()
}

pub(crate) fn post(host: &str, target: &str, body: impl Into<Bytes>) -> Request<Full<Bytes>> {
    Request::post(target).header("host", host).body(Full::new(body.into())).unwrap()
}
