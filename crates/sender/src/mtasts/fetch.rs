//! Policies by HTTPS.

use std::pin::Pin;

use mox_base::Domain;
use mox_dns::DnsError;
use mox_net::http::{Client, HttpError, Reach, Request, Url};
use mox_tlspolicy::failure::TlsFailure;
use mox_tlspolicy::mtasts::{POLICY_BYTES_MAX, POLICY_PATH, policy_host};

use super::POLICY_WAIT;

/// Why a policy could not be fetched.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FetchError {
    /// The host of policies does not exist.
    #[error("the host of the policy does not exist")]
    NoHost,
    /// The host could not be looked up for now.
    #[error("look up the host of the policy: {0}")]
    Dns(#[source] DnsError),
    /// Nobody answers there, or the connection broke.
    #[error("no connection to the host of the policy")]
    Connection,
    /// No TLS to it.
    #[error("{0}")]
    Tls(#[source] TlsFailure),
    /// Its certificate is not valid. RFC 8461 §3.3.
    #[error("{0}")]
    Certificate(#[source] TlsFailure),
    /// It answered with something other than 200.
    #[error("status {0}")]
    Status(u16),
    /// The policy is over [`POLICY_BYTES_MAX`].
    #[error("policy is too large")]
    TooLarge,
    /// What came is no response.
    #[error("not a response of HTTP")]
    NotHttp,
    /// It took too long.
    #[error("policy took too long")]
    TimedOut,
}

/// A policy that is on its way.
pub type Fetching<'a> = Pin<Box<dyn Future<Output = Result<Vec<u8>, FetchError>> + Send + 'a>>;

/// Gets the text of the policy of a domain.
pub trait Fetch: Send + Sync {
    /// At most [`POLICY_BYTES_MAX`] of it; more is an error.
    fn fetch<'a>(&'a self, domain: &'a Domain) -> Fetching<'a>;
}

/// Gets policies from where RFC 8461 §3.3 says.
#[derive(Clone, Debug)]
pub struct HttpsFetch {
    client: Client,
    port: u16,
}

/// RFC 9110 §4.2.2.
const HTTPS_PORT: u16 = 443;

impl HttpsFetch {
    /// By this client, which verifies certificates.
    #[must_use]
    pub fn new(client: Client) -> Self {
        Self::at_port(client, HTTPS_PORT)
    }

    /// As [`Self::new`], from hosts whose servers are at another port: those of tests.
    #[must_use]
    pub fn at_port(client: Client, port: u16) -> Self {
        Self { client, port }
    }

    async fn get(&self, domain: &Domain) -> Result<Vec<u8>, FetchError> {
        let host = policy_host(domain).ok_or(FetchError::NoHost)?;
        let url = format!("https://{}:{}{POLICY_PATH}", host.ascii(), self.port);
        let url = Url::parse(&url).ok_or(FetchError::NoHost)?;
        let request = Request {
            url,
            post: None,
            headers: Vec::new(),
            limit: POLICY_WAIT,
            body_bytes_max: POLICY_BYTES_MAX,
            // RFC 8461 §3.3: a redirect is not followed.
            follows_redirects: false,
            // Mail for the domain is sent to whatever address its records name, too; what is
            // there is not shown to anybody, and needs a certificate for this name.
            reach: Reach::Any,
        };
        // Content-Type is not looked at: RFC 8461 §3.2 wants text/plain, and servers err.
        let response = self.client.request(request).await.map_err(fault)?;
        match response.status {
            200 if response.is_cut => Err(FetchError::TooLarge),
            200 => Ok(response.body),
            status => Err(FetchError::Status(status)),
        }
    }
}

impl Fetch for HttpsFetch {
    fn fetch<'a>(&'a self, domain: &'a Domain) -> Fetching<'a> {
        Box::pin(self.get(domain))
    }
}

fn fault(error: HttpError) -> FetchError {
    match error {
        HttpError::TimedOut(_) => FetchError::TimedOut,
        HttpError::Dns { source, .. } if source.is_not_found() => FetchError::NoHost,
        HttpError::Dns { source, .. } => FetchError::Dns(source),
        HttpError::Dial(_) | HttpError::NotPublic(_) => FetchError::Connection,
        HttpError::Tls(error) => match error.failure {
            failure @ TlsFailure::Certificate(_) => FetchError::Certificate(failure),
            failure => FetchError::Tls(failure),
        },
        _ => FetchError::NotHttp,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use mox_base::UnixSeconds;
    use mox_dns::{FakeDns, RecordType};
    use mox_net::tls::client::Connector;
    use mox_testkit::ManualClock;
    use mox_testkit::certificates::{self, Certified};
    use mox_tlspolicy::pkix::{CertFault, Roots};
    use rustls::ALL_VERSIONS;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;

    /// 2026-01-01.
    const NOW: UnixSeconds = UnixSeconds(1_767_225_600);

    /// Fetches the policy of `example.org` from a server with a certificate for `name` that
    /// answers so; `(what came, what was asked)`.
    async fn fetch(name: &str, answer: String) -> (Result<Vec<u8>, FetchError>, String) {
        let root = certificates::root(certificates::authority_params("root"));
        let config =
            Certified::signed_by(&certificates::params(&[name]), &root).server(ALL_VERSIONS);
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let serve = async {
            let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
            let mut request = Vec::new();
            let (stream, _) = listener.accept().await.unwrap();
            let Ok(mut stream) = acceptor.accept(stream).await else { return String::new() };
            while !request.ends_with(b"\r\n\r\n") {
                if stream.read_buf(&mut request).await.unwrap_or(0) == 0 {
                    return String::new();
                }
            }
            // The client may have seen enough before the end.
            let _sent = stream.write_all(answer.as_bytes()).await;
            let _closed = stream.shutdown().await;
            String::from_utf8(request).unwrap()
        };
        let mut roots = Roots::default();
        roots.add(root.der()).unwrap();
        let connector = Connector::new(roots, Arc::new(ManualClock::at(NOW)));
        let mut dns = FakeDns::new();
        dns.add_ips("mta-sts.example.org", &["127.0.0.1"]);
        let client = HttpsFetch::at_port(Client::new(connector, Arc::new(dns)), port);
        let domain = Domain::parse("example.org").unwrap();
        tokio::join!(client.fetch(&domain), serve)
    }

    fn ok(body: &str) -> String {
        format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len())
    }

    /// RFC 8461 §3.3.
    #[tokio::test]
    async fn policies_come_from_their_host() {
        let (got, asked) = fetch("mta-sts.example.org", ok("version: STSv1")).await;
        assert_eq!(got.unwrap(), b"version: STSv1");
        assert!(asked.starts_with("GET /.well-known/mta-sts.txt HTTP/1.1\r\n"), "{asked}");
        let largest = "x".repeat(POLICY_BYTES_MAX);
        let (got, _) = fetch("mta-sts.example.org", ok(&largest)).await;
        assert_eq!(got.unwrap().len(), POLICY_BYTES_MAX);
    }

    /// RFC 8461 §3.3: no other status, no redirect, no other name.
    #[tokio::test]
    async fn what_is_no_policy_is_told_apart() {
        let status = |code: u16| {
            format!("HTTP/1.1 {code} X\r\nLocation: /other\r\nContent-Length: 0\r\n\r\n")
        };
        for code in [204, 301, 404, 500] {
            let (got, _) = fetch("mta-sts.example.org", status(code)).await;
            assert_eq!(got, Err(FetchError::Status(code)));
        }
        let large = ok(&"x".repeat(POLICY_BYTES_MAX + 1));
        let (got, _) = fetch("mta-sts.example.org", large).await;
        assert_eq!(got, Err(FetchError::TooLarge));
        let (got, _) = fetch("mta-sts.example.org", "nonsense\r\n\r\n".to_owned()).await;
        assert_eq!(got, Err(FetchError::NotHttp));
        let (got, _) = fetch("example.org", ok("version: STSv1")).await;
        let other = TlsFailure::Certificate(CertFault::OtherName);
        assert_eq!(got, Err(FetchError::Certificate(other)));
    }

    #[tokio::test]
    async fn hosts_that_are_not_there_are_told_apart() {
        let connector = Connector::new(Roots::default(), Arc::new(ManualClock::at(NOW)));
        let mut dns = FakeDns::new();
        for kind in [RecordType::A, RecordType::Aaaa] {
            dns.fail("mta-sts.bogus.example", kind, DnsError::Bogus);
        }
        let client = HttpsFetch::new(Client::new(connector, Arc::new(dns)));
        let get = async |name: &str| client.fetch(&Domain::parse(name).unwrap()).await;
        assert_eq!(get("none.example").await, Err(FetchError::NoHost));
        assert_eq!(get("bogus.example").await, Err(FetchError::Dns(DnsError::Bogus)));
        let long = [63, 63, 63, 60].map(|length| "a".repeat(length)).join(".");
        assert_eq!(get(&long).await, Err(FetchError::NoHost));
    }
}
