//! What a server says it can do. RFC 5321 §4.1.1.1.

use std::collections::BTreeMap;

use mox_sasl::Mechanism;

/// The most lines of an EHLO reply that are looked at.
pub const EXTENSIONS_MAX: usize = crate::REPLY_LINES_MAX;

/// The most digits of a limit; one with more is as good as none. RFC 9422 §4.
pub const LIMIT_DIGITS_MAX: usize = 6;

/// The extensions that matter to us.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Extensions {
    /// RFC 2920.
    pub has_pipelining: bool,
    /// RFC 3207.
    pub has_starttls: bool,
    /// RFC 2034.
    pub has_enhanced_codes: bool,
    /// RFC 6152.
    pub has_8bitmime: bool,
    /// RFC 6531.
    pub has_smtputf8: bool,
    /// RFC 3030 §2.
    pub has_chunking: bool,
    /// RFC 3030 §3. Only of use together with CHUNKING.
    pub has_binarymime: bool,
    /// RFC 3461.
    pub has_dsn: bool,
    /// RFC 8689.
    pub has_requiretls: bool,
    /// RFC 4865.
    pub has_future_release: bool,
    /// RFC 6710.
    pub has_priority: bool,
    /// RFC 1870; `Some(0)` says nothing of a limit, and so does a value that is no number.
    pub size_bytes_max: Option<u64>,
    /// RFC 4954: those that we know.
    pub mechanisms: Vec<Mechanism>,
    /// RFC 9422.
    pub limits: Limits,
}

impl Extensions {
    /// Reads the text of the reply to EHLO, of which the first line is the server's name.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let mut extensions = Self::default();
        for line in text.lines().take(EXTENSIONS_MAX).skip(1) {
            let (keyword, rest) = line.split_once([' ', '\t']).unwrap_or((line, ""));
            extensions.add(&keyword.to_ascii_uppercase(), rest);
        }
        extensions
    }

    fn add(&mut self, keyword: &str, rest: &str) {
        let mut words = rest.split_ascii_whitespace();
        match keyword {
            "PIPELINING" => self.has_pipelining = true,
            "STARTTLS" => self.has_starttls = true,
            "ENHANCEDSTATUSCODES" => self.has_enhanced_codes = true,
            "8BITMIME" => self.has_8bitmime = true,
            "SMTPUTF8" => self.has_smtputf8 = true,
            "CHUNKING" => self.has_chunking = true,
            "BINARYMIME" => self.has_binarymime = true,
            "DSN" => self.has_dsn = true,
            "REQUIRETLS" => self.has_requiretls = true,
            "FUTURERELEASE" => self.has_future_release = true,
            "MT-PRIORITY" => self.has_priority = true,
            "SIZE" => {
                let size = words.next().and_then(|size| size.parse().ok());
                self.size_bytes_max = Some(size.unwrap_or(0));
            }
            "AUTH" => {
                // Upper case is what RFC 4422 §3.1 has; servers that do not care are understood.
                let name = |name: &str| Mechanism::parse(&name.to_ascii_uppercase()).ok();
                self.mechanisms = words.filter_map(name).collect();
            }
            "LIMITS" => self.limits = Limits::parse(rest).unwrap_or_default(),
            _ => {}
        }
    }
}

/// What a server does not take more of, as far as it says. RFC 9422 §4.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// MAILMAX: transactions on one connection. At least 1.
    pub mails_max: Option<usize>,
    /// RCPTMAX: recipients of one transaction. At least 1.
    pub rcpts_max: Option<usize>,
    /// RCPTDOMAINMAX: domains of the recipients of one transaction. At least 1.
    pub rcpt_domains_max: Option<usize>,
    /// Limits of names that we do not know, in upper case, with their values.
    pub others: BTreeMap<String, String>,
}

impl Limits {
    /// Parses the parameters of the keyword; `None` if they are not of the grammar or a name is
    /// given twice, so that nothing of them can be relied on.
    ///
    /// `limits-param = limit-name-value 0*[SP limit-name-value]`, where `limit-name = 1*(ALPHA /
    /// DIGIT / "-" / "_")` and `limit-value = 1*(%x21-3A / %x3C-7E)`. RFC 9422 §3. A known limit
    /// with a value that it cannot have is left out alone.
    fn parse(text: &str) -> Option<Self> {
        let mut values = BTreeMap::new();
        for item in text.split_ascii_whitespace() {
            let (name, value) = item.split_once('=')?;
            let is_name = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
            let is_value = |b: u8| b.is_ascii_graphic() && b != b';';
            if name.is_empty() || !name.bytes().all(is_name) {
                return None;
            }
            if value.is_empty() || !value.bytes().all(is_value) {
                return None;
            }
            if values.insert(name.to_ascii_uppercase(), value.to_owned()).is_some() {
                return None;
            }
        }
        let mut take = |name: &str| values.remove(name).and_then(|value| limit(&value));
        let (mails_max, rcpts_max) = (take("MAILMAX"), take("RCPTMAX"));
        let rcpt_domains_max = take("RCPTDOMAINMAX");
        Some(Self { mails_max, rcpts_max, rcpt_domains_max, others: values })
    }
}

