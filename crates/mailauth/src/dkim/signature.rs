//! The field that carries a signature. RFC 6376 §3.5.

use mox_base::{Domain, UnixSeconds};

use super::fold::Folder;
use super::tags::{
    TagError, Tags, colon_list, decode_base64, decode_quoted, encode_base64, quote_char,
};
use super::{Algorithm, Canonicalization, Selector};

/// The largest number of field names that a signature may list. Ours: a message has a few dozen
/// fields.
pub const SIGNED_NAMES_MAX: usize = 1_000;

/// The longest signature, in bytes: that of an RSA key of
/// [`RSA_BITS_MAX`](super::RSA_BITS_MAX) bits.
pub const SIGNATURE_BYTES_MAX: usize = 1024;

/// The digits that a time may have. RFC 6376 §3.5, `sig-t-tag`.
const TIME_DIGITS_MAX: u64 = 999_999_999_999;

/// For whom a domain signs. RFC 6376 §3.5, `i=`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Identity {
    /// What stands before the `@`; may be empty. Opaque: it need not be an address.
    pub localpart: String,
    /// The domain of the signature, or one below it.
    pub domain: Domain,
}

/// A field as the signer saw it. RFC 6376 §3.5, `z=`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CopiedField {
    /// The name.
    pub name: String,
    /// What stood after the colon.
    pub value: Vec<u8>,
}

/// A signature of a message, as its field says; nothing is checked yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature {
    /// The domain that answers for the message, `d=`.
    pub domain: Domain,
    /// Which of the keys of the domain, `s=`.
    pub selector: Selector,
    /// For whom the domain signs, `i=`; if it is not there, for nobody in particular.
    pub identity: Option<Identity>,
    /// How it was made, `a=`.
    pub algorithm: Algorithm,
    /// The form of the header that was signed, `c=`.
    pub header_form: Canonicalization,
    /// The form of the body that was signed, `c=`.
    pub body_form: Canonicalization,
    /// When it was made, `t=`.
    pub signed_at: Option<UnixSeconds>,
    /// When it ends to be valid, `x=`.
    pub expires_at: Option<UnixSeconds>,
    /// How many bytes of the body were signed, `l=`; all if it is not there.
    pub body_bytes: Option<u64>,
    /// Where keys may be looked up, `q=`; in DNS if there is nothing.
    pub query_methods: Vec<String>,
    /// The names of the fields that were signed, in the order of signing, `h=`.
    pub signed_names: Vec<String>,
    /// Fields as they were, `z=`.
    pub copied_fields: Vec<CopiedField>,
    /// The hash of the body, `bh=`.
    pub body_hash: Vec<u8>,
    /// The signature itself, `b=`.
    pub signature: Vec<u8>,
}

impl Signature {
    /// The name of the field.
    pub const FIELD_NAME: &'static str = "DKIM-Signature";

    /// Reads the value of a field.
    ///
    /// # Errors
    ///
    /// If a tag is malformed, missing or there twice, the version is not 1, `i=` is not within `d=`,
    /// or `x=` is not after `t=`. Unknown tags are passed over. RFC 6376 §3.5, §6.1.1.
    pub fn parse(value: &[u8]) -> Result<Self, TagError> {
        let tags = Tags::parse(value)?;
        if tags.required("v")? != "1" {
            return Err(TagError::BadValue("v"));
        }
        let mut signature = Self::from_tags(&tags)?;
        signature.identity =
            tags.get("i").map(|value| identity(value, &signature.domain)).transpose()?;
        Ok(signature)
    }

    /// Reads all tags that signatures of DKIM and of ARC share.
    pub(crate) fn from_tags(tags: &Tags<'_>) -> Result<Self, TagError> {
        let domain = tags.required("d")?;
        let selector = tags.required("s")?;
        let algorithm = tags.required("a")?;
        let (header_form, body_form) = forms(tags.get("c").unwrap_or_default())?;
        let signed_at = time(tags, "t")?;
        let expires_at = time(tags, "x")?;
        if let (Some(signed), Some(expires)) = (signed_at, expires_at)
            && expires <= signed
        {
            return Err(TagError::BadValue("x"));
        }
        let query_methods = tags.get("q").map(|value| colon_list(value).map(str::to_owned));
        Ok(Self {
            domain: Domain::parse(domain).map_err(|_| TagError::BadValue("d"))?,
            selector: Selector::parse(selector).map_err(|_| TagError::BadValue("s"))?,
            identity: None,
            algorithm: Algorithm::parse(algorithm).ok_or(TagError::BadValue("a"))?,
            header_form,
            body_form,
            signed_at,
            expires_at,
            body_bytes: tags.number("l")?,
            query_methods: query_methods.into_iter().flatten().collect(),
            signed_names: names(tags.required("h")?)?,
            copied_fields: tags.get("z").map(copied_fields).transpose()?.unwrap_or_default(),
            body_hash: tags.bytes("bh")?,
            signature: signature_bytes(tags)?,
        })
    }

