//! Many sessions change two mailboxes at once; each client keeps to what it is told.
//!
//! RFC 9051 §5.5 and §7.5.1: numbers shift only where the client can follow, and in the end all
//! know the same.

use std::collections::BTreeMap;

use mox_testkit::TestRng;

use crate::contexts;
use crate::support::{Client, Server, server};

const SESSIONS: usize = 12;

const STEPS: usize = 60;

/// What some keep up to date: tag, RETURN options, the rest. RFC 5267 §4.3.
const UPDATES: [(&str, &str, &str); 2] = [
    ("u1", "UID SEARCH RETURN (UPDATE ALL)", "UNSEEN"),
    ("u2", "UID SORT RETURN (UPDATE ALL)", "(REVERSE SIZE) UTF-8 UNFLAGGED"),
];

/// A session with what its client believes.
struct Member {
    client: Client,
    rng: TestRng,
    with_qresync: bool,
    with_uidonly: bool,
    with_updates: bool,
    /// Of [`UPDATES`].
    results: [Vec<u32>; 2],
    /// The selected mailbox.
    mailbox: &'static str,
    /// UIDs by number; 0 for those it was not told.
    uids: Vec<u32>,
    /// Flags by UID, as far as they were told.
    flags: BTreeMap<u32, String>,
    /// What was done, for a failure.
    story: Vec<String>,
}

impl Member {
    async fn new(server: &Server, seed: u64) -> Self {
        let mut client = server.login().await;
        let with_qresync = seed.is_multiple_of(3);
        if with_qresync {
            client.ok("ENABLE QRESYNC").await;
        }
        let with_uidonly = seed % 4 == 2;
        if with_uidonly {
            client.ok("ENABLE UIDONLY").await;
        }
        let rng = TestRng::new(seed);
        let (uids, flags, story) = (Vec::new(), BTreeMap::new(), Vec::new());
        if seed % 4 == 1 {
            // Told of new messages and flags at any time, of removals when it allows it.
            let events = "MessageNew MessageExpunge FlagChange";
            client.ok(&format!("NOTIFY SET (SELECTED-DELAYED ({events}))")).await;
        }
        let mailbox = "Inbox";
        let (with_updates, results) = (seed % 5 < 3, Default::default());
        let mut member = Self {
            client,
            rng,
            with_qresync,
            with_uidonly,
            with_updates,
            results,
            mailbox,
            uids,
            flags,
            story,
        };
        member.select().await;
        member
    }

    fn below(&self, bound: usize) -> usize {
        (self.rng.next_u64() % bound as u64) as usize
    }

    async fn select(&mut self) {
        let command = format!("SELECT {}", self.mailbox);
        self.run(&command).await;
        self.run("UID FETCH 1:* (UID FLAGS)").await;
        // Nobody tells the UIDs of messages that came before, but the answer above.
        assert!(!self.uids.contains(&0), "{:?}", self.story);
        let with_updates = self.with_updates;
        for (tag, start, rest) in UPDATES.iter().filter(|_| with_updates) {
            self.client.send(&format!("{tag} {start} {rest}\r\n")).await;
            let (lines, reply) = self.client.finish(tag).await;
            assert!(reply.starts_with("OK"), "{reply}: {:?}", self.story);
            self.story.push(format!("C: {tag} {start} {rest}"));
            for line in &lines {
                self.story.push(format!("S: {line}"));
                self.hear(line, false);
            }
        }
    }

    /// `* ESEARCH (TAG "u1") UID …`.
    fn hear_update(&mut self, line: &str) {
        let context = UPDATES.iter().position(|(tag, ..)| line.contains(&format!("\"{tag}\"")));
        let result = &mut self.results[context.unwrap_or_else(|| panic!("{line}"))];
        match line.split_once(" ALL ") {
            Some((_, all)) => *result = contexts::numbers(all),
            None if line.ends_with(" UID") => result.clear(),
            None => contexts::apply(result, line),
        }
    }

