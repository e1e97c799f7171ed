//! The sets of fields of a chain. RFC 8617 §4.

use std::fmt;

use aws_lc_rs::digest;
use mox_base::{Domain, UnixSeconds};

use super::{MESSAGE_SIGNATURE_FIELD, RESULTS_FIELD, SEAL_FIELD};
use crate::dkim::{
    Algorithm, Canonicalization, Folder, Header, HeaderField, Selector, Signature, TagError, Tags,
    canonical_field, encode_base64,
};

/// The largest number of sets, and the highest instance. RFC 8617 §4.2.1.
pub const INSTANCES_MAX: u8 = 50;

/// What became of a chain. RFC 8617 §4.4.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ChainStatus {
    /// There is none.
    None,
    /// It is broken, or was before.
    Fail,
    /// It is whole.
    Pass,
}

impl ChainStatus {
    /// Reads the value of `cv=`, in any case.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let all = [Self::None, Self::Fail, Self::Pass];
        all.into_iter().find(|status| status.name().eq_ignore_ascii_case(text))
    }

    /// The name in `cv=` and in an Authentication-Results field.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Fail => "fail",
            Self::Pass => "pass",
        }
    }
}

impl fmt::Display for ChainStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Why the fields of a message make no chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ChainError {
    /// An instance over [`INSTANCES_MAX`], or more fields than that allows.
    TooMany,
    /// A handler has found the chain broken.
    Broken,
    /// A field without an instance, or with one that is no number from 1 on.
    BadInstance,
    /// A field is missing in a set, or a whole set; or a set has one twice.
    Incomplete,
    /// A signature over the message cannot be read.
    BadMessageSignature(TagError),
    /// A seal cannot be read.
    BadSeal(TagError),
    /// The first seal says that there was a chain before, or a later one that there was none.
    BadStatus,
}

impl fmt::Display for ChainError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TooMany => "too many sets",
            Self::Broken => "a handler has found the chain broken",
            Self::BadInstance => "bad instance",
            Self::Incomplete => "sets are not complete",
            Self::BadMessageSignature(error) => {
                return write!(f, "malformed signature over the message: {error}");
            }
            Self::BadSeal(error) => return write!(f, "malformed seal: {error}"),
            Self::BadStatus => "seals do not follow one another",
        })
    }
}

impl std::error::Error for ChainError {}

/// A seal, as its field says; nothing is checked yet. RFC 8617 §4.1.3.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seal {
    /// Its place in the chain, from 1 on, `i=`.
    pub instance: u8,
    /// What the handler has found of the chain before it, `cv=`.
    pub status: ChainStatus,
    /// The domain of the handler, `d=`.
    pub domain: Domain,
    /// Which of the keys of the domain, `s=`.
    pub selector: Selector,
    /// How the signature was made, `a=`.
    pub algorithm: Algorithm,
    /// When it was made, `t=`.
    pub signed_at: Option<UnixSeconds>,
    /// The signature, `b=`.
    pub signature: Vec<u8>,
}

impl Seal {
    /// Reads the value of a field.
    ///
    /// # Errors
    ///
    /// If a tag is malformed, missing or there twice; or if there is one that would name fields
    /// (`h=`), which a seal does not. RFC 8617 §4.1.3.
    pub fn parse(value: &[u8]) -> Result<Self, TagError> {
        let tags = Tags::parse(value)?;
        if tags.get("h").is_some() {
            return Err(TagError::BadValue("h"));
        }
        let (domain, selector) = (tags.required("d")?, tags.required("s")?);
        let signature = tags.bytes("b")?;
        if signature.is_empty() || signature.len() > crate::dkim::SIGNATURE_BYTES_MAX {
            return Err(TagError::BadValue("b"));
        }
        let time = tags.number("t")?.and_then(|secs| i64::try_from(secs).ok());
        Ok(Self {
            instance: instance(&tags)?,
            status: ChainStatus::parse(tags.required("cv")?).ok_or(TagError::BadValue("cv"))?,
            domain: Domain::parse(domain).map_err(|_| TagError::BadValue("d"))?,
            selector: Selector::parse(selector).map_err(|_| TagError::BadValue("s"))?,
            algorithm: Algorithm::parse(tags.required("a")?).ok_or(TagError::BadValue("a"))?,
            signed_at: time.map(UnixSeconds),
            signature,
        })
    }

