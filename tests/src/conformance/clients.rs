//! How mail programs use IMAP: their sessions, line by line, against a whole server.
//!
//! The files in `tests/clients/` are written from what is publicly known of each program, with the
//! traps that servers have fallen into. `docs/clients.md` says how each trap is handled and names
//! the session that has it. `UPDATE=1` in the environment writes what the server said into the
//! files; what changed is to be read before it is kept.
//!
//! `== name [words]` begins a session with an account of its own: `tls` connects under TLS, `mail=3`
//! puts three messages into the Inbox before, `hides=A,B` hides capabilities from the account, and
//! `shows=A,B` shows which of these capabilities are announced.
//! `C:` is a line from the client, `+:` another in the same packet, `L:` a line of the literal whose
//! size stands for `{L}`, `S:` a response, `X:` a command that another session sends meanwhile, and
//! `D:` the number of a message that arrives. `E:` is the end of the connection. Line ends within a
//! response are shown as `⏎`, what differs from run to run as `…`.

use std::fs;
use std::path::PathBuf;

use super::login::base64;
use super::messages::plain;
use super::peer::Peer;
use super::site::{PASSWORD, Site, Subject};

/// What is followed by something that differs from run to run, and what ends that.
const VARYING: &[(&str, &[char])] = &[
    ("CAPABILITY ", &[']']),
    ("UIDVALIDITY ", &[']', ' ', ')']),
    ("APPENDUID ", &[' ']),
    ("COPYUID ", &[' ']),
    ("INTERNALDATE \"", &['"']),
    ("\"version\" \"", &['"']),
    ("HIGHESTMODSEQ ", &[']', ' ', ')']),
    ("MODSEQ (", &[')']),
    ("MAILBOXID (", &[')']),
];

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("clients")
}

/// The response with `…` for what differs; of capabilities, those to be shown are kept.
fn masked(response: &str, shows: &str) -> String {
    let mut text = response.replace("\r\n", "⏎");
    for (before, ends) in VARYING {
        let mut from = 0;
        while let Some(at) = text[from..].find(before) {
            let start = from + at + before.len();
            let len = text[start..].find(*ends).unwrap_or(text.len() - start);
            let mut instead = "…".to_owned();
            if *before == "CAPABILITY " {
                let is_there =
                    |name: &&str| text[start..start + len].split(' ').any(|n| n == *name);
                shows.split(',').filter(is_there).for_each(|name| instead += &format!(" {name}"));
            }
            text.replace_range(start..start + len, &instead);
            from = start + instead.len();
        }
    }
    text
}

/// A session in a file: its first line, and the others.
struct Session {
    file: String,
    words: Vec<String>,
    lines: Vec<String>,
}

impl Session {
    fn setting(&self, name: &str) -> Option<&str> {
        let prefix = format!("{name}=");
        self.words.iter().find_map(|word| word.strip_prefix(&prefix))
    }

    /// The lines of the account's configuration.
    fn account(&self) -> String {
        let Some(names) = self.setting("hides") else { return String::new() };
        let list: String = names.split(',').map(|name| format!("\t\t\t- {name}\n")).collect();
        format!("\t\tIMAPCapabilitiesDisabled:\n{list}")
    }
}

/// The sessions of a file, and what stands before the first.
fn sessions(file: &str, text: &str) -> (Vec<String>, Vec<Session>) {
    let (mut head, mut sessions) = (Vec::new(), Vec::<Session>::new());
    for line in text.lines() {
        if let Some(title) = line.strip_prefix("== ") {
            let words = title.split_once('[').map_or("", |(_, words)| words.trim_end_matches(']'));
            let words = words.split(' ').map(str::to_owned).collect();
            let lines = vec![line.to_owned()];
            sessions.push(Session { file: file.to_owned(), words, lines });
        } else {
            sessions
                .last_mut()
                .map_or(&mut head, |session| &mut session.lines)
                .push(line.to_owned());
        }
    }
    (head, sessions)
}

/// Plays a session: its lines with what the server really said.
struct Player<'s> {
    subject: &'s Subject<'s>,
    peer: Peer,
    other: Option<Peer>,
    /// The capabilities that are of interest.
    shows: String,
    /// The tag of the command whose answer is awaited.
    tag: String,
    out: Vec<String>,
}