/// `%x31-39 0*5DIGIT`. RFC 9422 §4.
fn limit(text: &str) -> Option<usize> {
    let is_number = text.bytes().all(|b| b.is_ascii_digit()) && !text.starts_with('0');
    if !is_number || text.len() > LIMIT_DIGITS_MAX {
        return None;
    }
    text.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 5321 §4.1.1.1, RFC 1870 §4, RFC 4954 §3.
    #[test]
    fn known_extensions_are_found() {
        let text = "PIPELINING.example hello\nPIPELINING\nsize 1000\nAUTH X plain LOGIN\nXFOO\n\
                    LIMITS MAILMAX=1 RCPTMAX=20\n8BITMIME";
        let want = Extensions {
            has_pipelining: true,
            has_8bitmime: true,
            size_bytes_max: Some(1000),
            mechanisms: vec![Mechanism::Plain, Mechanism::Login],
            limits: Limits { mails_max: Some(1), rcpts_max: Some(20), ..Limits::default() },
            ..Extensions::default()
        };
        assert_eq!(Extensions::parse(text), want);
        assert_eq!(Extensions::parse("PIPELINING"), Extensions::default());
        assert_eq!(Extensions::parse("x\nSIZE x").size_bytes_max, Some(0));
    }

    /// RFC 3030 §2, RFC 3461 §4, RFC 8689 §4, RFC 4865 §4, RFC 6710 §4, RFC 6531 §3.1: parameters
    /// that are of no use to us do no harm.
    #[test]
    fn every_extension_is_found_in_any_case() {
        let found = Extensions::parse(
            "x\nChunking\nBinaryMIME\ndsn\nRequireTLS\nfutureRelease 100 2030-01-01T00:00:00Z\n\
             mt-priority MIXER\nsmtputf8 x\nStartTLS\nEnhancedStatusCodes",
        );
        let want = Extensions {
            has_chunking: true,
            has_binarymime: true,
            has_dsn: true,
            has_requiretls: true,
            has_future_release: true,
            has_priority: true,
            has_smtputf8: true,
            has_starttls: true,
            has_enhanced_codes: true,
            ..Extensions::default()
        };
        assert_eq!(found, want);
    }

    type Three = (Option<usize>, Option<usize>, Option<usize>);

    #[track_caller]
    fn check_limits(text: &str, want: Option<Three>) {
        let got = Limits::parse(text);
        let got = got.map(|l| (l.mails_max, l.rcpts_max, l.rcpt_domains_max));
        assert_eq!(got, want, "{text}");
    }

    /// RFC 9422 §3, §4.
    #[test]
    fn limits_are_taken_all_or_not_at_all() {
        // Valid.
        check_limits("MAILMAX=1 RCPTMAX=20", Some((Some(1), Some(20), None)));
        check_limits("rcptDomainMax=3", Some((None, None, Some(3))));
        // At the edge of valid.
        check_limits("", Some((None, None, None)));
        check_limits("RCPTMAX=999999", Some((None, Some(999_999), None)));
        check_limits("RCPTMAX=1  MAILMAX=2", Some((Some(2), Some(1), None)));
        // Just past the edge: the one limit is ignored.
        check_limits("RCPTMAX=1000000 MAILMAX=2", Some((Some(2), None, None)));
        check_limits("RCPTMAX=0 MAILMAX=2", Some((Some(2), None, None)));
        check_limits("RCPTMAX=+1 MAILMAX=2", Some((Some(2), None, None)));
        check_limits("RCPTMAX=x MAILMAX=2", Some((Some(2), None, None)));
        // Never valid: all are.
        check_limits("RCPTMAX=1 rcptmax=2", None);
        check_limits("RCPTMAX=1 X", None);
        check_limits("RCPTMAX= MAILMAX=1", None);
        check_limits("=1 MAILMAX=1", None);
        check_limits("X=a;b MAILMAX=1", None);
        check_limits("X.Y=1 MAILMAX=1", None);
        check_limits("X=é MAILMAX=1", None);
    }

    #[test]
    fn unknown_limits_are_kept() {
        let others = Limits::parse("Foo-Max=a=b RCPTMAX=1").map(|limits| limits.others);
        assert_eq!(others, Some(BTreeMap::from([("FOO-MAX".to_owned(), "a=b".to_owned())])));
        assert_eq!(Extensions::parse("x\nLIMITS RCPTMAX=1 X").limits, Limits::default());
    }
}
