//! Plays the driver of a session from the text of a transcript.
//!
//! Options of a case: `greeting` (is shown), `tls`, `starttls`, `plain` (passwords without TLS), `binding`, `cert`,
//! `preauth`, `login` (starts logged in), `selected` (with a mailbox of three messages, UIDs 1, 2
//! and 5, as mailbox 1; without any output), `rev2`, `condstore`, `qresync`, `uidonly` (enabled), `examine`,
//! `limit` (two messages a command),
//! `hiding` (some capabilities, of whoever logs in).
//!
//! Answers, words separated by spaces, states written `uid/modseq/flag,flag`:
//! `ok`, `no NAME`, `challenge TEXT`, `selected key=value…`, `created names…`,
//! `mailboxes name:letters…` (s subscribed, n no mailbox, and special uses), `status numbers…`,
//! `appended uids modseq [elsewhere]`, `fetched states… [expunged] [newer states…]`, `stored states… [modified states…]`,
//! `copied from to modseq`, `expunged uids modseq`, `found uids [modseq=n] [order=n,n] [relevancy=n,n]`,
//! `threads depth:uid…`, `updated uids[:uid>last,…[:looked[:at]]]…` (`-` for the front, or for
//! none; without `looked` those that were asked for), `foundin id:uids[:modseq]…`,
//! `metadata name=value… [omitted=n]` (`·` is a space), `quota used limit`, `resynced uids modseq states…`.
//! An answer `write TEXT` sends a line of the driver's own and answers nothing.
//! `facts id/name/letters…` (s subscribed, i inbox; `-` for no mailbox).
//! `change …` at any time is a change by another session, `in ID` in another mailbox:
//! `added|flags states…`, `removed uids modseq`, `keywords words…`,
//! `mailbox +name|-name|old>new|s+name|s-name|u+name`, `overflow`.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a bad transcript should fail the test"
)]

use mox_base::{
    Keyword, MailboxId, MailboxName, ModSeq, SpecialUse, Uid, UidValidity, UnixSeconds, ZonedTime,
};
use mox_imap::print::{MailboxStatus, Naming};
use mox_imap::session::{
    Action, Appended, Change, Copied, Expunged, Facts, FactsOf, Fetched, Found, FoundIn,
    MailboxInfo, MessageState, MetadataFound, Op, Outcome, QresyncData, QuotaUse, Refusal, Resync,
    Session, Settings, Snapshot, Stored, UpdateOf, Updated, client_state,
};
use mox_imap::types::{
    FlagList, MetadataValue, NumSet, SequenceSet, StoreAction, ThreadEntry, UidMap,
};
use mox_testkit::transcript::{Case, Input, Output};

/// The mailbox that `selected` stands for.
const MAILBOX: MailboxId = MailboxId(1);

pub(crate) struct Player {
    session: Session,
    pending: Vec<u8>,
    /// What was asked, for answers that need it.
    asked: Option<Op>,
    greets: Option<bool>,
    is_closed: bool,
}

impl Player {
    pub(crate) fn new(case: &Case) -> Self {
        let settings = Settings {
            is_tls: case.has("tls"),
            can_start_tls: case.has("starttls"),
            plaintext_allowed: case.has("plain"),
            has_channel_binding: case.has("binding"),
            has_client_certificate: case.has("cert"),
            is_pedantic: false,
            // Few, so that a transcript can have more.
            message_limit: case.has("limit").then_some(2),
            version: "0.1".to_owned(),
        };
        let logged_in = case.has("login") || case.has("selected");
        let greets = case.has("greeting") || case.has("preauth");
        let mut player = Self {
            session: Session::new(settings),
            pending: Vec::new(),
            asked: None,
            greets: greets.then(|| case.has("preauth")),
            is_closed: false,
        };
        if case.has("hiding") {
            let hidden = ["NOTIFY", "QRESYNC", "IMAP4REV2", "AUTH=PLAIN", "MESSAGELIMIT"];
            let names = hidden.map(str::to_owned).to_vec();
            player.session.hide_capabilities(names);
        }
        if logged_in {
            player.session.greet(Some("mjl"));
            player.set_up(case);
            player.session.clear_output();
        }
        player
    }

