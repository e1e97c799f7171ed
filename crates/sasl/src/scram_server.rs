//! The server's side of SCRAM. A state is a type; each is used up by the message it gets.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use unicode_normalization::is_nfc;

use crate::scram::{
    NONCE_BYTES, ScramError, attr_val, auth_message, expect_attr, is_good_nonce, unescape_saslname,
};
use crate::{ChannelBinding, ChannelBindings, ScramVerifier};

/// What the client said first. RFC 5802 §7 (`client-first-message`).
pub(crate) struct ClientFirst {
    gs2_header: String,
    binding: Option<ChannelBinding>,
    bare: String,
    client_nonce: String,
    pub(crate) username: String,
    /// As whom to act, if that is said.
    pub(crate) authzid: Option<String>,
}

impl ClientFirst {
    /// Parses `client-first-message = gs2-header client-first-message-bare`.
    pub(crate) fn parse(
        message: &str,
        is_plus: bool,
        bindings: &ChannelBindings,
    ) -> Result<Self, ScramError> {
        let mut gs2 = message.splitn(3, ',');
        let (Some(flag), Some(authzid), Some(bare)) = (gs2.next(), gs2.next(), gs2.next()) else {
            return Err(ScramError::InvalidEncoding);
        };
        let binding = gs2_cbind_flag(flag, is_plus, bindings)?;
        let authzid = match authzid {
            "" => None,
            part => Some(saslname(expect_attr(Some(part), 'a')?)?),
        };
        let mut parts = bare.split(',');
        let username = saslname(expect_attr(parts.next(), 'n')?)?;
        let client_nonce = expect_attr(parts.next(), 'r')?;
        if !is_good_nonce(client_nonce) {
            return Err(ScramError::InvalidEncoding);
        }
        check_extensions(parts)?;
        let gs2_header = message.strip_suffix(bare).unwrap_or_default().to_owned();
        let (bare, client_nonce) = (bare.to_owned(), client_nonce.to_owned());
        Ok(Self { gs2_header, binding, bare, client_nonce, username, authzid })
    }

    /// Makes `server-first-message = nonce "," salt "," iteration-count`. RFC 5802 §5.1.
    pub(crate) fn respond(
        self,
        nonce: [u8; NONCE_BYTES],
        verifier: ScramVerifier,
    ) -> (Vec<u8>, ServerFirst) {
        let nonce = format!("{}{}", self.client_nonce, STANDARD.encode(nonce));
        let salt = STANDARD.encode(&verifier.salt);
        let message = format!("r={nonce},s={salt},i={}", verifier.iterations);
        let mut bound = self.gs2_header.into_bytes();
        bound.extend_from_slice(self.binding.as_ref().map_or(&[], ChannelBinding::data));
        let channel = STANDARD.encode(bound);
        let bytes = message.clone().into_bytes();
        (bytes, ServerFirst { bare: self.bare, message, nonce, channel, verifier })
    }
}

/// `gs2-cbind-flag = ("p=" cb-name) / "n" / "y"`, checked as RFC 5802 §6 says.
fn gs2_cbind_flag(
    flag: &str,
    is_plus: bool,
    bindings: &ChannelBindings,
) -> Result<Option<ChannelBinding>, ScramError> {
    match flag {
        "n" if is_plus => Err(ScramError::ChannelBindingsDontMatch),
        "n" => Ok(None),
        // The client could do -PLUS and did not see us offer it. With a binding at hand we did
        // offer it, so somebody took it out of the list: a downgrade. Without, it is the truth.
        "y" if is_plus || !bindings.is_empty() => Err(ScramError::ServerDoesSupportChannelBinding),
        "y" => Ok(None),
        _ => {
            // Deviation: RFC 5802 §6 has `p` with -PLUS only; some clients bind without it, which
            // is as good, so they are let in.
            let name = flag.strip_prefix("p=").ok_or(ScramError::InvalidEncoding)?;
            if bindings.is_empty() {
                return Err(ScramError::ChannelBindingNotSupported);
            }
            bindings.named(name).map(Some).ok_or(ScramError::UnsupportedChannelBindingType)
        }
    }
}

/// A name, which must come in NFC: RFC 8265 §3.3 leaves preparing it to the client here.
fn saslname(value: &str) -> Result<String, ScramError> {
    let name = unescape_saslname(value)?;
    let is_good = is_nfc(&name) && !name.chars().any(char::is_control);
    if is_good { Ok(name) } else { Err(ScramError::InvalidUsernameEncoding) }
}

/// Extensions that need not be understood are skipped, `m=` must be and is not. RFC 5802 §5.1.
fn check_extensions<'a>(parts: impl Iterator<Item = &'a str>) -> Result<(), ScramError> {
    for part in parts {
        if attr_val(part)?.0 == 'm' {
            return Err(ScramError::ExtensionsNotSupported);
        }
    }
    Ok(())
}

/// After our first message.
pub(crate) struct ServerFirst {
    bare: String,
    message: String,
    nonce: String,
    /// What `c=` must be.
    channel: String,
    verifier: ScramVerifier,
}

