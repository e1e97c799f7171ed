//! Reads notifications of others. RFC 3464 §2, RFC 6522 §3.

use std::fmt;
use std::io::{Read, Seek};

use mox_mime::{Message, Part, PartAt, canonical_message_id, fields, first_field, unfold};

use super::address::address_of;
use super::{Action, Status};
use crate::error::ReportError;
use crate::message::take_apart;

/// The largest delivery status that is read, in bytes.
pub const STATUS_BYTES_MAX: u64 = 256 << 10;

/// The most recipients of one notification.
pub const RECIPIENTS_MAX: usize = 1_000;

/// How much of a returned header is looked at, in bytes.
const RETURNED_HEADER_BYTES_MAX: u64 = 64 << 10;

/// Fields of one group that are looked at.
const FIELDS_MAX: usize = 100;

/// Why a message is no notification that can be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DsnError {
    /// It is not `multipart/report` with `report-type=delivery-status`. RFC 3464 §2.
    NotADsn,
    /// The message cannot be read, or it is too large.
    Message(ReportError),
    /// Its second part is no delivery status.
    NoStatus,
    /// The delivery status is larger than [`STATUS_BYTES_MAX`].
    TooLarge,
    /// A field that must be there is missing.
    Missing(&'static str),
    /// A field is there twice. RFC 3464 §2.1.
    Twice(&'static str),
    /// A field has a value it cannot have.
    BadValue(&'static str),
    /// More than [`RECIPIENTS_MAX`] recipients.
    TooMany,
}

impl fmt::Display for DsnError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotADsn => f.write_str("no delivery status notification"),
            Self::Message(error) => error.fmt(f),
            Self::NoStatus => f.write_str("no delivery status in it"),
            Self::TooLarge => f.write_str("delivery status too large"),
            Self::Missing(what) => write!(f, "{what} is missing"),
            Self::Twice(what) => write!(f, "{what} is there twice"),
            Self::BadValue(what) => write!(f, "{what} has an impossible value"),
            Self::TooMany => f.write_str("too many recipients"),
        }
    }
}

impl std::error::Error for DsnError {}

/// A notification of somebody else. Its values are theirs: only their form is checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParsedDsn {
    /// `Reporting-MTA` without its type.
    pub reporting_mta: String,
    /// `Original-Envelope-Id`: the `ENVID` that we gave. RFC 3464 §2.2.1.
    pub envid: Option<String>,
    /// Message-ID of the returned message, without `<>`, in the form that can be compared.
    pub original_message_id: Option<String>,
    /// At least one.
    pub recipients: Vec<ParsedRecipient>,
}

/// What somebody says became of a message for a recipient.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParsedRecipient {
    /// Whom we sent to, if they say it: the address of `Original-Recipient`.
    pub original_rcpt: Option<String>,
    /// Whom they tried to deliver to: the address of `Final-Recipient`.
    pub final_rcpt: String,
    /// What happened.
    pub action: Action,
    /// The code for it.
    pub status: Status,
    /// The code at the start of an SMTP `Diagnostic-Code`.
    pub code: Option<u16>,
    /// The enhanced code after it.
    pub enhanced: Option<Status>,
    /// `Diagnostic-Code` without its type, or the comment of `Status`.
    pub text: String,
    /// `Remote-MTA` without its type.
    pub remote_mta: Option<String>,
}

/// Reads a notification.
///
/// Takes time linear in the size of the message, which is bounded by
/// [`MESSAGE_BYTES_MAX`](crate::MESSAGE_BYTES_MAX).
///
/// # Errors
///
/// If it is none, or lacks what RFC 3464 §2 wants.
pub fn parse<R: Read + Seek>(reader: &mut R) -> Result<ParsedDsn, DsnError> {
    let message = take_apart(reader).map_err(DsnError::Message)?;
    let (status, returned) = parts(&message)?;
    let status = read(reader, &message, status, STATUS_BYTES_MAX + 1)?;
    if status.len() as u64 > STATUS_BYTES_MAX {
        return Err(DsnError::TooLarge);
    }
    let original_message_id = match returned {
        Some(part) => returned_message_id(reader, &message, part)?,
        None => None,
    };
    let mut groups = groups(&status);
    let about = Group::new(groups.next().unwrap_or_default());
    let reporting_mta = after_type(&about.one("Reporting-MTA")?).to_owned();
    let envid = about.optional("Original-Envelope-Id")?;
    let mut recipients = Vec::new();
    for group in groups {
        if recipients.len() == RECIPIENTS_MAX {
            return Err(DsnError::TooMany);
        }
        recipients.push(recipient(&Group::new(group))?);
    }
    if recipients.is_empty() {
        return Err(DsnError::Missing("Final-Recipient"));
    }
    Ok(ParsedDsn { reporting_mta, envid, original_message_id, recipients })
}

/// The delivery status and what was returned of the message.
fn parts(message: &Message) -> Result<(&Part, Option<&Part>), DsnError> {
    let root = &message.root;
    let report_type = mox_mime::param(&root.params, "report-type").unwrap_or_default();
    if !is_type(root, "multipart", &["report"])
        || !report_type.eq_ignore_ascii_case("delivery-status")
    {
        return Err(DsnError::NotADsn);
    }
    let status = root.parts.get(1).ok_or(DsnError::NoStatus)?;
    if !is_type(status, "message", &["delivery-status", "global-delivery-status"]) {
        return Err(DsnError::NoStatus);
    }
    Ok((status, root.parts.get(2)))
}

fn is_type(part: &Part, kind: &str, subtypes: &[&str]) -> bool {
    part.media_type.eq_ignore_ascii_case(kind)
        && subtypes.iter().any(|subtype| part.media_subtype.eq_ignore_ascii_case(subtype))
}

