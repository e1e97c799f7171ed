//! Whole requests, over connections in memory.

use std::io::Read as _;

use hyper::StatusCode;
use mox_config::HttpPort;
use mox_net::Window;

use crate::exchange::REQUEST_WINDOWS;
use crate::fixture::{Got, START, TestServer, all_services, get, post};

/// Wants: status and media type.
#[track_caller]
fn check(got: &Got, status: u16, media_type: &str) {
    assert_eq!(got.status.as_u16(), status, "{got:?}");
    assert_eq!(got.field("content-type"), media_type, "{got:?}");
    assert_eq!(got.field("content-length"), got.body.len().to_string(), "{got:?}");
    // On every answer.
    assert_eq!(got.field("x-frame-options"), "deny");
    assert_eq!(got.field("x-content-type-options"), "nosniff");
    assert_eq!(got.field("content-security-policy"), "default-src 'self' 'unsafe-inline' data:");
    assert_eq!(got.field("referrer-policy"), "same-origin");
    assert_eq!(got.field("strict-transport-security"), "");
}

const TEXT: &str = "text/plain; charset=utf-8";
const XML: &str = "application/xml; charset=utf-8";

#[tokio::test]
async fn each_handler_answers_for_its_hosts() {
    let server = TestServer::start();
    let (metrics, profile) = (mox_metrics::CONTENT_TYPE, "application/x-apple-aspen-config");
    let config = "/mail/config-v1.1.xml";
    let well_known = "/.well-known/autoconfig/mail/config-v1.1.xml";
    let challenge = "/.well-known/acme-challenge/token";
    for (host, target, status, media_type) in [
        ("mta-sts.example.org", "/.well-known/mta-sts.txt", 200, "text/plain"),
        ("mta-sts.xn--bcher-kva.example:443", "/.well-known/mta-sts.txt", 200, "text/plain"),
        ("mta-sts.example.org", "//.well-known/./mta-sts%2etxt", 200, "text/plain"),
        ("mta-sts.example.net", "/.well-known/mta-sts.txt", 404, TEXT),
        ("example.org", "/.well-known/mta-sts.txt", 404, TEXT),
        ("192.0.2.1", "/metrics", 200, metrics),
        ("whoever", "/", 200, "text/html; charset=utf-8"),
        ("autoconfig.example.org", config, 200, XML),
        ("example.org:8443", well_known, 200, XML),
        ("mail.example.org", "/mail/config-v1.1.xml?emailaddress=a@example.org", 200, XML),
        // Nobody has an address at the name of the server itself.
        ("mail.example.org", config, 400, TEXT),
        ("example.org", "/mail/config-v1.1.xml?emailaddress=a@example.net", 400, TEXT),
        ("example.org", "/mail/config-v1.1.xml?emailaddress=a", 400, TEXT),
        ("example.net", config, 404, TEXT),
        ("example.org", "/profile.mobileconfig?addresses=a@example.org", 200, profile),
        ("example.org", "/profile.mobileconfig", 400, TEXT),
        (
            "example.org",
            "/profile.mobileconfig.qrcode.png?addresses=a@example.org",
            200,
            "image/png",
        ),
        ("example.org", "/profile.mobileconfig.qrcode.png?addresses=x", 400, TEXT),
        ("example.net", challenge, 200, "application/octet-stream"),
        ("example.net", "/.well-known/acme-challenge/other", 404, TEXT),
        ("example.net", "/.well-known/acme-challenge/../acme-challenge/", 404, TEXT),
        ("192.0.2.1", challenge, 404, TEXT),
        // Pages are not there yet.
        ("mail.example.org", "/admin/", 404, TEXT),
        ("mail.example.org", "/webmail/", 404, TEXT),
        ("mail.example.org", "/nothing", 404, TEXT),
        ("mail.example.org", "/%zz", 400, TEXT),
        ("a b", "/metrics", 400, TEXT),
    ] {
        let got = server.get(host, target).await;
        check(&got, status, media_type);
    }
    assert_eq!(server.get("h.example", challenge).await.text(), "token.h.example");
}

