//! The session with the server of the settings.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use mox_base::{Host, Rng as _, Secret, pem_without_fields};
use mox_net::tls::client::{Connector, Verify};
use mox_net::tls::load_roots;
use mox_net::{LocalIps, SystemClock, SystemRng, dial};
use mox_sasl::NONCE_BYTES;
use mox_sender::connection::{Connection, Content, Setup, Waits};
use mox_smtp::client::{Config, Credentials, TlsUse, Transaction};
use mox_smtp::{ForwardPath, Mailbox, ReversePath};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::net::lookup_host;
use tokio::time::timeout;

use super::message::Prepared;
use super::settings::{ED25519_SEED_BYTES, Proof, Submission, Tls};

/// For connecting, all addresses together.
const DIAL_WAIT: Duration = Duration::from_secs(30);

/// For all of it.
const SUBMIT_WAIT: Duration = Duration::from_mins(3);

/// Variables that say where certificates of authorities are. Attack: a user who may not read the password
/// has it sent to a server that only they trust.
const TRUSTING_VARIABLES: [&str; 2] = ["SSL_CERT_FILE", "SSL_CERT_DIR"];

/// What stands before the 32 bytes of an Ed25519 key in PKCS #8. RFC 8410 §7.
const ED25519_PKCS8: [u8; 16] = [
    0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20,
];

/// Sends the message.
pub(super) fn send(submission: &Submission, prepared: &Prepared) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let sent = async { timeout(SUBMIT_WAIT, submit(submission, prepared)).await };
    runtime.context("start runtime")?.block_on(sent).context("submission takes too long")?
}

async fn submit(submission: &Submission, prepared: &Prepared) -> Result<()> {
    let Submission { host, port, .. } = submission;
    let addresses = match host {
        Host::Ip(ip) => vec![SocketAddr::new(*ip, *port)],
        Host::Domain(name) => {
            let found = lookup_host((name.ascii(), *port)).await;
            found.with_context(|| format!("look up {name}"))?.collect()
        }
    };
    let dialed = dial(&addresses, DIAL_WAIT, LocalIps::default()).await;
    let mut conn = dialed.with_context(|| format!("connect to {host}:{port}"))?;
    let connector = connector(submission)?;
    let verify = Verify {
        pkix: !submission.skips_verification,
        names: host.domain().cloned().into_iter().collect(),
        ip: host.domain().is_none().then(|| conn.peer_ip()),
        ..Verify::default()
    };
    if submission.tls == Tls::FromTheStart {
        (conn, _) = connector.connect(conn, &verify).await.context("TLS")?;
    }
    let tls = if submission.tls == Tls::Upgraded { TlsUse::Required } else { TlsUse::Never };
    let password = match &submission.proof {
        Proof::Password(password) => password.clone(),
        Proof::Ed25519(_) | Proof::PemFile(_) => Secret::new(""),
    };
    let mechanisms = submission.mechanisms.clone();
    let login = Some(Credentials { username: submission.username.clone(), password, mechanisms });
    let name = submission.local_hostname.ascii().to_owned();
    let config = Config { name, tls, login, is_private: submission.is_private };
    let mut nonce = [0; NONCE_BYTES];
    SystemRng.fill(&mut nonce);
    let (waits, end) = (Waits::default(), None);
    let setup = Setup { config, nonce, connector: &connector, verify: &verify, waits, end };
    let (mut connection, _) = Connection::open(conn, setup).await?;
    let content = Content::bytes(Arc::from(prepared.message.as_slice()));
    let results = connection.deliver(&transaction(submission, prepared), content).await?;
    // The message is there: how the server says good-bye does not matter.
    connection.quit().await;
    match results.into_iter().next() {
        Some(Ok(_)) => Ok(()),
        Some(Err(error)) => Err(error.into()),
        None => bail!("no result"),
    }
}

fn transaction(submission: &Submission, prepared: &Prepared) -> Transaction {
    let rcpt = ForwardPath::Mailbox(Mailbox::from(prepared.rcpt.clone()));
    Transaction {
        reverse_path: ReversePath::Mailbox(Mailbox::from(submission.from.clone())),
        rcpts: vec![rcpt.into()],
        size_bytes: prepared.message.len() as u64,
        has_8bit: prepared.has_8bit,
        requires_8bitmime: true,
        is_binary: false,
        needs_utf8: prepared.needs_utf8,
        requires_tls: submission.require_tls == Some(true),
        ret: None,
        envid: None,
        priority: 0,
    }
}

fn connector(submission: &Submission) -> Result<Connector> {
    if super::is_setgid() && TRUSTING_VARIABLES.iter().any(|name| std::env::var_os(name).is_some())
    {
        bail!(
            "the environment must not say whom to trust: unset {}",
            TRUSTING_VARIABLES.join(", ")
        );
    }
    let connector = Connector::new(load_roots(true, &[])?, Arc::new(SystemClock::new()));
    match &submission.proof {
        Proof::Password(_) => Ok(connector),
        Proof::Ed25519(seed) => {
            let (cert, key) = of_seed(seed)?;
            Ok(connector.with_client_cert(vec![cert], key))
        }
        Proof::PemFile(path) => {
            let pem = std::fs::read(path).with_context(|| format!("read {}", path.display()))?;
            let certs: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
            let key = PrivateKeyDer::from_pem_slice(&pem_without_fields(&pem));
            let (certs, key) = certs
                .and_then(|certs| Ok((certs, key?)))
                .map_err(|error| anyhow!("{}: {error}", path.display()))?;
            if certs.is_empty() {
                bail!("{}: no certificate", path.display());
            }
            Ok(connector.with_client_cert(certs, key))
        }
    }
}

/// A certificate of a key, which is all that counts of it: the server knows the key.
fn of_seed(
    seed: &[u8; ED25519_SEED_BYTES],
) -> Result<(CertificateDer<'static>, PrivateKeyDer<'static>)> {
    let pkcs8 = PrivatePkcs8KeyDer::from([&ED25519_PKCS8[..], seed].concat());
    let key = rcgen::KeyPair::from_pkcs8_der_and_sign_algo(&pkcs8, &rcgen::PKCS_ED25519);
    let key = key.context("ClientAuthEd25519PrivateKey")?;
    let params = rcgen::CertificateParams::new(Vec::new()).context("make certificate")?;
    let cert = params.self_signed(&key).context("make certificate")?;
    Ok((cert.der().clone(), PrivateKeyDer::Pkcs8(pkcs8)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client_key::Certificate;

    /// RFC 8410 §7.
    #[test]
    fn a_key_makes_a_certificate_that_can_be_registered() {
        let (cert, key) = of_seed(&[7; ED25519_SEED_BYTES]).unwrap();
        let (other, _) = of_seed(&[8; ED25519_SEED_BYTES]).unwrap();
        let registered = Certificate::parse(&cert).unwrap();
        assert_eq!(registered.kind, "ed25519");
        assert_ne!(registered.fingerprint, Certificate::parse(&other).unwrap().fingerprint);
        // The same key each time, whatever else is in the certificate.
        let (again, _) = of_seed(&[7; ED25519_SEED_BYTES]).unwrap();
        assert_eq!(registered.fingerprint, Certificate::parse(&again).unwrap().fingerprint);
        assert!(rustls::crypto::aws_lc_rs::sign::any_supported_type(&key).is_ok());
    }
}
