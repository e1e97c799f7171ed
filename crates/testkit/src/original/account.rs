//! An account of a made-up host: records and files of as many messages as are wanted.

use std::fs;
use std::path::Path;
use std::thread;

use serde_json::Value as Json;

use super::host::{DOMAIN, Plan, bytes_of_hex};
use super::schema::Schema;
use super::value::{Row, fields, list, row, time, time_at};
use super::writer::Writer;
use crate::mail::{Shape, Spec};
use crate::rng::mix;

/// UIDVALIDITY of the first mailboxes.
const UIDVALIDITY: u32 = 890_000_000;

/// When the first message came, and how long after each the next one.
const FIRST_RECEIVED: i64 = 1_600_000_000;
const INTERVAL_SECS: i64 = 137;

/// Mailboxes that each account has, with the fields of their special use.
const ROLES: [(&str, &str); 6] = [
    ("Inbox", ""),
    ("Archive", "Archive"),
    ("Drafts", "Draft"),
    ("Junk", "Junk"),
    ("Sent", "Sent"),
    ("Trash", "Trash"),
];

/// The mailbox that all others lie below: Lists/List-1 and so on.
const ABOVE: &str = "Lists";

/// The number of the mailbox of sent mail, from 0; its messages have recipients on record.
const SENT: usize = 4;

/// The number of the mailbox of junk.
const JUNK: usize = 3;

/// Every so many messages one was removed.
const GONE_EVERY: u64 = 16;

/// Senders that there are.
const SENDERS: u64 = 500;

/// What is known of a message before it is written anywhere.
struct Letter {
    id: u64,
    /// The number of its content: different ones for each account.
    number: u64,
    /// The number of its mailbox, from 0.
    mailbox: usize,
    is_gone: bool,
    /// Whether it came by SMTP, and so has a prefix and a history.
    is_by_smtp: bool,
    /// Chance, by the seed.
    chance: u64,
}

/// What all messages of an account are made by.
#[derive(Clone, Copy)]
pub(super) struct Account<'a> {
    pub(super) plan: &'a Plan,
    /// Its number on the host, from 0.
    pub(super) number: u32,
    pub(super) name: &'a str,
    /// The password of the rich fixture's alice.
    pub(super) password: &'a Json,
}

/// What is counted of a mailbox while its messages are written.
#[derive(Clone, Default)]
struct Counts {
    total: u64,
    deleted: u64,
    unread: u64,
    unseen: u64,
    size: u64,
    uid: u32,
}

impl Letter {
    /// Every third answers the one before it.
    fn answers(&self) -> bool {
        self.id % 3 == 2
    }

    fn spec(&self, account: &Account<'_>) -> Spec {
        let shape = match self.number % 40 {
            13 => Shape::Attachment,
            4 | 24 => Shape::Alternative,
            _ => Shape::Plain,
        };
        Spec {
            size_bytes: 3_000 + usize::try_from(self.number % 2_000).unwrap_or(0),
            from: format!("{}@{}", self.sender(), self.sender_domain()),
            to: format!("{}@{DOMAIN}", account.name),
            in_reply_to: self.answers().then(|| self.number - 1),
            shape,
            ..Spec::number(self.number)
        }
    }

    fn size_bytes(&self) -> u64 {
        3_000 + self.number % 2_000
    }

    fn sender(&self) -> String {
        format!("person{}", self.chance % SENDERS)
    }

    fn sender_domain(&self) -> String {
        format!("sender{}.example", self.chance % SENDERS % 50)
    }

    fn ip(&self) -> [u64; 4] {
        let host = self.chance % SENDERS;
        [10, 20 + host / 200, host % 200, 1 + self.chance % 3]
    }

    fn received(&self) -> i64 {
        FIRST_RECEIVED + i64::try_from(self.id).unwrap_or(0) * INTERVAL_SECS
    }

    /// Minutes east of UTC of the clock that received it.
    fn zone(&self) -> i32 {
        [0, 60, 120, -300, 330][usize::try_from(self.chance % 5).unwrap_or(0)]
    }

