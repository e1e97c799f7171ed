//! The client's side of SCRAM.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use unicode_normalization::UnicodeNormalization;

use crate::scram::{
    NONCE_BYTES, PEER_NONCE_BYTES_MIN, ScramError, auth_message, client_proof, escape_saslname,
    expect_attr, is_good_nonce,
};
use crate::verifier::{ITERATIONS_MAX, parse_iterations};
use crate::{ChannelBinding, ClientError, Password, ScramHash};

/// The smallest iteration count taken from a server. RFC 5802 §5.1 asks for 4,096; some servers
/// in use have half of it.
const SERVER_ITERATIONS_MIN: u32 = 2_048;

/// The shortest salt taken from a server, in bytes.
const SERVER_SALT_BYTES_MIN: usize = 8;

/// What the client says first.
pub(crate) struct ClientFirst {
    hash: ScramHash,
    gs2_header: String,
    binding: Option<ChannelBinding>,
    bare: String,
    nonce: String,
}

impl ClientFirst {
    /// `could_bind`: a binding is at hand, but the server does not offer -PLUS. RFC 5802 §6.
    pub(crate) fn new(
        hash: ScramHash,
        username: &str,
        binding: Option<ChannelBinding>,
        could_bind: bool,
        nonce: [u8; NONCE_BYTES],
    ) -> Self {
        let username: String = username.nfc().collect();
        Self::with_nonce(hash, &username, binding, could_bind, &STANDARD.encode(nonce))
    }

    fn with_nonce(
        hash: ScramHash,
        username: &str,
        binding: Option<ChannelBinding>,
        could_bind: bool,
        nonce: &str,
    ) -> Self {
        let gs2_header = match &binding {
            Some(binding) => format!("p={},,", binding.name()),
            None if could_bind => "y,,".to_owned(),
            None => "n,,".to_owned(),
        };
        let bare = format!("n={},r={nonce}", escape_saslname(username));
        Self { hash, gs2_header, binding, bare, nonce: nonce.to_owned() }
    }

    /// `client-first-message` of RFC 5802 §7.
    pub(crate) fn message(&self) -> String {
        format!("{}{}", self.gs2_header, self.bare)
    }

    /// Takes `server-first-message` and makes `client-final-message`. RFC 5802 §5.1, §7.
    pub(crate) fn finish(
        &self,
        server_first: &str,
        password: &str,
    ) -> Result<(String, ServerSignature), ClientError> {
        let mut parts = server_first.split(',');
        let nonce = match parts.next() {
            Some(part) if part.starts_with("e=") => return Err(server_error(part)),
            part => expect_attr(part, 'r').map_err(parse_error)?,
        };
        let salt = expect_attr(parts.next(), 's').map_err(parse_error)?;
        let salt = STANDARD.decode(salt).map_err(|_| ClientError::Malformed)?;
        let iterations = expect_attr(parts.next(), 'i').map_err(parse_error)?;
        let iterations = parse_iterations(iterations).ok_or(ClientError::WeakParameters)?;
        let extension = nonce.strip_prefix(self.nonce.as_str()).unwrap_or_default();
        if extension.len() < PEER_NONCE_BYTES_MIN || !is_good_nonce(nonce) {
            return Err(ClientError::BadNonce);
        }
        let is_strong = salt.len() >= SERVER_SALT_BYTES_MIN
            && (SERVER_ITERATIONS_MIN..=ITERATIONS_MAX).contains(&iterations.get());
        if !is_strong {
            return Err(ClientError::WeakParameters);
        }

        let mut bound = self.gs2_header.clone().into_bytes();
        bound.extend_from_slice(self.binding.as_ref().map_or(&[], ChannelBinding::data));
        let final_bare = format!("c={},r={nonce}", STANDARD.encode(bound));
        // A password that the profile forbids may still be the one that the server has.
        let prepared = Password::prepare(password);
        let bytes = prepared.as_ref().map_or(password.as_bytes(), Password::bytes);
        let salted = self.hash.hi(bytes, &salt, iterations);
        let auth_message = auth_message(&self.bare, server_first, &final_bare);
        let (proof, signature) = client_proof(self.hash, &salted, &auth_message);
        Ok((format!("{final_bare},p={}", STANDARD.encode(proof)), ServerSignature(signature)))
    }
}

fn server_error(part: &str) -> ClientError {
    let value = part.strip_prefix("e=").unwrap_or_default();
    ClientError::Scram(ScramError::from_value(value))
}

fn parse_error(error: ScramError) -> ClientError {
    match error {
        ScramError::InvalidEncoding => ClientError::Malformed,
        error => ClientError::Scram(error),
    }
}

