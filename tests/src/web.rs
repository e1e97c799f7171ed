//! HTTP beside mail: on ports of its own, and on one with IMAP and submission.

use std::net::SocketAddr;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::{http1, http2};
use hyper::{Request, Response, body::Incoming};
use hyper_util::rt::{TokioExecutor, TokioIo};
use mox::service::Service;
use mox_config::HttpService;

use crate::client::{Client, Stream};
use crate::server::TestServer;

/// Settings, policies and mail on the port of HTTPS.
async fn server() -> TestServer {
    let on_https = |conf: String, service: &str| {
        let (front, back) = conf.split_once(&format!("\t\t{service}:\n")).unwrap();
        format!("{front}\t\t{service}:\n\t\t\tEnabledOnHTTPS: true\n{back}")
    };
    let edit_static = |conf: String| {
        let conf = on_https(on_https(conf, "Submissions"), "IMAPS");
        let services = "\t\tAutoconfigHTTPS:\n\t\t\tEnabled: true\n\
                        \t\tMTASTSHTTPS:\n\t\t\tEnabled: true\n\t\tIMAPS:\n";
        conf.replace("\t\tIMAPS:\n", services)
    };
    let edit_dynamic = |conf: String| {
        let policy = "\tlocalhost:\n\t\tMTASTS:\n\t\t\tPolicyID: 1\n\t\t\tMode: testing\n\
                      \t\t\tMaxAge: 1h\n";
        conf.replacen("\tlocalhost:\n", policy, 1)
    };
    TestServer::start_with_both(edit_static, edit_dynamic).await
}

fn get(url: &str) -> Request<Full<Bytes>> {
    let request = Request::get(url);
    let host = url.split('/').nth(2).unwrap();
    request.header("host", host).body(Full::default()).unwrap()
}

