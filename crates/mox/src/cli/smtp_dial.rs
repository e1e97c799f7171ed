//! `mox smtp dial`.

use std::io::{self, Read};
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::{Args, Subcommand, ValueEnum};
use mox_base::Domain;
use mox_net::tls::TlsVersion;
use mox_net::tls::client::{Connector, Verify};
use mox_net::trace::Kind;
use mox_net::{Conn, Wait};
use mox_sender::connection::{Connection, Setup, Waits};
use mox_smtp::client::{Config, TlsUse};
use tokio::sync::mpsc;

use super::lookups::{domain, one_line};
use super::network::{Network, host_and_port, over_network, own_name};
use super::{print, say};

/// RFC 5321 §4.5.4.2.
const SMTP_PORT: u16 = 25;

/// Pieces of standard input that wait to be sent.
const PIECES_MAX: usize = 4;

/// Bytes of standard input read at a time.
const PIECE_BYTES: usize = 16 << 10;

/// Nobody waits for ever: a server says good-bye to idle clients long before.
const IDLE: Wait = Wait::new("server", Duration::from_hours(24));

/// How long a server may take no bytes.
const SEND: Wait = Wait::new("send", Duration::from_mins(3));

/// Talk to mail servers.
#[derive(Debug, Subcommand)]
#[command(subcommand_required = true)]
pub(super) enum Smtp {
    Dial(Box<Dial>),
}

/// Begin an SMTP session, then connect it to standard input and output.
///
/// By default STARTTLS is used if the server offers it, with whatever certificate it shows. What was
/// settled is told on standard error. Ends when the server closes the connection.
#[derive(Debug, Args)]
pub(super) struct Dial {
    /// Name for EHLO. Default: that of this machine.
    #[arg(long, value_name = "NAME")]
    ehlohostname: Option<String>,
    /// Use TLS, even if the server does not offer STARTTLS.
    #[arg(long, conflicts_with = "notls")]
    forcetls: bool,
    /// Do not use TLS.
    #[arg(long)]
    notls: bool,
    /// Name that the certificate must have. Default: that of the server.
    #[arg(long, value_name = "NAME", value_parser = domain)]
    remotehostname: Option<Domain>,
    /// PEM file with certificates of authorities that are trusted instead of those of the system.
    #[arg(long, value_name = "FILE")]
    tlscerts: Option<PathBuf>,
    /// Cipher suites to offer, by their IANA names, separated by commas. Default: all.
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    tlsciphersuites: Vec<String>,
    /// Key exchanges to offer, such as X25519 or secp256r1, separated by commas. Default: all.
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    tlscurves: Vec<String>,
    /// Go on only if authorities vouch for the certificate and its name.
    #[arg(long)]
    tlsverify: bool,
    /// Oldest version of TLS: TLS1.2 or TLS1.3.
    #[arg(long, value_name = "VERSION", value_enum, default_value = "TLS1.2", ignore_case = true)]
    tlsversionmin: Version,
    /// Newest version of TLS: TLS1.2 or TLS1.3.
    #[arg(long, value_name = "VERSION", value_enum, default_value = "TLS1.3", ignore_case = true)]
    tlsversionmax: Version,
    /// Server, as in mail.example.org or mail.example.org:587. Default of the port: 25.
    #[arg(value_name = "HOST[:PORT]", value_parser = |text: &str| host_and_port(text, Some(SMTP_PORT)))]
    server: (Domain, u16),
}

/// Versions of TLS that are spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Version {
    #[value(name = "TLS1.2")]
    V12,
    #[value(name = "TLS1.3")]
    V13,
}

impl From<Version> for TlsVersion {
    fn from(version: Version) -> Self {
        match version {
            Version::V12 => Self::V12,
            Version::V13 => Self::V13,
        }
    }
}

impl Smtp {
    pub(super) fn run(self) -> Result<()> {
        let Self::Dial(dial) = self;
        let roots: Vec<_> = dial.tlscerts.clone().into_iter().collect();
        over_network(&roots, async |network| {
            let connector = dial.connector(&network.connector)?;
            let (host, port) = &dial.server;
            let conn = network.dial_host(host, *port).await?;
            say(&format!("connected to {}\n", conn.peer()));
            let (conn, told) = dial.open(network, &connector, conn).await?;
            say(&told);
            carry(conn, read_input(io::stdin()), print_raw).await
        })
    }
}

