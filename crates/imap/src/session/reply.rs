//! Tagged replies: what they say, and when changes go out before them.

use super::op::Refusal;
use super::tell::Resume;
use super::{Action, Answered, Session, State, Tagged, Waiting, metadata};
use crate::parser::{Expected, ParseError};
use crate::print::{self, Code, Status};
use crate::types::{Name, NumSet};

impl Session {
    /// `tag OK CMD done`.
    pub(super) fn done(&mut self, cmd: Tagged) -> Action {
        let text = format!("{} done", cmd.spelling);
        self.ok(cmd, None, &text)
    }

    /// `tag OK [CODE] text`, after the changes of others where the command allows them.
    pub(super) fn ok(&mut self, cmd: Tagged, code: Option<Code>, text: &str) -> Action {
        let code = self.code_or_cut(&cmd, code);
        let Tagged { tag, name, .. } = cmd;
        self.reply(name, Status::Ok, |out| print::tagged(out, &tag, Status::Ok, code, text))
    }

    /// `tag OK [code] text` with a code that has arguments, printed by the caller.
    pub(super) fn ok_with(
        &mut self,
        cmd: Tagged,
        code: impl FnOnce(&mut Vec<u8>),
        text: &str,
    ) -> Action {
        self.print_cut(&cmd);
        let Tagged { tag, name, .. } = cmd;
        self.reply(name, Status::Ok, |out| {
            out.extend_from_slice(tag.as_bytes());
            out.extend_from_slice(b" OK [");
            code(out);
            out.extend_from_slice(b"] ");
            out.extend_from_slice(text.as_bytes());
            out.extend_from_slice(b"\r\n");
        })
    }

    /// `tag NO [code] CMD text` with a code that has arguments, printed by the caller.
    pub(super) fn no_with(
        &mut self,
        cmd: Tagged,
        code: impl FnOnce(&mut Vec<u8>),
        text: &str,
    ) -> Action {
        let Tagged { tag, spelling, name, .. } = cmd;
        self.reply(name, Status::No, |out| {
            out.extend_from_slice(tag.as_bytes());
            out.extend_from_slice(b" NO [");
            code(out);
            out.extend_from_slice(format!("] {spelling} {text}\r\n").as_bytes());
        })
    }

    /// `tag NO [CODE] CMD text`.
    pub(super) fn no(&mut self, cmd: Tagged, code: Option<Code>, text: &str) -> Action {
        let Tagged { tag, spelling, name, .. } = cmd;
        let text = format!("{spelling} {text}");
        self.reply(name, Status::No, |out| print::tagged(out, &tag, Status::No, code, &text))
    }

    /// `tag BAD [CODE] CMD unrecognized syntax/command: text`.
    pub(super) fn bad(&mut self, cmd: Tagged, code: Option<Code>, text: &str) -> Action {
        let Tagged { tag, spelling, name, .. } = cmd;
        let text = format!("{spelling} unrecognized syntax/command: {text}");
        self.reply(name, Status::Bad, |out| print::tagged(out, &tag, Status::Bad, code, &text))
    }

    /// Ends the command, telling the client of changes by others first.
    ///
    /// RFC 9051 §7.5.1: not where that could shift message numbers while they are in use. The
    /// command has been carried out by now, so that its numbers meant what the client knew. After
    /// SELECT there is nothing to tell.
    fn reply(&mut self, name: Name, status: Status, print: impl FnOnce(&mut Vec<u8>)) -> Action {
        self.answered = Some(Answered { name: Some(name), status });
        let may_tell = !name.freezes_numbers() && !matches!(name, Name::Select | Name::Examine);
        if may_tell && (self.has_changes(false) || self.has_aged_results()) {
            let mut reply = Vec::new();
            print(&mut reply);
            return self.tell(Resume::Reply(reply));
        }
        print(&mut self.out);
        self.next_command()
    }

    /// BAD for message numbers of a client that has given them up. It goes on with UIDs, connected.
    /// RFC 9586 §3.
    pub(super) fn uid_required(&mut self, cmd: Tagged) -> Action {
        self.bad(cmd, Some(Code::UidRequired), "message numbers after enable uidonly, use uids")
    }

    /// A command whose arguments could not be parsed.
    pub(super) fn bad_syntax(&mut self, cmd: Tagged, error: ParseError) -> Action {
        if matches!(error.expected, Expected::Charset | Expected::CharsetToSave) {
            if let (Expected::CharsetToSave, State::Selected(view)) =
                (error.expected, &mut self.state)
            {
                view.saved = NumSet::new();
            }
            return self.no(cmd, Some(Code::BadCharset), &error.to_string());
        }
        self.bad(cmd, None, &error.to_string())
    }

