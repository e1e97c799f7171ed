use std::time::Duration;

use mox_dns::FakeDns;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::*;
use crate::tls::client::tests::Lab;

/// A server that answers each connection with the next of some texts, without regard to what is
/// asked, and keeps it open if the text ends with this mark.
const HANG: &str = "<hang>";

/// Where the server listens; the requests that came.
struct Server {
    port: u16,
    asked: tokio::task::JoinHandle<Vec<String>>,
}

async fn server(answers: Vec<String>) -> Server {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let asked = tokio::spawn(async move {
        let mut asked = Vec::new();
        for answer in answers {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = Vec::new();
            while !is_whole(&request) {
                assert!(stream.read_buf(&mut request).await.unwrap() > 0);
            }
            asked.push(String::from_utf8(request).unwrap());
            let text = answer.trim_end_matches(HANG);
            stream.write_all(text.as_bytes()).await.unwrap();
            if text.len() < answer.len() {
                // Until the client goes away.
                let _gone = stream.read(&mut [0]).await;
            }
        }
        asked
    });
    Server { port, asked }
}

fn is_whole(request: &[u8]) -> bool {
    let text = String::from_utf8_lossy(request);
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    length.is_none_or(|length| body.len() >= length.parse().unwrap())
}

fn client() -> Client {
    let mut dns = FakeDns::new();
    dns.add_ips("a.example", &["127.0.0.1"]).add_ips("b.example", &["127.0.0.1"]);
    Client::new(Lab::new(&["a.example"], 2030).connector(), Arc::new(dns))
}

fn get(url: &str) -> Request {
    Request {
        url: Url::parse(url).unwrap(),
        post: None,
        headers: Vec::new(),
        limit: Duration::from_secs(60),
        body_bytes_max: 10,
        follows_redirects: true,
        reach: Reach::Any,
    }
}

/// One answer to a GET.
async fn ask(answer: &str) -> Result<Response, HttpError> {
    let server = server(vec![answer.to_owned()]).await;
    client().request(get(&format!("http://a.example:{}/x", server.port))).await
}

#[tokio::test]
async fn responses_are_read_to_their_end_or_their_bound() {
    let whole = ask("HTTP/1.1 404 no\r\nContent-Type: text/x\r\nContent-Length: 2\r\n\r\nhi").await;
    let want = Response {
        status: 404,
        content_type: Some("text/x".to_owned()),
        body: b"hi".to_vec(),
        is_cut: false,
    };
    assert_eq!(whole.unwrap(), want);
    // To the end of the connection. RFC 9112 §6.3.
    assert_eq!(ask("HTTP/1.0 200 ok\r\n\r\n0123456789").await.unwrap().body, b"0123456789");
    let chunked = "HTTP/1.1 200 ok\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n01234\r\n";
    let cut = ask(&format!("{chunked}6\r\n567890\r\n{HANG}")).await.unwrap();
    assert_eq!((cut.body.as_slice(), cut.is_cut), (b"0123456789".as_slice(), true));
    assert!(!ask(&format!("{chunked}0\r\n\r\n")).await.unwrap().is_cut);
}