    /// What reception put before the message.
    fn prefix(&self, account: &Account<'_>) -> String {
        if !self.is_by_smtp {
            return String::new();
        }
        let (ip, domain) = (dotted(self.ip()), self.sender_domain());
        let (from, name) = (self.sender(), account.name);
        format!(
            "X-Mox-Reason: no-bad-signals; dmarc ok;\r\n\tno address/dkim/spf/ip-based reputation;\r\n\
             Delivered-To: {name}@{DOMAIN}\r\nReturn-Path: <{from}@{domain}>\r\n\
             Authentication-Results: mail.{DOMAIN};\r\n\tiprev=pass (without dnssec) policy.iprev={ip};\r\n\
             \tdkim=pass (2048 bit rsa) header.d={domain} header.s=2026 header.a=rsa-sha256;\r\n\
             \tspf=pass (without dnssec) smtp.mailfrom={domain};\r\n\
             \tdmarc=pass (without dnssec) header.from={domain}\r\n\
             Received-SPF: pass (domain {domain}) client-ip={ip};\r\n\
             \tenvelope-from=\"{from}@{domain}\"; helo=mx.{domain}; mechanism=\"ip4:{ip}\";\r\n\
             \treceiver=mail.{DOMAIN}; identity=mailfrom\r\n\
             Received: from mx.{domain} ([{ip}]) by mail.{DOMAIN} ([10.77.0.1])\r\n\
             \tvia tcp with ESMTPS id {:016x} (TLS1.3 TLS_AES_128_GCM_SHA256)\r\n\
             \tfor <{name}@{DOMAIN}>; 20 Nov 2026 10:06:54 +0000\r\n",
            self.chance
        )
    }
}

fn dotted(ip: [u64; 4]) -> String {
    ip.map(|byte| byte.to_string()).join(".")
}

/// Where a message file lies below `msg` or the queue: 8192 to a directory.
pub(super) fn file_name(id: u64) -> String {
    const LETTERS: &[u8; 64] = b"abcdefghijklmnopqrstuvwxyz0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ-_";
    let (mut rest, mut dir) = (id >> 13, String::new());
    loop {
        dir.push(char::from(LETTERS[(rest & 63) as usize]));
        rest >>= 6;
        if rest == 0 {
            return format!("{dir}/{id}");
        }
    }
}