impl Dial {
    /// TLS as the flags want it.
    fn connector(&self, connector: &Connector) -> Result<Connector> {
        let (min, max) = (self.tlsversionmin.into(), self.tlsversionmax.into());
        if min > max {
            bail!("--tlsversionmin is above --tlsversionmax");
        }
        let wanted = |names: &[String], name: &str| {
            names.is_empty() || names.iter().any(|one| one.eq_ignore_ascii_case(name))
        };
        let connector = connector.clone().with_versions(min, max).with_ciphers(
            |suite| wanted(&self.tlsciphersuites, suite),
            |group| wanted(&self.tlscurves, group),
        );
        connector.context("no cipher suite or no key exchange of these names is known")
    }

    /// Begins the session; with it comes what was settled.
    async fn open(
        &self,
        network: &Network,
        connector: &Connector,
        conn: Conn,
    ) -> Result<(Conn, String)> {
        let name = self.remotehostname.clone().unwrap_or_else(|| self.server.0.clone());
        let verify = Verify { pkix: self.tlsverify, names: vec![name], ..Verify::default() };
        let tls = match (self.notls, self.forcetls || self.tlsverify) {
            (true, _) => TlsUse::Never,
            (false, true) => TlsUse::Required,
            (false, false) => TlsUse::IfOffered,
        };
        let ehlo = self.ehlohostname.clone().unwrap_or_else(own_name);
        let setup = Setup {
            config: Config { name: ehlo, tls, login: None, is_private: false },
            nonce: network.nonce(),
            connector,
            verify: &verify,
            waits: Waits::default(),
            end: None,
        };
        let (connection, outcome) = Connection::open(conn, setup).await?;
        let conn = connection.into_conn();
        let mut told = match conn.tls() {
            Some(tls) => format!("{}, {}\n", tls.version, one_line(&tls.cipher_suite)),
            None => "no TLS\n".to_owned(),
        };
        if let Some(Err(fault)) = outcome.map(|outcome| outcome.pkix) {
            told.push_str(&format!("certificate is not verified: {fault}\n"));
        }
        Ok((conn, told))
    }
}

/// Reads on a thread of its own: standard input cannot be given up. Its end is the end of the pieces.
fn read_input(mut from: impl Read + Send + 'static) -> mpsc::Receiver<Vec<u8>> {
    let (sender, pieces) = mpsc::channel(PIECES_MAX);
    let _reading = thread::spawn(move || {
        let mut piece = vec![0; PIECE_BYTES];
        while let Ok(count @ 1..) = from.read(&mut piece) {
            let Some(bytes) = piece.get(..count) else { return };
            if sender.blocking_send(bytes.to_vec()).is_err() {
                return;
            }
        }
    });
    pieces
}

/// Copies both ways until the server has closed.
async fn carry(
    mut conn: Conn,
    mut pieces: mpsc::Receiver<Vec<u8>>,
    mut write: impl FnMut(&[u8]) -> Result<()>,
) -> Result<()> {
    let mut is_open = true;
    loop {
        tokio::select! {
            piece = pieces.recv(), if is_open => match piece {
                Some(piece) => {
                    // A terminal ends its lines with LF alone, which is no end of a line of SMTP.
                    conn.send(Kind::Protocol, &with_crlf(&piece));
                    conn.flush(SEND).await?;
                }
                None => is_open = false,
            },
            count = conn.fill(IDLE) => {
                if count? == 0 {
                    return Ok(());
                }
                let bytes = conn.buffered().to_vec();
                conn.consume(Kind::Protocol, bytes.len());
                write(&bytes)?;
            }
        }
    }
}

fn with_crlf(piece: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(piece.len() + 16);
    for byte in piece {
        if *byte == b'\n' && bytes.last() != Some(&b'\r') {
            bytes.push(b'\r');
        }
        bytes.push(*byte);
    }
    bytes
}