    /// Brings the session to where the case starts.
    fn set_up(&mut self, case: &Case) {
        for name in ["rev2", "condstore", "qresync", "uidonly"] {
            if case.has(name) {
                let name = if name == "rev2" { "imap4rev2" } else { name };
                let line = format!("x ENABLE {name}\r\n");
                let _read = self.session.receive(&mut line.as_bytes());
            }
        }
        if case.has("selected") {
            let command = if case.has("examine") { "EXAMINE" } else { "SELECT" };
            let line = format!("x {command} Inbox\r\n");
            let action = self.session.receive(&mut line.as_bytes());
            self.outputs(action).clear();
            self.answer("selected uids=1:2,5 uidnext=6 modseq=9").clear();
        }
    }

    pub(crate) fn play(&mut self, input: &Input) -> Vec<Output> {
        match input {
            Input::Start => {
                if let Some(preauth) = self.greets {
                    self.session.greet(preauth.then_some("mjl"));
                }
                self.outputs(Action::Read)
            }
            Input::Client(bytes) => {
                self.pending.extend_from_slice(bytes);
                self.read()
            }
            Input::Answer(text) => self.answer(text),
            Input::Advance(_) => Vec::new(),
        }
    }

    /// Gives the session what the client has sent, as long as it wants it.
    fn read(&mut self) -> Vec<Output> {
        let mut all = Vec::new();
        while !self.pending.is_empty() && self.asked.is_none() && !self.is_closed {
            let pending = std::mem::take(&mut self.pending);
            let mut input = &pending[..];
            let action = self.session.receive(&mut input);
            self.pending = input.to_vec();
            all.extend(self.outputs(action));
        }
        all
    }

    fn outputs(&mut self, action: Action) -> Vec<Output> {
        let mut all = Vec::new();
        let sent = std::mem::take(self.session.output());
        if !sent.is_empty() {
            all.push(Output::Server(sent));
        }
        match action {
            // As the driver does before it waits.
            Action::Read
                if self.pending.is_empty()
                    && self.session.is_listening()
                    && self.session.has_news() =>
            {
                let action = self.session.poll();
                all.extend(self.outputs(action));
            }
            Action::Read => {}
            Action::Perform(op) => {
                all.push(Output::Question(question(&op)));
                self.asked = Some(op);
            }
            Action::StartTls => all.push(Output::Question("starttls".to_owned())),
            Action::Compress => all.push(Output::Question("compress".to_owned())),
            Action::EndCompression => all.push(Output::Question("end compression".to_owned())),
            Action::Close => {
                all.push(Output::Question("close".to_owned()));
                self.is_closed = true;
            }
        }
        all
    }

    fn answer(&mut self, text: &str) -> Vec<Output> {
        let (word, rest) = text.split_once(' ').unwrap_or((text, ""));
        let action = match word {
            "write" => {
                let line = format!("{rest}\r\n");
                self.session.output().extend_from_slice(line.as_bytes());
                Action::Read
            }
            "change" => {
                self.session.push_change(change(rest));
                if self.asked.is_none() { self.session.poll() } else { Action::Read }
            }
            "tls" => {
                let settings = Settings { is_tls: true, ..Settings::default() };
                self.session.tls_started(settings);
                Action::Read
            }
            _ => {
                let op = self.asked.take().expect("an answer to a question");
                // The driver reads a message itself.
                let size = match &op {
                    Op::AppendMessage(message) => Some(message.size),
                    Op::CatenateText { size, .. } => Some(*size),
                    _ => None,
                };
                if let Some(size) = size {
                    let size = usize::try_from(size).unwrap();
                    assert!(self.pending.len() >= size, "message not sent yet");
                    self.pending.drain(..size);
                }
                let outcome = outcome(&op, word, rest);
                self.session.complete(outcome)
            }
        };
        let mut all = self.outputs(action);
        all.extend(self.read());
        all
    }
}

