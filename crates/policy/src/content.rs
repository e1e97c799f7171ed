//! What the message itself says: its junk score and the reports in it.

use mox_base::{Domain, UnixSeconds};

use crate::facts::{Facts, TO_AND_CC_MAX};
use crate::reason::Reason;

/// The threshold for messages that were sent in a suspicious way, unless the account's is lower.
pub const THRESHOLD_STRICT: f64 = 0.25;

/// Chance moves the threshold by up to this much.
pub const THRESHOLD_JITTER: f64 = 0.05;

/// This far below the account's threshold, a message may be junk or not, and its sender can show that
/// it is not.
pub const MODERATE_MARGIN: f64 = 0.2;

/// Words of each kind that an explanation names.
pub const WORDS_SHOWN_MAX: usize = 10;

/// Bytes of a word that are shown.
const WORD_BYTES_SHOWN_MAX: usize = 40;

/// How likely the content is junk.
#[derive(Clone, Debug, PartialEq)]
pub struct Score {
    /// 0 to 1.
    pub probability: f64,
    /// Whether the filter has learned enough to be believed.
    pub is_significant: bool,
    /// Words that speak for the message, the most telling first, with their own probability.
    pub ham_words: Vec<(String, f64)>,
    /// Words that speak against it.
    pub spam_words: Vec<(String, f64)>,
}

/// Why there is no score. The cause is in the log of who tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ContentError {
    /// The junk filter could not be used.
    #[error("junk filter could not be opened")]
    Filter,
    /// It could not judge the message.
    #[error("message could not be classified")]
    Classify,
}

/// A DMARC report in the message. RFC 7489 §7.2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DmarcReport<'a> {
    /// The domain it is about, if that can be read.
    pub policy_domain: Option<&'a Domain>,
    /// Whether that domain is one of ours.
    pub is_ours: bool,
    /// The end of the time it is about.
    pub end: UnixSeconds,
}

/// A TLS report in the message. RFC 8460 §4.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TlsReport {
    /// Whether a policy in it is of one of our domains, or of our host.
    pub is_ours: bool,
}

/// Reads the message, each part of it only if a decision needs it.
pub trait Content {
    /// The score of the account's filter. Asked only if the account has a threshold.
    fn score(&mut self) -> Result<Score, ContentError>;

    /// The DMARC report in the message, `None` if none can be read.
    fn dmarc_report(&mut self) -> Option<DmarcReport<'_>>;

    /// The TLS report in the message, `None` if none can be read.
    fn tls_report(&mut self) -> Option<TlsReport>;
}

/// What the content led to.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ContentResult {
    /// The content does not stand in the way.
    pub(crate) is_good: bool,
    /// It may be junk or not.
    pub(crate) is_moderate: bool,
    /// The reason for a refusal.
    pub(crate) reason: Reason,
    /// How it came about.
    pub(crate) lines: Vec<String>,
}

/// Judges the content; `is_suspicious` is whether the host has no proper name and nothing is known of
/// the author.
pub(crate) fn judge(
    facts: &Facts,
    content: &mut dyn Content,
    is_suspicious: bool,
    is_forward: bool,
) -> Result<ContentResult, ContentError> {
    let Some(configured) = facts.recipient.junk_threshold else {
        let lines = vec!["there is no junk filter to judge the content".to_owned()];
        let reason = Reason::JunkContent;
        return Ok(ContentResult { is_good: true, is_moderate: false, reason, lines });
    };
    let score = content.score()?;
    if !(0.0..=1.0).contains(&score.probability) {
        return Err(ContentError::Classify);
    }
    let base = configured + jitter(facts.chance);
    let why = strictness(facts, is_suspicious, is_forward).filter(|_| base > THRESHOLD_STRICT);
    let threshold = if why.is_some() { THRESHOLD_STRICT } else { base };
    let is_good = score.probability <= threshold || (!score.is_significant && !is_suspicious);
    let mut lines = vec![format!(
        "content: probability of junk {:.2}, threshold {threshold:.2}{}",
        score.probability,
        if score.is_significant { "" } else { " (few messages learned yet)" },
    )];
    lines.extend(why.map(|why| format!("lower threshold: {why}")));
    let is_smtputf8 = facts.message.is_smtputf8;
    lines.extend(words("words of wanted mail", &score.ham_words, is_smtputf8));
    lines.extend(words("words of junk", &score.spam_words, is_smtputf8));
    Ok(ContentResult {
        is_good,
        // Of the account's own threshold: below the strict one nothing is left between.
        is_moderate: score.probability < base - MODERATE_MARGIN,
        reason: if why.is_some() { Reason::JunkContentStrict } else { Reason::JunkContent },
        lines,
    })
}

/// From minus to plus [`THRESHOLD_JITTER`], the upper end excluded.
fn jitter(chance: u32) -> f64 {
    (f64::from(chance) / 4_294_967_296.0 * 2.0 - 1.0) * THRESHOLD_JITTER
}

/// Why the strict threshold is used, if it is.
fn strictness(facts: &Facts, is_suspicious: bool, is_forward: bool) -> Option<&'static str> {
    if is_suspicious {
        return Some("the sending server has no name in DNS that leads back to it");
    }
    if !facts.message.is_tls {
        return Some("the message came over a connection without TLS");
    }
    if !is_forward && !is_addressed(facts) {
        return Some("your address is neither in To nor in Cc");
    }
    None
}

/// Whether the address in RCPT TO is in To or Cc. An address with an empty localpart always counts as
/// if it were: hardly any program can write one.
fn is_addressed(facts: &Facts) -> bool {
    let rcpt_to = &facts.recipient.rcpt_to;
    let mut named = facts.message.to_and_cc.iter().take(TO_AND_CC_MAX);
    rcpt_to.localpart.as_str().is_empty() || named.any(|address| address == rcpt_to)
}

/// `words of junk: "cheap" 0.990, "pills" 0.980`.
fn words(what: &str, words: &[(String, f64)], is_smtputf8: bool) -> Option<String> {
    let shown = words.iter().take(WORDS_SHOWN_MAX).map(|(word, probability)| {
        if !word.is_ascii() && !is_smtputf8 {
            return format!("(word beyond ASCII) {probability:.3}");
        }
        let end = word.floor_char_boundary(WORD_BYTES_SHOWN_MAX);
        format!("{:?} {probability:.3}", word.get(..end).unwrap_or_default())
    });
    let shown: Vec<String> = shown.collect();
    (!shown.is_empty()).then(|| format!("{what}: {}", shown.join(", ")))
}
