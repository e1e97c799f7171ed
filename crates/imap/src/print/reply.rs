//! Status responses: OK, NO, BAD and BYE with their codes.
//!
//! Source: RFC 9051 §7.1.

use super::text::number;
use crate::types::EventSet;

/// How a command went. RFC 9051 §7.1.1 to §7.1.3.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// Well.
    Ok,
    /// Not, and the command was understood.
    No,
    /// Not understood.
    Bad,
}

impl Status {
    const fn word(self) -> &'static str {
        match self {
            Self::Ok => "OK",
            Self::No => "NO",
            Self::Bad => "BAD",
        }
    }
}

/// A response code. RFC 9051 §7.1, RFC 5530 §3.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are those of the RFCs")]
pub enum Code {
    Alert,
    AlreadyExists,
    AuthenticationFailed,
    AuthorizationFailed,
    BadCharset,
    /// With the events there are. RFC 5465 §5.
    BadEvent,
    Cannot,
    /// RFC 4978 §3.
    CompressionActive,
    ContactAdmin,
    ExpungeIssued,
    HasChildren,
    /// With the mod-sequence. RFC 7162 §3.1.2.
    HighestModSeq(u64),
    InUse,
    Limit,
    /// How many messages a command may work on, and the lowest UID it did work on. RFC 9738 §5.
    MessageLimit {
        limit: u32,
        lowest: Option<u32>,
    },
    NoPerm,
    /// Annotations take more than this many bytes. RFC 5464 §4.3.
    MetadataMaxSize(u64),
    /// RFC 5464 §4.3.
    MetadataTooMany,
    NonExistent,
    /// RFC 5465 §5.8.
    NotificationOverflow,
    OverQuota,
    PrivacyRequired,
    ReadOnly,
    ReadWrite,
    ServerBug,
    TooBig,
    TryCreate,
    Unavailable,
    /// RFC 9586 §3.
    UidRequired,
    UnknownCte,
    UseAttr,
}

impl Code {
    fn print(self, out: &mut Vec<u8>) {
        let text = match self {
            Self::Alert => "ALERT",
            Self::AlreadyExists => "ALREADYEXISTS",
            Self::AuthenticationFailed => "AUTHENTICATIONFAILED",
            Self::AuthorizationFailed => "AUTHORIZATIONFAILED",
            Self::BadCharset => "BADCHARSET (US-ASCII UTF-8)",
            Self::BadEvent => {
                out.extend_from_slice(b"BADEVENT (");
                for (index, name) in EventSet::names().enumerate() {
                    out.extend_from_slice(if index == 0 { b"" } else { b" " });
                    out.extend_from_slice(name.as_bytes());
                }
                return out.push(b')');
            }
            Self::Cannot => "CANNOT",
            Self::CompressionActive => "COMPRESSIONACTIVE",
            Self::ContactAdmin => "CONTACTADMIN",
            Self::ExpungeIssued => "EXPUNGEISSUED",
            Self::HasChildren => "HASCHILDREN",
            Self::HighestModSeq(modseq) => {
                out.extend_from_slice(b"HIGHESTMODSEQ ");
                return number(out, modseq);
            }
            Self::InUse => "INUSE",
            Self::Limit => "LIMIT",
            Self::MessageLimit { limit, lowest } => {
                out.extend_from_slice(b"MESSAGELIMIT ");
                number(out, limit);
                if let Some(uid) = lowest {
                    out.push(b' ');
                    number(out, uid);
                }
                return;
            }
            Self::NoPerm => "NOPERM",
            Self::MetadataMaxSize(max) => {
                out.extend_from_slice(b"METADATA MAXSIZE ");
                return number(out, max);
            }
            // The original has parentheses here; RFC 5464 §5 does not.
            Self::MetadataTooMany => "METADATA TOOMANY",
            Self::NonExistent => "NONEXISTENT",
            Self::NotificationOverflow => "NOTIFICATIONOVERFLOW",
            Self::OverQuota => "OVERQUOTA",
            Self::PrivacyRequired => "PRIVACYREQUIRED",
            Self::ReadOnly => "READ-ONLY",
            Self::ReadWrite => "READ-WRITE",
            Self::ServerBug => "SERVERBUG",
            Self::TooBig => "TOOBIG",
            Self::TryCreate => "TRYCREATE",
            Self::Unavailable => "UNAVAILABLE",
            Self::UidRequired => "UIDREQUIRED",
            Self::UnknownCte => "UNKNOWN-CTE",
            Self::UseAttr => "USEATTR",
        };
        out.extend_from_slice(text.as_bytes());
    }
}

/// `tag OK [CODE] text` CR LF.
///
/// Control characters in the text become `?`: it may hold words of the client, and a line end in
/// it would let the client write responses of its own.
pub fn tagged(out: &mut Vec<u8>, tag: &str, status: Status, code: Option<Code>, text: &str) {
    out.extend_from_slice(tag.as_bytes());
    out.push(b' ');
    out.extend_from_slice(status.word().as_bytes());
    out.push(b' ');
    if let Some(code) = code {
        out.push(b'[');
        code.print(out);
        out.extend_from_slice(b"] ");
    }
    // `resp-text = ["[" resp-text-code "]" SP] [text]`, and text has at least one character.
    let text = if text.is_empty() { "x" } else { text };
    out.extend(text.bytes().map(|byte| if byte.is_ascii_control() { b'?' } else { byte }));
    out.extend_from_slice(b"\r\n");
}

/// `* ` line CR LF; the line must hold no line end.
pub fn untagged(out: &mut Vec<u8>, line: &str) {
    debug_assert!(!line.bytes().any(|byte| byte.is_ascii_control()), "{line:?}");
    out.extend_from_slice(b"* ");
    out.extend_from_slice(line.as_bytes());
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(status: Status, code: Option<Code>, text: &str, want: &str) {
        let mut out = Vec::new();
        tagged(&mut out, "a1", status, code, text);
        assert_eq!(String::from_utf8(out).unwrap(), want);
    }

    /// RFC 9051 §7.1.
    #[test]
    fn replies_are_one_line() {
        check(Status::Ok, None, "NOOP done", "a1 OK NOOP done\r\n");
        check(Status::No, Some(Code::TryCreate), "x", "a1 NO [TRYCREATE] x\r\n");
        check(Status::Bad, Some(Code::TooBig), "", "a1 BAD [TOOBIG] x\r\n");
        let limit = |lowest| Some(Code::MessageLimit { limit: 1_000, lowest });
        check(Status::Ok, limit(Some(7)), "x", "a1 OK [MESSAGELIMIT 1000 7] x\r\n");
        check(Status::No, limit(None), "x", "a1 NO [MESSAGELIMIT 1000] x\r\n");
        check(Status::Ok, Some(Code::HighestModSeq(9)), "x", "a1 OK [HIGHESTMODSEQ 9] x\r\n");
        check(
            Status::No,
            Some(Code::BadEvent),
            "x",
            "a1 NO [BADEVENT (MessageNew MessageExpunge FlagChange MailboxName \
             SubscriptionChange MailboxMetadataChange ServerMetadataChange)] x\r\n",
        );
        check(Status::No, None, "a\r\n* BYE", "a1 NO a??* BYE\r\n");
    }
}