/// An [`Op`] as one line.
#[expect(clippy::too_many_lines, reason = "one line per kind")]
fn question(op: &Op) -> String {
    match op {
        Op::Login { username, password } => format!("login {username} {}", password.expose()),
        Op::Authenticate { mechanism, initial } => {
            let initial = initial.as_ref().map(|text| String::from_utf8_lossy(text).into_owned());
            format!("authenticate {mechanism} {initial:?}")
        }
        Op::AuthenticateResponse(text) => format!("response {:?}", String::from_utf8_lossy(text)),
        Op::AuthenticateCancel => "cancel".to_owned(),
        Op::Unauthenticate => "unauthenticate".to_owned(),
        Op::Identify(text) => format!("identify {text}"),
        Op::Select(select) => match &select.qresync {
            None => format!("select {}", select.name),
            Some(qresync) => {
                let known = qresync.known_uids.as_ref().map(NumSet::to_string);
                format!(
                    "select {} qresync {} {} {}",
                    select.name,
                    qresync.uidvalidity,
                    qresync.modseq,
                    known.unwrap_or_default()
                )
            }
        },
        Op::Unselect { expunge, .. } => match expunge {
            Some(targets) => format!("unselect expunge {}", targets.exact()),
            None => "unselect".to_owned(),
        },
        Op::Create { name, special_use } => {
            let roles: Vec<_> = special_use.names().collect();
            format!("create {name} [{}]", roles.join(" "))
        }
        Op::Delete(name) => format!("delete {name}"),
        Op::Rename { from, to } => format!("rename {from} {to}"),
        Op::Subscribe(name) => format!("subscribe {name}"),
        Op::Unsubscribe(name) => format!("unsubscribe {name}"),
        Op::List { with_status, with_metadata } => format!(
            "list{}{}",
            if *with_status { " status" } else { "" },
            if *with_metadata { " metadata" } else { "" }
        ),
        Op::GetMetadata(get) => {
            let name = get.mailbox.as_ref().map_or("server", MailboxName::as_str);
            let max = get.max_size.map_or(String::new(), |max| format!(" max {max}"));
            format!("get metadata {name} {} {:?}{max}", get.entries.join(" "), get.depth)
        }
        Op::SetMetadata { mailbox, entries } => {
            let name = mailbox.as_ref().map_or("server", MailboxName::as_str);
            let value = |value: &Option<MetadataValue>| match value {
                None => "nil".to_owned(),
                Some(value) => {
                    let sign = if value.is_binary { "~" } else { "" };
                    format!("{sign}{:?}", String::from_utf8_lossy(&value.bytes))
                }
            };
            let entries: Vec<_> =
                entries.iter().map(|(name, set)| format!("{name}={}", value(set))).collect();
            format!("set metadata {name} {}", entries.join(" "))
        }
        Op::Quota => "quota".to_owned(),
        Op::Status(name) => format!("status {name}"),
        Op::Check(_) => "check".to_owned(),
        Op::AppendStart { mailbox, size } => format!("append {mailbox} {size}"),
        Op::AppendMessage(message) => format!(
            "message {}{} {}{}",
            message.size,
            if message.discard { " discard" } else { "" },
            flags(&message.flags),
            message.date.map_or(String::new(), at),
        ),
        Op::AppendFinish { mailbox } => format!("append finish {mailbox}"),
        Op::AppendCancel => "append cancel".to_owned(),
        Op::CatenateText { size, discard } => {
            format!("text {size}{}", if *discard { " discard" } else { "" })
        }
        Op::CatenateUrl(part) => {
            let selected = part.selected.filter(|_| part.url.mailbox.is_none());
            let selected = selected.map(|id| format!(" in {}", id.0)).unwrap_or_default();
            format!("url {}{selected}", part.url)
        }
        Op::CatenateEnd { flags: list, date } => {
            format!("catenated {}{}", flags(list), date.map_or(String::new(), at),)
        }
        Op::GenUrlAuth { urls, .. } => {
            let urls: Vec<_> = urls.iter().map(|rump| rump.text.as_str()).collect();
            format!("sign {}", urls.join(" "))
        }
        Op::ResetUrlKeys(None) => "reset all keys".to_owned(),
        Op::ResetUrlKeys(Some(mailbox)) => format!("reset key {mailbox}"),
        Op::UrlFetch { urls, .. } => {
            let urls = urls.iter().map(|op| match &op.url {
                Some(url) => {
                    let structure = if op.fetch.with_structure { " structure" } else { "" };
                    format!("{url} {:?}{structure}", op.fetch.data)
                }
                None => "nil".to_owned(),
            });
            format!("urlfetch {}", urls.collect::<Vec<_>>().join(", "))
        }
        Op::Replace { mailbox, uid, .. } => format!("replace {uid} {mailbox}"),
        Op::Fetch(fetch) => {
            let on = |on: bool, word: &'static str| if on { word } else { "" };
            format!(
                "fetch {} {:?}{}{}{}{}{}{}{}",
                fetch.targets.exact(),
                fetch.items,
                on(fetch.with_flags, " flags"),
                on(fetch.with_modseq, " modseq"),
                on(fetch.mark_seen, " seen"),
                fetch.changed_since.map_or(String::new(), |since| format!(" since {since}")),
                on(fetch.with_vanished, " vanished"),
                on(fetch.keeps_going, " notify"),
                match fetch.naming {
                    Naming::Number => "",
                    Naming::Uid { with_item: false } => " uidonly",
                    Naming::Uid { with_item: true } => " uidonly uid",
                },
            )
        }
        Op::Store(store) => format!(
            "store {} {}{}{}",
            store.targets.exact(),
            match store.action {
                StoreAction::Replace => "=",
                StoreAction::Add => "+",
                StoreAction::Remove => "-",
            },
            flags(&store.flags),
            store.unchanged_since.map_or(String::new(), |since| format!(" unless {since}")),
        ),
        Op::Copy(copy) => format!("copy {} {}", copy.targets.exact(), copy.to),
        Op::Move(copy) => format!("move {} {}", copy.targets.exact(), copy.to),
        Op::Expunge { targets, .. } => format!("expunge {}", targets.exact()),
        Op::Facts(FactsOf::All) => "facts of all".to_owned(),
        Op::Facts(FactsOf::Some { mailboxes, names }) => {
            let ids = mailboxes.iter().map(|id| id.0.to_string());
            let words: Vec<_> = ids.chain(names.iter().map(ToString::to_string)).collect();
            format!("facts of {}", words.join(" "))
        }
        Op::Search(search) if search.sort.is_empty() => {
            format!("search {:?} {:?}", search.wanted, search.key)
        }
        Op::Search(search) => {
            let keys: Vec<_> = search
                .sort
                .iter()
                .map(|key| format!("{}{:?}", if key.is_reverse { "-" } else { "" }, key.by))
                .collect();
            format!("sort {} {:?} {:?}", keys.join(","), search.wanted, search.key)
        }
        Op::Update(update) => {
            let of = |of: &UpdateOf| {
                let since = of.looked_at.map_or(String::new(), |at| format!(" since {}", at.0));
                match of.sort.is_empty() {
                    true => format!(" {:?}{since}", of.key),
                    false => format!(" {:?} in {:?}{since}", of.key, of.order),
                }
            };
            let contexts: String = update.contexts.iter().map(of).collect();
            format!("update {}{contexts}", update.changed)
        }
        Op::MultiSearch(search) => {
            let ids: Vec<_> = search.mailboxes.iter().map(|(id, _)| id.0.to_string()).collect();
            let known =
                search.selected.as_ref().map_or(UidMap::new(), |(_, known)| UidMap::clone(known));
            format!("search in {} {:?} {:?}", ids.join(","), search.wanted, search.key_in(&known))
        }
        Op::Thread(thread) => format!("thread {:?} {:?}", thread.algorithm, thread.key),
        Op::Resync { since, .. } => format!("resync since {since}"),
    }
}

