//! The keys of `moxsubmit.conf`.

use std::path::PathBuf;

use anyhow::{Context, Result, anyhow, bail};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use mox_base::{Address, Domain, Host, Secret};
use mox_config::Text;
use mox_sasl::Mechanism;
use mox_sconf::{Described, settings};

/// Bytes of an Ed25519 private key. RFC 8032 §5.1.5.
pub(super) const ED25519_SEED_BYTES: usize = 32;

settings! {
    /// How programs on this machine submit mail.
    pub(crate) struct Settings {
        /// Host name to greet the server with. Can be anything, but is in header fields of messages.
        "LocalHostname" => local_hostname: Text<Domain>,
        /// Host to connect to for submission: a name, or an IP address.
        "Host" => host: String,
        /// TCP port: mostly 465 with TLS, 587 with STARTTLS.
        "Port" => port: u16,
        /// Connect with TLS from the start.
        "TLS" => tls: bool,
        /// Go over to TLS after connecting.
        "STARTTLS" => starttls: bool,
        /// Do not verify the certificate of the server.
        "TLSInsecureSkipVerify" optional => tls_insecure_skip_verify: bool,
        /// User name to log in with.
        "Username" => username: String,
        /// Password, for all mechanisms but EXTERNAL.
        "Password" optional => password: String,
        /// Ed25519 private key for a TLS client certificate: its 32 bytes in base64 for URLs without
        /// padding. The certificate must be registered for the account.
        "ClientAuthEd25519PrivateKey" optional => client_auth_ed25519_private_key: String,
        /// File in PEM with a certificate and its private key, for TLS client authentication.
        "ClientAuthCertPrivateKeyPEMFile" optional => client_auth_cert_private_key_pem_file: String,
        /// Mechanism to log in with: EXTERNAL, SCRAM-SHA-256-PLUS, SCRAM-SHA-256, SCRAM-SHA-1-PLUS,
        /// SCRAM-SHA-1 or PLAIN. Empty: the first of these that is possible.
        "AuthMethod" optional => auth_method: String,
        /// Address that messages are from, in the envelope and in the From header field.
        "From" => from: Text<Address>,
        /// Recipient of messages to a name without domain, such as root.
        "DefaultDestination" optional => default_destination: String,
        /// Whether messages must be delivered with verified TLS only (yes), or also without (no).
        /// Empty: as servers think best.
        "RequireTLS" optional => require_tls: String,
    }
}

/// A template of the file: all keys with their docs.
pub(crate) fn describe() -> String {
    mox_sconf::describe(&Settings::SHAPE)
}

impl Settings {
    /// Reads the file. What is wrong is told by line, without what is in it: the user may not be
    /// meant to see it.
    pub(super) fn parse(text: &str) -> Result<Self> {
        mox_sconf::from_str(text).map_err(|faults| {
            let problem = faults.first().map(|fault| &fault.problem);
            if let Some(mox_sconf::Problem::MissingKey(key)) = problem {
                return anyhow!("{key} is missing, see \"mox config describe-sendmail\"");
            }
            let line = faults.first().map_or(0, |fault| fault.line);
            anyhow!("line {line} is not as \"mox config describe-sendmail\" shows it")
        })
    }
}

/// How to show who we are.
pub(super) enum Proof {
    Password(Secret),
    Ed25519([u8; ED25519_SEED_BYTES]),
    PemFile(PathBuf),
}

/// Whether and how TLS is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tls {
    Never,
    FromTheStart,
    Upgraded,
}

/// Settings that make sense.
pub(super) struct Submission {
    pub(super) local_hostname: Domain,
    pub(super) host: Host,
    pub(super) port: u16,
    pub(super) tls: Tls,
    pub(super) skips_verification: bool,
    pub(super) username: String,
    pub(super) proof: Proof,
    /// Those that may be used, best first.
    pub(super) mechanisms: Vec<Mechanism>,
    /// Whether the password may be sent as it is.
    pub(super) is_private: bool,
    pub(super) from: Address,
    pub(super) default_rcpt: Option<Address>,
    pub(super) require_tls: Option<bool>,
}

/// Those with a password, best first.
const PASSWORD_MECHANISMS: [Mechanism; 5] = [
    Mechanism::ScramSha256Plus,
    Mechanism::ScramSha256,
    Mechanism::ScramSha1Plus,
    Mechanism::ScramSha1,
    Mechanism::Plain,
];

impl Submission {
    /// Checks how the settings go together.
    pub(super) fn new(settings: Settings) -> Result<Self> {
        let tls = match (settings.tls, settings.starttls) {
            (true, true) => bail!("TLS and STARTTLS exclude each other"),
            (true, false) => Tls::FromTheStart,
            (false, true) => Tls::Upgraded,
            (false, false) => Tls::Never,
        };
        let proof = proof(&settings)?;
        let is_certificate = !matches!(proof, Proof::Password(_));
        if is_certificate && tls == Tls::Never {
            bail!("a certificate to log in with needs TLS");
        }
        let mechanisms = mechanisms(&settings.auth_method, is_certificate)?;
        let default_rcpt = match settings.default_destination.as_str() {
            "" => None,
            text => {
                Some(Address::parse(text).map_err(|error| anyhow!("DefaultDestination: {error}"))?)
            }
        };
        let require_tls = match settings.require_tls.as_str() {
            "" => None,
            "yes" => Some(true),
            "no" => Some(false),
            _ => bail!("RequireTLS must be yes, no or empty"),
        };
        Ok(Self {
            local_hostname: settings.local_hostname.0,
            host: host(&settings.host)?,
            port: settings.port,
            tls,
            skips_verification: settings.tls_insecure_skip_verify,
            username: settings.username,
            proof,
            // Who names PLAIN means it.
            is_private: tls != Tls::Never || settings.auth_method == Mechanism::Plain.name(),
            mechanisms,
            from: settings.from.0,
            default_rcpt,
            require_tls,
        })
    }
}