/// The server's text as it is, but what a terminal would act on.
fn print_raw(bytes: &[u8]) -> Result<()> {
    let text = String::from_utf8_lossy(bytes);
    let is_harmless = |c: char| !c.is_control() || matches!(c, '\r' | '\n' | '\t');
    print(&text.chars().map(|c| if is_harmless(c) { c } else { '?' }).collect::<String>())
}

#[cfg(test)]
pub(super) mod tests {
    use std::net::SocketAddr;
    use std::sync::Arc;

    use clap::Parser;
    use mox_dns::{FakeDns, Tlsa};
    use mox_net::tls::{Certs, KeyCertPem, TlsAcceptor, TlsOptions};
    use mox_testkit::certificates::Certified;
    use mox_testkit::{ManualClock, TestRng};
    use mox_tlspolicy::dane::{Matching, Selector};
    use mox_tlspolicy::pkix::Roots;
    use tokio::net::TcpListener;

    use super::super::network::dial_addresses;
    use super::*;

    /// DNS that knows nothing, and nobody to trust.
    pub(in super::super) fn network() -> Network {
        let clock = Arc::new(ManualClock::default());
        Network {
            resolver: Arc::new(FakeDns::new()),
            connector: Connector::new(Roots::default(), clock),
            rng: Arc::new(TestRng::new(1)),
        }
    }

    /// A mail server that takes any number of sessions, and repeats what it is told after EHLO.
    pub(in super::super) struct Server {
        pub(in super::super) address: SocketAddr,
        cert: Vec<u8>,
    }

    const TEST: Wait = Wait::new("test", Duration::from_secs(30));

    impl Server {
        pub(in super::super) async fn start(has_tls: bool) -> Self {
            let made = Certified::new(&["mx.example"]);
            let pair = KeyCertPem { cert: made.cert_pem().into(), key: made.key_pem().into() };
            let certs = Certs::from_pem(&[pair], "mx.example").unwrap();
            let clock = Arc::new(ManualClock::default());
            let acceptor = TlsAcceptor::new(certs, TlsOptions::default(), clock);
            let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
            let address = listener.local_addr().unwrap();
            drop(tokio::spawn(async move {
                loop {
                    let (stream, peer) = listener.accept().await.unwrap();
                    let conn = Conn::tcp(stream, peer, address);
                    let acceptor = has_tls.then(|| acceptor.clone());
                    drop(tokio::spawn(serve(conn, acceptor)));
                }
            }));
            Self { address, cert: made.der().to_vec() }
        }

        /// DANE-EE for its key.
        pub(in super::super) fn record(&self) -> Tlsa {
            let data = Matching::Sha256.data(&Selector::Spki.select(&self.cert).unwrap());
            Tlsa { usage: 3, selector: 1, matching: 1, data }
        }
    }

    async fn say(conn: &mut Conn, text: &str) {
        conn.send(Kind::Protocol, text.as_bytes());
        conn.flush(TEST).await.unwrap();
    }

    async fn serve(mut conn: Conn, acceptor: Option<TlsAcceptor>) {
        say(&mut conn, "220 mx.example\r\n").await;
        loop {
            let end = loop {
                let found = conn.buffered().iter().position(|byte| *byte == b'\n');
                match found {
                    Some(end) => break end + 1,
                    None if conn.fill(TEST).await.is_ok_and(|count| count > 0) => {}
                    None => return,
                }
            };
            let line = String::from_utf8(conn.buffered()[..end].to_vec()).unwrap();
            conn.consume(Kind::Protocol, end);
            match (line.split_whitespace().next(), &acceptor) {
                (Some("EHLO"), Some(_)) if conn.tls().is_none() => {
                    say(&mut conn, "250-hi\r\n250 STARTTLS\r\n").await;
                }
                (Some("EHLO"), _) => say(&mut conn, "250 hi\r\n").await,
                (Some("STARTTLS"), Some(acceptor)) => {
                    say(&mut conn, "220 go\r\n").await;
                    let Ok(secure) = conn.start_tls(acceptor).await else { return };
                    conn = secure;
                }
                (Some("QUIT"), _) => {
                    say(&mut conn, "221 bye\r\n").await;
                    return conn.close().await;
                }
                _ => say(&mut conn, &format!("500 {line}")).await,
            }
        }
    }

