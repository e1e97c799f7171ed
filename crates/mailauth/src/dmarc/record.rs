//! The record of a domain.
//!
//! Source: RFC 9989 §4.7, §4.8; RFC 7489 §6.3, §6.4 for tags that its successor dropped.

use std::fmt;

use mox_base::Address;

use super::uri::{self, ReportUri};

/// The longest record, in bytes. Ours.
pub const RECORD_BYTES_MAX: usize = 8_192;

/// Tags of one record. Ours.
pub const TAGS_MAX: usize = 64;

/// Places that one record can want reports at; more are left aside. Ours; RFC 7489 §6.2 wants two
/// at least.
pub const URIS_MAX: usize = 20;

/// What the owner of a domain asks for mail that fails. In the order of strictness. RFC 9989 §4.7.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Policy {
    /// Nothing.
    #[default]
    None,
    /// To treat it with suspicion.
    Quarantine,
    /// To refuse it.
    Reject,
}

impl Policy {
    /// The word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Quarantine => "quarantine",
            Self::Reject => "reject",
        }
    }

    /// The next that is less strict. RFC 9989 §4.7 (`t`), RFC 7489 §6.6.4.
    #[must_use]
    pub fn lowered(self) -> Self {
        match self {
            Self::Reject => Self::Quarantine,
            Self::Quarantine | Self::None => Self::None,
        }
    }

    fn parse(text: &str) -> Option<Self> {
        let all = [Self::None, Self::Quarantine, Self::Reject];
        all.into_iter().find(|policy| text.eq_ignore_ascii_case(policy.as_str()))
    }
}

/// How alike an authenticated domain must be to that of the author. RFC 9989 §4.7.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Alignment {
    /// Of the same organization.
    #[default]
    Relaxed,
    /// The same.
    Strict,
}

impl Alignment {
    /// The letter for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Relaxed => "r",
            Self::Strict => "s",
        }
    }
}

/// Whether others register names below a domain. RFC 9989 §4.7.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Psd {
    /// `y`: it is a public suffix.
    Yes,
    /// `n`: it is the domain of an organization.
    No,
    /// `u`: it does not say.
    #[default]
    Unknown,
}

/// When the owner wants reports of single failures. RFC 9989 §4.7, RFC 9991.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FailureOption {
    /// `0`: nothing passes and is aligned.
    All,
    /// `1`: something does not.
    Any,
    /// `d`: a signature does not pass, aligned or not.
    Dkim,
    /// `s`: SPF does not pass, aligned or not.
    Spf,
}

const FAILURE_OPTIONS: [(FailureOption, &str); 4] = [
    (FailureOption::All, "0"),
    (FailureOption::Any, "1"),
    (FailureOption::Dkim, "d"),
    (FailureOption::Spf, "s"),
];

/// What the owner of a domain wants of those who receive mail in its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// `p`: for the domain itself.
    pub policy: Policy,
    /// Whether `p` is there. RFC 9989 §4.7 has a record without it ask for nothing.
    pub has_policy: bool,
    /// `sp`: for domains below it that exist.
    pub subdomain_policy: Option<Policy>,
    /// `np`: for domains below it that do not exist.
    pub nonexistent_policy: Option<Policy>,
    /// `adkim`.
    pub dkim_alignment: Alignment,
    /// `aspf`.
    pub spf_alignment: Alignment,
    /// `psd`.
    pub psd: Psd,
    /// `t`: the owner is only testing and asks for one step less.
    pub is_test: bool,
    /// `pct`: of how many messages in a hundred the policy is asked for. RFC 7489 §6.3.
    pub percent: u8,
    /// `ri`: how often reports are wanted, in seconds. RFC 7489 §6.3.
    pub interval_secs: u32,
    /// `rua`: where reports of all mail go. At most [`URIS_MAX`].
    pub aggregate: Vec<ReportUri>,
    /// `ruf`: where reports of single failures go. At most [`URIS_MAX`].
    pub failure: Vec<ReportUri>,
    /// `fo`: for which failures; at least one.
    pub failure_options: Vec<FailureOption>,
    /// Tags that are not known, with their values. At most [`TAGS_MAX`].
    pub others: Vec<(Box<str>, Box<str>)>,
}