#[tokio::test]
async fn what_is_no_response_is_an_error() {
    let long = "X: y\r\n".repeat(RESPONSE_HEADERS_MAX + 1);
    let wide = format!("X: {}\r\n", "y".repeat(2 * RESPONSE_HEADER_BYTES_MAX));
    for answer in [
        String::new(),
        "SSH-2.0-x\r\n".to_owned(),
        "HTTP/1.1 200 ok\r\nContent-Length: 5\r\n\r\nhi".to_owned(),
        "HTTP/1.1 200 ok\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n".to_owned(),
        format!("HTTP/1.1 200 ok\r\n{long}\r\n"),
        format!("HTTP/1.1 200 ok\r\n{wide}\r\n{HANG}"),
    ] {
        let start: String = answer.chars().take(60).collect();
        let outcome = ask(&answer).await;
        assert!(matches!(outcome, Err(HttpError::Http(_))), "{start:?}: {outcome:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_takes_too_long_is_given_up() {
    for answer in [HANG, "HTTP/1.1 200 ok\r\nContent-Length: 5\r\n\r\nhi<hang>"] {
        assert!(matches!(ask(answer).await, Err(HttpError::TimedOut(_))), "{answer:?}");
    }
}

#[tokio::test]
async fn a_post_has_its_fields_and_body() {
    let server = server(vec!["HTTP/1.1 200 ok\r\nContent-Length: 0\r\n\r\n".to_owned()]).await;
    let url = format!("http://a.example:{}/hook?k=v", server.port);
    let headers = vec![("X-Mox-Webhook-ID".to_owned(), "7".to_owned())];
    let request = Request { post: Some(b"{}".to_vec()), headers, ..get(&url) };
    assert_eq!(client().request(request).await.unwrap().status, 200);
    let asked = server.asked.await.unwrap().remove(0).to_ascii_lowercase();
    assert!(asked.starts_with("post /hook?k=v http/1.1\r\n") && asked.ends_with("\r\n\r\n{}"));
    assert!(asked.contains(&format!("host: a.example:{}\r\n", server.port)), "{asked}");
    assert!(asked.contains("x-mox-webhook-id: 7\r\n"), "{asked}");
    let bad = vec![("X".to_owned(), "a\r\nY: b".to_owned())];
    let bad = client().request(Request { headers: bad, ..get(&url) }).await;
    assert!(matches!(bad, Err(HttpError::BadHeader(_) | HttpError::Dial(_))));
}

fn redirect(status: u16, location: &str) -> String {
    format!("HTTP/1.1 {status} x\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n")
}

/// RFC 9110 §15.4.
#[tokio::test]
async fn redirects_are_followed_within_bounds() {
    let ok = "HTTP/1.1 200 ok\r\nContent-Length: 0\r\n\r\n".to_owned();
    let answers = vec![redirect(308, "/b"), redirect(303, "/c"), ok];
    let server = server(answers).await;
    let url = format!("http://a.example:{}/a", server.port);
    let headers = vec![("Authorization".to_owned(), "secret".to_owned())];
    let request = Request { post: Some(b"x".to_vec()), headers, ..get(&url) };
    assert_eq!(client().request(request).await.unwrap().status, 200);
    let asked = server.asked.await.unwrap();
    let starts: Vec<&str> = asked.iter().map(|text| text.split(" HTTP").next().unwrap()).collect();
    assert_eq!(starts, ["POST /a", "POST /b", "GET /c"]);
    assert!(asked.iter().all(|text| text.contains("secret")));

    let endless = self::server(vec![redirect(302, "/x"); REDIRECTS_MAX + 1]).await;
    let endless = client().request(get(&format!("http://a.example:{}/", endless.port))).await;
    assert!(matches!(endless, Err(HttpError::TooManyRedirects)), "{endless:?}");
    let stays = ask(&redirect(301, "/x")).await;
    assert!(stays.is_err(), "the server answers once");
    let server = self::server(vec![redirect(301, "/x")]).await;
    let stays =
        Request { follows_redirects: false, ..get(&format!("http://a.example:{}", server.port)) };
    assert_eq!(client().request(stays).await.unwrap().status, 301);
}

/// What only this machine can reach is not shown to those who send us elsewhere.
#[tokio::test]
async fn redirects_do_not_lead_inside() {
    for location in
        ["http://b.example/", "http://127.0.0.1:1/", "http://localhost/", "//b.example/"]
    {
        let inside = ask(&redirect(307, location)).await;
        assert!(matches!(inside, Err(HttpError::NotPublic(_))), "{location}: {inside:?}");
    }
    assert!(matches!(ask(&redirect(307, "file:///x")).await, Err(HttpError::BadRedirect)));
    let request = Request { reach: Reach::Public, ..get("http://a.example/") };
    assert!(matches!(client().request(request).await, Err(HttpError::NotPublic(_))));
    let nowhere = client().request(get("http://nowhere.example/")).await;
    assert!(matches!(nowhere, Err(HttpError::Dns { .. })));
}

#[tokio::test]
async fn certificates_must_be_for_the_host() {
    let lab = Lab::new(&["a.example"], 2030);
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(lab.server()));
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let Ok(mut stream) = acceptor.accept(stream).await else { continue };
            stream.read_u8().await.unwrap();
            stream.write_all(&redirect(302, "http://a.example/").into_bytes()).await.unwrap();
            stream.shutdown().await.unwrap();
        }
    }));
    let mut dns = FakeDns::new();
    dns.add_ips("a.example", &["127.0.0.1"]).add_ips("b.example", &["127.0.0.1"]);
    let client = Client::new(lab.connector(), Arc::new(dns));
    let right = client.request(get(&format!("https://a.example:{port}/"))).await;
    assert!(matches!(right, Err(HttpError::Downgrade)), "{right:?}");
    let other = client.request(get(&format!("https://b.example:{port}/"))).await;
    assert!(matches!(other, Err(HttpError::Tls(_))), "{other:?}");
}

#[tokio::test]
async fn a_raw_request_is_sent_as_it_is_and_answered_whole() {
    let answers = vec![
        "HTTP/1.1 302 x\r\nReplay-Nonce: n1\r\nLocation: /y\r\nContent-Length: 10\r\n\r\n0123456789"
            .to_owned(),
        "HTTP/1.1 200 x\r\nReplay-Nonce: n2\r\nContent-Length: 50\r\n\r\n".to_owned(),
        format!("HTTP/1.1 200 x\r\nContent-Length: 11\r\n\r\n01234567890{HANG}"),
    ];
    let server = server(answers).await;
    let url = Url::parse(&format!("http://a.example:{}/x?y", server.port)).unwrap();
    let raw = |method: hyper::Method, body: &'static str| RawRequest {
        url: url.clone(),
        method,
        headers: [(hyper::header::ACCEPT, "text/x".parse().unwrap())].into_iter().collect(),
        body: body.into(),
        limit: Duration::from_secs(60),
        body_bytes_max: 10,
    };
    let client = client();
    let redirect = client.send(raw(hyper::Method::PUT, "hello")).await.unwrap();
    assert_eq!((redirect.status().as_u16(), &redirect.body()[..]), (302, &b"0123456789"[..]));
    assert_eq!(redirect.headers()["replay-nonce"], "n1");
    let head = client.send(raw(hyper::Method::HEAD, "")).await.unwrap();
    assert_eq!((&head.headers()["replay-nonce"], head.body().len()), (&"n2".parse().unwrap(), 0));
    let large = client.send(raw(hyper::Method::GET, "")).await;
    assert!(matches!(large, Err(HttpError::TooLarge(10))), "{large:?}");
    let asked = server.asked.await.unwrap();
    let port = server.port;
    let fields = format!("host: a.example:{port}\r\n");
    assert!(asked[0].starts_with("PUT /x?y HTTP/1.1\r\naccept: text/x\r\n"), "{}", asked[0]);
    assert!(asked[0].contains(&fields) && asked[0].ends_with("\r\n\r\nhello"), "{}", asked[0]);
    assert!(asked[1].starts_with("HEAD /x?y HTTP/1.1\r\n"), "{}", asked[1]);
}
