//! What a submitted message must have in its header, what is added if it lacks it, and what its
//! sender asks for in it.
//!
//! Source: RFC 6409 §6 and §8, RFC 5322 §3.6, RFC 8689 §5.

mod extra;
mod from_id;

use mox_base::{Address, DateTime, Domain};

pub use extra::{EXTRA_BYTES_MAX, EXTRA_FIELDS_MAX, EXTRA_PREFIX, extra};
pub use from_id::{FROM_ID_RANDOM_BYTES, chosen_from_id, new_from_id, with_from_id};

use crate::Reply;

/// What the header says, as far as it matters here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HeaderFacts {
    /// The addresses of each `From` field; `None` for a field that cannot be parsed.
    pub from: Vec<Option<Vec<Address>>>,
    /// Whether there is a `Message-Id` field.
    pub has_message_id: bool,
    /// Whether there is a `Date` field.
    pub has_date: bool,
    /// Whether there is a `Return-Path` field.
    pub has_return_path: bool,
    /// The values of the `TLS-Required` fields.
    pub tls_required: Vec<String>,
    /// The names and values of the fields that begin with [`EXTRA_PREFIX`].
    pub extra: Vec<(String, String)>,
}

impl HeaderFacts {
    /// Whether the sender would rather have the message delivered without TLS than not at all. What
    /// says both, or something unknown, asks for nothing. RFC 8689 §5.
    #[must_use]
    pub fn waives_tls(&self) -> bool {
        let is_no = |value: &String| value.trim().eq_ignore_ascii_case("no");
        !self.tls_required.is_empty() && self.tls_required.iter().all(is_no)
    }
}

/// Why a message may not be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SubmissionError {
    /// Not exactly one `From` field with exactly one address.
    From,
    /// The `From` address is not one of the account's.
    FromNotYours,
    /// The domain of `From` is switched off.
    FromDomainDisabled,
    /// Pedantic: a `Return-Path`, which only the last server may add. RFC 5321 §4.4.
    ReturnPath,
    /// Pedantic: UTF-8 in a header without SMTPUTF8. RFC 6531 §3.1.
    NeedsUtf8,
    /// Pedantic: the message cannot be parsed.
    Malformed,
    /// The same extra field twice.
    DuplicateExtra,
    /// More extra fields than are kept.
    TooMuchExtra,
    /// The token in the sender's address was used before.
    FromIdTaken,
    /// A token in the sender's address, which names one recipient, and several recipients.
    FromIdShared,
    /// More recipients than the account may write to in a day.
    MessagesPerDay,
    /// More recipients that the account has not written to before than it may have in a day.
    FirstTimeRcptsPerDay,
}

impl From<&SubmissionError> for Reply {
    fn from(error: &SubmissionError) -> Self {
        match error {
            SubmissionError::From => {
                Self::new(550, (6, 0), "message must have one from header with one address")
            }
            SubmissionError::FromNotYours => {
                Self::new(550, (7, 1), "address in from header is not yours")
            }
            SubmissionError::FromDomainDisabled => {
                Self::new(451, (3, 0), "domain in from header is temporarily disabled")
            }
            SubmissionError::ReturnPath => {
                Self::new(550, (6, 0), "message must not have a return-path header")
            }
            SubmissionError::NeedsUtf8 => {
                Self::new(550, (6, 0), "message needs smtputf8, which was not given")
            }
            SubmissionError::Malformed => Self::new(554, (6, 0), "malformed message"),
            SubmissionError::DuplicateExtra => {
                Self::new(554, (6, 0), "message has the same x-mox-extra header twice")
            }
            SubmissionError::TooMuchExtra => {
                Self::new(554, (6, 0), "message has too many or too long x-mox-extra headers")
            }
            SubmissionError::FromIdTaken => {
                Self::new(554, (1, 7), "unique part of sender address was used before")
            }
            SubmissionError::FromIdShared => {
                Self::new(554, (5, 3), "unique part in sender address takes a single recipient")
            }
            SubmissionError::MessagesPerDay => {
                Self::new(451, (7, 1), "too many messages in 24 hours, try again later")
            }
            SubmissionError::FirstTimeRcptsPerDay => Self::new(
                451,
                (7, 1),
                "too many first-time recipients in 24 hours, try again later",
            ),
        }
    }
}

/// Checks what can be checked without knowing whose addresses are whose, and returns the address
/// that is.
pub fn check_header(facts: &HeaderFacts, is_pedantic: bool) -> Result<&Address, SubmissionError> {
    let [Some(addresses)] = facts.from.as_slice() else {
        return Err(SubmissionError::From);
    };
    let [address] = addresses.as_slice() else {
        return Err(SubmissionError::From);
    };
    if is_pedantic && facts.has_return_path {
        return Err(SubmissionError::ReturnPath);
    }
    Ok(address)
}