    /// What was kept up to date is what a fresh search finds.
    async fn check_updates(&mut self, truth: &mut Client) {
        for (context, (_, start, rest)) in UPDATES.iter().enumerate() {
            let lines = truth.ok(&format!("{} {rest}", start.replace("UPDATE ", ""))).await;
            let want =
                lines[0].split_once(" ALL ").map_or(vec![], |(_, all)| contexts::numbers(all));
            assert_eq!(self.results[context], want, "{:#?}", self.story);
        }
    }

    /// Runs a command and believes what it is told. Returns the tagged reply.
    async fn run(&mut self, command: &str) -> String {
        let (lines, reply) = self.client.command(command).await;
        self.story.push(format!("C: {command}"));
        let frozen = ["FETCH ", "STORE ", "SEARCH "].iter().any(|name| command.starts_with(name));
        for line in &lines {
            self.story.push(format!("S: {line}"));
            self.hear(line, frozen);
        }
        self.story.push(format!("S: {reply}"));
        reply
    }

    fn hear(&mut self, line: &str, frozen: bool) {
        let words: Vec<&str> = line.split(' ').collect();
        let number = words[1].parse::<usize>();
        match (words[1], words.get(2).copied().unwrap_or_default()) {
            ("NO", "[NOUPDATE") => panic!("{line}: {:?}", self.story),
            ("ESEARCH", _) => self.hear_update(line),
            ("OK", "[CLOSED]") => {
                self.uids.clear();
                self.flags.clear();
            }
            (_, "EXISTS") => {
                let count = number.unwrap();
                assert!(count >= self.uids.len(), "{line}: {:?}", self.story);
                self.uids.resize(count, 0);
            }
            (_, "EXPUNGE") => {
                assert!(
                    !frozen && !self.with_qresync && !self.with_uidonly,
                    "{line}: {:?}",
                    self.story
                );
                let number = number.unwrap();
                assert!((1..=self.uids.len()).contains(&number), "{line}: {:?}", self.story);
                let uid = self.uids.remove(number - 1);
                self.flags.remove(&uid);
            }
            ("VANISHED", set) => {
                assert!(
                    !frozen && (self.with_qresync || self.with_uidonly),
                    "{line}: {:?}",
                    self.story
                );
                let gone = mox_imap::types::SequenceSet::parse(set.as_bytes()).unwrap();
                let gone = gone.numbers().unwrap();
                for uid in gone.iter() {
                    // What the client added itself can be gone before it learns the UID.
                    let at = self.uids.iter().position(|known| *known == uid);
                    let at = at.or_else(|| self.uids.iter().position(|known| *known == 0));
                    self.uids.remove(at.unwrap_or_else(|| panic!("{line}: {:?}", self.story)));
                }
                self.flags.retain(|uid, _| !gone.contains(*uid));
            }
            (_, "FETCH") => {
                assert!(!self.with_uidonly, "{line}: {:?}", self.story);
                self.hear_fetch(line, number.unwrap());
            }
            (_, "UIDFETCH") => {
                assert!(self.with_uidonly, "{line}: {:?}", self.story);
                self.hear_uid_fetch(line, u32::try_from(number.unwrap()).unwrap());
            }
            _ => {}
        }
    }

    fn hear_fetch(&mut self, line: &str, number: usize) {
        let uid = line.split_once("(UID ").unwrap().1;
        let uid: u32 = uid.split([' ', ')']).next().unwrap().parse().unwrap();
        let known = self.uids.get_mut(number - 1).unwrap_or_else(|| panic!("{line}"));
        assert!(*known == 0 || *known == uid, "{line} but was {known}: {:?}", self.story);
        *known = uid;
        self.hear_flags(line, uid);
    }

