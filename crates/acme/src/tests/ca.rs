//! A provider in this process: it checks signatures, and control of hosts by connecting.

use std::collections::{BTreeMap, HashSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::hmac;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::{Method, Request, Response};
use mox_base::{Clock as _, UnixSeconds};
use mox_testkit::ManualClock;
use mox_testkit::certificates::{self, Authority, Certified};
use parking_lot::Mutex;
use rcgen::{PublicKeyData, SignatureAlgorithm};
use rustls::ALL_VERSIONS;
use rustls::pki_types::CertificateDer;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

use super::lab;

/// Where the host of the directory is said to be.
pub(super) const HOST: &str = "ca.example";

type Reply = Response<Full<Bytes>>;

/// What goes wrong, and what is particular about the provider.
#[derive(Default)]
pub(super) struct Ways {
    /// So many nonces that are good are refused.
    pub(super) bad_nonces: u32,
    /// Checks by TLS are not made.
    pub(super) is_tls_blocked: bool,
    /// Orders are refused, with this `Retry-After`.
    pub(super) rate_limit: Option<&'static str>,
    pub(super) is_down: bool,
    /// So many orders are forgotten when they are finalized.
    pub(super) expired_orders: u32,
    /// Nothing is answered from here on: the last part of a path.
    pub(super) hangs_at: Option<&'static str>,
    /// The key id and key without which there is no account.
    pub(super) binding: Option<(&'static str, &'static [u8])>,
    /// When certificates should be renewed.
    pub(super) window: Option<(UnixSeconds, UnixSeconds)>,
}

struct Order {
    host: String,
    account: String,
    token: String,
    status: &'static str,
    fault: Option<String>,
    chain: String,
    replaces: Option<Value>,
}

#[derive(Default)]
struct State {
    nonces: HashSet<String>,
    count: usize,
    /// The keys of accounts, by URL.
    accounts: BTreeMap<String, Value>,
    orders: Vec<Order>,
    log: Vec<String>,
    ways: Ways,
}

pub(super) struct Ca {
    port: u16,
    issuer: Authority,
    clock: ManualClock,
    /// Where checks go: TLS and HTTP.
    checked: (SocketAddr, SocketAddr),
    state: Mutex<State>,
    /// A request hangs.
    pub(super) hung: Notify,
}

/// What a signed request asks for.
struct Asked {
    /// The URL of the account, unless it is about to be made.
    account: String,
    key: Value,
    payload: Value,
}

struct Problem(u16, &'static str, String);

fn problem<T>(kind: &'static str, detail: &str) -> Result<T, Problem> {
    Err(Problem(400, kind, detail.to_owned()))
}

impl Ca {
    pub(super) async fn start(clock: ManualClock, checked: (SocketAddr, SocketAddr)) -> Arc<Self> {
        let issuer = certificates::root(certificates::authority_params("authority"));
        let socket = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = socket.local_addr().unwrap().port();
        let state = Mutex::default();
        let ca = Arc::new(Self { port, issuer, clock, checked, state, hung: Notify::new() });
        let own = Certified::signed_by(&certificates::params(&[HOST]), &ca.issuer);
        tokio::spawn(Arc::clone(&ca).serve(socket, Arc::new(own.server(ALL_VERSIONS)).into()));
        ca
    }

    pub(super) fn directory(&self) -> String {
        self.url("directory")
    }

    pub(super) fn root(&self) -> CertificateDer<'static> {
        self.issuer.der().clone()
    }

    pub(super) fn change<T>(&self, change: impl FnOnce(&mut Ways) -> T) -> T {
        change(&mut self.state.lock().ways)
    }

    /// What happened since this was last asked.
    pub(super) fn take_log(&self) -> Vec<String> {
        std::mem::take(&mut self.state.lock().log)
    }

    pub(super) fn forget_accounts(&self) {
        self.state.lock().accounts.clear();
    }

    fn url(&self, path: impl std::fmt::Display) -> String {
        format!("https://{HOST}:{}/{path}", self.port)
    }

    async fn serve(self: Arc<Self>, socket: TcpListener, tls: tokio_rustls::TlsAcceptor) {
        while let Ok((stream, _)) = socket.accept().await {
            let (ca, tls) = (Arc::clone(&self), tls.clone());
            tokio::spawn(async move {
                let Ok(stream) = tls.accept(stream).await else { return };
                let io = hyper_util::rt::TokioIo::new(stream);
                let service = hyper::service::service_fn(move |request| {
                    let ca = Arc::clone(&ca);
                    async move { Ok::<_, hyper::Error>(ca.answer(request).await) }
                });
                let builder = hyper::server::conn::http1::Builder::new();
                // The client goes away when it has what it wants.
                let _ended = builder.serve_connection(io, service).await;
            });
        }
    }

    async fn answer(&self, request: Request<Incoming>) -> Reply {
        let path = request.uri().path().trim_start_matches('/').to_owned();
        let last = path.split('/').next().unwrap_or_default().to_owned();
        if self.change(|ways| ways.is_down) {
            return reply(503, &json!("down"));
        }
        if self.change(|ways| ways.hangs_at) == Some(last.as_str()) {
            self.hung.notify_one();
            std::future::pending::<()>().await;
        }
        let agent = request.headers()["user-agent"].to_str().unwrap();
        assert_eq!(agent, "mox/test", "{path}");
        let mut answer = self.route(&path, request).await.unwrap_or_else(|problem| {
            let Problem(status, kind, detail) = problem;
            let kind = format!("urn:ietf:params:acme:error:{kind}");
            reply(status, &json!({ "type": kind, "detail": detail, "status": status }))
        });
        let mut state = self.state.lock();
        if answer.status() == 429
            && let Some(wait) = state.ways.rate_limit
        {
            answer.headers_mut().insert("retry-after", wait.parse().unwrap());
        }
        state.count += 1;
        let nonce = format!("nonce{}", state.count);
        answer.headers_mut().insert("replay-nonce", nonce.parse().unwrap());
        state.nonces.insert(nonce);
        answer
    }

    async fn route(&self, path: &str, request: Request<Incoming>) -> Result<Reply, Problem> {
        let (verb, rest) = path.split_once('/').unwrap_or((path, ""));
        match (request.method() == Method::POST, verb) {
            (false, "directory") => {
                return Ok(reply(
                    200,
                    &json!({
                        "newNonce": self.url("nonce"),
                        "newAccount": self.url("account"),
                        "newOrder": self.url("neworder"),
                        "renewalInfo": self.url("renewal"),
                    }),
                ));
            }
            (false, "nonce") => return Ok(reply(200, &Value::Null)),
            (false, "renewal") => return self.renewal(rest),
            (true, _) => {}
            _ => return problem("malformed", "no such thing"),
        }
        let body = request.into_body().collect().await.unwrap().to_bytes();
        let asked = self.verified(path, &body)?;
        match verb {
            "account" => self.account(&asked),
            "contact" => {
                self.note(format!("contact {}", asked.payload["contact"][0].as_str().unwrap()));
                Ok(reply(200, &json!({ "status": "valid" })))
            }
            "neworder" => self.new_order(&asked),
            _ => self.of_order(verb, rest, &asked).await,
        }
    }

    /// Reads and checks a request: RFC 8555 §6.2 to §6.5.
    fn verified(&self, path: &str, body: &[u8]) -> Result<Asked, Problem> {
        let jws: Value = serde_json::from_slice(body).unwrap();
        let part = |name: &str| jws[name].as_str().unwrap().to_owned();
        let decoded = |name: &str| URL_SAFE_NO_PAD.decode(part(name)).unwrap();
        let head: Value = serde_json::from_slice(&decoded("protected")).unwrap();
        assert_eq!(head["url"].as_str().unwrap(), self.url(path));
        let mut state = self.state.lock();
        let is_good = state.nonces.remove(head["nonce"].as_str().unwrap());
        if !is_good || state.ways.bad_nonces > 0 {
            state.ways.bad_nonces = state.ways.bad_nonces.saturating_sub(1);
            return problem("badNonce", "used");
        }
        let (account, key) = match head["kid"].as_str() {
            None => (String::new(), head["jwk"].clone()),
            Some(kid) => match state.accounts.get(kid) {
                Some(key) => (kid.to_owned(), key.clone()),
                None => return problem("accountDoesNotExist", kid),
            },
        };
        drop(state);
        let coordinate = |name: &str| URL_SAFE_NO_PAD.decode(key[name].as_str().unwrap()).unwrap();
        let point = [vec![4], coordinate("x"), coordinate("y")].concat();
        let signed = format!("{}.{}", part("protected"), part("payload"));
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point)
            .verify(signed.as_bytes(), &decoded("signature"))
            .expect("the request is signed");
        let payload = decoded("payload");
        let payload = if payload.is_empty() {
            Value::Null
        } else {
            serde_json::from_slice(&payload).unwrap()
        };
        Ok(Asked { account, key, payload })
    }

    fn note(&self, what: String) {
        self.state.lock().log.push(what);
    }

    fn account(&self, asked: &Asked) -> Result<Reply, Problem> {
        assert_eq!(asked.payload["termsOfServiceAgreed"], json!(true));
        let mut state = self.state.lock();
        let known = state.accounts.iter().find(|(_, key)| **key == asked.key);
        let known = known.map(|(url, _)| url.clone());
        let url = match known {
            Some(url) => url,
            None if asked.payload["onlyReturnExisting"] == json!(true) => {
                return problem("accountDoesNotExist", "none for this key");
            }
            None => {
                if let Some((id, secret)) = state.ways.binding {
                    check_binding(&asked.payload, &asked.key, id, secret)?;
                }
                state.count += 1;
                let url = self.url(format!("contact/{}", state.count));
                state.accounts.insert(url.clone(), asked.key.clone());
                state.log.push("account made".to_owned());
                url
            }
        };
        let mut answer = reply(201, &json!({ "status": "valid" }));
        answer.headers_mut().insert("location", url.parse().unwrap());
        Ok(answer)
    }

    fn new_order(&self, asked: &Asked) -> Result<Reply, Problem> {
        let host = asked.payload["identifiers"][0]["value"].as_str().unwrap().to_owned();
        let replaces = asked.payload.get("replaces").cloned();
        let mut state = self.state.lock();
        if state.ways.rate_limit.is_some() {
            state.log.push(format!("limited {host}"));
            return Err(Problem(429, "rateLimited", "too many".to_owned()));
        }
        let renews = if replaces.is_some() { ", a renewal" } else { "" };
        state.log.push(format!("order {host}{renews}"));
        state.count += 1;
        let number = state.orders.len();
        let order = Order {
            host,
            account: asked.account.clone(),
            token: format!("token-{}", state.count),
            status: "pending",
            fault: None,
            chain: String::new(),
            replaces,
        };
        state.orders.push(order);
        let mut answer = reply(201, &self.order_text(&state, number));
        let url = self.url(format!("order/{number}"));
        answer.headers_mut().insert("location", url.parse().unwrap());
        Ok(answer)
    }

    fn order_text(&self, state: &State, number: usize) -> Value {
        let order = &state.orders[number];
        let mut text = json!({
            "status": order.status,
            "authorizations": [self.url(format!("authz/{number}"))],
            "finalize": self.url(format!("finalize/{number}")),
        });
        if order.status == "valid" {
            text["certificate"] = json!(self.url(format!("cert/{number}")));
        }
        if let Some(replaces) = &order.replaces {
            text["replaces"] = replaces.clone();
        }
        text
    }

    async fn of_order(&self, verb: &str, rest: &str, asked: &Asked) -> Result<Reply, Problem> {
        let number: usize = rest.split('/').next_back().unwrap().parse().unwrap();
        match verb {
            "order" => Ok(reply(200, &self.order_text(&self.state.lock(), number))),
            "authz" => {
                let state = self.state.lock();
                let order = &state.orders[number];
                assert_eq!(order.account, asked.account);
                let status = if order.status == "pending" { "pending" } else { "invalid" };
                let status = if order.status == "ready" { "valid" } else { status };
                let challenge = |kind: &str| {
                    let mut text = json!({
                        "type": kind, "status": status, "token": order.token,
                        "url": self.url(format!("check/{kind}/{number}")),
                    });
                    if let Some(fault) = &order.fault {
                        let kind = "urn:ietf:params:acme:error:connection";
                        text["error"] = json!({ "type": kind, "detail": fault });
                    }
                    text
                };
                Ok(reply(
                    200,
                    &json!({
                        "status": status,
                        "identifier": { "type": "dns", "value": order.host },
                        "challenges": [challenge("dns-01"), challenge("http-01"), challenge("tls-alpn-01")],
                    }),
                ))
            }
            "check" => self.check(rest.split('/').next().unwrap(), number, &asked.key).await,
            "finalize" => self.finalize(number, &asked.payload),
            "cert" => {
                let chain = self.state.lock().orders[number].chain.clone();
                Ok(Response::new(Full::new(chain.into())))
            }
            _ => problem("malformed", "no such thing"),
        }
    }

    async fn check(&self, kind: &str, number: usize, key: &Value) -> Result<Reply, Problem> {
        let (host, token, is_blocked) = {
            let state = self.state.lock();
            let order = &state.orders[number];
            (order.host.clone(), order.token.clone(), state.ways.is_tls_blocked)
        };
        // RFC 7638: the members in this order, without spaces.
        let member = |name: &str| key[name].as_str().unwrap();
        let thumb =
            format!(r#"{{"crv":"P-256","kty":"EC","x":"{}","y":"{}"}}"#, member("x"), member("y"));
        let thumb = URL_SAFE_NO_PAD.encode(digest(&SHA256, thumb.as_bytes()));
        let proof = format!("{token}.{thumb}");
        let outcome = match kind {
            "http-01" => check_http(self.checked.1, &host, &token, &proof).await,
            _ if is_blocked => Err("connection refused".to_owned()),
            _ => {
                lab::check_tls(self.checked.0, &host, digest(&SHA256, proof.as_bytes()).as_ref())
                    .await
            }
        };
        let mut state = self.state.lock();
        let word = if outcome.is_ok() { "good" } else { "bad" };
        state.log.push(format!("{kind} {host} {word}"));
        let order = &mut state.orders[number];
        order.status = if outcome.is_ok() { "ready" } else { "invalid" };
        order.fault = outcome.err();
        // It is still at it, as providers are.
        Ok(reply(200, &json!({ "type": kind, "status": "processing", "token": token, "url": "" })))
    }

    fn finalize(&self, number: usize, payload: &Value) -> Result<Reply, Problem> {
        use x509_parser::prelude::FromDer as _;
        let mut state = self.state.lock();
        if state.ways.expired_orders > 0 {
            state.ways.expired_orders -= 1;
            return Err(Problem(404, "malformed", "no such order".to_owned()));
        }
        let order = &mut state.orders[number];
        assert_eq!(order.status, "ready");
        let csr = URL_SAFE_NO_PAD.decode(payload["csr"].as_str().unwrap()).unwrap();
        let (_, csr) =
            x509_parser::certification_request::X509CertificationRequest::from_der(&csr).unwrap();
        let info = &csr.certification_request_info;
        let key = Key::new(&info.subject_pki);
        let mut params = certificates::params(&[&order.host]);
        let asked_for = format!("{:?}", csr.requested_extensions().unwrap().collect::<Vec<_>>());
        assert!(asked_for.contains(&format!("DNSName({:?})", order.host)), "{asked_for}");
        let at = |secs: i64| {
            let secs = self.clock.now().plus_secs(secs).0.unsigned_abs();
            rcgen::date_time_ymd(1970, 1, 1) + Duration::from_secs(secs)
        };
        params.not_before = at(0);
        params.not_after = at(90 * 24 * 3600);
        params.use_authority_key_identifier_extension = true;
        let cert = params.signed_by(&key, &self.issuer).unwrap();
        order.chain = format!("{}{}", cert.pem(), self.issuer.pem());
        order.status = "valid";
        let host = order.host.clone();
        state.log.push(format!("issued {host}{}", if key.is_rsa { " rsa" } else { "" }));
        Ok(reply(200, &self.order_text(&state, number)))
    }

    /// RFC 9773 §4.1.
    fn renewal(&self, id: &str) -> Result<Reply, Problem> {
        assert_eq!(id.split('.').count(), 2, "{id}");
        let Some((start, end)) = self.change(|ways| ways.window) else {
            return problem("malformed", "no window");
        };
        let text = |at| mox_base::DateTime::from_unix(at).to_rfc3339();
        let window = json!({ "start": text(start), "end": text(end) });
        let mut answer = reply(200, &json!({ "suggestedWindow": window }));
        answer.headers_mut().insert("retry-after", "21600".parse().unwrap());
        Ok(answer)
    }
}

/// The public key of a request for a certificate.
struct Key {
    bits: Vec<u8>,
    is_rsa: bool,
}

impl Key {
    fn new(info: &x509_parser::x509::SubjectPublicKeyInfo<'_>) -> Self {
        let bits = info.subject_public_key.data.to_vec();
        let is_rsa = info.algorithm.algorithm.to_id_string() == "1.2.840.113549.1.1.1";
        Self { bits, is_rsa }
    }
}

impl PublicKeyData for Key {
    fn der_bytes(&self) -> &[u8] {
        &self.bits
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        if self.is_rsa { &rcgen::PKCS_RSA_SHA256 } else { &rcgen::PKCS_ECDSA_P256_SHA256 }
    }
}

/// RFC 8555 §7.3.4: the account's key, signed with the key of the account outside.
fn check_binding(payload: &Value, key: &Value, id: &str, secret: &[u8]) -> Result<(), Problem> {
    let Some(binding) = payload.get("externalAccountBinding") else {
        return problem("externalAccountRequired", "none given");
    };
    let part = |name: &str| binding[name].as_str().unwrap();
    let decoded = |name: &str| URL_SAFE_NO_PAD.decode(part(name)).unwrap();
    let head: Value = serde_json::from_slice(&decoded("protected")).unwrap();
    assert_eq!((&head["alg"], &head["kid"]), (&json!("HS256"), &json!(id)));
    let bound: Value = serde_json::from_slice(&decoded("payload")).unwrap();
    assert_eq!(bound, *key);
    let signed = format!("{}.{}", part("protected"), part("payload"));
    let hmac_key = hmac::Key::new(hmac::HMAC_SHA256, secret);
    match hmac::verify(&hmac_key, signed.as_bytes(), &decoded("signature")) {
        Ok(()) => Ok(()),
        Err(_) => problem("unauthorized", "wrong binding"),
    }
}

fn reply(status: u16, body: &Value) -> Reply {
    let body = Full::new(Bytes::from(body.to_string()));
    Response::builder().status(status).body(body).unwrap()
}

/// RFC 8555 §8.3.
async fn check_http(at: SocketAddr, host: &str, token: &str, want: &str) -> Result<(), String> {
    let mut stream = TcpStream::connect(at).await.map_err(|error| error.to_string())?;
    let request = format!(
        "GET /.well-known/acme-challenge/{token} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await.map_err(|error| error.to_string())?;
    let mut text = String::new();
    stream.read_to_string(&mut text).await.map_err(|error| error.to_string())?;
    let is_good = text.starts_with("HTTP/1.1 200 ") && text.ends_with(&format!("\r\n\r\n{want}"));
    if is_good { Ok(()) } else { Err(format!("not the proof: {text:?}")) }
}