    /// The field with name, folded, without the last line end.
    #[must_use]
    pub fn to_field(&self) -> String {
        let mut folder = Folder::new(SEAL_FIELD);
        folder.tag("i", &self.instance.to_string());
        folder.tag("cv", self.status.name());
        folder.tag("d", self.domain.ascii());
        folder.tag("s", self.selector.as_str());
        folder.tag("a", self.algorithm.name());
        if let Some(UnixSeconds(secs)) = self.signed_at {
            folder.tag("t", &secs.to_string());
        }
        folder.base64("b", &encode_base64(&self.signature));
        folder.finish()
    }
}

/// Writes the field of a signature over the message, without the last line end.
pub(super) fn message_signature_field(instance: u8, signature: &Signature) -> String {
    let mut folder = Folder::new(MESSAGE_SIGNATURE_FIELD);
    folder.tag("i", &instance.to_string());
    signature.fold_tags(&mut folder);
    folder.finish()
}

/// `position = 1*2DIGIT ; 1 - 50`. RFC 8617 §3.9.
fn instance(tags: &Tags<'_>) -> Result<u8, TagError> {
    parse_instance(tags.required("i")?).ok_or(TagError::BadValue("i"))
}

fn parse_instance(text: &str) -> Option<u8> {
    let digits = text.len() <= 2 && text.bytes().all(|b| b.is_ascii_digit());
    text.parse().ok().filter(|instance| digits && (1..=INSTANCES_MAX).contains(instance))
}

/// The instance of a field of results, and what follows it:
///
/// ```abnf
/// arc-info = instance [CFWS] ";" authres-payload
/// instance = [CFWS] %s"i" [CFWS] "=" [CFWS] position
/// ```
///
/// RFC 8617 §3.9, §4.1.1.
fn results_instance(value: &[u8]) -> Option<(u8, &[u8])> {
    let rest = skip_cfws(skip_cfws(value).strip_prefix(b"i")?).strip_prefix(b"=")?;
    let rest = skip_cfws(rest);
    let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (position, rest) = rest.split_at_checked(digits)?;
    let instance = parse_instance(std::str::from_utf8(position).ok()?)?;
    Some((instance, skip_cfws(rest).strip_prefix(b";")?))
}

/// What follows white space and comments. RFC 5322 §3.2.2. A comment that does not end takes all.
fn skip_cfws(text: &[u8]) -> &[u8] {
    let mut depth = 0_usize;
    let mut bytes = text.iter().enumerate();
    while let Some((place, byte)) = bytes.next() {
        match byte {
            b'(' => depth += 1,
            b')' if depth > 0 => depth -= 1,
            b'\\' if depth > 0 => drop(bytes.next()),
            b' ' | b'\t' | b'\r' | b'\n' => {}
            _ if depth > 0 => {}
            _ => return text.get(place..).unwrap_or_default(),
        }
    }
    b""
}

/// One set: a field of each kind.
#[derive(Clone, Debug)]
pub(super) struct Set<'a> {
    pub(super) results: HeaderField<'a>,
    /// What the results say, after the instance.
    pub(super) payload: &'a [u8],
    pub(super) message_field: HeaderField<'a>,
    pub(super) message_place: usize,
    pub(super) message_signature: Signature,
    pub(super) seal_field: HeaderField<'a>,
    pub(super) seal: Seal,
}