    /// Whether a field of this name is signed: how many of them.
    #[must_use]
    pub fn count_signed(&self, name: &str) -> usize {
        self.signed_names.iter().filter(|signed| signed.eq_ignore_ascii_case(name)).count()
    }

    /// Whether the key is to be looked up in DNS. RFC 6376 §3.5, `q=`.
    #[must_use]
    pub fn is_key_in_dns(&self) -> bool {
        let mut methods = self.query_methods.iter();
        self.query_methods.is_empty() || methods.any(|name| name.eq_ignore_ascii_case("dns/txt"))
    }

    /// The field with name, folded, without the last line end. Tags at their default are left out.
    #[must_use]
    pub fn to_field(&self) -> String {
        let mut folder = Folder::new(Self::FIELD_NAME);
        folder.tag("v", "1");
        self.fold_tags(&mut folder);
        folder.finish()
    }

    /// Adds all tags but the version; `b=` comes last, so that a verifier finds it cut off at the
    /// end.
    pub(crate) fn fold_tags(&self, folder: &mut Folder) {
        folder.tag("d", self.domain.ascii());
        folder.tag("s", self.selector.as_str());
        if let Some(Identity { localpart, domain }) = &self.identity {
            let quoted = localpart.chars().map(|c| {
                let mut text = String::new();
                // An `@` of its own would end the localpart no sooner: the last one counts.
                quote_char(c, &mut text);
                text
            });
            folder.list("i", quoted.chain([format!("@{}", domain.ascii())]));
        }
        folder.tag("a", self.algorithm.name());
        let simple = Canonicalization::Simple;
        if (self.header_form, self.body_form) != (simple, simple) {
            folder.tag("c", &format!("{}/{}", self.header_form, self.body_form));
        }
        for (name, time) in [("t", self.signed_at), ("x", self.expires_at)] {
            if let Some(UnixSeconds(secs)) = time {
                folder.tag(name, &secs.to_string());
            }
        }
        if let Some(bytes) = self.body_bytes {
            folder.tag("l", &bytes.to_string());
        }
        if !self.query_methods.is_empty() {
            folder.colon_list("q", self.query_methods.iter().cloned());
        }
        folder.colon_list("h", self.signed_names.iter().cloned());
        if !self.copied_fields.is_empty() {
            folder.list("z", copied_pieces(&self.copied_fields));
        }
        folder.base64("bh", &encode_base64(&self.body_hash));
        folder.base64("b", &encode_base64(&self.signature));
    }
}

/// `sig-c-tag = "simple" / "relaxed" [ "/" … ]`; the body is simple unless said otherwise.
fn forms(value: &str) -> Result<(Canonicalization, Canonicalization), TagError> {
    let (header, body) = value.split_once('/').unwrap_or((value, "simple"));
    if value.is_empty() {
        return Ok(<_>::default());
    }
    let form = |name| Canonicalization::parse(name).ok_or(TagError::BadValue("c"));
    Ok((form(header)?, form(body)?))
}

fn time(tags: &Tags<'_>, name: &'static str) -> Result<Option<UnixSeconds>, TagError> {
    let Some(secs) = tags.number(name)? else { return Ok(None) };
    let secs = i64::try_from(secs.min(TIME_DIGITS_MAX)).map_err(|_| TagError::BadValue(name))?;
    Ok(Some(UnixSeconds(secs)))
}

/// `sig-i-tag = [ Local-part ] "@" domain-name`, within the domain. RFC 6376 §3.5, §6.1.1.
fn identity(value: &str, within: &Domain) -> Result<Identity, TagError> {
    const BAD: TagError = TagError::BadValue("i");
    let decoded =
        decode_quoted(value).and_then(|bytes| String::from_utf8(bytes).ok()).ok_or(BAD)?;
    let (localpart, domain) = decoded.rsplit_once('@').ok_or(BAD)?;
    let domain = Domain::parse(domain).map_err(|_| BAD)?;
    if !domain.is_within(within) || localpart.chars().any(char::is_control) {
        return Err(BAD);
    }
    Ok(Identity { localpart: localpart.to_owned(), domain })
}

