//! A made-up host of the original, as large as is wanted, always the same from its plan.

use std::fs;
use std::path::Path;

use super::account::{Account, file_name};
use super::value::{Row, Value, fields, map, row, time};
use super::writer::write_database;
use super::{Host, expected, open};
use crate::mail::Spec;

/// The domain of all addresses.
pub(super) const DOMAIN: &str = "takeover.example";

/// When the queue's messages came.
const QUEUED: i64 = 1_795_000_000;

/// How large a made-up host is.
///
/// A message takes about 4 KB in a file of its own and 2 KB in the database of its account.
#[derive(Clone, Debug)]
pub struct Plan {
    /// How many accounts; the first are `alice` and `bob`, then `user2` and so on.
    pub accounts: u32,
    /// How many messages each account has, without those that were removed: of these there is one more
    /// for every fifteen.
    pub messages: u64,
    /// How many mailboxes each has, at least 7.
    pub mailboxes: u32,
    /// How many messages wait to be sent.
    pub queued: u32,
    /// Whether the release that wrote it knew threads.
    pub has_threads: bool,
    /// Chooses what chance would.
    pub seed: u64,
}

impl Default for Plan {
    fn default() -> Self {
        Self { accounts: 1, messages: 1_000, mailboxes: 20, queued: 10, has_threads: true, seed: 1 }
    }
}

impl Plan {
    /// The names of the accounts.
    #[must_use]
    pub fn account_names(&self) -> Vec<String> {
        let name = |number: u32| match number {
            0 => "alice".to_owned(),
            1 => "bob".to_owned(),
            number => format!("user{number}"),
        };
        (0..self.accounts).map(name).collect()
    }
}

/// Makes a host that was stopped, with configuration and data below a directory. All accounts have the
/// password of the rich fixture's alice.
///
/// # Panics
///
/// If the disk fails.
#[must_use]
pub fn generate(dir: &Path, plan: &Plan) -> Host {
    let host = Host { config: dir.join("config"), data: dir.join("data") };
    fs::create_dir_all(&host.data).expect("create a directory");
    write_config(dir, &host, plan);
    let expected = expected("rich");
    let password = &expected["accounts"]["alice"]["passwords"][0];
    for (name, number) in plan.account_names().iter().zip(0..) {
        let account = Account { plan, number, name, password };
        account.write(&host.data.join("accounts").join(name));
    }
    write_queue(&host.data.join("queue"), plan);
    for name in ["mtasts", "dmarcrpt", "dmarceval", "tlsrpt", "tlsrptresult"] {
        write_database(&host.data.join(format!("{name}.db")), name, []);
    }
    let attempts = row(vec![7; 32])
        .with("First", time(QUEUED))
        .with("Last", time(QUEUED + 60))
        .with("Count", 3)
        .with("AccountName", "alice")
        .with("Result", "badpassword");
    write_database(&host.data.join("auth.db"), "auth", [("LoginAttempt", vec![attempts])]);
    let key: Vec<u8> = (0..24).collect();
    fs::write(host.data.join("receivedid.key"), key).expect("write a key");
    host
}

/// The files of the rich fixture's configuration, with other accounts.
fn write_config(dir: &Path, host: &Host, plan: &Plan) {
    let mut archive = tar::Archive::new(open("moxdata-rich.tgz"));
    for entry in archive.entries().expect("a fixture") {
        let mut entry = entry.expect("a file of a fixture");
        let is_config = entry
            .path()
            .is_ok_and(|path| path.components().any(|part| part.as_os_str() == "config"));
        if is_config {
            entry.unpack_in(dir).expect("unpack a file");
        }
    }
    let mut domains = format!("Domains:\n\t{DOMAIN}:\n\t\tDescription: made up\nAccounts:\n");
    for name in plan.account_names() {
        domains.push_str(&format!(
            "\t{name}:\n\t\tDomain: {DOMAIN}\n\t\tDestinations:\n\t\t\t{name}@{DOMAIN}: nil\n\
             \t\tRejectsMailbox: Rejects\n\t\tJunkFilter:\n\t\t\tThreshold: 0.95\n\t\t\tParams:\n\
             \t\t\t\tOnegrams: true\n\t\t\t\tMaxPower: 0.1\n\t\t\t\tTopWords: 10\n\
             \t\t\t\tIgnoreWords: 0.1\n\t\t\t\tRareWords: 1\n"
        ));
    }
    fs::write(host.config.join("domains.conf"), domains).expect("write a configuration");
}

fn write_queue(dir: &Path, plan: &Plan) {
    fs::create_dir_all(dir).expect("create a queue");
    let messages = (1..=u64::from(plan.queued)).map(|id| {
        let content = Spec::number(id).build();
        let path = dir.join(file_name(id));
        fs::create_dir_all(path.parent().expect("a directory")).expect("create a directory");
        fs::write(path, &content).expect("write a message");
        queued(id, content.len() as u64)
    });
    let rule = row(1).with("Account", "alice").with("RecipientDomainStr", "held.example");
    let rule = rule.with("RecipientDomain", domain("held.example"));
    let suppression = row(1)
        .with("Created", time(QUEUED))
        .with("Account", "alice")
        .with("BaseAddress", "gone@there.example")
        .with("OriginalAddress", "Go.ne+x@there.example")
        .with("Reason", "bounced");
    let tables =
        [("Msg", messages.collect()), ("HoldRule", vec![rule]), ("Suppression", vec![suppression])];
    write_database(&dir.join("index.db"), "queue", tables);
}

fn domain(name: &str) -> Value {
    fields([("ASCII", name.into())])
}

fn queued(id: u64, size: u64) -> Row {
    const PREFIX: &[u8] =
        b"Received: from [10.0.0.1] by mail.takeover.example via tcp with ESMTPSA id x\r\n";
    let to = format!("there{}.example", id % 5);
    let attempts = i64::from(id.is_multiple_of(3));
    let result = fields([
        ("Start", time(QUEUED + 5)),
        ("Duration", 120_000_000_i64.into()),
        ("Code", 451.into()),
        ("Secode", "3.0".into()),
        ("Error", "later".into()),
    ]);
    let record = row(id)
        .with("Queued", time(QUEUED))
        .with("Hold", id.is_multiple_of(7))
        .with("SenderAccount", "alice")
        .with("SenderLocalpart", "alice")
        .with("SenderDomain", fields([("Domain", domain(DOMAIN))]))
        .with("SenderDomainStr", DOMAIN)
        .with("RecipientLocalpart", format!("friend{id}"))
        .with("RecipientDomain", fields([("Domain", domain(&to))]))
        .with("RecipientDomainStr", to)
        .with("Attempts", attempts)
        .with("NextAttempt", time(QUEUED + 3_600))
        .with("Size", size + PREFIX.len() as u64)
        .with("MessageID", Spec::message_id(id))
        .with("MsgPrefix", PREFIX)
        .with("Subject", Spec::subject(id))
        .with("Extra", map([("campaign", "made up")]));
    if attempts == 0 {
        return record;
    }
    record.with("LastAttempt", time(QUEUED + 5)).with("Results", Value::List(vec![result]))
}

pub(super) fn bytes_of_hex(text: &str) -> Vec<u8> {
    let byte = |at: usize| u8::from_str_radix(&text[at..at + 2], 16).expect("hex digits");
    (0..text.len()).step_by(2).map(byte).collect()
}
