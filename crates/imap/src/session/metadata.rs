//! GETMETADATA and SETMETADATA.
//!
//! Source: RFC 5464.

use mox_base::MailboxName;

use super::op::{GetMetadataOp, MetadataFound, Refusal};
use super::rights::{self, Right, Target};
use super::{Action, Op, Pending, Session, Tagged, filters};
use crate::print::{self, Code};
use crate::types::{GetMetadata, MailboxArg, MetadataValue, SetMetadata, check_settable_name};

/// GETMETADATA. RFC 5464 §4.2.
pub(super) fn get(session: &mut Session, cmd: Tagged, get: GetMetadata) -> Action {
    let (cmd, mailbox) = match target(session, cmd, get.mailbox, Right::Read) {
        Ok(target) => target,
        Err(action) => return action,
    };
    let op = GetMetadataOp {
        mailbox: mailbox.clone(),
        entries: get.entries,
        depth: get.depth.unwrap_or_default(),
        max_size: get.max_size,
    };
    session.perform(cmd, Pending::GetMetadata(mailbox), Op::GetMetadata(op))
}

/// The mailbox that is meant, `None` for the server.
fn target(
    session: &mut Session,
    cmd: Tagged,
    mailbox: Option<MailboxArg>,
    right: Right,
) -> Result<(Tagged, Option<MailboxName>), Action> {
    let Some(mailbox) = mailbox else { return Ok((cmd, None)) };
    let (cmd, name) = session.mailbox_name(cmd, &mailbox)?;
    let cmd = rights::permit(session, cmd, Target::Named(&name), right)?;
    Ok((cmd, Some(name)))
}

/// `tag OK [METADATA LONGENTRIES n]` if values were left out as too long. RFC 5464 §4.2.1.
pub(super) fn found(
    session: &mut Session,
    cmd: Tagged,
    mailbox: Option<&MailboxName>,
    found: &MetadataFound,
) -> Action {
    if !found.entries.is_empty() {
        let utf8 = session.enabled.utf8();
        print_values(&mut session.out, mailbox, &found.entries, utf8);
    }
    match found.longest_omitted {
        None => session.done(cmd),
        Some(size) => {
            let text = format!("{} done", cmd.spelling);
            let code = format!("METADATA LONGENTRIES {size}");
            session.ok_with(cmd, |out| out.extend_from_slice(code.as_bytes()), &text)
        }
    }
}

/// SETMETADATA. RFC 5464 §4.3.
pub(super) fn set(session: &mut Session, cmd: Tagged, set: SetMetadata) -> Action {
    if set.entries.iter().any(|(name, _)| check_settable_name(name).is_err()) {
        return session.no(cmd, None, "entries must be below /private/ or /shared/");
    }
    if let Err(why) = filters::check_set(&set) {
        return session.bad(cmd, None, why);
    }
    let (cmd, mailbox) = match target(session, cmd, set.mailbox, Right::Write) {
        Ok(target) => target,
        Err(action) => return action,
    };
    session.perform(cmd, Pending::Plain, Op::SetMetadata { mailbox, entries: set.entries })
}

/// `* METADATA mailbox (entry value …)`. RFC 5464 §4.4.1.
pub(super) fn print_values<'a>(
    out: &mut Vec<u8>,
    mailbox: Option<&MailboxName>,
    entries: impl IntoIterator<Item = &'a (String, Option<MetadataValue>)>,
    utf8: bool,
) {
    start(out, mailbox, utf8);
    out.extend_from_slice(b" (");
    for (index, (name, value)) in entries.into_iter().enumerate() {
        if index > 0 {
            out.push(b' ');
        }
        print::astring(out, name.as_bytes(), utf8);
        out.push(b' ');
        match value {
            None => out.extend_from_slice(b"NIL"),
            Some(value) if value.is_binary => {
                print::literal_start(out, value.bytes.len() as u64, true);
                out.extend_from_slice(&value.bytes);
            }
            Some(value) => print::string(out, &value.bytes, utf8),
        }
    }
    out.extend_from_slice(b")\r\n");
}

/// `* METADATA mailbox entry …`: which have changed, never to what. RFC 5464 §4.4.2.
pub(super) fn print_names(
    out: &mut Vec<u8>,
    mailbox: Option<&MailboxName>,
    names: &[String],
    utf8: bool,
) {
    start(out, mailbox, utf8);
    for name in names {
        out.push(b' ');
        print::astring(out, name.as_bytes(), utf8);
    }
    out.extend_from_slice(b"\r\n");
}

fn start(out: &mut Vec<u8>, mailbox: Option<&MailboxName>, utf8: bool) {
    out.extend_from_slice(b"* METADATA ");
    print::mailbox(out, mailbox.map_or("", MailboxName::as_str), utf8);
}

/// The values asked for with LIST: absent ones as NIL. RFC 9590 §3.
pub(super) fn print_listed(
    out: &mut Vec<u8>,
    mailbox: &MailboxName,
    asked: &[String],
    has: &[(String, MetadataValue)],
    utf8: bool,
) {
    let value = |name: &String| {
        let place = has.binary_search_by(|(known, _)| known.as_str().cmp(name)).ok();
        place.and_then(|place| has.get(place)).map(|(_, value)| value.clone())
    };
    let all: Vec<_> = asked.iter().map(|name| (name.clone(), value(name))).collect();
    print_values(out, Some(mailbox), &all, utf8);
}

/// Of all annotations of a mailbox, those that GETMETADATA asks for. For the driver.
#[must_use]
pub fn choose_metadata(op: &GetMetadataOp, all: Vec<(String, MetadataValue)>) -> MetadataFound {
    let mut found = MetadataFound::default();
    for (name, value) in all {
        let reaches = |asked: &String| op.depth.reaches(asked, &name);
        if !op.entries.iter().any(reaches) {
            continue;
        }
        let size = value.bytes.len() as u64;
        if op.max_size.is_some_and(|max| size > max) {
            found.longest_omitted = found.longest_omitted.max(Some(size));
        } else {
            found.entries.push((name, Some(value)));
        }
    }
    found
}

/// The codes of RFC 5464 §4.3 for too much.
pub(super) fn code(refusal: &Refusal) -> Option<(Code, &'static str)> {
    match refusal {
        Refusal::TooManyAnnotations => Some((Code::MetadataTooMany, "too many annotations")),
        Refusal::AnnotationsTooLarge(max) => {
            Some((Code::MetadataMaxSize(*max), "annotations too large"))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::MetadataDepth;

    /// RFC 5464 §4.2.1.
    #[test]
    fn long_values_are_left_out() {
        let value = |size: usize| MetadataValue { bytes: vec![b'x'; size], is_binary: false };
        let all = || vec![("/private/a".to_owned(), value(3)), ("/private/b".to_owned(), value(9))];
        let op = |max_size| GetMetadataOp {
            mailbox: None,
            entries: vec!["/private".to_owned()],
            depth: MetadataDepth::One,
            max_size,
        };
        assert_eq!(choose_metadata(&op(None), all()).entries.len(), 2);
        let found = choose_metadata(&op(Some(3)), all());
        assert_eq!((found.entries.len(), found.longest_omitted), (1, Some(9)));
        let found = choose_metadata(&op(Some(2)), all());
        assert_eq!((found.entries.len(), found.longest_omitted), (0, Some(9)));
    }
}