/// Seconds, and the minutes of a zone that is not UTC.
fn at(date: ZonedTime) -> String {
    match date.zone_minutes() {
        0 => format!(" at {}", date.time().0),
        minutes => format!(" at {}{minutes:+}", date.time().0),
    }
}

fn flags(list: &FlagList) -> String {
    let mut names: Vec<&str> = list.system.names().collect();
    names.extend(list.keywords.iter().map(Keyword::as_str));
    format!("({})", names.join(" "))
}

/// The answer to `op`.
fn outcome(op: &Op, word: &str, rest: &str) -> Outcome {
    let words: Vec<&str> = rest.split_whitespace().collect();
    let word_at = |at: usize| words.get(at).copied().unwrap_or_default();
    match word {
        "ok" => Outcome::Done,
        "no" => Outcome::Refused(refusal(rest)),
        "challenge" => Outcome::Challenge(rest.as_bytes().to_vec()),
        "selected" => Outcome::Selected(Box::new(snapshot(op, &words))),
        "created" => Outcome::Created(
            words.iter().zip(11..).map(|(word, id)| (MailboxId(id), name(word))).collect(),
        ),
        "mailboxes" => Outcome::Mailboxes(words.iter().map(|word| mailbox(op, word)).collect()),
        "status" => Outcome::Status(status()),
        "appended" => Outcome::Appended(Appended {
            mailbox: if word_at(2) == "elsewhere" { MailboxId(7) } else { MAILBOX },
            uidvalidity: UidValidity::MIN,
            uids: set(word_at(0)),
            modseq: modseq(word_at(1)),
        }),
        "fetched" => {
            let expunge_issued = words.contains(&"expunged");
            let at = words.iter().position(|word| *word == "newer").unwrap_or(words.len());
            let seen = states(words[..at].iter().filter(|word| **word != "expunged"));
            let newer = states(words.iter().skip(at + 1));
            let newer = newer.into_iter().map(|state| (state.uid, state.modseq)).collect();
            Outcome::Fetched(Fetched { seen, newer, expunge_issued })
        }
        "stored" => {
            let at = words.iter().position(|word| *word == "modified").unwrap_or(words.len());
            let messages = states(words[..at].iter());
            Outcome::Stored(Stored { messages, modified: states(words.iter().skip(at + 1)) })
        }
        "copied" => Outcome::Copied(Copied {
            uidvalidity: UidValidity::MIN,
            from: set(word_at(0)),
            to: set(word_at(1)),
            modseq: modseq(word_at(2)),
        }),
        "expunged" => Outcome::Expunged(Expunged {
            uids: set(word_at(0)),
            highest_modseq: modseq(word_at(1)),
        }),
        "found" => Outcome::Found(Found {
            uids: set(word_at(0)),
            highest_modseq: words.iter().find_map(|word| word.strip_prefix("modseq=")).map(modseq),
            order: numbers(words.iter().find_map(|word| word.strip_prefix("order="))),
            at: UnixSeconds(100),
            relevancy: numbers(words.iter().find_map(|word| word.strip_prefix("relevancy=")))
                .into_iter()
                .map(|score| u8::try_from(score).unwrap())
                .collect(),
        }),
        "updated" => Outcome::Updated(words.iter().map(|word| updated(op, word)).collect()),
        "foundin" => Outcome::FoundIn(words.iter().map(|word| found_in(word)).collect()),
        "facts" => Outcome::Facts(words.iter().map(|word| facts(word)).collect()),
        "metadata" => Outcome::Metadata(metadata(&words)),
        "quota" => Outcome::Quota(QuotaUse {
            used_bytes: word_at(0).parse().unwrap(),
            limit_bytes: word_at(1).parse().ok(),
        }),
        "threads" => Outcome::Threads(words.iter().map(|word| thread_entry(word)).collect()),
        "resynced" => Outcome::Resynced(Box::new(Resync {
            uids: UidMap::from(set(word_at(0))),
            highest_modseq: modseq(word_at(1)),
            changed: states(words.iter().skip(2)),
        })),
        other => panic!("unknown answer {other}"),
    }
}

