//! MTA-STS: that a domain's mail hosts speak TLS, and which hosts these are.
//!
//! Source: RFC 8461.

use std::fmt;

use mox_base::Domain;
use mox_dns::{Name, NameError};

/// The size of a policy. RFC 8461 §3.3 has 64 KB as the least that should be read.
pub const POLICY_BYTES_MAX: usize = 64 * 1024;

/// Patterns of hosts of one policy. Ours.
pub const MX_MAX: usize = 1_000;

/// Extensions of one policy that are kept. Ours; nobody has defined one yet.
pub const EXTENSIONS_MAX: usize = 100;

/// The longest that a policy is good, in seconds: about a year. RFC 8461 §3.2 (`max_age`).
pub const MAX_AGE_SECS_MAX: u32 = 31_557_600;

/// The longest `id` of a record, and the longest name of an extension. RFC 8461 §3.1, §3.2.
const WORD_BYTES_MAX: usize = 32;

/// The name with the record of a domain. RFC 8461 §3.1.
///
/// # Errors
///
/// If the name would be too long.
pub fn record_name(domain: &Domain) -> Result<Name, NameError> {
    Name::below("_mta-sts", domain)
}

/// The host that has the policy of a domain. RFC 8461 §3.3. `None` if the name would be too long.
#[must_use]
pub fn policy_host(domain: &Domain) -> Option<Domain> {
    Domain::parse(&format!("mta-sts.{}", domain.ascii())).ok()
}

/// The path of a policy on its host. RFC 8461 §3.3.
pub const POLICY_PATH: &str = "/.well-known/mta-sts.txt";

/// That there is a policy, and which version of it. RFC 8461 §3.1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Changes with the policy: 1 to 32 letters and digits.
    pub id: String,
    /// What is not known, in order.
    pub extensions: Vec<(String, String)>,
}

/// Why there is no record to go by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RecordError {
    /// There is none.
    Missing,
    /// There is more than one.
    Multiple,
    /// It does not start as a record of MTA-STS does.
    OtherRecord,
    /// It is one, and is malformed.
    Malformed,
}

impl fmt::Display for RecordError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Missing => "no MTA-STS record",
            Self::Multiple => "more than one MTA-STS record",
            Self::OtherRecord => "not an MTA-STS record",
            Self::Malformed => "malformed MTA-STS record",
        })
    }
}

impl std::error::Error for RecordError {}

/// The one record among the texts of a name. RFC 8461 §3.1: others are left out; if there is not
/// exactly one, there is no policy.
///
/// # Errors
///
/// If there is not exactly one, or it is malformed.
pub fn find_record<T: AsRef<[u8]>>(texts: &[T]) -> Result<Record, RecordError> {
    let mut found = Err(RecordError::Missing);
    for text in texts {
        match parse_record(text.as_ref()) {
            Err(RecordError::OtherRecord) => {}
            _ if found != Err(RecordError::Missing) => return Err(RecordError::Multiple),
            result => found = result,
        }
    }
    found
}

/// Parses a record.
///
/// `sts-text-record = sts-version 1*(sts-field-delim sts-field) [sts-field-delim]`,
/// `sts-version = %s"v=STSv1"`, `sts-field-delim = *WSP ";" *WSP`. RFC 8461 §3.1.
///
/// # Errors
///
/// If it is no such record, or not as the grammar says. One without an `id`, or with two, is
/// malformed.
pub fn parse_record(text: &[u8]) -> Result<Record, RecordError> {
    let rest = text.strip_prefix(b"v=STSv1").ok_or(RecordError::OtherRecord)?;
    let rest = rest.trim_ascii_start();
    let rest = rest.strip_prefix(b";").ok_or(RecordError::OtherRecord)?;
    let rest = std::str::from_utf8(rest).map_err(|_| RecordError::Malformed)?;
    let rest = trim_blanks(rest);
    // The last delimiter may be there or not.
    let fields = rest.strip_suffix(';').unwrap_or(rest);
    let mut record = Record { id: String::new(), extensions: Vec::new() };
    for field in fields.split(';').map(trim_blanks) {
        let (name, value) = field.split_once('=').ok_or(RecordError::Malformed)?;
        let good = if name == "id" {
            is_id(value) && record.id.is_empty()
        } else {
            is_extension_name(name) && is_record_value(value)
        };
        if !good {
            return Err(RecordError::Malformed);
        }
        if name == "id" {
            value.clone_into(&mut record.id);
        } else {
            record.extensions.push((name.to_owned(), value.to_owned()));
        }
    }
    if record.id.is_empty() { Err(RecordError::Malformed) } else { Ok(record) }
}

impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "v=STSv1; id={};", self.id)?;
        self.extensions.iter().try_for_each(|(name, value)| write!(f, " {name}={value};"))
    }
}