impl Account<'_> {
    fn letter(&self, id: u64) -> Letter {
        // A multiple of three between accounts, so that answers are those of the content too.
        let number = u64::from(self.number) * 3_000_000_000 + id;
        let chance = mix(self.plan.seed ^ mix(number));
        let mailboxes = u64::from(self.plan.mailboxes).max(ROLES.len() as u64 + 1);
        // Half of it is in the inbox, and answers lie where what they answer lies.
        let place = mix(self.plan.seed ^ (number - u64::from(id % 3 == 2)));
        let mailbox = if place.is_multiple_of(2) { 0 } else { (place >> 8) % mailboxes };
        Letter {
            id,
            number,
            mailbox: usize::try_from(mailbox).unwrap_or(0),
            is_gone: id.is_multiple_of(GONE_EVERY),
            is_by_smtp: chance >> 32 & 3 != 0 && mailbox != SENT as u64,
            chance,
        }
    }

    fn letters(&self) -> impl Iterator<Item = Letter> + '_ {
        (1..=self.records()).map(|id| self.letter(id))
    }

    /// How many records make up the messages that are wanted.
    fn records(&self) -> u64 {
        let messages = self.plan.messages;
        messages + messages.saturating_sub(1) / (GONE_EVERY - 1)
    }

    fn mailbox_names(&self) -> Vec<String> {
        let more = (ROLES.len() as u32 + 1)..self.plan.mailboxes;
        let names = ROLES.iter().map(|(name, _)| (*name).to_owned());
        let lists = more.enumerate().map(|(number, _)| format!("{ABOVE}/List-{}", number + 1));
        names.chain([ABOVE.to_owned()]).chain(lists).collect()
    }

    /// Writes everything below a directory.
    pub(super) fn write(&self, dir: &Path) {
        fs::create_dir_all(dir).expect("create an account");
        let mut index = Writer::create(&dir.join("index.db"));
        let mut counts = vec![Counts::default(); self.mailbox_names().len()];
        index.table(
            &Schema::of("account", "Message"),
            self.letters().map(|letter| self.message(&letter, &mut counts)),
        );
        self.write_mailboxes(&mut index, &counts);
        self.write_recipients(&mut index);
        self.write_rest(&mut index, counts.iter().map(|one| one.size).sum());
        index.finish_as("account");
        self.write_junk_filter(dir);
        self.write_files(&dir.join("msg"));
    }

    /// On all processors.
    fn write_files(&self, dir: &Path) {
        let (last, threads) =
            (self.records(), thread::available_parallelism().map_or(1, usize::from));
        for id in (0..=last).step_by(8192) {
            let path = dir.join(file_name(id));
            fs::create_dir_all(path.parent().expect("a directory")).expect("create a directory");
        }
        thread::scope(|scope| {
            for first in 1..=threads {
                scope.spawn(move || {
                    for id in (first as u64..=last).step_by(threads) {
                        let letter = self.letter(id);
                        if !letter.is_gone {
                            let content = letter.spec(self).build();
                            fs::write(dir.join(file_name(id)), content).expect("write a message");
                        }
                    }
                });
            }
        });
    }

    fn message(&self, letter: &Letter, counts: &mut [Counts]) -> Row {
        let counts = &mut counts[letter.mailbox];
        counts.uid += 1;
        let (id, chance) = (letter.id, letter.chance);
        // Some were changed after they came: each change has a number of its own.
        let (created, changed) = (id + 1, self.records() + 1 + id);
        let is_changed = letter.is_gone || chance.is_multiple_of(3);
        let record = row(id)
            .with("UID", counts.uid)
            .with("MailboxID", letter.mailbox as u64 + 1)
            .with("CreateSeq", created)
            .with("ModSeq", if is_changed { changed } else { created });
        if letter.is_gone {
            let record = record.with("Expunged", true);
            return if self.plan.has_threads { record.with("ThreadID", id) } else { record };
        }
        let prefix = letter.prefix(self);
        let size = prefix.len() as u64 + letter.size_bytes();
        let (is_seen, is_deleted) = (chance >> 16 & 3 != 0, chance.is_multiple_of(97));
        counts.total += u64::from(!is_deleted);
        counts.deleted += u64::from(is_deleted);
        counts.unseen += u64::from(!is_seen);
        counts.unread += u64::from(!is_seen && !is_deleted);
        counts.size += size;
        let mut record = record
            .with("Received", time_at(letter.received(), 547_963_227, letter.zone() * 60))
            .with("SaveDate", time(letter.received() + 2))
            .with("Seen", is_seen)
            .with("Deleted", is_deleted)
            .with("Answered", chance >> 20 & 7 == 0)
            .with("Flagged", chance >> 24 & 15 == 0)
            .with("Size", size)
            .with("MsgPrefix", prefix.into_bytes())
            .with("ParsedBuf", parsed(letter));
        self.set_subject(letter, &mut record);
        self.set_judgement(letter, &mut record);
        if letter.is_by_smtp {
            self.set_origin(letter, &mut record);
        }
        if chance >> 28 & 7 == 0 {
            let keyword = format!("tag-{}", chance % 5);
            record.set("Keywords", list([keyword.as_str(), "work"]));
        }
        record
    }

    fn set_subject(&self, letter: &Letter, record: &mut Row) {
        let topic = letter.number - u64::from(letter.answers());
        let message_id = Spec::message_id(letter.number);
        record.set("MessageID", message_id.trim_matches(['<', '>']));
        record.set("SubjectBase", Spec::subject(topic).to_lowercase());
        let topic = letter.id - u64::from(letter.answers());
        if self.plan.has_threads {
            record.set("ThreadID", topic);
        }
        if self.plan.has_threads && letter.answers() {
            record.set("ThreadParentIDs", list([topic]));
            record.set("ThreadMuted", letter.chance.is_multiple_of(50));
        }
        if letter.chance >> 12 & 1 == 0 {
            record.set("Preview", format!("{} the first words of it", Spec::subject(topic)));
        }
    }

    fn set_judgement(&self, letter: &Letter, record: &mut Row) {
        let is_junk = letter.mailbox == JUNK;
        let is_judged = is_junk || letter.chance >> 36 & 7 == 0;
        record.set("Junk", is_junk);
        record.set("Notjunk", is_judged && !is_junk);
        if is_judged && letter.chance >> 40 & 3 != 0 {
            record.set("TrainedJunk", is_junk);
        }
    }

    fn set_origin(&self, letter: &Letter, record: &mut Row) {
        let [a, b, c, _] = letter.ip();
        let (ip, domain, sender) = (dotted(letter.ip()), letter.sender_domain(), letter.sender());
        let text = [
            ("RemoteIPMasked1", ip.clone()),
            ("RemoteIP", ip),
            ("RemoteIPMasked2", dotted([a, b, c, 0])),
            ("RemoteIPMasked3", dotted([a, b, c & !7, 0])),
            ("EHLODomain", format!("mx.{domain}")),
            ("MailFrom", format!("{sender}@{domain}")),
            ("MailFromLocalpart", sender.clone()),
            ("MailFromDomain", domain.clone()),
            ("RcptToLocalpart", self.name.to_owned()),
            ("RcptToDomain", DOMAIN.to_owned()),
            ("MsgFromLocalpart", sender),
            ("MsgFromDomain", domain.clone()),
            ("MsgFromOrgDomain", domain.clone()),
        ];
        for (name, value) in text {
            record.set(name, value);
        }
        record.set("DKIMDomains", list([domain]));
        for name in ["EHLOValidated", "MailFromValidated", "MsgFromValidated"] {
            record.set(name, true);
        }
        record.set("EHLOValidation", 4);
        record.set("MailFromValidation", 4);
        record.set("MsgFromValidation", 1);
        record.set("MailboxOrigID", letter.mailbox as u64 + 1);
        record.set("IsMailingList", letter.mailbox > ROLES.len());
        record.set("ReceivedTLSVersion", 0x0304);
        record.set("ReceivedTLSCipherSuite", 0x1301);
    }

    fn write_mailboxes(&self, index: &mut Writer, counts: &[Counts]) {
        let mailboxes = self.mailbox_names().into_iter().zip(counts).zip(1..);
        let above = ROLES.len() as u64 + 1;
        let rows = mailboxes.map(|((name, counts), id): (_, u64)| {
            let (_, role) = ROLES.get(id as usize - 1).copied().unwrap_or_default();
            let keywords = (0..5).map(|number| format!("tag-{number}"));
            let record = row(id)
                .with("CreateSeq", 1)
                .with("ModSeq", 2 * self.records() + 1)
                .with("ParentID", if id > above { above } else { 0 })
                .with("Name", name)
                .with("UIDValidity", UIDVALIDITY + id.saturating_sub(above) as u32)
                .with("UIDNext", counts.uid + 1)
                .with("Keywords", list(keywords.chain(["work".to_owned()])))
                .with("HaveCounts", true)
                .with("Total", counts.total)
                .with("Deleted", counts.deleted)
                .with("Unread", counts.unread)
                .with("Unseen", counts.unseen)
                .with("Size", counts.size);
            if role.is_empty() { record } else { record.with(role, true) }
        });
        let rows: Vec<_> = rows.collect();
        index.table(&Schema::of("account", "Mailbox"), rows);
        let mut names = self.mailbox_names();
        names.sort();
        index.table(&Schema::of("account", "Subscription"), names.into_iter().map(row));
    }

    fn write_recipients(&self, index: &mut Writer) {
        let sent = self.letters().filter(|letter| letter.mailbox == SENT && !letter.is_gone);
        let rows = sent.zip(1..).map(|(letter, id): (_, u64)| {
            row(id)
                .with("MessageID", letter.id)
                .with("Localpart", letter.sender())
                .with("Domain", letter.sender_domain())
                .with("OrgDomain", letter.sender_domain())
                .with("Sent", time(letter.received()))
        });
        index.table(&Schema::of("account", "Recipient"), rows);
    }

    fn write_rest(&self, index: &mut Writer, size: u64) {
        let mailboxes = self.mailbox_names().len() as u32;
        let mut one = |name: &str, row: Row| index.table(&Schema::of("account", name), [row]);
        one("NextUIDValidity", row(1).with("Next", UIDVALIDITY + mailboxes));
        let modseq = 2 * self.records() + 2;
        let state = row(1).with("LastModSeq", modseq).with("HighestDeletedModSeq", -1);
        one("SyncState", state);
        one("DiskUsage", row(1).with("MessageSize", size));
        let upgrade = ["MailboxModSeq", "MailboxParentID", "MailboxCounts"]
            .into_iter()
            .fold(row(1), |row, name| row.with(name, true))
            .with("Threads", if self.plan.has_threads { 2 } else { 0 });
        one("Upgrade", upgrade.with("MessageParseVersion", 2));
        one("Password", password(self.password));
        let note = row(1)
            .with("CreateSeq", modseq)
            .with("ModSeq", modseq)
            .with("Key", "/private/comment")
            .with("IsString", true)
            .with("Value", b"made up".to_vec());
        one("Annotation", note);
        let settings = row(1).with("Signature", "Regards").with("ShowAddressSecurity", true);
        one("Settings", settings);
        let key = row(format!("{}@{DOMAIN}", self.name)).with("Key", "0123456789abcdef");
        one("Subjectpass", key);
    }

    /// Words that were learnt, and a filter of those that were met, without any.
    fn write_junk_filter(&self, dir: &Path) {
        let mut filter = Writer::create(&dir.join("junkfilter.db"));
        let word = |number: u64| {
            row(format!("word{number:06}")).with("Ham", number % 7).with("Spam", number % 5)
        };
        // From fewer messages than are marked: it was set up later than the account.
        let (ham, spam) = (self.plan.messages / 100, self.plan.messages / 100);
        let count = row("-").with("Ham", ham).with("Spam", spam);
        let words = [count].into_iter().chain((0..2_000).map(word));
        filter.table(&Schema::of("junkfilter", "wordscore"), words);
        filter.finish_as("junkfilter");
        let bloom = fs::File::create(dir.join("junkfilter.bloom")).expect("create a file");
        bloom.set_len(4 << 20).expect("make a file longer");
    }
}

/// As long as what is kept of the structure of a message of one part.
fn parsed(letter: &Letter) -> Vec<u8> {
    let mut json = format!("{{\"BoundaryOffset\":-1,\"HeaderOffset\":0,\"Size\":{}", letter.number);
    while json.len() < 600 {
        json.push_str(",\"ContentTypeParams\":{\"charset\":\"utf-8\"}");
    }
    json.push('}');
    json.into_bytes()
}

/// A password as an account keeps it.
fn password(known: &Json) -> Row {
    let scram = |name: &str| {
        let bytes = |field: &str| bytes_of_hex(known[name][field].as_str().expect("hex")).into();
        let iterations = known[name]["iterations"].as_i64().expect("a number").into();
        let salted = bytes("salted_password");
        fields([("Salt", bytes("salt")), ("Iterations", iterations), ("SaltedPassword", salted)])
    };
    row(known["bcrypt"].as_str().expect("a hash"))
        .with("CRAMMD5", bytes_of_hex(known["crammd5_binary"].as_str().expect("hex")))
        .with("SCRAMSHA1", scram("scramsha1"))
        .with("SCRAMSHA256", scram("scramsha256"))
}