/// What the server must show to be believed.
pub(crate) struct ServerSignature(Vec<u8>);

impl ServerSignature {
    /// Checks `server-final-message = (server-error / verifier) ["," extensions]`. RFC 5802 §7.
    pub(crate) fn check(&self, server_final: &str) -> Result<(), ClientError> {
        let part = server_final.split(',').next().unwrap_or_default();
        if part.starts_with("e=") {
            return Err(server_error(part));
        }
        let signature = expect_attr(Some(part), 'v').map_err(parse_error)?;
        let signature = STANDARD.decode(signature).map_err(|_| ClientError::Malformed)?;
        verify_slices_are_equal(&signature, &self.0).map_err(|_| ClientError::BadServerSignature)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn first(hash: ScramHash, nonce: &str) -> ClientFirst {
        ClientFirst::with_nonce(hash, "user", None, false, nonce)
    }

    /// The whole exchange of RFC 5802 §5.
    #[test]
    fn the_example_of_scram_sha_1() {
        let first = first(ScramHash::Sha1, "fyko+d2lbbFgONRv9qkxdawL");
        assert_eq!(first.message(), "n,,n=user,r=fyko+d2lbbFgONRv9qkxdawL");
        let server = "r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,s=QSXCR+Q6sek8bf92,i=4096";
        let (message, signature) = first.finish(server, "pencil").unwrap();
        let want = "c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,\
                    p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=";
        assert_eq!(message, want);
        assert_eq!(signature.check("v=rmF9pqV8S7suAoZWja4dJRkFsKQ="), Ok(()));
        let other = signature.check("v=AAAApqV8S7suAoZWja4dJRkFsKQ=");
        assert_eq!(other, Err(ClientError::BadServerSignature));
        let refused = Err(ClientError::Scram(ScramError::InvalidProof));
        assert_eq!(signature.check("e=invalid-proof"), refused);
        assert_eq!(signature.check("v=!"), Err(ClientError::Malformed));
        assert_eq!(signature.check(""), Err(ClientError::Malformed));
    }

    /// The whole exchange of RFC 7677 §3.
    #[test]
    fn the_example_of_scram_sha_256() {
        let first = first(ScramHash::Sha256, "rOprNGfwEbeRWgbNEkqO");
        assert_eq!(first.message(), "n,,n=user,r=rOprNGfwEbeRWgbNEkqO");
        let nonce = "rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
        let server = format!("r={nonce},s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096");
        let (message, signature) = first.finish(&server, "pencil").unwrap();
        let want = format!("c=biws,r={nonce},p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=");
        assert_eq!(message, want);
        let server = "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=";
        assert_eq!(signature.check(server), Ok(()));
    }

    #[track_caller]
    fn check(server_first: &str, want: Result<(), ClientError>) {
        let got = first(ScramHash::Sha1, "clientnonce").finish(server_first, "pencil");
        assert_eq!(got.map(|_| ()), want, "{server_first}");
    }

    /// RFC 5802 §5.1.
    #[test]
    fn weak_or_strange_servers_are_refused() {
        let with = |nonce: &str, salt: &str, count: &str| format!("r={nonce},s={salt},i={count}");
        let nonce = "clientnonce12345678";
        // Valid.
        check(&with(nonce, "AAAAAAAAAAAAAAAAAAAAAA==", "4096"), Ok(()));
        // At the edge of valid.
        check(&with(nonce, "AAAAAAAAAAA=", "2048"), Ok(()));
        // Just past the edge.
        check(&with("clientnonce1234567", "AAAAAAAAAAA=", "2048"), Err(ClientError::BadNonce));
        check(&with(nonce, "AAAAAAAAAA==", "2048"), Err(ClientError::WeakParameters));
        check(&with(nonce, "AAAAAAAAAAA=", "2047"), Err(ClientError::WeakParameters));
        check(&with(nonce, "AAAAAAAAAAA=", "1000001"), Err(ClientError::WeakParameters));
        check(&with(nonce, "AAAAAAAAAAA=", "04096"), Err(ClientError::WeakParameters));
        // Never valid.
        check(&with("othernonce123456789", "AAAAAAAAAAA=", "4096"), Err(ClientError::BadNonce));
        check(&with(nonce, "!", "4096"), Err(ClientError::Malformed));
        check("", Err(ClientError::Malformed));
        check("e=unknown-user", Err(ClientError::Scram(ScramError::UnknownUser)));
        let mandatory = format!("m=x,{}", with(nonce, "AAAAAAAAAAA=", "4096"));
        check(&mandatory, Err(ClientError::Scram(ScramError::ExtensionsNotSupported)));
    }
}
