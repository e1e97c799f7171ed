//! `mox config tlspubkey gen`.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use clap::Args;
use mox_admin::keys::ClientKeyPair;
use mox_base::{Clock as _, DateTime, UnixSeconds};
use mox_mailauth::dkim::print_pem;
use mox_net::SystemClock;
use mox_net::tls::spki_fingerprint;
use rcgen::{CertificateParams, DnType, KeyPair};

use super::say;

/// Make a key and a certificate that a mail program can log in with.
///
/// Writes STEM.TIME.ed25519privatekey.pkcs8.pem, STEM.TIME.certificate.pem, and both in one in
/// STEM.TIME.ed25519privatekey-certificate.pem. Tells the seed of the key, which some programs take
/// instead of a file, and the fingerprint that the server knows it by. Register the certificate with
/// "mox config tlspubkey add".
#[derive(Debug, Args)]
pub(super) struct Gen {
    /// Beginning of the names of the files.
    stem: PathBuf,
}

impl Gen {
    pub(super) fn run(self) -> Result<()> {
        say(&generate(&self.stem, SystemClock::new().now())?);
        Ok(())
    }
}

/// Writes the files; returns what is told.
fn generate(stem: &Path, now: UnixSeconds) -> Result<String> {
    let pair = ClientKeyPair::generate()?;
    let key = KeyPair::try_from(pair.pkcs8()).context("use key")?;
    let mut params = CertificateParams::new(Vec::new()).context("make certificate")?;
    let name = stem.file_name().unwrap_or_default().to_string_lossy();
    params.distinguished_name.push(DnType::CommonName, name.as_ref());
    let certificate = params.self_signed(&key).context("make certificate")?;
    let key_pem = print_pem("PRIVATE KEY", &[], pair.pkcs8());
    let certificate_pem = print_pem("CERTIFICATE", &[], certificate.der());
    let DateTime { year, month, day, hour, minute, .. } = DateTime::from_unix(now);
    let stamp = format!("{year:04}{month:02}{day:02}{hour:02}{minute:02}");
    for (kind, text) in [
        ("ed25519privatekey.pkcs8", &key_pem),
        ("certificate", &certificate_pem),
        ("ed25519privatekey-certificate", &(key_pem.clone() + &certificate_pem)),
    ] {
        let mut path = stem.as_os_str().to_owned();
        path.push(format!(".{stamp}.{kind}.pem"));
        write(Path::new(&path), text)?;
    }
    let fingerprint = spki_fingerprint(certificate.der()).context("read certificate")?;
    let seed = URL_SAFE_NO_PAD.encode(pair.seed());
    Ok(format!("seed: {seed}\nfingerprint: {fingerprint}\n"))
}

/// Never over a file that is there.
fn write(path: &Path, text: &str) -> Result<()> {
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    let written = file.and_then(|mut file| {
        file.write_all(text.as_bytes())?;
        file.sync_all()
    });
    written.with_context(|| format!("write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use rustls::pki_types::pem::PemObject as _;
    use rustls::pki_types::{CertificateDer, PrivateKeyDer};

    use super::*;

    #[test]
    fn a_key_comes_with_its_certificate() {
        let dir = tempfile::tempdir().unwrap();
        let stem = dir.path().join("laptop");
        let now = UnixSeconds(1_795_274_564);
        let told = generate(&stem, now).unwrap();
        let read = |kind: &str| {
            fs::read_to_string(dir.path().join(format!("laptop.202611211522.{kind}.pem"))).unwrap()
        };
        let both = read("ed25519privatekey-certificate");
        assert_eq!(both, read("ed25519privatekey.pkcs8") + &read("certificate"));
        let certificate = CertificateDer::from_pem_slice(both.as_bytes()).unwrap();
        let key = PrivateKeyDer::from_pem_slice(both.as_bytes()).unwrap();
        let fingerprint = spki_fingerprint(&certificate).unwrap();
        assert!(told.ends_with(&format!("\nfingerprint: {fingerprint}\n")), "{told}");
        // The seed is the key: RFC 8410 §7.
        let seed = told.lines().next().and_then(|line| line.strip_prefix("seed: ")).unwrap();
        let seed = URL_SAFE_NO_PAD.decode(seed).unwrap();
        assert!(key.secret_der().windows(32).any(|window| window == seed));
        let parsed = crate::client_key::Certificate::parse(&certificate).unwrap();
        assert_eq!((&*parsed.kind, &*parsed.default_name), ("ed25519", "laptop"));
        // Never over files that are there.
        generate(&stem, now).unwrap_err();
    }
}