    #[derive(Debug, Parser)]
    struct Words {
        #[command(flatten)]
        dial: Dial,
    }

    fn dial(words: &[&str]) -> Dial {
        let all = ["dial", "mx.example"].iter().chain(words);
        Words::try_parse_from(all).unwrap().dial
    }

    /// Begins a session and tells what was settled.
    async fn open(server: &Server, words: &[&str]) -> Result<String, String> {
        let (dial, network) = (dial(words), network());
        let connector = dial.connector(&network.connector).map_err(|error| error.to_string())?;
        let conn = dial_addresses(&[server.address]).await.unwrap();
        let opened = dial.open(&network, &connector, conn).await;
        opened.map(|(_, told)| told).map_err(|error| format!("{error:#}"))
    }

    #[tokio::test]
    async fn tls_is_as_the_flags_want_it() {
        let (secure, plain) = (Server::start(true).await, Server::start(false).await);
        let told = open(&secure, &[]).await.unwrap();
        assert!(told.starts_with("TLS1.3, TLS_AES_"), "{told}");
        assert!(told.ends_with("certificate is not verified: no authorities are trusted\n"));
        let told = open(&secure, &["--tlsversionmax", "tls1.2"]).await.unwrap();
        assert!(told.starts_with("TLS1.2, TLS_ECDHE_"), "{told}");
        let chacha = "TLS_CHACHA20_POLY1305_SHA256";
        let words = ["--tlsciphersuites", chacha, "--tlscurves", "secp256r1"];
        let told = open(&secure, &words).await.unwrap();
        assert!(told.starts_with(&format!("TLS1.3, {chacha}\n")), "{told}");
        assert_eq!(open(&secure, &["--notls"]).await.unwrap(), "no TLS\n");
        assert_eq!(open(&plain, &[]).await.unwrap(), "no TLS\n");
        assert!(open(&plain, &["--forcetls"]).await.is_err());
        assert!(open(&plain, &["--tlsverify"]).await.is_err());
        let error = open(&secure, &["--tlsverify"]).await.unwrap_err();
        assert!(error.starts_with("no authorities are trusted"), "{error}");
        let words = ["--tlsverify", "--remotehostname", "other.example"];
        let error = open(&secure, &words).await.unwrap_err();
        assert!(error.starts_with("certificate is for other names"), "{error}");
        let error = open(&secure, &["--tlscurves", "nonsense"]).await.unwrap_err();
        assert!(error.starts_with("no cipher suite"), "{error}");
        let words = ["--tlsversionmin", "TLS1.3", "--tlsversionmax", "TLS1.2"];
        assert!(open(&secure, &words).await.unwrap_err().contains("above"));
    }

    #[tokio::test]
    async fn both_ways_are_copied_until_the_server_closes() {
        let server = Server::start(true).await;
        let (dial, network) = (dial(&[]), network());
        let conn = dial_addresses(&[server.address]).await.unwrap();
        let (conn, _) = dial.open(&network, &network.connector, conn).await.unwrap();
        let pieces = read_input(io::Cursor::new(b"NOOP\nQUIT\r\n".to_vec()));
        let mut told = Vec::new();
        let write = |bytes: &[u8]| {
            told.extend_from_slice(bytes);
            Ok(())
        };
        carry(conn, pieces, write).await.unwrap();
        assert_eq!(String::from_utf8(told).unwrap(), "500 NOOP\r\n221 bye\r\n");
    }

    #[test]
    fn lines_of_a_terminal_become_lines_of_smtp() {
        for (line, want) in [
            (&b"NOOP\n"[..], &b"NOOP\r\n"[..]),
            (b"NOOP\r\n", b"NOOP\r\n"),
            (b"a\n\nb", b"a\r\n\r\nb"),
            (b"", b""),
        ] {
            assert_eq!(with_crlf(line), want);
        }
    }
}
