//! What a server says it can do. RFC 5321 §4.1.1.1.

use mox_sasl::Mechanism;

/// The most lines of an EHLO reply that are looked at.
pub const EXTENSIONS_MAX: usize = crate::REPLY_LINES_MAX;

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
    /// RFC 1870; `Some(0)` says nothing of a limit, and so does a value that is no number.
    pub size_bytes_max: Option<u64>,
    /// RFC 4954: those that we know.
    pub mechanisms: Vec<Mechanism>,
    /// RFC 9422: recipients of one transaction.
    pub rcpts_max: Option<usize>,
}

impl Extensions {
    /// Reads the text of the reply to EHLO, of which the first line is the server's name.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let mut extensions = Self::default();
        for line in text.lines().take(EXTENSIONS_MAX).skip(1) {
            let mut words = line.split_ascii_whitespace();
            let keyword = words.next().unwrap_or_default().to_ascii_uppercase();
            match keyword.as_str() {
                "PIPELINING" => extensions.has_pipelining = true,
                "STARTTLS" => extensions.has_starttls = true,
                "ENHANCEDSTATUSCODES" => extensions.has_enhanced_codes = true,
                "8BITMIME" => extensions.has_8bitmime = true,
                "SMTPUTF8" => extensions.has_smtputf8 = true,
                "SIZE" => {
                    let size = words.next().and_then(|size| size.parse().ok());
                    extensions.size_bytes_max = Some(size.unwrap_or(0));
                }
                "AUTH" => {
                    let known = words.filter_map(|name| Mechanism::parse(name).ok());
                    extensions.mechanisms = known.collect();
                }
                "LIMITS" => {
                    let max = words.find_map(|word| word.strip_prefix("RCPTMAX="));
                    extensions.rcpts_max =
                        max.and_then(|max| max.parse().ok()).filter(|max| *max > 0);
                }
                _ => {}
            }
        }
        extensions
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 5321 §4.1.1.1, RFC 1870 §4, RFC 4954 §3, RFC 9422 §3.
    #[test]
    fn known_extensions_are_found() {
        let text = "PIPELINING.example hello\nPIPELINING\nsize 1000\nAUTH X PLAIN LOGIN\nXFOO\n\
                    LIMITS MAILMAX=1 RCPTMAX=20\n8BITMIME";
        let want = Extensions {
            has_pipelining: true,
            has_8bitmime: true,
            size_bytes_max: Some(1000),
            mechanisms: vec![Mechanism::Plain, Mechanism::Login],
            rcpts_max: Some(20),
            ..Extensions::default()
        };
        assert_eq!(Extensions::parse(text), want);
        assert_eq!(Extensions::parse("PIPELINING"), Extensions::default());
        assert_eq!(Extensions::parse("x\nSIZE x\nLIMITS RCPTMAX=0").size_bytes_max, Some(0));
    }
}