/// `id:uids[:modseq]`; here ranges have a `-`.
fn found_in(word: &str) -> FoundIn {
    let mut parts = word.split(':');
    let id = parts.next().unwrap().parse().unwrap();
    let uids = set(&parts.next().unwrap().replace('-', ":"));
    let highest_modseq = parts.next().map(modseq);
    FoundIn { mailbox: MailboxId(id), found: Found { uids, highest_modseq, ..Found::default() } }
}

/// `uids[:uid>last,…[:looked[:at]]]`; here ranges have a `-` between two numbers.
fn updated(op: &Op, word: &str) -> Updated {
    let Op::Update(update) = op else { panic!("not asked for: {word}") };
    let mut parts = word.split(':');
    let dashed = |text: &str| if text == "-" { set(text) } else { set(&text.replace('-', ":")) };
    let place = |text: &str| {
        let (uid, last) = text.split_once('>').unwrap();
        (uid.parse().unwrap(), last.parse().ok())
    };
    Updated {
        uids: dashed(parts.next().unwrap()),
        places: parts
            .next()
            .into_iter()
            .flat_map(|places| places.split(','))
            .filter(|text| !text.is_empty())
            .map(place)
            .collect(),
        looked: parts.next().map_or_else(|| update.changed.clone(), dashed),
        looked_at: parts.next().map(|at| UnixSeconds(at.parse().unwrap())),
    }
}