async fn text(response: Response<Incoming>) -> (u16, String) {
    let status = response.status().as_u16();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

async fn ask_http1(stream: Box<dyn Stream>, request: Request<Full<Bytes>>) -> (u16, String) {
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
    let driver = tokio::spawn(connection);
    let answer = text(sender.send_request(request).await.unwrap()).await;
    drop(sender);
    driver.await.unwrap().unwrap();
    answer
}

async fn connect_plain(address: SocketAddr) -> Box<dyn Stream> {
    Client::connect(address).await.into_stream()
}

/// RFC 7301 §3.2: what a client names it gets; who names nothing gets HTTP/1.1.
#[tokio::test]
async fn one_port_serves_https_and_mail() {
    let server = server().await;
    let address = server.server().http_address(HttpService::MtaSts).unwrap();
    assert_eq!(server.server().http_address(HttpService::Imap), Some(address));
    assert_eq!(server.server().address(Service::Https), Some(address));
    let connect = async |protocols: &[&[u8]]| {
        let client = Client::connect(address).await;
        client.start_tls_for(&server.certificate(), None, protocols).await
    };
    let policy = "https://mta-sts.localhost/.well-known/mta-sts.txt";
    let want = "version: STSv1\nmode: testing\nmax_age: 3600\nmx: localhost\n";
    for protocols in [&[&b"http/1.1"[..]][..], &[], &[b"unknown", b"http/1.1"]] {
        let stream = connect(protocols).await.into_stream();
        let request = get(&policy.replace("https://mta-sts.localhost", "http://mta-sts.localhost"));
        assert_eq!(ask_http1(stream, request).await, (200, want.to_owned()));
    }
    // HTTP/2 is preferred, and takes several requests at a time.
    let stream = connect(&[b"http/1.1", b"h2"]).await.into_stream();
    let io = TokioIo::new(stream);
    let (sender, connection) = http2::handshake(TokioExecutor::new(), io).await.unwrap();
    let driver = tokio::spawn(connection);
    let asked = (0..20).map(|_| {
        let mut sender = sender.clone();
        async move { text(sender.send_request(get(policy)).await.unwrap()).await }
    });
    let tasks: Vec<_> = asked.map(tokio::spawn).collect();
    for task in tasks {
        assert_eq!(task.await.unwrap(), (200, want.to_owned()));
    }

    let mut imap = connect(&[b"imap"]).await;
    imap.expect("* OK ").await;
    imap.log_in("moxmoxmox").await;
    let mut smtp = connect(&[b"smtp"]).await;
    smtp.expect("220 localhost ").await;
    drop((imap, smtp));
    // A connection without requests does not keep the server.
    server.stop().await;
    driver.await.unwrap().unwrap();
    drop(sender);
}

#[tokio::test]
async fn mail_programs_find_their_settings() {
    let server = server().await;
    let address = server.server().http_address(HttpService::Autoconfig).unwrap();
    let ask = async |request: Request<Full<Bytes>>| {
        let client = Client::connect(address).await;
        let tls = client.start_tls_for(&server.certificate(), None, &[b"http/1.1"]).await;
        ask_http1(tls.into_stream(), request).await
    };
    let url = "http://autoconfig.localhost/mail/config-v1.1.xml?emailaddress=mox@localhost";
    let (status, config) = ask(get(url)).await;
    assert_eq!(status, 200, "{config}");
    // What it says is where this server would listen, if it were not on free ports.
    for part in ["<port>1993</port>", "<port>1465</port>", "<port>443</port>", "mox@localhost<"] {
        assert!(config.contains(part), "{part} in {config}");
    }
    let body = "<Autodiscover><Request><EMailAddress>mox@localhost</EMailAddress></Request>\
                </Autodiscover>";
    let request = Request::post("http://localhost/autodiscover/autodiscover.xml");
    let request = request.header("host", "localhost").body(Full::from(body)).unwrap();
    let (status, config) = ask(request).await;
    assert_eq!(status, 200, "{config}");
    assert!(config.contains("<Server>localhost</Server>"), "{config}");
    let (status, _) = ask(get("http://autoconfig.example.org/mail/config-v1.1.xml")).await;
    assert_eq!(status, 404);
    let (status, _) = ask(get("http://localhost/webmail/")).await;
    assert_eq!(status, 404);
    server.stop().await;
}

#[tokio::test]
async fn metrics_show_what_happens() {
    let server = server().await;
    let address = server.server().http_address(HttpService::Metrics).unwrap();
    let mut imap = server.imap().await;
    imap.log_in("moxmoxmox").await;
    let mut smtp = server.smtp(Service::Smtp).await;
    let message = "From: <a@client.example>\r\nSubject: counted\r\n\r\nbody";
    smtp.send_message("a@client.example", &["mox@localhost"], message).await;
    let (status, metrics) = ask_http1(connect_plain(address).await, get("http://x/metrics")).await;
    assert_eq!(status, 200, "{metrics}");
    // Other tests of this process count too.
    let value = |name: &str| -> f64 {
        let line = metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("{name} in {metrics}")).parse().unwrap()
    };
    assert!(value("mox_connections_count{protocol=\"imap\",listener=\"local\"}") >= 1.0);
    assert!(value("mox_connections_count{protocol=\"http\",listener=\"local\"}") >= 1.0);
    assert!(value("process_resident_memory_bytes") > 1_000_000.0);
    assert!(value("process_start_time_seconds") > 1_700_000_000.0);
    assert!(value("mox_panic_total{pkg=\"imapserver\"}") >= 0.0);
    for counted in [
        "mox_imap_connection_total{service=\"imap\"}",
        "mox_authentication_total{kind=\"imap\",variant=\"login\",result=\"ok\"}",
        "mox_imap_command_duration_seconds_count{cmd=\"login\",result=\"ok\"}",
        "mox_smtpserver_connection_total{kind=\"deliver\"}",
        "mox_smtpserver_command_duration_seconds_count{kind=\"deliver\",cmd=\"data\",code=\"250\",ecode=\"2.2.0\"}",
        "mox_smtpserver_delivery_total{result=\"delivered\",reason=\"no-bad-signals\"}",
        "mox_spf_verify_duration_seconds_count{status=\"none\"}",
        "mox_dmarc_verify_duration_seconds_count{status=\"none\",reject=\"no\",use=\"yes\"}",
    ] {
        assert!(value(counted) >= 1.0, "{counted}");
    }
    for (url, want) in [
        ("http://x/", 200),
        ("http://x/other", 404),
        ("http://mta-sts.localhost/.well-known/mta-sts.txt", 404),
    ] {
        assert_eq!(ask_http1(connect_plain(address).await, get(url)).await.0, want, "{url}");
    }
    drop(imap);
    server.stop().await;
}

/// Attack: slow and broken clients keep nobody else from being served.
#[tokio::test]
async fn clients_that_dawdle_are_alone_with_it() {
    let server = server().await;
    let address = server.server().http_address(HttpService::Metrics).unwrap();
    let mut slow = Vec::new();
    for _ in 0..50 {
        let mut client = Client::connect(address).await;
        client.send_raw(b"GET /metrics HTTP/1.1\r\nX-Slow: ").await;
        slow.push(client);
    }
    for garbage in [&b"\x16\x03\x01\xff\xff\r\n\r\n"[..], &[0xff; 100_000], b"\r\n\r\n\0"] {
        Client::connect(address).await.send_garbage(garbage).await;
    }
    let (status, _) = ask_http1(connect_plain(address).await, get("http://x/metrics")).await;
    assert_eq!(status, 200);
    drop(slow);
    server.stop().await;
}