/// How often reports are wanted if the record does not say, in seconds. RFC 7489 §6.3.
pub const INTERVAL_SECS: u32 = 86_400;

impl Default for Record {
    fn default() -> Self {
        Self {
            policy: Policy::None,
            has_policy: false,
            subdomain_policy: None,
            nonexistent_policy: None,
            dkim_alignment: Alignment::Relaxed,
            spf_alignment: Alignment::Relaxed,
            psd: Psd::Unknown,
            is_test: false,
            percent: 100,
            interval_secs: INTERVAL_SECS,
            aggregate: Vec::new(),
            failure: Vec::new(),
            failure_options: vec![FailureOption::All],
            others: Vec::new(),
        }
    }
}

/// Why a record cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordError {
    /// It does not begin with the version.
    NoVersion,
    /// It is over [`RECORD_BYTES_MAX`] or has more than [`TAGS_MAX`].
    TooLong,
    /// It is no text.
    BadCharacter,
    /// A tag stands twice: which one counts would be a guess.
    Duplicate,
    /// A policy is none, and there is nobody to tell (RFC 9989 §4.10.1).
    BadPolicy,
}

impl fmt::Display for RecordError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoVersion => "no v=DMARC1 at the beginning",
            Self::TooLong => "record too long",
            Self::BadCharacter => "character that is no text",
            Self::Duplicate => "tag given twice",
            Self::BadPolicy => "invalid policy",
        })
    }
}

impl std::error::Error for RecordError {}

/// Something in a record that is left aside. RFC 9989 §4.8.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The tag, or what stands in the place of one.
    pub tag: Box<str>,
    /// Its value.
    pub value: Box<str>,
}

/// Whether a text says that it is a record of DMARC. The version is case-sensitive.
///
/// `dmarc-version = "v" equals %s"DMARC1"`, RFC 9989 §4.8.
#[must_use]
pub fn is_record(text: &[u8]) -> bool {
    tags(text).is_some()
}

/// What follows the version.
fn tags(text: &[u8]) -> Option<&[u8]> {
    let end = text.iter().position(|byte| *byte == b';').unwrap_or(text.len());
    let (version, rest) = text.split_at_checked(end)?;
    let (name, value) = split_tag(version)?;
    let is_version = name.eq_ignore_ascii_case(b"v") && value == b"DMARC1";
    is_version.then(|| rest.strip_prefix(b";").unwrap_or(rest))
}

/// `dmarc-tag = 1*ALPHA equals 1*dmarc-value`, without the blanks around.
fn split_tag(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let at = text.iter().position(|byte| *byte == b'=')?;
    let (name, value) = text.split_at_checked(at)?;
    Some((name.trim_ascii(), value.strip_prefix(b"=")?.trim_ascii()))
}

impl Record {
    /// Reads a record.
    ///
    /// Faults in tags other than those with a policy are left aside (RFC 9989 §4.8). With a faulty
    /// policy the record counts as one without, if it says where reports go (RFC 9989 §4.10.1).
    ///
    /// # Errors
    ///
    /// If it is none or cannot be used.
    pub fn parse(text: &[u8]) -> Result<Self, RecordError> {
        Self::examine(text).map(|(record, _)| record)
    }

    /// As [`Record::parse`], with what was left aside.
    ///
    /// # Errors
    ///
    /// As [`Record::parse`].
    pub fn examine(text: &[u8]) -> Result<(Self, Vec<Fault>), RecordError> {
        let tags = tags(text).ok_or(RecordError::NoVersion)?;
        if text.len() > RECORD_BYTES_MAX {
            return Err(RecordError::TooLong);
        }
        let tags = std::str::from_utf8(tags).map_err(|_| RecordError::BadCharacter)?;
        let mut reader = Reader::default();
        let tags = tags.split(';').map(str::trim_ascii).filter(|tag| !tag.is_empty());
        for (index, tag) in tags.enumerate() {
            if index == TAGS_MAX {
                return Err(RecordError::TooLong);
            }
            reader.tag(tag)?;
        }
        reader.finish()
    }

    /// Whether messages are to be judged by it: it has a policy, or says whom to tell.
    /// RFC 9989 §4.10.1.
    #[must_use]
    pub fn is_policy_record(&self) -> bool {
        self.has_policy || !self.aggregate.is_empty()
    }