/// `sig-h-tag`: names of fields, RFC 5322 §3.6.8, without semicolons.
fn names(value: &str) -> Result<Vec<String>, TagError> {
    let mut names = Vec::new();
    for name in colon_list(value) {
        let is_name = !name.is_empty() && name.bytes().all(|b| b.is_ascii_graphic());
        if !is_name || names.len() == SIGNED_NAMES_MAX {
            return Err(TagError::BadValue("h"));
        }
        names.push(name.to_owned());
    }
    Ok(names)
}

fn signature_bytes(tags: &Tags<'_>) -> Result<Vec<u8>, TagError> {
    let bytes = decode_base64(tags.required("b")?);
    let fits = bytes.filter(|bytes| !bytes.is_empty() && bytes.len() <= SIGNATURE_BYTES_MAX);
    fits.ok_or(TagError::BadValue("b"))
}

/// `sig-z-tag = sig-z-tag-copy *( "|" [FWS] sig-z-tag-copy )`, each a name, a colon, a value.
fn copied_fields(value: &str) -> Result<Vec<CopiedField>, TagError> {
    const BAD: TagError = TagError::BadValue("z");
    let fields = value.split('|').map(|copy| {
        let (name, value) = copy.split_once(':').ok_or(BAD)?;
        let name = name.trim_matches(super::tags::is_fws);
        if name.is_empty() || !name.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(BAD);
        }
        let value = decode_quoted(value).ok_or(BAD)?;
        Ok(CopiedField { name: name.to_owned(), value })
    });
    fields.take(SIGNED_NAMES_MAX).collect()
}