impl<'s> Player<'s> {
    fn start(session: &Session, subject: &'s Subject<'s>) -> Self {
        let count = session.setting("mail").map_or(0, |count| count.parse().unwrap());
        if count > 0 {
            subject.login().fill("INBOX", count);
        }
        let is_tls = session.words.iter().any(|word| word == "tls");
        let mut peer = if is_tls { subject.dial_tls() } else { subject.dial() };
        peer.has_extensions = true;
        let shows = session.setting("shows").unwrap_or_default().to_owned();
        let out = vec![session.lines[0].clone()];
        let mut player = Self { subject, peer, other: None, shows, tag: String::new(), out };
        player.hear();
        player
    }

    /// One response, written down.
    fn hear(&mut self) -> String {
        let line = self.peer.line_or_end();
        let line = line.unwrap_or_else(|| panic!("closed after {:#?}", self.out));
        self.out.push(format!("S: {}", masked(&line, &self.shows)));
        line
    }

    fn expand(&self, text: &str, literal: usize) -> String {
        let user = self.subject.user();
        text.replace("{user}", &user)
            .replace("{password}", PASSWORD)
            .replace("{plain}", &base64(&format!("\0{user}\0{PASSWORD}")))
            .replace("{L}", &format!("{{{literal}}}"))
            .replace("{L+}", &format!("{{{literal}+}}"))
    }

    /// Sends lines in one packet and hears the answer to the last.
    fn say(&mut self, lines: &[String]) {
        self.peer.send(lines.iter().map(|line| format!("{line}\r\n")).collect::<String>());
        self.answer();
    }

    fn answer(&mut self) {
        loop {
            let line = self.hear();
            if line.starts_with("+ ") || line.starts_with(&format!("{} ", self.tag)) {
                return;
            }
        }
    }

    fn play(mut self, session: &Session) -> Vec<String> {
        let mut rest: &[String] = &session.lines[1..];
        while let Some((line, after)) = rest.split_first() {
            rest = after;
            let text = line.get(3..).unwrap_or_default();
            match line.get(..2) {
                Some("S:") => continue,
                Some("C:") => rest = self.command(text, rest),
                Some("L:") => rest = self.literal(text, rest),
                Some("X:" | "D:") => {
                    let heard = rest.iter().take_while(|line| line.starts_with("S:")).count();
                    self.meanwhile(line, text);
                    (0..heard).for_each(|_| drop(self.hear()));
                    continue;
                }
                Some("E:") => self.peer.closed(),
                _ => {}
            }
            if !matches!(line.get(..2), Some("C:" | "L:")) {
                self.out.push(line.clone());
            }
        }
        self.out
    }

    /// Sends a command with those that share its packet, and the literal that needs no asking.
    fn command<'r>(&mut self, text: &str, rest: &'r [String]) -> &'r [String] {
        let more = rest.iter().take_while(|line| line.starts_with("+:")).count();
        let literal: Vec<&str> = rest[more..]
            .iter()
            .filter(|line| !line.starts_with("S:"))
            .map_while(|line| line.strip_prefix("L:"))
            .map(|line| line.strip_prefix(' ').unwrap_or(line))
            .collect();
        let size = literal.iter().map(|line| line.len() + 2).sum();
        let mut lines = vec![self.expand(text, size)];
        self.out.push(format!("C: {text}"));
        for line in &rest[..more] {
            self.out.push(line.clone());
            lines.push(self.expand(line[2..].trim_start(), size));
        }
        // A line that answers the server has no tag, and DONE has none either.
        let last = lines.last().unwrap();
        if let Some((tag, _)) = last.split_once(' ') {
            tag.clone_into(&mut self.tag);
        }
        if text.contains("{L+}") {
            lines.extend(literal.iter().map(|line| (*line).to_owned()));
            lines.push(String::new());
            self.out.extend(literal.iter().map(|line| format!("L: {line}").trim_end().to_owned()));
            self.say(&lines);
            return &rest[more + literal.len()..];
        }
        self.say(&lines);
        &rest[more..]
    }

    /// Sends a literal that was asked for.
    fn literal<'r>(&mut self, first: &str, rest: &'r [String]) -> &'r [String] {
        let more = rest.iter().take_while(|line| line.starts_with("L:")).count();
        let mut lines = vec![first.to_owned()];
        lines.extend(rest[..more].iter().map(|line| line.get(3..).unwrap_or_default().to_owned()));
        self.out.extend(lines.iter().map(|line| format!("L: {line}").trim_end().to_owned()));
        lines.push(String::new());
        self.say(&lines);
        &rest[more..]
    }

    fn meanwhile(&mut self, line: &str, text: &str) {
        let subject = self.subject;
        let other = self.other.get_or_insert_with(|| subject.inbox());
        other.has_extensions = true;
        if line.starts_with("D:") {
            other.put("INBOX", &plain(text.parse().unwrap()));
        } else {
            other.ok(text);
        }
        self.out.push(line.to_owned());
    }
}

