//! Which command is legal in which state, all of them. RFC 9051 §3, RFC 9051 §6.
#![expect(clippy::panic, reason = "a failed set-up should fail the test")]

use mox_base::{MailboxId, ModSeq, UidValidity};
use mox_imap::session::{Action, Op, Outcome, Session, Settings, Snapshot};
use mox_imap::types::UidMap;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum At {
    NotAuthenticated,
    Authenticated,
    Selected,
}

use At::{Authenticated, NotAuthenticated, Selected};

/// A command with good arguments, and the states it is legal in.
const COMMANDS: &[(&str, &[At])] = &[
    ("CAPABILITY", &[NotAuthenticated, Authenticated, Selected]),
    ("NOOP", &[NotAuthenticated, Authenticated, Selected]),
    ("LOGOUT", &[NotAuthenticated, Authenticated, Selected]),
    ("ID NIL", &[NotAuthenticated, Authenticated, Selected]),
    ("STARTTLS", &[NotAuthenticated]),
    ("AUTHENTICATE PLAIN", &[NotAuthenticated]),
    ("LOGIN a b", &[NotAuthenticated]),
    ("ENABLE x", &[Authenticated, Selected]),
    ("SELECT x", &[Authenticated, Selected]),
    ("EXAMINE x", &[Authenticated, Selected]),
    ("CREATE x", &[Authenticated, Selected]),
    ("DELETE x", &[Authenticated, Selected]),
    ("RENAME x y", &[Authenticated, Selected]),
    ("SUBSCRIBE x", &[Authenticated, Selected]),
    ("UNSUBSCRIBE x", &[Authenticated, Selected]),
    ("LIST \"\" *", &[Authenticated, Selected]),
    ("LSUB \"\" *", &[Authenticated, Selected]),
    ("NAMESPACE", &[Authenticated, Selected]),
    ("STATUS x (MESSAGES)", &[Authenticated, Selected]),
    ("APPEND x {1}", &[Authenticated, Selected]),
    ("NOTIFY NONE", &[Authenticated, Selected]),
    ("IDLE", &[Authenticated, Selected]),
    ("COMPRESS DEFLATE", &[Authenticated, Selected]),
    ("UNAUTHENTICATE", &[Authenticated, Selected]),
    ("ESEARCH IN (personal) ALL", &[Authenticated, Selected]),
    ("CANCELUPDATE \"a\"", &[Selected]),
    ("GENURLAUTH imap://x@h/x/;UID=1;URLAUTH=anonymous INTERNAL", &[Authenticated, Selected]),
    ("RESETKEY", &[Authenticated, Selected]),
    ("URLFETCH x", &[Authenticated, Selected]),
    ("CHECK", &[Selected]),
    ("CLOSE", &[Selected]),
    ("UNSELECT", &[Selected]),
    ("EXPUNGE", &[Selected]),
    ("SEARCH ALL", &[Selected]),
    ("FETCH 1 UID", &[Selected]),
    ("STORE 1 FLAGS ()", &[Selected]),
    ("COPY 1 x", &[Selected]),
    ("MOVE 1 x", &[Selected]),
    ("UID EXPUNGE 1", &[Selected]),
    ("UID SEARCH ALL", &[Selected]),
    ("UID FETCH 1 UID", &[Selected]),
    ("UID STORE 1 FLAGS ()", &[Selected]),
    ("UID COPY 1 x", &[Selected]),
    ("UID MOVE 1 x", &[Selected]),
    ("REPLACE 1 x {1}", &[Selected]),
    ("UID REPLACE 1 x {1}", &[Selected]),
];

fn session_at(at: At) -> Session {
    let settings = Settings { plaintext_allowed: true, can_start_tls: true, ..Settings::default() };
    let mut session = Session::new(settings);
    session.greet((at > NotAuthenticated).then_some("mjl"));
    if at == Selected {
        let action = session.receive(&mut &b"x SELECT Inbox\r\n"[..]);
        assert!(matches!(action, Action::Perform(Op::Select(_))));
        let action = session.complete(Outcome::Selected(Box::new(Snapshot {
            mailbox: MailboxId(1),
            uidvalidity: UidValidity::MIN,
            uidnext: 2,
            highest_modseq: ModSeq::default(),
            keywords: Vec::new(),
            uids: [mox_base::Uid::MIN].into_iter().collect::<UidMap>(),
            first_unseen: None,
            qresync: None,
        })));
        assert_eq!(action, Action::Read);
    }
    session.clear_output();
    session
}