/// Numbers separated by commas.
fn numbers(text: Option<&str>) -> Vec<u32> {
    text.into_iter().flat_map(|text| text.split(',')).map(|word| word.parse().unwrap()).collect()
}

/// `depth:uid`, `-` for a message that is missing.
fn thread_entry(text: &str) -> ThreadEntry {
    let (depth, uid) = text.split_once(':').unwrap();
    ThreadEntry { depth: depth.parse().unwrap(), uid: uid.parse().ok() }
}

/// `name=value…`, and `omitted=n` for the longest that was left out.
fn metadata(words: &[&str]) -> MetadataFound {
    let mut found = MetadataFound::default();
    for word in words {
        match word.split_once('=').unwrap() {
            ("omitted", size) => found.longest_omitted = size.parse().ok(),
            (name, text) => {
                let bytes = text.trim_start_matches('~').replace('·', " ").into_bytes();
                let value = MetadataValue { bytes, is_binary: text.starts_with('~') };
                found.entries.push((name.to_owned(), Some(value)));
            }
        }
    }
    found
}

fn refusal(text: &str) -> Refusal {
    match text {
        "credentials" => Refusal::BadCredentials,
        "authorization" => Refusal::NotAuthorized,
        "disabled" => Refusal::LoginDisabled("on holiday".to_owned()),
        "mechanism" => Refusal::UnknownMechanism,
        "sasl" => Refusal::BadSaslMessage,
        "mailbox" => Refusal::NoSuchMailbox,
        "exists" => Refusal::MailboxExists,
        "children" => Refusal::HasChildren,
        "annotations" => Refusal::TooManyAnnotations,
        "long" => Refusal::AnnotationsTooLarge(1_000),
        "unsubscribed" => Refusal::NotSubscribed,
        "gone" => Refusal::MailboxGone,
        "quota" => Refusal::OverQuota,
        "vanished" => Refusal::MessageGone,
        "toobig" => Refusal::MessageTooBig,
        "url" => Refusal::BadUrl("/x/;UID=1".to_owned()),
        "part" => Refusal::NoSuchPart,
        "encoding" => Refusal::UnknownEncoding,
        "failed" => Refusal::Failed,
        other => panic!("unknown refusal {other}"),
    }
}

fn name(text: &str) -> MailboxName {
    MailboxName::parse(text).unwrap()
}

fn modseq(text: &str) -> ModSeq {
    ModSeq::new(text.parse().unwrap()).unwrap()
}

fn uid(text: &str) -> Uid {
    Uid::new(text.parse().unwrap()).unwrap()
}

/// `-` is the empty set.
fn set(text: &str) -> NumSet {
    if text == "-" {
        return NumSet::new();
    }
    SequenceSet::parse(text.as_bytes()).unwrap().numbers().unwrap()
}

/// `uid/modseq/flag,flag`
fn state(text: &str) -> MessageState {
    let mut parts = text.splitn(3, '/');
    let mut part = || parts.next().unwrap_or_default();
    let (uid, modseq) = (uid(part()), modseq(part()));
    let mut flags = FlagList::default();
    for name in part().split(',').filter(|name| !name.is_empty()) {
        assert!(flags.insert_name(name), "{name}");
    }
    MessageState { uid, modseq, flags }
}

fn states<'a>(words: impl Iterator<Item = &'a &'a str>) -> Vec<MessageState> {
    words.map(|word| state(word)).collect()
}

fn snapshot(op: &Op, words: &[&str]) -> Snapshot {
    let value = |key: &str| words.iter().find_map(|word| word.strip_prefix(key)?.strip_prefix('='));
    let uids = UidMap::from(value("uids").map(set).unwrap_or_default());
    let qresync = match op {
        Op::Select(select) => select.qresync.as_ref(),
        _ => None,
    };
    let qresync = value("vanished").zip(qresync).map(|(vanished, qresync)| QresyncData {
        state: client_state(qresync, &uids, |_| value("removedat").map(modseq)),
        changed: value("changed")
            .map(|text| states(text.split(';').collect::<Vec<_>>().iter()))
            .unwrap_or_default(),
        vanished: set(vanished),
        history_lost: words.contains(&"lost"),
    });
    Snapshot {
        mailbox: MAILBOX,
        uidvalidity: UidValidity::MIN,
        uidnext: value("uidnext").map_or(1, |text| text.parse().unwrap()),
        highest_modseq: value("modseq").map(modseq).unwrap_or_default(),
        keywords: value("keywords")
            .map(|text| text.split(',').map(|word| Keyword::parse(word).unwrap()).collect())
            .unwrap_or_default(),
        uids,
        first_unseen: value("unseen").map(uid),
        qresync,
    }
}