    /// Of messages it has not heard of such a client only knows how many there are: those are last.
    fn hear_uid_fetch(&mut self, line: &str, uid: u32) {
        if !self.uids.contains(&uid) {
            let new = self.uids.iter().position(|known| *known == 0);
            self.uids[new.unwrap_or_else(|| panic!("{line}: {:?}", self.story))] = uid;
            self.uids.sort_by_key(|uid| uid.wrapping_sub(1));
        }
        self.hear_flags(line, uid);
    }

    fn hear_flags(&mut self, line: &str, uid: u32) {
        if let Some((_, flags)) = line.split_once("FLAGS (") {
            let flags = flags.split(')').next().unwrap().to_owned();
            self.flags.insert(uid, flags);
        }
    }

    /// A few messages, as its commands name them.
    fn some(&self) -> String {
        let count = self.uids.len();
        let (a, b) = (1 + self.below(count), 1 + self.below(count));
        if !self.with_uidonly {
            return format!("{a},{a}:{}", b.min(a + 2));
        }
        format!("{},{}", self.uids[a - 1].max(1), self.uids[b - 1].max(1))
    }

    /// One message, likewise.
    fn one(&self) -> String {
        let at = self.below(self.uids.len());
        if self.with_uidonly { self.uids[at].max(1).to_string() } else { (at + 1).to_string() }
    }

    /// One command that a client might send.
    async fn step(&mut self, number: usize) {
        let count = self.uids.len();
        // The form of a command that takes what `some` and `one` say.
        let form = if self.with_uidonly { "UID " } else { "" };
        let other = if self.mailbox == "Inbox" { "work" } else { "Inbox" };
        let reply = match self.below(22) {
            0 | 1 => {
                let message = format!("Subject: {number}\r\n\r\n{}\r\n", "x".repeat(number));
                let to = if self.below(3) == 0 { other } else { self.mailbox };
                let size = message.len();
                let reply = self.run(&format!("APPEND {to} (app) {{{size}+}}\r\n{message}")).await;
                if to == self.mailbox {
                    self.learn_flags(&reply).await;
                }
                reply
            }
            2 => self.run("NOOP").await,
            3 => {
                self.client.send("i IDLE\r\nDONE\r\n").await;
                let (lines, reply) = self.client.finish("i").await;
                for line in lines.iter().filter(|line| line.starts_with('*')) {
                    self.story.push(format!("S: {line}"));
                    self.hear(line, false);
                }
                reply
            }
            4 if self.below(4) == 0 => {
                self.mailbox = other;
                self.select().await;
                return;
            }
            _ if count == 0 => self.run("NOOP").await,
            4 | 5 | 14..=19 => {
                let flag = ["\\Seen", "\\Flagged", "one", "two"][self.below(4)];
                let sign = ["+", "-"][self.below(2)];
                let uid = [form, "UID "][self.below(2)];
                let set = if uid == form { self.some() } else { "1:*".to_owned() };
                let command = format!("{uid}STORE {set} {sign}FLAGS ({flag})");
                self.run(&command).await
            }
            6 => {
                let command = format!("UID STORE {} FLAGS (\\Draft)", self.uids[self.below(count)]);
                self.run(&command).await
            }
            7 => {
                self.run(&format!("{form}FETCH {} (UID FLAGS BODY.PEEK[TEXT]<0.1>)", self.some()))
                    .await
            }
            8 => self.run(&format!("{form}FETCH {} (BODY[TEXT]<0.1>)", self.some())).await,
            9 => {
                let uid = self.uids[self.below(count)];
                self.run(&format!("UID STORE {uid} +FLAGS (\\Deleted)")).await;
                self.run("EXPUNGE").await
            }
            10 => self.run(&format!("{form}MOVE {} {other}", self.one())).await,
            11 => self.run(&format!("{form}COPY {} {other}", self.one())).await,
            20 | 21 => self.replace(other).await,
            12 => self.run("UID SEARCH UNSEEN NOT TEXT nothing").await,
            _ => self.run("STATUS Inbox (MESSAGES)").await,
        };
        // A message that is gone meanwhile is no mistake of the client.
        assert!(!reply.starts_with("BAD"), "{:?}", self.story);
        self.compare().await;
    }