impl Set<'_> {
    /// Adds the set to the hash of a seal: all in relaxed form and in this order. RFC 8617 §5.1.1.
    pub(super) fn hash_whole(&self, context: &mut digest::Context) {
        for field in [self.results, self.message_field, self.seal_field] {
            hash_field(field, context);
        }
    }

    /// The hash that its seal signs, if `before` has all sets before it.
    pub(super) fn hash_sealed(&self, before: &digest::Context) -> digest::Digest {
        let mut context = before.clone();
        hash_field(self.results, &mut context);
        hash_field(self.message_field, &mut context);
        let value = crate::dkim::without_signature(self.seal_field.value);
        let mut own = Vec::new();
        canonical_field(Canonicalization::Relaxed, self.seal_field.name, &value, &mut own);
        context.update(&own);
        context.finish()
    }
}

/// Adds a field in relaxed form, with its line end.
fn hash_field(field: HeaderField<'_>, context: &mut digest::Context) {
    let mut canonical = Vec::new();
    canonical_field(Canonicalization::Relaxed, field.name, field.value, &mut canonical);
    canonical.extend_from_slice(b"\r\n");
    context.update(&canonical);
}

/// The highest instance that any field of the message claims, 0 if there is none; and the sets, the
/// first first, if they make a chain. RFC 8617 §5.2 steps 1 to 3.
pub(super) fn collect<'a>(header: &Header<'a>) -> (u8, Result<Vec<Set<'a>>, ChainError>) {
    let most = usize::from(INSTANCES_MAX);
    let names = [RESULTS_FIELD, MESSAGE_SIGNATURE_FIELD, SEAL_FIELD];
    let counts = names.map(|name| header.count(name));
    if counts == [0; 3] {
        return (0, Ok(Vec::new()));
    }
    if counts.iter().any(|count| *count > most) {
        return (INSTANCES_MAX, Err(ChainError::TooMany));
    }
    let results = by_instance(header, RESULTS_FIELD, |value| {
        results_instance(value).ok_or(ChainError::BadInstance)
    });
    let messages = by_instance(header, MESSAGE_SIGNATURE_FIELD, message_signature);
    let seals = by_instance(header, SEAL_FIELD, |value| {
        Seal::parse(value).map(|seal| (seal.instance, seal)).map_err(ChainError::BadSeal)
    });
    let highest = results.0.max(messages.0).max(seals.0);
    let sets = || {
        let seals = seals.1?;
        // A chain that was found broken is broken, whatever it looks like otherwise.
        let newest = seals.iter().max_by_key(|found| found.instance);
        if newest.is_some_and(|newest| newest.content.status == ChainStatus::Fail) {
            return Err(ChainError::Broken);
        }
        join(highest, results.1?, messages.1?, seals)
    };
    (highest, sets())
}

fn message_signature(value: &[u8]) -> Result<(u8, Signature), ChainError> {
    let read = || {
        let tags = Tags::parse(value)?;
        let signature = Signature::from_tags(&tags)?;
        // A signature over seals would be broken by the next one. RFC 8617 §4.1.2.
        if signature.count_signed(SEAL_FIELD) > 0 {
            return Err(TagError::BadValue("h"));
        }
        Ok((instance(&tags)?, signature))
    };
    read().map_err(ChainError::BadMessageSignature)
}

/// A field of a chain.
struct Found<'a, T> {
    instance: u8,
    place: usize,
    field: HeaderField<'a>,
    content: T,
}

/// The fields of one name, sorted by instance, if all can be read; and the highest instance of those
/// that can.
fn by_instance<'a, T>(
    header: &Header<'a>,
    name: &str,
    parse: impl Fn(&'a [u8]) -> Result<(u8, T), ChainError>,
) -> (u8, Result<Vec<Found<'a, T>>, ChainError>) {
    let mut highest = 0;
    let mut all = Vec::new();
    let mut fault = None;
    for (place, field) in header.all(name) {
        match parse(field.value) {
            Ok((instance, content)) => {
                highest = highest.max(instance);
                all.push(Found { instance, place, field, content });
            }
            Err(error) => fault = Some(error),
        }
    }
    all.sort_by_key(|found| found.instance);
    (highest, fault.map_or(Ok(all), Err))
}