/// RFC 8461 §3.2, §3.3.
#[tokio::test]
async fn a_policy_is_given_exactly() {
    let server = TestServer::start();
    let target = "/.well-known/mta-sts.txt";
    let want = "version: STSv1\nmode: enforce\nmax_age: 86400\n\
                mx: mail.example.org\nmx: *.mx.example.org\n";
    let got = server.get("mta-sts.example.org", target).await;
    assert_eq!((got.text(), got.field("cache-control")), (want, "no-cache, max-age=0"));
    let got = server.ask(post("mta-sts.example.org", target, "x")).await;
    assert_eq!(got.text(), want);
    let got = server.ask_by_http2(get("", "https://mta-sts.example.org/.well-known/mta-sts.txt"));
    assert_eq!(got.await.text(), want);
    let metrics = server.get("x", "/metrics").await;
    let counted = "mox_httpserver_request_duration_seconds_count{handler=\"mtasts\",\
                   proto=\"http\",method=\"get\",code=\"200\"}";
    assert!(metrics.text().contains(counted), "{}", metrics.text());
    let counted = counted.replace("request", "response");
    assert!(metrics.text().contains(&counted), "{}", metrics.text());
}

/// RFC 9110 §9.3.2, §15.5.6.
#[tokio::test]
async fn methods_are_those_of_the_handler() {
    let server = TestServer::start();
    let got = server.ask(post("x", "/metrics", "")).await;
    check(&got, 405, TEXT);
    assert_eq!(got.field("allow"), "GET, HEAD");
    let got = server.get("example.org", "/autodiscover/autodiscover.xml").await;
    check(&got, 405, TEXT);
    assert_eq!(got.field("allow"), "POST");
    let whole = server.get("x", "/").await;
    let mut request = get("x", "/");
    *request.method_mut() = hyper::Method::HEAD;
    let head = server.ask(request.clone()).await;
    assert_eq!((head.status, head.body.len()), (StatusCode::OK, 0));
    assert_eq!(head.field("content-length"), whole.body.len().to_string());
    assert_eq!(head.field("content-type"), whole.field("content-type"));
    *request.uri_mut() = "https://x/".parse().unwrap();
    request.headers_mut().remove("host");
    let head = server.ask_by_http2(request).await;
    assert_eq!((head.status, head.body.len()), (StatusCode::OK, 0));
    assert_eq!(head.field("content-length"), whole.body.len().to_string());
}

#[tokio::test]
async fn a_path_without_its_slash_is_sent_there() {
    let server = TestServer::start();
    let got = server.get("example.org", "/.well-known/acme-challenge?a=b").await;
    check(&got, 303, TEXT);
    assert_eq!(got.field("location"), "/.well-known/acme-challenge/?a=b");
}

#[tokio::test]
async fn mail_programs_get_their_settings() {
    let server = TestServer::start();
    let got = server.get("autoconfig.example.org:443", "/mail/config-v1.1.xml").await;
    assert!(got.text().contains("<username>%EMAILADDRESS%</username>"), "{}", got.text());
    assert!(got.text().contains("<emailProvider id=\"example.org\">"), "{}", got.text());
    let target = "/mail/config-v1.1.xml?emailaddress=a%2Bb%40b%C3%BCcher.example";
    let got = server.get("autoconfig.example.org", target).await;
    assert!(got.text().contains("<username>a+b@xn--bcher-kva.example</username>"));
    let metrics = server.get("x", "/metrics").await;
    let counted = "mox_autoconf_request_total{domain=\"xn--bcher-kva.example\"}";
    assert!(metrics.text().contains(counted), "{}", metrics.text());

    let target = "/profile.mobileconfig?addresses=m@example.org&name=M";
    let got = server.get("example.org", target).await;
    let want = "attachment; filename=\"email-account-m-at-example-org.mobileconfig\"";
    assert_eq!(got.field("content-disposition"), want);
}

#[tokio::test]
async fn outlook_is_told_what_is_wrong() {
    let server = TestServer::start();
    let body = |address: &str| {
        format!(
            "<Autodiscover><Request><EMailAddress>{address}</EMailAddress></Request></Autodiscover>"
        )
    };
    let large = format!("<!-- {} -->", "x".repeat(crate::BODY_BYTES_MAX)) + &body("a@example.org");
    for (body, status, media_type) in [
        (body("a@example.org"), 200, XML),
        (body("a@example.net"), 400, TEXT),
        (body("nobody"), 400, TEXT),
        ("<Autodiscover>".to_owned(), 400, TEXT),
        (String::new(), 400, TEXT),
        (large, 413, TEXT),
    ] {
        for target in ["/autodiscover/autodiscover.xml", "/Autodiscover/Autodiscover.xml"] {
            let got = server.ask(post("autoconfig.example.org", target, body.clone())).await;
            check(&got, status, media_type);
        }
    }
}