    /// The policy for a domain below that of the record. RFC 9989 §4.10.1.
    #[must_use]
    pub fn policy_below(&self, exists: bool) -> Policy {
        let other = self.subdomain_policy.unwrap_or(self.policy);
        if exists { other } else { self.nonexistent_policy.unwrap_or(other) }
    }

    /// The addresses that reports of all mail go to, each with the size it takes at most, in bytes.
    pub fn aggregate_addresses(&self) -> impl Iterator<Item = (Address, Option<u64>)> + '_ {
        self.aggregate.iter().filter_map(|uri| Some((uri.address()?, uri.size_bytes_max)))
    }
}

/// A record that is being read.
#[derive(Default)]
struct Reader {
    record: Record,
    seen: Vec<String>,
    faults: Vec<Fault>,
    has_bad_policy: bool,
}

impl Reader {
    fn tag(&mut self, text: &str) -> Result<(), RecordError> {
        let (name, value) = match text.split_once('=') {
            Some((name, value)) => (name.trim_ascii_end(), value.trim_ascii_start()),
            None => (text, ""),
        };
        let is_name = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric());
        let is_value = value.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic());
        if !is_name || !is_value || value.is_empty() {
            self.fault(name, value);
            return Ok(());
        }
        let lower = name.to_ascii_lowercase();
        if lower == "v" || self.seen.contains(&lower) {
            return Err(RecordError::Duplicate);
        }
        if !self.read(&lower, name, value) {
            self.fault(name, value);
        }
        self.seen.push(lower);
        Ok(())
    }

    /// Takes in a tag; false if it is to be left aside. RFC 9989 §4.7, RFC 7489 §6.3.
    fn read(&mut self, lower: &str, name: &str, value: &str) -> bool {
        let record = &mut self.record;
        match lower {
            "p" | "sp" | "np" => {
                let policy = Policy::parse(value);
                self.has_bad_policy |= policy.is_none();
                match lower {
                    "p" => {
                        record.policy = policy.unwrap_or_default();
                        record.has_policy = true;
                    }
                    "sp" => record.subdomain_policy = policy,
                    _ => record.nonexistent_policy = policy,
                }
                policy.is_some()
            }
            "adkim" => set(&mut record.dkim_alignment, alignment(value)),
            "aspf" => set(&mut record.spf_alignment, alignment(value)),
            "psd" => {
                let known = [(Psd::Yes, "y"), (Psd::No, "n"), (Psd::Unknown, "u")];
                set(&mut record.psd, keyword(&known, value))
            }
            "t" => set(&mut record.is_test, keyword(&[(true, "y"), (false, "n")], value)),
            "pct" => set(&mut record.percent, number(value).filter(|percent| *percent <= 100)),
            "ri" => set(&mut record.interval_secs, number(value)),
            // The one format there is; nothing else can be kept.
            "rf" => value.split(':').any(|format| format.trim_ascii().eq_ignore_ascii_case("afrf")),
            "rua" => uri::parse_list(value, &mut record.aggregate),
            "ruf" => uri::parse_list(value, &mut record.failure),
            "fo" => failure_options(value, &mut record.failure_options),
            _ => {
                record.others.push((name.into(), value.into()));
                true
            }
        }
    }

    fn fault(&mut self, tag: &str, value: &str) {
        self.faults.push(Fault { tag: tag.into(), value: value.into() });
    }

    /// RFC 9989 §4.10.1.
    fn finish(mut self) -> Result<(Record, Vec<Fault>), RecordError> {
        if self.has_bad_policy {
            if self.record.aggregate.is_empty() {
                return Err(RecordError::BadPolicy);
            }
            self.record.policy = Policy::None;
            self.record.has_policy = true;
            self.record.subdomain_policy = None;
            self.record.nonexistent_policy = None;
        }
        Ok((self.record, self.faults))
    }
}

fn set<T>(place: &mut T, value: Option<T>) -> bool {
    let is_known = value.is_some();
    if let Some(value) = value {
        *place = value;
    }
    is_known
}

fn keyword<T: Copy>(known: &[(T, &str)], value: &str) -> Option<T> {
    let found = known.iter().find(|(_, word)| value.eq_ignore_ascii_case(word));
    found.map(|(one, _)| *one)
}