/// The sessions of all files, in order.
fn all() -> Vec<(PathBuf, Vec<String>, Vec<Session>)> {
    let mut paths: Vec<PathBuf> =
        fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let read = |path: PathBuf| {
        let file = path.file_name().unwrap().to_string_lossy().into_owned();
        let (head, sessions) = sessions(&file, &fs::read_to_string(&path).unwrap());
        (path, head, sessions)
    };
    paths.into_iter().map(read).collect()
}

#[test]
fn mail_programs_get_on_with_the_server() {
    let files = all();
    let accounts: Vec<String> =
        files.iter().flat_map(|(_, _, sessions)| sessions.iter().map(Session::account)).collect();
    let site = Site::start_with(&accounts);
    let mut differing = Vec::new();
    for (path, head, sessions) in &files {
        let mut got = head.clone();
        for session in sessions {
            let subject = site.subject();
            let lines = Player::start(session, &subject).play(session);
            if lines != session.lines {
                let differs = lines.iter().zip(&session.lines).find(|(got, want)| got != want);
                differing.push(format!("{} {}: {differs:?}", session.file, session.lines[0]));
            }
            got.extend(lines);
        }
        if std::env::var_os("UPDATE").is_some() {
            fs::write(path, got.join("\n") + "\n").unwrap();
        }
    }
    site.stop();
    assert!(differing.is_empty(), "{}", differing.join("\n"));
}

#[test]
fn the_page_of_quirks_names_sessions_that_exist() {
    let page = folder().join("../../docs/clients.md");
    let page = fs::read_to_string(page).unwrap();
    let mut titles = Vec::new();
    for (_, _, sessions) in all() {
        for session in sessions {
            let title = session.lines[0].trim_start_matches("== ").split(" [").next().unwrap();
            titles.push(format!("{}: {title}", session.file));
        }
    }
    let rows = page.lines().filter(|line| line.starts_with("| ") && line.contains(".txt"));
    let mut named: Vec<&str> = Vec::new();
    for row in rows {
        let fixtures = row.trim_end_matches(" |").rsplit(" | ").next().unwrap();
        for fixture in fixtures.split("<br>") {
            assert!(titles.iter().any(|title| title == fixture), "no session {fixture:?}");
            named.push(fixture);
        }
    }
    for title in &titles {
        assert!(named.contains(&title.as_str()), "{title} is in no row of docs/clients.md");
    }
}

#[test]
fn what_varies_is_masked() {
    let check = |response: &str, want: &str| assert_eq!(masked(response, "B,C"), want);
    check("* OK [UIDVALIDITY 12] x", "* OK [UIDVALIDITY …] x");
    check("a OK [APPENDUID 12 3] x", "a OK [APPENDUID … 3] x");
    check("* CAPABILITY A B", "* CAPABILITY … B");
    check("a OK [CAPABILITY A] x", "a OK [CAPABILITY …] x");
    check("* 1 FETCH (BODY[] {2}\r\na)", "* 1 FETCH (BODY[] {2}⏎a)");
    check("* 1 FETCH (UID 3)", "* 1 FETCH (UID 3)");
}