/// RFC 9110 §12.5.5.
#[tokio::test]
async fn large_texts_are_compressed_for_those_who_ask() {
    let server = TestServer::start();
    let mut request = get("x", "/metrics");
    request.headers_mut().insert("accept-encoding", "br, gzip".parse().unwrap());
    let got = server.ask(request).await;
    check(&got, 200, mox_metrics::CONTENT_TYPE);
    assert_eq!((got.field("content-encoding"), got.field("vary")), ("gzip", "accept-encoding"));
    let mut text = String::new();
    flate2::read::GzDecoder::new(&got.body[..]).read_to_string(&mut text).unwrap();
    assert!(text.ends_with("# EOF\n") && text.contains("process_open_fds "), "{text}");
    let plain = server.get("x", "/metrics").await;
    assert_eq!((plain.field("content-encoding"), plain.field("vary")), ("", "accept-encoding"));
}

/// RFC 6585 §4.
#[tokio::test]
async fn an_address_may_ask_so_often_and_no_more() {
    let [Window { limits: [most, ..], secs }, _] = REQUEST_WINDOWS;
    let server = TestServer::start();
    let ip = "198.51.100.1".parse().unwrap();
    for _ in 1..most {
        assert!(server.server.may_ask(ip));
    }
    assert_eq!(server.ask_from("198.51.100.1", get("x", "/")).await.status, StatusCode::OK);
    let got = server.ask_from("198.51.100.1", get("x", "/")).await;
    check(&got, 429, TEXT);
    assert_eq!(got.text(), "429 - too many requests\n");
    assert_eq!(got.field("retry-after"), "60");
    assert_eq!(server.ask_from("198.51.100.2", get("x", "/")).await.status, StatusCode::OK);
    server.clock.advance(std::time::Duration::from_secs(u64::from(secs)));
    assert_eq!(server.ask_from("198.51.100.1", get("x", "/")).await.status, StatusCode::OK);
    let metrics = server.get("x", "/metrics").await;
    assert!(metrics.text().contains("handler=\"(ratelimited)\""), "{}", metrics.text());
    assert_eq!(START.0 % 3_600, 0, "windows start with the test");
}

#[tokio::test]
async fn behind_a_proxy_the_address_it_names_counts() {
    let port = HttpPort { services: all_services(), is_forwarded: true, ..HttpPort::default() };
    let server = TestServer::with(port);
    let ip = "9.9.9.9".parse().unwrap();
    while server.server.may_ask(ip) {}
    let ask = async |addresses: &str| {
        let mut request = get("x", "/");
        if !addresses.is_empty() {
            request.headers_mut().insert("x-forwarded-for", addresses.parse().unwrap());
        }
        server.ask_from("10.0.0.1", request).await.status.as_u16()
    };
    assert_eq!(ask("9.9.9.9").await, 429);
    // Attack: the client puts another address in front.
    assert_eq!(ask("8.8.8.8, 9.9.9.9").await, 429);
    assert_eq!(ask("9.9.9.9, 8.8.8.8").await, 200);
    assert_eq!(ask("").await, 200);
    // Without a proxy the field is nobody's word.
    let server = TestServer::start();
    while server.server.may_ask(ip) {}
    let mut request = get("x", "/");
    request.headers_mut().insert("x-forwarded-for", "9.9.9.9".parse().unwrap());
    assert_eq!(server.ask(request).await.status, StatusCode::OK);
}

/// The code holds the URL that the telephone has to ask: the scheme is that of the client.
#[tokio::test]
async fn codes_depend_on_the_scheme() {
    let target = "/profile.mobileconfig.qrcode.png?addresses=a@example.org";
    let port = HttpPort { services: all_services(), ..HttpPort::default() };
    let plain = TestServer::with(port.clone()).get("example.org", target).await;
    let tls = TestServer::with(HttpPort { is_tls: true, ..port.clone() });
    let tls = tls.get("example.org", target).await;
    assert_ne!(plain.body, tls.body);
    let forwarded = TestServer::with(HttpPort { is_forwarded: true, ..port });
    let mut request = get("example.org", target);
    request.headers_mut().insert("x-forwarded-proto", "https".parse().unwrap());
    assert_eq!(forwarded.ask(request).await.body, tls.body);
}