fn alignment(value: &str) -> Option<Alignment> {
    keyword(&[(Alignment::Relaxed, "r"), (Alignment::Strict, "s")], value)
}

/// `1*DIGIT`: a sign is none, and too large a number is none either.
fn number<T: std::str::FromStr>(value: &str) -> Option<T> {
    let are_digits = value.bytes().all(|byte| byte.is_ascii_digit());
    value.parse().ok().filter(|_| are_digits)
}

/// `dmarc-fo = ( "0" / "1" / "d" / "s" / "d:s" / "s:d" )`, RFC 9989 §4.8; other combinations are
/// read as well, as RFC 7489 §6.4 has them.
fn failure_options(value: &str, options: &mut Vec<FailureOption>) -> bool {
    let mut found = Vec::new();
    for word in value.split(':') {
        let Some(option) = keyword(&FAILURE_OPTIONS, word.trim_ascii()) else { return false };
        if !found.contains(&option) {
            found.push(option);
        }
    }
    *options = found;
    true
}

impl fmt::Display for Record {
    /// With the policy if there is one, and of the others what is not the default.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("v=DMARC1")?;
        if self.has_policy {
            write!(f, "; p={}", self.policy.as_str())?;
        }
        if let Some(policy) = self.subdomain_policy {
            write!(f, "; sp={}", policy.as_str())?;
        }
        if let Some(policy) = self.nonexistent_policy {
            write!(f, "; np={}", policy.as_str())?;
        }
        for (tag, alignment) in [("adkim", self.dkim_alignment), ("aspf", self.spf_alignment)] {
            if alignment == Alignment::Strict {
                write!(f, "; {tag}=s")?;
            }
        }
        match self.psd {
            Psd::Yes => f.write_str("; psd=y")?,
            Psd::No => f.write_str("; psd=n")?,
            Psd::Unknown => {}
        }
        if self.is_test {
            f.write_str("; t=y")?;
        }
        if self.percent != 100 {
            write!(f, "; pct={}", self.percent)?;
        }
        if self.interval_secs != INTERVAL_SECS {
            write!(f, "; ri={}", self.interval_secs)?;
        }
        for (tag, uris) in [("rua", &self.aggregate), ("ruf", &self.failure)] {
            for (index, uri) in uris.iter().enumerate() {
                if index == 0 { write!(f, "; {tag}={uri}")? } else { write!(f, ",{uri}")? }
            }
        }
        if self.failure_options != [FailureOption::All] {
            let words = self.failure_options.iter().filter_map(|option| {
                FAILURE_OPTIONS.iter().find(|(one, _)| one == option).map(|(_, word)| *word)
            });
            write!(f, "; fo={}", words.collect::<Vec<_>>().join(":"))?;
        }
        self.others.iter().try_for_each(|(tag, value)| write!(f, "; {tag}={value}"))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(text: &str, want: &str) {
        let record = Record::parse(text.as_bytes()).unwrap();
        assert_eq!(record.to_string(), want);
        assert_eq!(Record::parse(want.as_bytes()), Ok(record));
    }

    #[track_caller]
    fn refuse(text: &str, want: RecordError) {
        assert_eq!(Record::parse(text.as_bytes()), Err(want), "{text}");
    }

    /// What is read all the same, with the tags that are left aside.
    #[track_caller]
    fn check_faults(text: &str, want: &str, tags: &[&str]) {
        let (record, faults) = Record::examine(text.as_bytes()).unwrap();
        assert_eq!(record.to_string(), want, "{text}");
        assert_eq!(faults.iter().map(|fault| &*fault.tag).collect::<Vec<_>>(), tags, "{text}");
    }

