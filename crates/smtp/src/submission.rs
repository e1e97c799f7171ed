//! What a submitted message must have in its header, and what is added if it lacks it.
//!
//! Source: RFC 6409 §6 and §8, RFC 5322 §3.6.

use mox_base::{Address, DateTime, Domain};

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
