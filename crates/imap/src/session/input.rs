//! From a line or an announced literal to the command's own file.
//!
//! Source: RFC 9051 §2.2.1, RFC 9051 §3, RFC 7888 §4.

use mox_base::MailboxName;

use super::{
    Action, Answered, Op, Pending, Session, State, Tagged, View, Waiting, append, auth, capability,
    compress, context, fetch, filters, list, mailbox, metadata, move_messages, multisearch, notify,
    quota, search, select, thread, unauthenticate, url_auth,
};
use crate::parser::{self, Options, ParseError};
use crate::print::{self, Code, Status};
use crate::types::{Command, LegalIn, MailboxArg, Name};
use crate::wire::Literal;

impl Session {
    pub(super) fn line(&mut self) -> Action {
        match std::mem::replace(&mut self.waiting, Waiting::Closed) {
            Waiting::Command => {
                self.waiting = Waiting::Command;
                self.command()
            }
            Waiting::AuthLine(cmd) => auth::response(self, cmd),
            Waiting::Idle(cmd) if self.reader.command().eq_ignore_ascii_case(b"DONE") => {
                self.done(cmd)
            }
            Waiting::AppendText(cmd, append) => append::end(self, cmd, append),
            // Client and server are out of step. RFC 9051 §7.1.5: the reason comes before the end.
            Waiting::Idle(_) => self.bye("expected DONE"),
            Waiting::Outcome(..) | Waiting::Telling(..) | Waiting::Closed => self.close(),
        }
    }

    /// A literal was announced: is it wanted?
    pub(super) fn literal(&mut self, literal: Literal) -> Action {
        match std::mem::replace(&mut self.waiting, Waiting::Command) {
            Waiting::AppendText(cmd, append) => append::next(self, cmd, append, literal),
            Waiting::Command => self.literal_of_command(literal),
            _ => self.close(),
        }
    }

    /// The tag and name of the command in the reader, if it is legal now; else it is answered.
    fn legal_command(&mut self) -> Result<Tagged, Action> {
        // Only the head is looked at and copied: this is done again for each literal.
        let head = match parser::head(self.reader.command()) {
            Ok(head) => (head.tag.to_owned(), head.spelling.to_owned(), head.name),
            Err((tag, error)) => {
                let tag = tag.map(str::to_owned);
                return Err(self.not_understood(tag.as_deref(), &error));
            }
        };
        let (tag, spelling, Some(name)) = head else { return Err(self.unknown(&head.0, &head.1)) };
        self.has_spoken = true;
        let cmd = Tagged { tag, spelling, name, cut_at: None };
        if self.is_legal(name) {
            Ok(cmd)
        } else {
            Err(self.no(cmd, None, "not allowed in this connection state"))
        }
    }

    fn literal_of_command(&mut self, literal: Literal) -> Action {
        let cmd = match self.legal_command() {
            Ok(cmd) => cmd,
            Err(action) => return self.after_refused(literal, action),
        };
        if cmd.name.takes_messages() {
            match parser::append_head(self.reader.command(), self.options()) {
                Ok(None) => {}
                Ok(Some(parsed)) => return append::start(self, cmd, parsed, Some(literal)),
                Err(error) => {
                    let action = self.bad_syntax(cmd, error);
                    return self.after_refused(literal, action);
                }
            }
        }
        if self.reader.accept().is_err() {
            return self.too_big(cmd, literal);
        }
        if literal.is_sync {
            self.continuation(b"");
        }
        Action::Read
    }

    /// A command was answered although its literal did not come yet: a client that waits for `+ `
    /// will not send it, another is sending it already and cannot be understood any more.
    fn after_refused(&mut self, literal: Literal, action: Action) -> Action {
        self.reader.reset();
        // RFC 9051 §3.4: not without a BYE.
        if literal.is_sync { action } else { self.bye("literal of a refused command") }
    }

    pub(super) fn too_big(&mut self, cmd: Tagged, literal: Literal) -> Action {
        const TEXT: &str = "literal too big";
        if !literal.is_sync {
            print::untagged(&mut self.out, &format!("BYE [ALERT] {TEXT}"));
        }
        let action = self.bad(cmd, Some(Code::TooBig), TEXT);
        self.reader.reset();
        if literal.is_sync { action } else { self.close() }
    }

    pub(super) fn options(&self) -> Options {
        Options { utf8: self.enabled.utf8(), pedantic: self.settings.is_pedantic }
    }

    fn command(&mut self) -> Action {
        let cmd = match self.legal_command() {
            Ok(cmd) => cmd,
            Err(action) => return action,
        };
        if cmd.name.takes_messages() {
            return match parser::append_head(self.reader.command(), self.options()) {
                Ok(Some(parsed)) => append::start(self, cmd, parsed, None),
                Ok(None) => self.driver_fault("a literal at the end of APPEND"),
                Err(error) => self.bad_syntax(cmd, error),
            };
        }
        if self.enabled.uidonly && cmd.name.uses_numbers() {
            return self.uid_required(cmd);
        }
        let text = self.reader.command();
        let arguments = parser::head(text)
            .map_err(|(_, error)| error)
            .and_then(|head| parser::arguments(&head, text, self.options()));
        match arguments {
            Ok(command) => self.dispatch(cmd, command),
            Err(error) => self.bad_syntax(cmd, error),
        }
    }