    /// RFC 9989 §4.7, §4.8, Appendix B.2; RFC 7489 §6.3.
    #[test]
    fn records_are_parsed_and_printed() {
        check("v=DMARC1; p=none", "v=DMARC1; p=none");
        check("v=DMARC1;p=reject;", "v=DMARC1; p=reject");
        check(" V = DMARC1 ; P = Quarantine ; SP=REJECT", "v=DMARC1; p=quarantine; sp=reject");
        check(
            "v=DMARC1; p=none; rua=mailto:dmarc-feedback@example.com; ruf=mailto:auth@example.com",
            "v=DMARC1; p=none; rua=mailto:dmarc-feedback@example.com; ruf=mailto:auth@example.com",
        );
        check(
            "v=DMARC1; p=quarantine; rua=mailto:a@example.com,mailto:b@example.net!10m; pct=25",
            "v=DMARC1; p=quarantine; pct=25; rua=mailto:a@example.com,mailto:b@example.net!10485760",
        );
        let all = "v=DMARC1; p=reject; sp=quarantine; np=none; adkim=s; aspf=s; psd=n; t=y; pct=0; \
            ri=3600; fo=1:d:s; x=y z";
        check(all, all);
        check(
            "v=DMARC1; p=none; psd=u; t=n; adkim=r; aspf=r; pct=100; ri=86400; rf=afrf; fo=0",
            "v=DMARC1; p=none",
        );
        check("v=DMARC1; p=none; psd=y", "v=DMARC1; p=none; psd=y");
        // The policy may stand anywhere, or be missing. RFC 9989 §4.7.
        check(
            "v=DMARC1; rua=mailto:a@b.example; p=reject",
            "v=DMARC1; p=reject; rua=mailto:a@b.example",
        );
        check("v=DMARC1", "v=DMARC1");
        check("v=DMARC1; rua=mailto:a@b.example", "v=DMARC1; rua=mailto:a@b.example");
        check("v=DMARC1; p=none; ri=4294967295", "v=DMARC1; p=none; ri=4294967295");
    }

    /// RFC 9989 §4.10.1.
    #[test]
    fn a_record_without_a_policy_needs_somebody_to_tell() {
        let counts = |text: &str| Record::parse(text.as_bytes()).unwrap().is_policy_record();
        assert!(counts("v=DMARC1; p=none"));
        assert!(counts("v=DMARC1; rua=mailto:a@b.example"));
        assert!(counts("v=DMARC1; p=bogus; rua=mailto:a@b.example"));
        assert!(!counts("v=DMARC1; rua=nobody"));
        assert!(!counts("v=DMARC1; sp=reject; psd=y; ruf=mailto:a@b.example"));
    }

    /// RFC 9989 §4.8: what cannot be read has its default.
    #[test]
    fn faults_are_left_aside() {
        let plain = "v=DMARC1; p=reject";
        check_faults("v=DMARC1; p=reject; adkim=x; aspf=", plain, &["adkim", "aspf"]);
        check_faults("v=DMARC1; p=reject; pct=101", plain, &["pct"]);
        check_faults("v=DMARC1; p=reject; pct=-1", plain, &["pct"]);
        check_faults("v=DMARC1; p=reject; ri=+1", plain, &["ri"]);
        check_faults("v=DMARC1; p=reject; ri=4294967296", plain, &["ri"]);
        check_faults("v=DMARC1; p=reject; fo=2", plain, &["fo"]);
        check_faults("v=DMARC1; p=reject; fo=0:", plain, &["fo"]);
        check_faults("v=DMARC1; p=reject; rf=iodef", plain, &["rf"]);
        check_faults("v=DMARC1; p=reject; t=yes; psd=1", plain, &["t", "psd"]);
        check_faults("v=DMARC1; p=reject; nothing; =x; a b=c", plain, &["nothing", "", "a b"]);
        check_faults("v=DMARC1; p=reject; x=\u{1}; y=\u{e4}", plain, &["x", "y"]);
        check_faults("v=DMARC1; p=reject;; ;", plain, &[]);
        check_faults("v=DMARC1; p=reject; rua=postmaster@a.example", plain, &["rua"]);
        check_faults(
            "v=DMARC1; p=reject; rua=x,mailto:a@b.example",
            "v=DMARC1; p=reject; rua=mailto:a@b.example",
            &["rua"],
        );
    }