/// `*WSP`.
fn trim_blanks(text: &str) -> &str {
    text.trim_matches([' ', '\t'])
}

/// `1*32(ALPHA / DIGIT)`.
fn is_id(value: &str) -> bool {
    (1..=WORD_BYTES_MAX).contains(&value.len())
        && value.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

/// `sts-ext-name = (ALPHA / DIGIT) *31(ALPHA / DIGIT / "_" / "-" / ".")`.
fn is_extension_name(name: &str) -> bool {
    let known = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
    name.len() <= WORD_BYTES_MAX
        && name.starts_with(|first: char| first.is_ascii_alphanumeric())
        && name.bytes().all(known)
}

/// `sts-ext-value = 1*(%x21-3A / %x3C / %x3E-7E)`.
fn is_record_value(value: &str) -> bool {
    !value.is_empty()
        && value.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b';' | b'='))
}

/// What to do with hosts that do not conform. RFC 8461 §5.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Mode {
    /// No mail for them.
    Enforce,
    /// Tell the domain, and send.
    Testing,
    /// Nothing: there is no policy any more.
    None,
}

impl Mode {
    /// Its word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Enforce => "enforce",
            Self::Testing => "testing",
            Self::None => "none",
        }
    }

    /// By its word; case matters.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        [Self::Enforce, Self::Testing, Self::None].into_iter().find(|mode| mode.as_str() == word)
    }
}

/// Hosts that a policy allows. RFC 8461 §3.2 (`mx`), §4.1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MxPattern {
    /// Whether it is for all names one label below `domain`, and not for `domain` itself.
    pub is_wildcard: bool,
    /// The host, or what comes after `*.`.
    pub domain: Domain,
}

impl MxPattern {
    /// `["*."] Domain`. Names with other than ASCII must be in A-labels. RFC 8461 §3.2.
    fn parse(text: &str) -> Option<Self> {
        let (is_wildcard, name) = match text.strip_prefix("*.") {
            Some(name) => (true, name),
            None => (false, text),
        };
        let domain = name.is_ascii().then(|| Domain::parse_host(name).ok())??;
        // One last dot is for zones.
        (!name.ends_with('.')).then_some(Self { is_wildcard, domain })
    }

    /// Whether it allows this host. A wildcard stands for exactly one label. RFC 8461 §4.1.
    #[must_use]
    pub fn matches(&self, host: &Domain) -> bool {
        if !self.is_wildcard {
            return *host == self.domain;
        }
        host.ascii().split_once('.').is_some_and(|(_, parent)| parent == self.domain.ascii())
    }
}

impl fmt::Display for MxPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_wildcard { "*." } else { "" })?;
        f.write_str(self.domain.ascii())
    }
}

/// How mail for a domain must be sent. RFC 8461 §3.2.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// What to do with hosts that do not conform.
    pub mode: Mode,
    /// How long the policy is good, in seconds; at most [`MAX_AGE_SECS_MAX`].
    pub max_age_secs: u32,
    /// Which hosts are allowed. At least one, unless the mode is [`Mode::None`].
    pub mx: Vec<MxPattern>,
    /// What is not known, in order; at most [`EXTENSIONS_MAX`].
    pub extensions: Vec<(String, String)>,
}

/// What is wrong with a policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PolicyError {
    /// It is over [`POLICY_BYTES_MAX`], or has more hosts than [`MX_MAX`].
    TooLarge,
    /// It is not UTF-8, or a line is not `name: value`.
    BadLine,
    /// There is no version, or another one.
    BadVersion,
    /// There is no mode, or an unknown one.
    BadMode,
    /// There is no `max_age`, or it is no number of up to ten digits.
    BadMaxAge,
    /// A pattern of hosts is none.
    BadMx,
    /// There is no host.
    NoMx,
}

impl PolicyError {
    /// A short word for a report.
    #[must_use]
    pub fn token(self) -> &'static str {
        match self {
            Self::TooLarge => "policy-too-large",
            Self::BadLine => "policy-bad-line",
            Self::BadVersion => "policy-bad-version",
            Self::BadMode => "policy-bad-mode",
            Self::BadMaxAge => "policy-bad-max-age",
            Self::BadMx => "policy-bad-mx",
            Self::NoMx => "policy-no-mx",
        }
    }
}

impl fmt::Display for PolicyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TooLarge => "MTA-STS policy is too large",
            Self::BadLine => "line of MTA-STS policy is malformed",
            Self::BadVersion => "MTA-STS policy has no known version",
            Self::BadMode => "MTA-STS policy has no known mode",
            Self::BadMaxAge => "MTA-STS policy has no good max_age",
            Self::BadMx => "pattern of hosts of MTA-STS policy is malformed",
            Self::NoMx => "MTA-STS policy has no hosts",
        })
    }
}