/// Puts fields of the same instance together; each from 1 to `highest` must be there once.
fn join<'a>(
    highest: u8,
    results: Vec<Found<'a, &'a [u8]>>,
    messages: Vec<Found<'a, Signature>>,
    seals: Vec<Found<'a, Seal>>,
) -> Result<Vec<Set<'a>>, ChainError> {
    let complete = usize::from(highest);
    if results.len() != complete || messages.len() != complete || seals.len() != complete {
        return Err(ChainError::Incomplete);
    }
    let mut sets = Vec::new();
    let fields = results.into_iter().zip(messages).zip(seals);
    for (instance, ((results, message), seal)) in (1..=highest).zip(fields) {
        if [results.instance, message.instance, seal.instance] != [instance; 3] {
            return Err(ChainError::Incomplete);
        }
        let status = if instance == 1 { ChainStatus::None } else { ChainStatus::Pass };
        if seal.content.status != status {
            return Err(ChainError::BadStatus);
        }
        sets.push(Set {
            results: results.field,
            payload: results.content,
            message_field: message.field,
            message_place: message.place,
            message_signature: message.content,
            seal_field: seal.field,
            seal: seal.content,
        });
    }
    Ok(sets)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_results(value: &str, want: Option<(u8, &str)>) {
        let want = want.map(|(instance, rest)| (instance, rest.as_bytes()));
        assert_eq!(results_instance(value.as_bytes()), want, "{value:?}");
    }

    /// RFC 8617 §3.9, §4.1.1.
    #[test]
    fn results_have_an_instance() {
        check_results("i=1; mx.example", Some((1, " mx.example")));
        check_results(" (a (b\\)) c) i\r\n\t=( )50 ;x", Some((50, "x")));
        check_results("i=01;", Some((1, "")));
        check_results("i=51;", None);
        check_results("i=0;", None);
        check_results("i=001;", None);
        check_results("i=1", None);
        check_results("i=;", None);
        check_results("I=1;", None);
        check_results("i=1 2;", None);
        check_results("(i=1;", None);
        check_results("mx.example; i=1;", None);
        check_results("", None);
    }

    #[track_caller]
    fn check_seal(value: &str, want: Result<(), TagError>) {
        let got = Seal::parse(value.as_bytes());
        assert_eq!(got.as_ref().map(drop).map_err(|e| *e), want, "{value}");
        if let Ok(seal) = got {
            let field = seal.to_field();
            let value = field.strip_prefix("ARC-Seal:").unwrap();
            assert_eq!(Seal::parse(value.as_bytes()), Ok(seal), "{field}");
        }
    }

    /// RFC 8617 §4.1.3.
    #[test]
    fn seals_are_read_or_refused() {
        let bad = |name| Err(TagError::BadValue(name));
        check_seal("i=1; cv=none; a=rsa-sha256; d=a.example; s=b; t=1; b=AQID", Ok(()));
        check_seal("cv=PASS;b=AQ ID;i=50;a=x-y;d=a.example;s=b;unknown=?", Ok(()));
        check_seal("i=51;cv=none;a=rsa-sha256;d=a.example;s=b;b=AQID", bad("i"));
        check_seal("i=1;cv=none;a=rsa-sha256;d=a.example;s=b;b=AQID;h=from", bad("h"));
        check_seal("i=1;cv=good;a=rsa-sha256;d=a.example;s=b;b=AQID", bad("cv"));
        check_seal("i=1;cv=none;a=rsa;d=a.example;s=b;b=AQID", bad("a"));
        check_seal("i=1;cv=none;a=rsa-sha256;d=a..b;s=b;b=AQID", bad("d"));
        check_seal("i=1;cv=none;a=rsa-sha256;d=a.example;s=;b=AQID", bad("s"));
        check_seal("i=1;cv=none;a=rsa-sha256;d=a.example;s=b;b=", bad("b"));
        check_seal("i=1;a=rsa-sha256;d=a.example;s=b;b=AQID", Err(TagError::Missing("cv")));
        check_seal("cv=none;a=rsa-sha256;d=a.example;s=b;b=AQID", Err(TagError::Missing("i")));
        check_seal("", Err(TagError::Malformed));
    }

    const SET: &str = "ARC-Seal: i=N; cv=CV; a=rsa-sha256; d=a.example; s=b; b=AQID\r\n\
        ARC-Message-Signature: i=N; a=rsa-sha256; d=a.example; s=b; h=from; bh=AQID; b=AQID\r\n\
        ARC-Authentication-Results: i=N; mx.example; spf=pass\r\n";

    fn chain(instances: &[u8]) -> String {
        let set = |instance: &u8| {
            let status = if *instance == 1 { "none" } else { "pass" };
            SET.replace("i=N", &format!("i={instance}")).replace("CV", status)
        };
        instances.iter().map(set).collect()
    }

    #[track_caller]
    fn check(fields: &str, want_highest: u8, want: Result<usize, ChainError>) {
        let header = Header::parse(fields.as_bytes()).unwrap();
        let (highest, sets) = collect(&header);
        assert_eq!((highest, sets.map(|sets| sets.len())), (want_highest, want), "{fields}");
    }

    /// RFC 8617 §4.2, §5.2.
    #[test]
    fn fields_make_a_chain_or_not() {
        let three = chain(&[3, 1, 2]);
        let all: Vec<u8> = (1..=INSTANCES_MAX).collect();
        // Valid.
        check("From: a@b.example\r\n", 0, Ok(0));
        check(&chain(&[1]), 1, Ok(1));
        check(&three, 3, Ok(3));
        // At the edge.
        check(&chain(&all), 50, Ok(50));
        // Just past it.
        check(&format!("{}{SET}", chain(&all)), 50, Err(ChainError::TooMany));
        check(&three.replace("i=3", "i=51"), 2, Err(ChainError::BadSeal(TagError::BadValue("i"))));
        check(&chain(&[2]), 2, Err(ChainError::Incomplete));
        check(&chain(&[1, 3]), 3, Err(ChainError::Incomplete));
        check(&chain(&[1, 2, 2]), 2, Err(ChainError::Incomplete));
        check(&three.replace("Results: i=2", "Results: i=3"), 3, Err(ChainError::Incomplete));
        check(&three.replace("Results: i=2", "Results: 2"), 3, Err(ChainError::BadInstance));
        check(&three.replace("i=2; cv=pass", "i=2; cv=none"), 3, Err(ChainError::BadStatus));
        check(&three.replace("i=1; cv=none", "i=1; cv=pass"), 3, Err(ChainError::BadStatus));
        check(&three.replace("i=2; cv=pass", "i=2; cv=fail"), 3, Err(ChainError::BadStatus));
        let h = TagError::BadValue("h");
        check(
            &three.replace("h=from", "h=from:arc-seal"),
            3,
            Err(ChainError::BadMessageSignature(h)),
        );
        // Broken comes before all that is wrong otherwise.
        check(&three.replace("i=3; cv=pass", "i=3; cv=fail"), 3, Err(ChainError::Broken));
        check(&chain(&[2]).replace("cv=pass", "cv=fail"), 2, Err(ChainError::Broken));
        // Never valid.
        check("ARC-Seal: x\r\n", 0, Err(ChainError::BadSeal(TagError::Malformed)));
        check("ARC-Authentication-Results: i=1; x\r\n", 1, Err(ChainError::Incomplete));
    }
}