    /// RFC 9989 §4.10.1.
    #[test]
    fn a_bad_policy_needs_somebody_to_tell() {
        let none = "v=DMARC1; p=none; rua=mailto:a@b.example";
        check_faults("v=DMARC1; p=bogus; rua=mailto:a@b.example", none, &["p"]);
        check_faults("v=DMARC1; p=reject; sp=x; rua=mailto:a@b.example", none, &["sp"]);
        check_faults("v=DMARC1; p=reject; np=x; sp=none; rua=mailto:a@b.example", none, &["np"]);
        refuse("v=DMARC1; p=bogus", RecordError::BadPolicy);
        refuse("v=DMARC1; p=reject; sp=bogus", RecordError::BadPolicy);
        refuse("v=DMARC1; p=reject; np=bogus; rua=b.example", RecordError::BadPolicy);
    }

    /// RFC 9989 §4.7, §4.8.
    #[test]
    fn other_records_are_refused() {
        for text in [
            "",
            "v=DMARC",
            "v=DMARC10",
            "v=dmarc1; p=none",
            "v=DMARC1 p=none",
            "p=none; v=DMARC1",
            "x",
            "v;DMARC1",
        ] {
            assert!(!is_record(text.as_bytes()), "{text}");
            refuse(text, RecordError::NoVersion);
        }
        refuse("v=DMARC1; p=none; P=none", RecordError::Duplicate);
        refuse("v=DMARC1; p=none; x=1; x=2", RecordError::Duplicate);
        refuse("v=DMARC1; v=DMARC1", RecordError::Duplicate);
        assert_eq!(Record::parse(b"v=DMARC1; p=none; x=\xff"), Err(RecordError::BadCharacter));
    }

    #[test]
    fn records_are_bounded() {
        let tags = |count: usize| {
            let tags: Vec<String> = (0..count).map(|i| format!("x{i}=y")).collect();
            format!("v=DMARC1;{}", tags.join(";"))
        };
        assert_eq!(Record::parse(tags(TAGS_MAX).as_bytes()).unwrap().others.len(), TAGS_MAX);
        refuse(&tags(TAGS_MAX + 1), RecordError::TooLong);
        let long = |bytes: usize| format!("v=DMARC1; x={}", "y".repeat(bytes - 12));
        assert!(Record::parse(long(RECORD_BYTES_MAX).as_bytes()).is_ok());
        refuse(&long(RECORD_BYTES_MAX + 1), RecordError::TooLong);
        let uris = vec!["mailto:a@b.example"; URIS_MAX + 1].join(",");
        let (record, faults) = Record::examine(format!("v=DMARC1; rua={uris}").as_bytes()).unwrap();
        assert_eq!((record.aggregate.len(), faults.len()), (URIS_MAX, 1));
    }

    /// RFC 9989 §4.10.1.
    #[test]
    fn a_domain_below_has_a_policy_of_its_own() {
        let below =
            |text: &str, exists| Record::parse(text.as_bytes()).unwrap().policy_below(exists);
        assert_eq!(below("v=DMARC1; p=reject", true), Policy::Reject);
        assert_eq!(below("v=DMARC1; p=reject", false), Policy::Reject);
        assert_eq!(below("v=DMARC1; p=reject; sp=none", false), Policy::None);
        assert_eq!(below("v=DMARC1; p=none; sp=quarantine; np=reject", true), Policy::Quarantine);
        assert_eq!(below("v=DMARC1; p=none; sp=quarantine; np=reject", false), Policy::Reject);
        assert_eq!(Policy::Reject.lowered(), Policy::Quarantine);
        assert_eq!(Policy::Quarantine.lowered(), Policy::None);
        assert_eq!(Policy::None.lowered(), Policy::None);
    }

    proptest! {
        #[test]
        fn what_is_printed_is_the_same_record(
            tags in "(; ?(p|sp|np|adkim|aspf|psd|t|pct|ri|fo|rua|ruf|zz)=(none|reject|s|y|n|0|50|1:d|mailto:a@b\\.example(!5k)?|a b)){0,4}",
        ) {
            if let Ok(record) = Record::parse(format!("v=DMARC1{tags}").as_bytes()) {
                prop_assert_eq!(Record::parse(record.to_string().as_bytes()), Ok(record));
            }
        }

        #[test]
        fn any_bytes_are_parsed_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            let text = [b"v=DMARC1;", &bytes[..]].concat();
            if let Ok(record) = Record::parse(&text) {
                prop_assert_eq!(Record::parse(record.to_string().as_bytes()), Ok(record));
            }
        }
    }
}