impl ServerFirst {
    /// Parses `client-final-message = channel-binding "," nonce ["," extensions] "," proof` and
    /// returns `server-final-message = verifier`. RFC 5802 §5.1, §7.
    pub(crate) fn finish(&self, message: &str) -> Result<Vec<u8>, ScramError> {
        let (final_bare, proof) = message.rsplit_once(',').ok_or(ScramError::InvalidEncoding)?;
        let proof = expect_attr(Some(proof), 'p')?;
        let proof = STANDARD.decode(proof).map_err(|_| ScramError::InvalidEncoding)?;
        let mut parts = final_bare.split(',');
        let channel = expect_attr(parts.next(), 'c')?;
        let nonce = expect_attr(parts.next(), 'r')?;
        check_extensions(parts)?;
        if channel != self.channel {
            return Err(ScramError::ChannelBindingsDontMatch);
        }
        let auth_message = auth_message(&self.bare, &self.message, final_bare);
        if nonce != self.nonce || !self.verifier.is_proof(&proof, &auth_message) {
            return Err(ScramError::InvalidProof);
        }
        let signature = STANDARD.encode(self.verifier.server_signature(&auth_message));
        Ok(format!("v={signature}").into_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bindings() -> ChannelBindings {
        ChannelBindings { tls_exporter: Some([1; 32]), ..ChannelBindings::default() }
    }

    type Names<'a> = (&'a str, Option<&'a str>);

    #[track_caller]
    fn check(message: &str, is_plus: bool, with_tls: bool, want: Result<Names<'_>, ScramError>) {
        let bindings = if with_tls { bindings() } else { ChannelBindings::default() };
        let got = ClientFirst::parse(message, is_plus, &bindings);
        let got = got.as_ref().map(|f| (f.username.as_str(), f.authzid.as_deref()));
        assert_eq!(got.map_err(|e| *e), want, "{message}");
    }

    /// RFC 5802 §5.1, §7.
    #[test]
    fn client_first_messages_are_parsed_or_refused() {
        use ScramError::*;
        // Valid.
        check("n,,n=user,r=fyko+d2lbbFgONRv9qkxdawL", false, false, Ok(("user", None)));
        check("n,a=u2,n=user,r=12345678", false, true, Ok(("user", Some("u2"))));
        check("n,,n=a=2Cb,r=12345678", false, false, Ok(("a,b", None)));
        check("p=tls-exporter,,n=user,r=12345678", true, true, Ok(("user", None)));
        // At the edge of valid.
        check("n,,n=user,r=12345678,x=y,z==", false, false, Ok(("user", None)));
        check("p=tls-exporter,,n=user,r=12345678", false, true, Ok(("user", None)));
        // Just past the edge.
        check("n,,n=user,r=1234567", false, false, Err(InvalidEncoding));
        check("n,,n=user,r=12345678,x", false, false, Err(InvalidEncoding));
        check("n,,m=1,n=user,r=12345678", false, false, Err(ExtensionsNotSupported));
        check("n,,n=user,r=12345678,m=1", false, false, Err(ExtensionsNotSupported));
        check("n,,n=e\u{301},r=12345678", false, false, Err(InvalidUsernameEncoding));
        check("n,a=e\u{301},n=e,r=12345678", false, false, Err(InvalidUsernameEncoding));
        check("n,,n=a=20b,r=12345678", false, false, Err(InvalidUsernameEncoding));
        check("n,,n=a\tb,r=12345678", false, false, Err(InvalidUsernameEncoding));
        check("n,,n=,r=12345678", false, false, Err(InvalidEncoding));
        // Never valid.
        for bad in ["", ",", "n", "n,", "n,,", "q,,n=u,r=12345678", "n,b=x,n=u,r=12345678"] {
            check(bad, false, false, Err(InvalidEncoding));
        }
        check("n,,r=12345678,n=user", false, false, Err(InvalidEncoding));
    }

    /// RFC 5802 §6.
    #[test]
    fn flags_that_smell_of_a_downgrade_are_refused() {
        use ScramError::*;
        let user = |flag: &str| format!("{flag},,n=user,r=12345678");
        check(&user("n"), true, true, Err(ChannelBindingsDontMatch));
        check(&user("y"), false, true, Err(ServerDoesSupportChannelBinding));
        check(&user("y"), true, true, Err(ServerDoesSupportChannelBinding));
        // Without TLS there is nothing to bind to, and `y` is what an able client says.
        check(&user("y"), false, false, Ok(("user", None)));
        check(&user("p=tls-unique"), true, true, Err(UnsupportedChannelBindingType));
        check(&user("p=tls-exporter"), true, false, Err(ChannelBindingNotSupported));
        check(&user("p="), true, true, Err(UnsupportedChannelBindingType));
    }

    /// RFC 5802 §5.1, §7.
    #[test]
    fn client_final_messages_are_checked() {
        use ScramError::*;
        let password = crate::Password::prepare("pencil").unwrap();
        let verifier = ScramVerifier::derive(crate::ScramHash::Sha256, &password, [1; 16]);
        let first =
            ClientFirst::parse("n,,n=user,r=12345678", false, &ChannelBindings::default()).unwrap();
        let (message, state) = first.respond([0; NONCE_BYTES], verifier);
        assert!(message.starts_with(b"r=12345678AAAAAAAAAAAAAAAAAAAAAAAA,s=AQEB"));
        assert!(message.ends_with(b",i=15000"));
        let zeros = STANDARD.encode([0; 32]);
        let r = "r=12345678AAAAAAAAAAAAAAAAAAAAAAAA";
        for (message, want) in [
            (format!("c=biws,{r},p={zeros}"), InvalidProof),
            (format!("c=biws,{r},x=ignored,p={zeros}"), InvalidProof),
            (format!("c=biws,{r},p=AAAA"), InvalidProof),
            (format!("c=biws,{r}A,p={zeros}"), InvalidProof),
            (format!("c=eSws,{r},p={zeros}"), ChannelBindingsDontMatch),
            (format!("c=biws,{r},m=x,p={zeros}"), ExtensionsNotSupported),
            (format!("c=biws,{r},p=!"), InvalidEncoding),
            (format!("c=biws,{r},p={zeros},x=y"), InvalidEncoding),
            (format!("{r},c=biws,p={zeros}"), InvalidEncoding),
            (String::new(), InvalidEncoding),
        ] {
            assert_eq!(state.finish(&message), Err(want), "{message}");
        }
    }
}