fn read<R: Read + Seek>(
    reader: &mut R,
    message: &Message,
    part: &Part,
    bytes_max: u64,
) -> Result<Vec<u8>, DsnError> {
    let fault = |error: std::io::Error| DsnError::Message(ReportError::Read(error.kind()));
    let part = PartAt::root(message).child(part);
    let mut bytes = Vec::new();
    let decoded = part.open_decoded(reader).map_err(fault)?;
    decoded.take(bytes_max).read_to_end(&mut bytes).map_err(fault)?;
    Ok(bytes)
}

/// The Message-ID in the third part, which is a message or a header. RFC 6522 §3, RFC 6533 §4.
fn returned_message_id<R: Read + Seek>(
    reader: &mut R,
    message: &Message,
    part: &Part,
) -> Result<Option<String>, DsnError> {
    let is_header = is_type(part, "text", &["rfc822-headers"])
        || is_type(part, "message", &["rfc822", "global", "global-headers"]);
    if !is_header {
        return Ok(None);
    }
    let header = read(reader, message, part, RETURNED_HEADER_BYTES_MAX)?;
    let id = first_field(&header, "Message-ID").and_then(canonical_message_id);
    Ok(id.map(|id| id.id))
}

/// Groups of fields are parted by blank lines. RFC 3464 §2.1.
fn groups(status: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = status;
    std::iter::from_fn(move || {
        rest = skip_blank_lines(rest);
        if rest.is_empty() {
            return None;
        }
        let mut end = 0;
        for line in rest.split_inclusive(|b| *b == b'\n') {
            if line.trim_ascii().is_empty() {
                break;
            }
            end += line.len();
        }
        let (group, after) = rest.split_at_checked(end)?;
        rest = after;
        Some(group)
    })
}

fn skip_blank_lines(mut rest: &[u8]) -> &[u8] {
    while let Some(line) = rest.split_inclusive(|b| *b == b'\n').next() {
        if !line.trim_ascii().is_empty() {
            break;
        }
        rest = rest.get(line.len()..).unwrap_or_default();
    }
    rest
}

/// The fields about the message, or about one recipient.
struct Group<'a>(Vec<(&'a [u8], &'a [u8])>);

impl<'a> Group<'a> {
    fn new(lines: &'a [u8]) -> Self {
        let fields = fields(lines).take(FIELDS_MAX);
        Self(fields.map(|field| (field.name, field.value)).collect())
    }

    fn optional(&self, name: &'static str) -> Result<Option<String>, DsnError> {
        let mut found = self.0.iter().filter(|(n, _)| n.eq_ignore_ascii_case(name.as_bytes()));
        let Some((_, value)) = found.next() else { return Ok(None) };
        if found.next().is_some() {
            return Err(DsnError::Twice(name));
        }
        let value = String::from_utf8_lossy(&unfold(value)).trim().to_owned();
        Ok(Some(value.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()))
    }

    fn one(&self, name: &'static str) -> Result<String, DsnError> {
        self.optional(name)?.filter(|value| !value.is_empty()).ok_or(DsnError::Missing(name))
    }
}

fn recipient(group: &Group<'_>) -> Result<ParsedRecipient, DsnError> {
    let final_rcpt = address_of(&group.one("Final-Recipient")?);
    let action = group.one("Action")?;
    let action = Action::from_word(without_comments(&action).trim());
    let action = action.ok_or(DsnError::BadValue("Action"))?;
    let status_text = group.one("Status")?;
    let status = Status::parse(without_comments(&status_text).trim());
    let status = status.ok_or(DsnError::BadValue("Status"))?;
    let diagnostic = group.optional("Diagnostic-Code")?;
    let smtp = diagnostic.as_deref().filter(|text| {
        let kind = text.split_once(';').map_or("", |(kind, _)| kind);
        kind.trim().eq_ignore_ascii_case("smtp")
    });
    let (code, enhanced) = smtp.map(codes).unwrap_or_default();
    let comment = || status_text.split_once('(').map(|(_, rest)| rest.trim_end_matches(')'));
    let text = match &diagnostic {
        Some(text) => after_type(text).to_owned(),
        None => comment().unwrap_or_default().to_owned(),
    };
    let original_rcpt = group.optional("Original-Recipient")?.map(|value| address_of(&value));
    let remote_mta = group.optional("Remote-MTA")?;
    let remote_mta = remote_mta.map(|value| after_type(&value).to_owned());
    Ok(ParsedRecipient {
        original_rcpt,
        final_rcpt,
        action,
        status,
        code,
        enhanced,
        text,
        remote_mta,
    })
}

/// `NNN x.y.z …` or `NNN-x.y.z …` after `smtp;`.
fn codes(diagnostic: &str) -> (Option<u16>, Option<Status>) {
    let mut words = after_type(diagnostic).split([' ', '-']).filter(|word| !word.is_empty());
    let code = words.next().filter(|word| word.len() == 3);
    let code = code.and_then(|word| word.parse().ok()).filter(|code| (200..600).contains(code));
    let enhanced = words.next().and_then(Status::parse);
    let is_same_class = |status: &Status| code.is_some_and(|c| c / 100 == u16::from(status.class));
    (code, enhanced.filter(is_same_class))
}

/// What stands after `type;`.
fn after_type(value: &str) -> &str {
    value.split_once(';').map_or(value, |(_, rest)| rest).trim()
}

/// Comments may stand anywhere in these two fields; nested ones end with the outermost.
fn without_comments(value: &str) -> String {
    let mut depth = 0_usize;
    value
        .chars()
        .filter(|c| {
            let was_outside = depth == 0;
            match c {
                '(' => depth += 1,
                ')' => depth = depth.saturating_sub(1),
                _ => {}
            }
            was_outside && depth == 0 && *c != ')'
        })
        .collect()
}