fn mailbox(op: &Op, word: &str) -> MailboxInfo {
    let (text, marks) = word.split_once(':').unwrap_or((word, ""));
    let letters = marks.split('\\').next().unwrap_or_default();
    let exists = !letters.contains('n');
    let with_status = matches!(op, Op::List { with_status: true, .. });
    MailboxInfo {
        name: name(text),
        exists,
        is_subscribed: letters.contains('s'),
        special_use: SpecialUse::NAMES
            .into_iter()
            .filter(|(_, name)| marks.contains(name))
            .fold(SpecialUse::NONE, |roles, (role, _)| roles | role),
        status: (with_status && exists).then(status),
        metadata: Vec::new(),
    }
}

/// `id/name/letters`
fn facts(word: &str) -> Facts {
    let (id, rest) = word.split_once('/').unwrap();
    let (text, letters) = rest.rsplit_once('/').unwrap();
    let mailbox = (id != "-").then(|| MailboxId(id.parse().unwrap()));
    Facts {
        mailbox,
        name: name(text),
        is_subscribed: letters.contains('s'),
        is_inbox: letters.contains('i'),
        status: mailbox.map(|_| status()),
    }
}

fn status() -> MailboxStatus {
    MailboxStatus {
        id: MailboxId(9),
        messages: 3,
        uidnext: 6,
        uidvalidity: UidValidity::MIN,
        unseen: 2,
        deleted: 1,
        size: 1_000,
        deleted_size: 400,
        highest_modseq: modseq("9"),
    }
}

fn change(text: &str) -> Change {
    let words: Vec<&str> = text.split_whitespace().collect();
    if let ["in", id, ..] = words[..] {
        let rest = text.split_once(id).unwrap().1;
        return change_in(MailboxId(id.parse().unwrap()), rest.trim_start());
    }
    change_in(MAILBOX, text)
}

fn change_in(mailbox: MailboxId, text: &str) -> Change {
    let words: Vec<&str> = text.split_whitespace().collect();
    match words[0] {
        "keywords" => {
            let keywords = words[1..].iter().map(|word| Keyword::parse(word).unwrap()).collect();
            Change::Keywords { mailbox, keywords }
        }
        "added" => Change::Added { mailbox, messages: states(words[1..].iter()) },
        "flags" => Change::Flags { mailbox, messages: states(words[1..].iter()) },
        "removed" => Change::Removed { mailbox, uids: set(words[1]), modseq: modseq(words[2]) },
        "elsewhere" => Change::Added { mailbox: MailboxId(2), messages: states(words[1..].iter()) },
        "overflow" => Change::Overflow,
        "metadata" => Change::Metadata {
            mailbox: Some(name(words[1])).filter(|_| words[1] != "server"),
            names: words[2..].iter().map(|word| (*word).to_owned()).collect(),
        },
        "mailbox" => mailbox_change(words[1]),
        other => panic!("unknown change {other}"),
    }
}

fn mailbox_change(text: &str) -> Change {
    if let Some((from, to)) = text.split_once('>') {
        let (from, to) = (name(from), name(to));
        return Change::MailboxRenamed {
            from,
            to,
            is_subscribed: true,
            special_use: SpecialUse::NONE,
        };
    }
    let (kind, text) = text.split_at(text.find(['+', '-']).unwrap() + 1);
    match kind {
        "+" => {
            let special_use = SpecialUse::SENT;
            Change::MailboxAdded { name: name(text), is_subscribed: true, special_use }
        }
        "-" => Change::MailboxRemoved(name(text)),
        "u+" => {
            let special_use = SpecialUse::ARCHIVE;
            Change::SpecialUse { name: name(text), is_subscribed: false, special_use }
        }
        "s+" => Change::Subscription { name: name(text), is_subscribed: true, exists: false },
        "s-" => Change::Subscription { name: name(text), is_subscribed: false, exists: true },
        other => panic!("unknown change {other}"),
    }
}