    /// NO, or BAD, for what the driver refused.
    pub(super) fn refuse(&mut self, cmd: Tagged, refusal: &Refusal) -> Action {
        if *refusal == Refusal::BadSaslMessage {
            return self.bad(cmd, None, "bad authentication message");
        }
        if let Refusal::BadUrl(url) = refusal {
            let code = |out: &mut Vec<u8>| print::bad_url(out, url);
            return self.no_with(cmd, code, "url names nothing that can be had");
        }
        let (code, text) = reply(refusal, cmd.name);
        if let Refusal::LoginDisabled(message) = refusal {
            return self.no(cmd, code, &format!("{text}: {message}"));
        }
        self.no(cmd, code, text)
    }

    /// The command is over.
    pub(super) fn next_command(&mut self) -> Action {
        self.waiting = Waiting::Command;
        Action::Read
    }
}

/// What a client is told of a refusal. RFC 9051 §7.1, RFC 5530 §3.
fn reply(refusal: &Refusal, name: Name) -> (Option<Code>, &'static str) {
    if let Some((code, text)) = metadata::code(refusal) {
        return (Some(code), text);
    }
    let to_target = matches!(
        name,
        Name::Append
            | Name::Replace
            | Name::UidReplace
            | Name::GetMetadata
            | Name::SetMetadata
            | Name::Copy
            | Name::UidCopy
            | Name::Move
            | Name::UidMove
    );
    match refusal {
        Refusal::BadCredentials => (Some(Code::AuthenticationFailed), "bad credentials"),
        Refusal::NotAuthorized => (Some(Code::AuthorizationFailed), "not allowed for this user"),
        Refusal::LoginDisabled(_) => (None, "login disabled for account"),
        Refusal::UnknownMechanism => (None, "method not supported"),
        Refusal::BadSaslMessage => (None, "bad authentication message"),
        Refusal::MechanismUnusable => (None, "authentication not possible with this method"),
        // RFC 9051 §6.4.7: the client may create the mailbox and try again.
        Refusal::NoSuchMailbox if to_target => (Some(Code::TryCreate), "no such mailbox"),
        Refusal::NoSuchMailbox if matches!(name, Name::Select | Name::Examine) => {
            (None, "no such mailbox")
        }
        Refusal::NoSuchMailbox => (Some(Code::NonExistent), "no such mailbox"),
        Refusal::BadMailboxName => (Some(Code::Cannot), "bad mailbox name"),
        Refusal::MailboxExists => (Some(Code::AlreadyExists), "mailbox already exists"),
        Refusal::HasChildren => (Some(Code::HasChildren), "mailbox has children"),
        Refusal::IsInbox => (None, "not possible with inbox"),
        Refusal::NotSubscribed => (None, "not subscribed"),
        Refusal::MailboxGone => (Some(Code::NonExistent), "mailbox has been deleted"),
        Refusal::SameMailbox => (None, "cannot copy or move to the selected mailbox"),
        Refusal::OverQuota => (Some(Code::OverQuota), "account over maximum total message size"),
        Refusal::EmptyMessage => (None, "empty message, cancelling append"),
        // RFC 4469 §4.2.
        Refusal::MessageTooBig => (Some(Code::TooBig), "message too big"),
        Refusal::BadUrl(_) => (None, "bad url"),
        Refusal::MessageGone => (None, "message to be replaced has been expunged"),
        Refusal::TooManyAnnotations | Refusal::AnnotationsTooLarge(_) => (None, "too much"),
        Refusal::Limit(what) => (Some(Code::Limit), what),
        Refusal::NoPermission => (Some(Code::NoPerm), "not allowed in this mailbox"),
        Refusal::TooManyMessages(limit) => {
            let code = Code::MessageLimit { limit: *limit, lowest: None };
            (Some(code), "too many messages in one command")
        }
        Refusal::NoSuchPart => (None, "processing fetch attribute: no such part"),
        Refusal::UnknownEncoding => (Some(Code::UnknownCte), "unknown content-transfer-encoding"),
        Refusal::Unavailable => (Some(Code::Unavailable), "try again later"),
        Refusal::Failed => (Some(Code::ServerBug), "internal error"),
    }
}