fn host(text: &str) -> Result<Host> {
    match text.parse() {
        Ok(ip) => Ok(Host::Ip(ip)),
        Err(_) => Ok(Host::Domain(Domain::parse(text).map_err(|error| anyhow!("Host: {error}"))?)),
    }
}

fn proof(settings: &Settings) -> Result<Proof> {
    let (password, seed, file) = (
        &settings.password,
        &settings.client_auth_ed25519_private_key,
        &settings.client_auth_cert_private_key_pem_file,
    );
    match (password.is_empty(), seed.is_empty(), file.is_empty()) {
        (false, true, true) => Ok(Proof::Password(Secret::new(password.clone()))),
        (true, false, true) => {
            let bytes = URL_SAFE_NO_PAD.decode(seed).ok();
            let seed = bytes.and_then(|bytes| bytes.try_into().ok());
            Ok(Proof::Ed25519(
                seed.context("ClientAuthEd25519PrivateKey is not 32 bytes in base64")?,
            ))
        }
        (true, true, false) => Ok(Proof::PemFile(file.into())),
        _ => bail!(
            "exactly one of Password, ClientAuthEd25519PrivateKey and \
             ClientAuthCertPrivateKeyPEMFile must be set"
        ),
    }
}

fn mechanisms(method: &str, is_certificate: bool) -> Result<Vec<Mechanism>> {
    let possible: &[_] = if is_certificate { &[Mechanism::External] } else { &PASSWORD_MECHANISMS };
    if method.is_empty() {
        return Ok(possible.to_vec());
    }
    match Mechanism::parse(method) {
        Ok(mechanism) if possible.contains(&mechanism) => Ok(vec![mechanism]),
        Ok(_) => bail!("AuthMethod {method} does not go with how to log in"),
        Err(_) => bail!("AuthMethod {method} is not known"),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in super::super) const GOOD: &str = "\
LocalHostname: me.example
Host: mail.example
Port: 465
TLS: true
STARTTLS: false
Username: me@mail.example
Password: secret
From: me@mail.example
DefaultDestination: admin@mail.example
";

    fn read(text: &str) -> Result<Submission> {
        Submission::new(Settings::parse(text)?)
    }

    /// Changes some lines; what is wrong then.
    #[track_caller]
    fn check(change: &str, want: Option<&str>) {
        let mut text = GOOD.to_owned();
        for line in change.split('|') {
            let key = line.split(':').next().unwrap();
            let kept = text.lines().filter(|old| !old.starts_with(&format!("{key}:")));
            text = kept.map(|old| format!("{old}\n")).collect();
            text.push_str(&format!("{line}\n"));
        }
        let got = read(&text).err().map(|error| format!("{error:#}"));
        let is_right = match (&got, want) {
            (Some(got), Some(want)) => got.contains(want),
            (None, None) => true,
            _ => false,
        };
        assert!(is_right, "{change}: {got:?}");
        assert!(!got.unwrap_or_default().contains("secret"), "{change}");
    }

    #[test]
    fn settings_are_checked_together() {
        let seed = URL_SAFE_NO_PAD.encode([7; ED25519_SEED_BYTES]);
        check("Port: 465", None);
        let text = GOOD.replace("STARTTLS: false\n", "");
        assert!(read(&text).err().unwrap().to_string().contains("STARTTLS is missing"));
        check("TLS: false|STARTTLS: true", None);
        check("TLS: false", None);
        check("AuthMethod: PLAIN", None);
        check("RequireTLS: no", None);
        check(&format!("Password: |ClientAuthEd25519PrivateKey: {seed}"), None);
        check("Host: 127.0.0.1", None);
        check("Host: a b", Some("Host"));
        check("STARTTLS: true", Some("exclude"));
        check("Password: ", Some("exactly one"));
        check(&format!("ClientAuthEd25519PrivateKey: {seed}"), Some("exactly one"));
        check(&format!("Password: |ClientAuthEd25519PrivateKey: {seed}A"), Some("32 bytes"));
        let without_tls = format!("Password: |TLS: false|ClientAuthEd25519PrivateKey: {seed}");
        check(&without_tls, Some("needs TLS"));
        check("AuthMethod: EXTERNAL", Some("does not go with"));
        check("AuthMethod: CRAM-MD5", Some("not known"));
        check("RequireTLS: maybe", Some("RequireTLS"));
        check("DefaultDestination: root", Some("DefaultDestination"));
        check("Prot: 1", Some("line 10"));
        check("Password secret", Some("line"));
        assert!(read("").is_err());
    }

    #[test]
    fn a_password_goes_out_in_the_clear_only_if_that_is_meant() {
        let plain = GOOD.replace("TLS: true", "TLS: false");
        assert!(!read(&plain).unwrap().is_private);
        assert!(read(&format!("{plain}AuthMethod: PLAIN\n")).unwrap().is_private);
        assert!(read(GOOD).unwrap().is_private);
        assert_eq!(read(GOOD).unwrap().mechanisms, PASSWORD_MECHANISMS);
    }
}