/// The pieces of `z=` between which a line may be folded.
fn copied_pieces(fields: &[CopiedField]) -> impl Iterator<Item = String> {
    fields.iter().enumerate().flat_map(|(place, field)| {
        let bar = if place == 0 { "" } else { "|" };
        let value = field.value.iter().map(|byte| match byte {
            b'|' | b';' | b'=' | 0..=b' ' | 127.. => format!("={byte:02X}"),
            _ => char::from(*byte).to_string(),
        });
        [format!("{bar}{}:", field.name)].into_iter().chain(value)
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const GOOD: &str = "v=1; a=rsa-sha256; d=example.org; s=sel; h=From:To; bh=AQID; b=BAUG";

    #[track_caller]
    fn check(change: &str, want: Result<(), TagError>) {
        // Each case is the good one with a tag replaced, or added.
        let (name, _) = change.split_once('=').unwrap();
        let kept = GOOD.split("; ").filter(|tag| !tag.starts_with(&format!("{name}=")));
        let mut tags: Vec<_> = kept.map(str::to_owned).collect();
        tags.push(change.to_owned());
        let got = Signature::parse(tags.join(";").as_bytes());
        assert_eq!(got.as_ref().map(drop).map_err(|e| *e), want, "{change}");
        if let Ok(signature) = got {
            let field = signature.to_field();
            let value = field.strip_prefix("DKIM-Signature:").unwrap();
            assert_eq!(Signature::parse(value.as_bytes()), Ok(signature), "{field}");
        }
    }

    fn bad(name: &'static str) -> Result<(), TagError> {
        Err(TagError::BadValue(name))
    }

    /// RFC 6376 §3.5, §6.1.1, RFC 8616 §5.
    #[test]
    fn tags_are_checked() {
        let names = vec!["a"; SIGNED_NAMES_MAX].join(":");
        // Valid.
        check("a=ed25519-sha256", Ok(()));
        check("c=relaxed/simple", Ok(()));
        check("c=Relaxed", Ok(()));
        check("t=1;x=2", Ok(()));
        check("l=0", Ok(()));
        check("q=dns/txt:other", Ok(()));
        check("i=a@sub.example.org", Ok(()));
        check("z=From:a=20b|To:c=7Cd:e", Ok(()));
        // At the edge.
        check("i=@example.org", Ok(()));
        check("i=\u{fc}=20@x\"@b\u{fc}cher.example.org", Ok(()));
        check("d=Example.Org.", Ok(()));
        check("s=20240101", Ok(()));
        check("s=a_b", Ok(()));
        check("a=new-hash", Ok(()));
        check("h=a\r\n :b : c", Ok(()));
        check(&format!("h={names}"), Ok(()));
        check("x=999999999999", Ok(()));
        check("unknown=?", Ok(()));
        // Just past it.
        check("t=2;x=2", bad("x"));
        check("i=a@example.com", bad("i"));
        check("i=a@badexample.org", bad("i"));
        check(&format!("h={names}:a"), bad("h"));
        check("l=-1", bad("l"));
        check("t=1.0", bad("t"));
        check("v=2", bad("v"));
        check("v=1.0", bad("v"));
        // Never valid.
        check("a=rsa", bad("a"));
        check("c=nofws", bad("c"));
        check("c=simple/", bad("c"));
        check("d=", bad("d"));
        check("d=a..b", bad("d"));
        check("s=", bad("s"));
        check("i=a", bad("i"));
        check("i=a=0A@example.org", bad("i"));
        check("h=", bad("h"));
        check("h=From::To", bad("h"));
        check("h=Fr om", bad("h"));
        check("bh=?", bad("bh"));
        check("b=", bad("b"));
        check("z=From", bad("z"));
        check("z=:x", bad("z"));
    }

    #[test]
    fn required_tags_are_required() {
        for name in ["v", "a", "d", "s", "h", "bh", "b"] {
            let tags = GOOD.split("; ").filter(|tag| !tag.starts_with(&format!("{name}=")));
            let text = tags.collect::<Vec<_>>().join(";");
            assert_eq!(Signature::parse(text.as_bytes()), Err(TagError::Missing(name)));
        }
    }

    /// RFC 6376 §3.5: the example, and what is as by default.
    #[test]
    fn a_signature_is_read() {
        let value = "v=1; a=rsa-sha256; d=example.net; s=brisbane;\r\n\
            \x20  c=simple; q=dns/txt; i=@eng.example.net;\r\n\
            \x20  t=1117574938; x=1118006938;\r\n\
            \x20  h=from:to:subject:date;\r\n\
            \x20  z=From:foo@eng.example.net|To:joe@example.com|\r\n\
            \x20   Subject:demo=20run|Date:July=205,=202005=203:44:08=20PM=20-0700;\r\n\
            \x20  bh=MTIzNDU2Nzg5MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTI=;\r\n\
            \x20  b=dzdVyOfAKCdLXdJOc9G2q8LoXSlEniSbav+yuU4zGeeruD00lszZ\r\n\
            \x20     VoG4ZHRNiYzR\r\n";
        let got = Signature::parse(value.as_bytes()).unwrap();
        assert_eq!(got.domain.ascii(), "example.net");
        let identity = got.identity.as_ref().unwrap();
        assert_eq!((identity.localpart.as_str(), identity.domain.ascii()), ("", "eng.example.net"));
        assert_eq!(got.signed_at, Some(UnixSeconds(1_117_574_938)));
        assert_eq!(got.signed_names, ["from", "to", "subject", "date"]);
        assert_eq!(got.count_signed("FROM"), 1);
        assert_eq!(got.copied_fields[2].name, "Subject");
        assert_eq!(got.copied_fields[2].value, b"demo run");
        assert_eq!(got.body_hash, b"12345678901234567890123456789012");
        assert_eq!(got.signature.len(), 48);
        assert!(got.is_key_in_dns());
        let plain = Signature::parse(GOOD.as_bytes()).unwrap();
        assert_eq!(plain.header_form, Canonicalization::Simple);
        assert_eq!((plain.identity, plain.body_bytes, plain.expires_at), (None, None, None));
        let other = Signature::parse(format!("{GOOD};q=other").as_bytes()).unwrap();
        assert!(!other.is_key_in_dns());
    }

    proptest! {
        #[test]
        fn any_value_is_read_or_refused(
            value in "(v=1;|a=rsa-sha256;|d=a.b;|s=c;|h=d;|bh=e;|b=ffff;|[a-z]=[ -~]{0,9};?){6,9}",
        ) {
            if let Ok(signature) = Signature::parse(value.as_bytes()) {
                let field = signature.to_field();
                let value = field.strip_prefix("DKIM-Signature:").unwrap();
                prop_assert_eq!(Signature::parse(value.as_bytes()), Ok(signature), "{}", field);
            }
        }
    }
}