    /// Puts something made of a message in the place of another.
    async fn replace(&mut self, other: &str) -> String {
        let form = if self.with_uidonly { "UID " } else { "" };
        let to = [self.mailbox, other][self.below(2)];
        let message = "(app) CATENATE (TEXT {16+}\r\nSubject: new\r\n\r\n URL \"";
        let uid = self.uids[self.below(self.uids.len())];
        let url = format!("/{}/;UID={uid}/;SECTION=TEXT\")", self.mailbox);
        let command = format!("{form}REPLACE {} {to} {message}{url}", self.one());
        let before = self.story.len();
        let reply = self.run(&command).await;
        let told = self.story.iter().skip(before).find(|line| line.contains("[APPENDUID"));
        if let Some(told) = told.filter(|_| to == self.mailbox).cloned() {
            self.learn_flags(&told).await;
        }
        reply
    }

    /// What the client added itself is not told with its flags.
    async fn learn_flags(&mut self, reply: &str) {
        let code = reply.split_once(']').map_or(reply, |(code, _)| code);
        let uid = code.rsplit(' ').next().unwrap_or_default();
        self.run(&format!("UID FETCH {uid} (FLAGS)")).await;
    }

    /// The numbers that the server uses are those of the client.
    async fn compare(&mut self) {
        self.client.send("c UID FETCH 1:* (UID)\r\n").await;
        let (lines, reply) = self.client.finish("c").await;
        assert!(reply.starts_with("OK"), "{reply}: {:?}", self.story);
        self.story.push("C: compare".to_owned());
        let mut at = 0;
        for line in &lines {
            self.story.push(format!("S: {line}"));
            if line.contains("FETCH (UID ") && !line.contains("FLAGS") {
                let number: usize = line.split(' ').nth(1).unwrap().parse().unwrap();
                assert!(number > at, "{line}: {:?}", self.story);
                at = number;
            }
            self.hear(line, false);
        }
    }
}

async fn crowd(seed: u64) {
    let server = server();
    server.login().await.ok("CREATE work").await;
    for number in 0..10 {
        server.deliver(format!("Subject: {number}\r\n\r\nx\r\n").as_bytes());
    }
    let mut tasks = Vec::new();
    for session in 0..SESSIONS {
        let mut member = Member::new(&server, seed * 100 + session as u64).await;
        tasks.push(tokio::spawn(async move {
            for number in 0..STEPS {
                member.step(number).await;
            }
            member
        }));
    }
    let mut members = Vec::new();
    for task in tasks {
        members.push(task.await.unwrap());
    }
    server.check();
    let mut truth = server.login().await;
    for mailbox in ["Inbox", "work"] {
        truth.ok(&format!("SELECT {mailbox}")).await;
        let lines = truth.ok("FETCH 1:* (UID FLAGS)").await;
        for member in members.iter_mut().filter(|member| member.mailbox == mailbox) {
            member.run("NOOP").await;
            assert_eq!(member.uids.len(), lines.len(), "{:?}", member.story);
            if member.with_updates {
                member.check_updates(&mut truth).await;
            }
            for (line, (number, uid)) in lines.iter().zip((1..).zip(&member.uids)) {
                // All that is new was told with its flags, but what the client added itself.
                let flags = &member.flags[uid];
                let want = format!("* {number} FETCH (UID {uid} FLAGS ({flags}))");
                assert_eq!(*line, want, "{:#?}", member.story);
            }
        }
    }
    for member in members {
        member.client.vanish().await;
    }
    server.check();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crowd_agrees_on_what_is_there() {
    for seed in 1..=3 {
        crowd(seed).await;
    }
}