    pub(super) fn dispatch(&mut self, cmd: Tagged, mut command: Command) -> Action {
        if filters::has_filters(&mut command) {
            return filters::look_up(self, cmd, command);
        }
        match command {
            Command::Plain => self.dispatch_plain(cmd),
            Command::Id(_) => capability::id(self, cmd, &command),
            Command::Authenticate(auth) => auth::authenticate(self, cmd, auth),
            Command::Login(login) => auth::login(self, cmd, login),
            Command::Enable(names) => capability::enable(self, cmd, &names),
            Command::Compress(algorithm) => compress::compress(self, cmd, &algorithm),
            Command::Select(select) => select::select(self, cmd, select),
            Command::Create(create) => mailbox::create(self, cmd, create),
            Command::Mailbox(mailbox) if cmd.name == Name::GetQuotaRoot => {
                quota::get_root(self, cmd, &mailbox)
            }
            Command::Mailbox(mailbox) => mailbox::on_name(self, cmd, &mailbox),
            Command::GetMetadata(get) => metadata::get(self, cmd, get),
            Command::SetMetadata(set) => metadata::set(self, cmd, set),
            Command::GetQuota(root) => quota::get(self, cmd, &root),
            Command::SetQuota => quota::set(self, cmd),
            Command::Rename { from, to } => mailbox::rename(self, cmd, &from, &to),
            Command::List(list) => list::list(self, cmd, list),
            Command::Lsub { reference, pattern } => {
                let op = Op::List { with_status: false, with_metadata: false };
                self.perform(cmd, Pending::Lsub(reference, pattern), op)
            }
            Command::Status { mailbox, items } => mailbox::status(self, cmd, &mailbox, items),
            Command::GenUrlAuth(urls) => url_auth::generate(self, cmd, urls),
            Command::ResetKey { mailbox, mechanisms } => {
                url_auth::reset(self, cmd, mailbox.as_ref(), &mechanisms)
            }
            Command::UrlFetch(urls) => url_auth::fetch(self, cmd, urls),
            Command::Notify(notify) => notify::notify(self, cmd, notify),
            Command::UidExpunge(set) => move_messages::expunge(self, cmd, Some(&set)),
            Command::Search(search) => search::search(self, cmd, search),
            Command::CancelUpdate(tags) => context::cancel(self, cmd, &tags),
            Command::MultiSearch(search) => multisearch::esearch(self, cmd, search),
            Command::Thread(thread) => thread::thread(self, cmd, thread),
            Command::Fetch(fetch) => fetch::fetch(self, cmd, fetch),
            Command::Store(store) => fetch::store(self, cmd, store),
            Command::Copy { set, mailbox } => move_messages::copy(self, cmd, &set, &mailbox),
        }
    }

    fn dispatch_plain(&mut self, cmd: Tagged) -> Action {
        match cmd.name {
            Name::Capability => capability::capability(self, cmd),
            Name::Logout => {
                print::untagged(&mut self.out, "BYE thanks");
                let text = format!("{} done", cmd.spelling);
                print::tagged(&mut self.out, &cmd.tag, Status::Ok, None, &text);
                self.answered = Some(Answered { name: Some(cmd.name), status: Status::Ok });
                self.close()
            }
            Name::Unauthenticate => unauthenticate::unauthenticate(self, cmd),
            Name::StartTls => auth::start_tls(self, cmd),
            Name::Namespace => {
                // RFC 9051 §6.3.10: one personal namespace, no others.
                print::untagged(&mut self.out, "NAMESPACE ((\"\" \"/\")) NIL NIL");
                self.done(cmd)
            }
            Name::Idle => {
                self.out.extend_from_slice(b"+ waiting\r\n");
                self.waiting = Waiting::Idle(cmd);
                self.poll()
            }
            Name::Check => match self.view().map(View::mailbox) {
                Some(mailbox) => self.perform(cmd, Pending::Plain, Op::Check(mailbox)),
                None => self.done(cmd),
            },
            Name::Close | Name::Unselect => select::close(self, cmd),
            Name::Expunge => move_messages::expunge(self, cmd, None),
            _ => self.done(cmd),
        }
    }

    pub(super) fn is_legal(&self, name: Name) -> bool {
        match (name.legal_in(), &self.state) {
            (LegalIn::Any, _) | (LegalIn::Selected, State::Selected(_)) => true,
            (LegalIn::NotAuthenticated, state) => !state.is_authenticated(),
            (LegalIn::Authenticated, state) => state.is_authenticated(),
            (LegalIn::Selected, _) => false,
        }
    }

    /// Checks a mailbox name, or answers the command. As the original: NO [CANNOT].
    pub(super) fn mailbox_name(
        &mut self,
        cmd: Tagged,
        arg: &MailboxArg,
    ) -> Result<(Tagged, MailboxName), Action> {
        match MailboxName::parse(&arg.0) {
            Ok(name) => Ok((cmd, name)),
            Err(error) => Err(self.no(cmd, Some(Code::Cannot), &error.to_string())),
        }
    }

    /// `+ ` and base64 or text. RFC 9051 §7.6.
    pub(super) fn continuation(&mut self, text: &[u8]) {
        self.out.extend_from_slice(b"+ ");
        self.out.extend_from_slice(text);
        self.out.extend_from_slice(b"\r\n");
    }

    fn unknown(&mut self, tag: &str, spelling: &str) -> Action {
        if !self.has_spoken {
            return self.bye("please try again speaking imap");
        }
        let text = format!("{spelling} unrecognized syntax/command: unknown command {spelling:?}");
        print::tagged(&mut self.out, tag, Status::Bad, None, &text);
        self.answered = Some(Answered { name: None, status: Status::Bad });
        self.next_command()
    }

    fn not_understood(&mut self, tag: Option<&str>, error: &ParseError) -> Action {
        if !self.has_spoken {
            return self.bye("please try again speaking imap");
        }
        let text = format!("unrecognized syntax/command: {error}");
        print::tagged(&mut self.out, tag.unwrap_or("*"), Status::Bad, None, &text);
        self.answered = Some(Answered { name: None, status: Status::Bad });
        self.next_command()
    }
}