/// What the session says to a line, and what it does then.
fn say(session: &mut Session, line: &str) -> (String, Action) {
    let line = format!("a {line}\r\n");
    let mut input = line.as_bytes();
    let action = session.receive(&mut input);
    assert!(input.is_empty(), "{line}");
    let said = std::mem::take(session.output());
    match String::from_utf8(said) {
        Ok(said) => (said, action),
        Err(error) => panic!("{line}: {error}"),
    }
}

#[track_caller]
fn check(at: At, line: &str, is_legal: bool) {
    let (said, action) = say(&mut session_at(at), line);
    let refused = said.contains("not allowed in this connection state");
    assert_eq!(refused, !is_legal, "{at:?} {line}: {said}");
    if refused {
        // The answer is NO, not BAD, and echoes the command.
        let name = line.split(' ').take(if line.starts_with("UID") { 2 } else { 1 });
        let name = name.collect::<Vec<_>>().join(" ");
        assert_eq!(said, format!("a NO {name} not allowed in this connection state\r\n"));
        assert_eq!(action, Action::Read);
    } else {
        assert!(!said.contains("BAD"), "{at:?} {line}: {said}");
    }
}

#[test]
fn every_command_in_every_state() {
    for &(line, legal) in COMMANDS {
        for at in [NotAuthenticated, Authenticated, Selected] {
            check(at, line, legal.contains(&at));
            // Names are case-insensitive.
            if at == Selected && legal.contains(&at) {
                let (said, _) = say(&mut session_at(at), &line.to_ascii_lowercase());
                assert!(!said.contains("BAD"), "{line}: {said}");
            }
        }
    }
}

/// Every command that takes arguments refuses none, and every command a stray one, with BAD.
#[test]
fn stray_and_missing_arguments_are_bad() {
    for &(line, legal) in COMMANDS {
        let at = legal.last().copied().unwrap_or(Selected);
        if line.starts_with("APPEND") {
            continue;
        }
        for wrong in [format!("{line} \\"), format!("{line} "), format!("{line}\0")] {
            let mut session = session_at(at);
            let (said, action) = say(&mut session, "NOOP");
            assert!(said.starts_with("a OK") && action == Action::Read);
            let (said, action) = say(&mut session, &wrong);
            assert!(said.starts_with("a BAD "), "{wrong:?}: {said}");
            assert_eq!(action, Action::Read);
        }
        if let Some((name, _)) = line.rsplit_once(' ').filter(|(name, _)| !name.contains(' ')) {
            let (said, _) = say(&mut session_at(at), name);
            assert!(said.starts_with("a BAD "), "{name}: {said}");
        }
    }
}

/// Commands of RFCs that we do not speak, and of none.
#[test]
fn unknown_commands_are_bad() {
    for line in ["GETACL x", "UID NOOP", "UID", "X-PING", "XLIST \"\" *", "X"] {
        let mut session = session_at(Selected);
        assert!(say(&mut session, "NOOP").0.starts_with("a OK"));
        let (said, action) = say(&mut session, line);
        assert!(said.starts_with("a BAD "), "{line}: {said}");
        assert_eq!(action, Action::Read);
    }
}

/// A line that never ends is not kept: RFC 9051 §4 leaves limits to us. It was closed without the BYE
/// that RFC 9051 §3.4 wants.
#[test]
fn a_line_beyond_the_limit_ends_the_session() {
    let mut session = session_at(Authenticated);
    let flood = vec![b'x'; mox_imap::wire::LINE_BYTES_MAX + 1];
    assert_eq!(session.receive(&mut &flood[..]), Action::Close);
    assert_eq!(std::mem::take(session.output()), b"* BYE line too long\r\n");
    assert_eq!(session.receive(&mut &b"a NOOP\r\n"[..]), Action::Close);
}