/// The fields that the message lacks, to be put before its own. RFC 6409 §8.2, §8.3.
///
/// `random`: fresh; makes the `Message-Id` one that nobody else makes.
#[must_use]
pub fn missing_fields(
    facts: &HeaderFacts,
    hostname: &Domain,
    random: [u8; 16],
    now: DateTime,
) -> String {
    use base64::Engine;
    let mut fields = String::new();
    if !facts.has_message_id {
        let id = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(random);
        fields.push_str(&format!("Message-Id: <{id}@{}>\r\n", hostname.ascii()));
    }
    if !facts.has_date {
        fields.push_str(&format!("Date: {}\r\n", now.to_rfc5322()));
    }
    fields
}

#[cfg(test)]
mod tests {
    use super::*;
    use mox_base::UnixSeconds;

    #[track_caller]
    fn check(from: &[Option<&[&str]>], has_return_path: bool, want: Result<&str, SubmissionError>) {
        let parse = |addresses: &[&str]| -> Vec<Address> {
            addresses.iter().map(|address| Address::parse(address).unwrap()).collect()
        };
        let from = from.iter().map(|addresses| addresses.map(parse)).collect();
        let facts = HeaderFacts { from, has_return_path, ..HeaderFacts::default() };
        let got = check_header(&facts, true).map(Address::to_string);
        assert_eq!(got.as_deref().map_err(|e| *e), want);
        assert!(!has_return_path || check_header(&facts, false).is_ok());
    }

    /// RFC 5322 §3.6.2; RFC 6409 §6.
    #[test]
    fn there_is_one_from_with_one_address() {
        check(&[Some(&["a@b.example"])], false, Ok("a@b.example"));
        check(&[Some(&["a@b.example"])], true, Err(SubmissionError::ReturnPath));
        check(&[], false, Err(SubmissionError::From));
        check(&[None], false, Err(SubmissionError::From));
        check(&[Some(&[])], false, Err(SubmissionError::From));
        check(&[Some(&["a@b.example", "c@b.example"])], false, Err(SubmissionError::From));
        let one: &[&str] = &["a@b.example"];
        check(&[Some(one), Some(one)], false, Err(SubmissionError::From));
        check(&[Some(one), None], false, Err(SubmissionError::From));
    }

    /// RFC 3463 §3.
    #[test]
    fn each_error_has_its_codes() {
        let codes = |error: SubmissionError| {
            let reply = Reply::from(&error);
            format!("{} {}", reply.code, reply.enhanced_text().unwrap())
        };
        assert_eq!(codes(SubmissionError::DuplicateExtra), "554 5.6.0");
        assert_eq!(codes(SubmissionError::TooMuchExtra), "554 5.6.0");
        assert_eq!(codes(SubmissionError::FromIdTaken), "554 5.1.7");
        assert_eq!(codes(SubmissionError::FromIdShared), "554 5.5.3");
        assert_eq!(codes(SubmissionError::MessagesPerDay), "451 4.7.1");
        assert_eq!(codes(SubmissionError::FirstTimeRcptsPerDay), "451 4.7.1");
    }

    #[track_caller]
    fn check_waiver(values: &[&str], want: bool) {
        let tls_required = values.iter().map(|value| (*value).to_owned()).collect();
        let facts = HeaderFacts { tls_required, ..HeaderFacts::default() };
        assert_eq!(facts.waives_tls(), want, "{values:?}");
    }

    /// RFC 8689 §5.
    #[test]
    fn tls_is_waived_by_a_clear_no() {
        check_waiver(&["No"], true);
        check_waiver(&[" nO ", "no"], true);
        check_waiver(&["no", "yes"], false);
        check_waiver(&["Yes"], false);
        check_waiver(&["no (really)"], false);
        check_waiver(&[""], false);
        check_waiver(&[], false);
    }

    /// RFC 6409 §8.2, §8.3.
    #[test]
    fn missing_fields_are_made() {
        let hostname = Domain::parse("mail.example").unwrap();
        let now = DateTime::from_unix(UnixSeconds(1_795_164_932));
        let fields = |has_message_id, has_date| {
            let facts = HeaderFacts { has_message_id, has_date, ..HeaderFacts::default() };
            missing_fields(&facts, &hostname, [0; 16], now)
        };
        let id = "Message-Id: <AAAAAAAAAAAAAAAAAAAAAA@mail.example>\r\n";
        let date = "Date: Fri, 20 Nov 2026 08:55:32 +0000\r\n";
        assert_eq!(fields(false, false), format!("{id}{date}"));
        assert_eq!(fields(true, false), date);
        assert_eq!(fields(false, true), id);
        assert_eq!(fields(true, true), "");
    }
}