impl std::error::Error for PolicyError {}

/// The fields of a policy as they are found.
#[derive(Default)]
struct Fields {
    has_version: bool,
    mode: Option<Mode>,
    max_age_secs: Option<u32>,
    mx: Vec<MxPattern>,
    extensions: Vec<(String, String)>,
}

/// Parses a policy.
///
/// `sts-policy-record = sts-policy-field *WSP *(sts-policy-term sts-policy-field *WSP)
/// [sts-policy-term]`, `sts-policy-term = LF / CRLF`, `sts-policy-field-delim = ":" *WSP`. RFC 8461
/// §3.2. Of fields other than `mx` the first counts; a `max_age` above [`MAX_AGE_SECS_MAX`] is that.
///
/// # Errors
///
/// If it is not as the grammar says, or a field is missing.
pub fn parse_policy(text: &[u8]) -> Result<Policy, PolicyError> {
    if text.len() > POLICY_BYTES_MAX {
        return Err(PolicyError::TooLarge);
    }
    let text = std::str::from_utf8(text).map_err(|_| PolicyError::BadLine)?;
    let mut fields = Fields::default();
    for line in text.split('\n') {
        let line = trim_blanks(line.strip_suffix('\r').unwrap_or(line));
        // Deviation: RFC 8461 §3.2 has no empty lines; we skip them, because editors leave them at
        // the end, and a domain that has a policy wants it.
        if !line.is_empty() {
            fields.read(line)?;
        }
    }
    let Fields { has_version, mode, max_age_secs, mx, extensions } = fields;
    if !has_version {
        return Err(PolicyError::BadVersion);
    }
    let mode = mode.ok_or(PolicyError::BadMode)?;
    let max_age_secs = max_age_secs.ok_or(PolicyError::BadMaxAge)?;
    if mx.is_empty() && mode != Mode::None {
        return Err(PolicyError::NoMx);
    }
    Ok(Policy { mode, max_age_secs, mx, extensions })
}

impl Fields {
    fn read(&mut self, line: &str) -> Result<(), PolicyError> {
        let (name, value) = line.split_once(':').ok_or(PolicyError::BadLine)?;
        let value = trim_blanks(value);
        match name {
            "version" if self.has_version => {}
            "version" if value == "STSv1" => self.has_version = true,
            "version" => return Err(PolicyError::BadVersion),
            "mode" if self.mode.is_some() => {}
            "mode" => self.mode = Some(Mode::from_word(value).ok_or(PolicyError::BadMode)?),
            "max_age" if self.max_age_secs.is_some() => {}
            "max_age" => self.max_age_secs = Some(max_age(value).ok_or(PolicyError::BadMaxAge)?),
            "mx" if self.mx.len() == MX_MAX => return Err(PolicyError::TooLarge),
            "mx" => self.mx.push(MxPattern::parse(value).ok_or(PolicyError::BadMx)?),
            _ => {
                if !is_extension_name(name) || !is_policy_value(value) {
                    return Err(PolicyError::BadLine);
                }
                if self.extensions.len() < EXTENSIONS_MAX {
                    self.extensions.push((name.to_owned(), value.to_owned()));
                }
            }
        }
        Ok(())
    }
}

/// `1*10(DIGIT)`.
fn max_age(value: &str) -> Option<u32> {
    const DIGITS_MAX: usize = 10;
    if value.len() > DIGITS_MAX || !value.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let secs: u64 = value.parse().ok()?;
    Some(u32::try_from(secs).unwrap_or(MAX_AGE_SECS_MAX).min(MAX_AGE_SECS_MAX))
}

/// `sts-policy-ext-value`: visible characters, of UTF-8 too, and blanks between them.
fn is_policy_value(value: &str) -> bool {
    !value.is_empty() && !value.chars().any(char::is_control)
}

impl Policy {
    /// Whether mail for the domain may go to this host. RFC 8461 §4.1. Under [`Mode::None`] to any.
    #[must_use]
    pub fn matches(&self, host: &Domain) -> bool {
        self.mode == Mode::None || self.mx.iter().any(|pattern| pattern.matches(host))
    }

    /// Its lines without their ends, as reports show it. RFC 8460 §4.4 (`policy-string`).
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        let mut lines = vec!["version: STSv1".to_owned(), format!("mode: {}", self.mode.as_str())];
        lines.push(format!("max_age: {}", self.max_age_secs));
        lines.extend(self.mx.iter().map(|pattern| format!("mx: {pattern}")));
        lines.extend(self.extensions.iter().map(|(name, value)| format!("{name}: {value}")));
        lines
    }
}

impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.lines().iter().try_for_each(|line| write!(f, "{line}\r\n"))
    }
}

#[cfg(test)]
#[path = "mtasts_tests.rs"]
mod tests;
