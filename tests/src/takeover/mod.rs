//! Accounts of the original, served: whoever had one goes on with the mail program and the password they
//! have, and nothing is fetched again. What the original's own library says of the fixtures is what
//! clients must be told.

mod content;
mod logins;
mod sync;

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use mox_takeover::{Account, Watch};
use mox_testkit::original;
use serde_json::Value as Json;

use crate::client::Client;
use crate::server::TestServer;

/// The fixtures, and the accounts in them.
const FIXTURES: &[(&str, &[&str])] =
    &[("basic", &["mox"]), ("rich", &["alice", "bob"]), ("live", &["alice", "bob"])];

/// A host whose accounts were taken over.
struct Host {
    server: TestServer,
    expected: Json,
}

/// Lets it go on to its end.
struct Patient;

impl Watch for Patient {
    fn progress(&mut self, _done: u64, _total: u64) -> bool {
        true
    }
}

impl Host {
    /// Takes over the accounts of a fixture, and starts the server on them.
    async fn start((fixture, accounts): (&str, &[&str])) -> Self {
        let server = TestServer::start_with_accounts(accounts).await;
        let dir = tempfile::tempdir().unwrap();
        let host = original::unpack(fixture, dir.path());
        for name in accounts {
            let theirs = Account::open(&host.data.join("accounts").join(name)).unwrap();
            let ours = server.server().services().store.account(name).unwrap();
            let summary = theirs.copy(&ours, None, &mut Patient).unwrap();
            assert!(summary.is_whole(), "{summary:?}");
        }
        // As it is found by a server that did not see it made.
        let server = server.restart().await;
        Self { server, expected: original::expected(fixture) }
    }

    async fn stop(self, accounts: &[&str]) {
        for name in accounts {
            let account = self.server.server().services().store.account(name).unwrap();
            assert_eq!(account.check().unwrap(), Vec::<String>::new(), "{name}");
        }
        self.server.stop().await;
    }

    fn account(&self, name: &str) -> &Json {
        &self.expected["accounts"][name]
    }

    /// A session with the password that was right before.
    async fn log_in(&self, name: &str) -> Client {
        let tests = self.account(name)["passwords"][0]["tests"].as_array().unwrap();
        let right = tests.iter().find(|test| test["scramsha256_ok"] == true).unwrap();
        let plain = format!("\0{name}@localhost\0{}", right["password"].as_str().unwrap());
        let mut client = self.server.imap().await;
        client.ask(&format!("l1 AUTHENTICATE PLAIN {}", STANDARD.encode(plain))).await;
        client.ask("l2 ENABLE IMAP4rev2").await;
        client
    }

    fn folders(&self, account: &str) -> Vec<Folder> {
        let account = self.account(account);
        let all = list(&account["mailboxes"]).iter().filter(|one| one["expunged"] == false);
        let folders: Vec<_> = all.map(|one| Folder::of(one, list(&account["messages"]))).collect();
        assert!(folders.len() > 5);
        folders
    }
}

/// A mailbox, as a client had come to know it.
struct Folder {
    json: Json,
    name: String,
    uidvalidity: u64,
    uidnext: u32,
    modseq: u64,
    /// Those that are there and those that are gone, by UID.
    messages: Vec<Message>,
}

/// A message, or what is left of it.
struct Message {
    json: Json,
    uid: u32,
    modseq: u64,
    createseq: u64,
    is_gone: bool,
}

impl Folder {
    fn of(json: &Json, messages: &[Json]) -> Self {
        let inside = messages.iter().filter(|one| one["mailbox_id"] == json["id"]);
        let mut messages: Vec<_> = inside.map(Message::of).collect();
        messages.sort_by_key(|one| one.uid);
        Self {
            json: json.clone(),
            name: json["name"].as_str().unwrap().to_owned(),
            uidvalidity: number(&json["uidvalidity"]),
            uidnext: u32::try_from(number(&json["uidnext"])).unwrap(),
            modseq: modseq(&json["modseq"]),
            messages,
        }
    }

    fn live(&self) -> impl Iterator<Item = &Message> {
        self.messages.iter().filter(|message| !message.is_gone)
    }
}

impl Message {
    fn of(json: &Json) -> Self {
        Self {
            json: json.clone(),
            uid: u32::try_from(number(&json["uid"])).unwrap(),
            modseq: modseq(&json["modseq"]),
            createseq: modseq(&json["createseq"]),
            is_gone: json["expunged"] == true,
        }
    }

    /// The flags and keywords as IMAP names them.
    fn flags(&self) -> BTreeSet<String> {
        let named = |flag: &Json| match flag.as_str().unwrap() {
            "Forwarded" => "$forwarded".to_owned(),
            "Junk" => "$junk".to_owned(),
            "Notjunk" => "$notjunk".to_owned(),
            "Phishing" => "$phishing".to_owned(),
            "MDNSent" => "$mdnsent".to_owned(),
            system => format!("\\{}", system.to_lowercase()),
        };
        let keywords = list(&self.json["keywords"]).iter().map(|one| one.as_str().unwrap());
        list(&self.json["flags"]).iter().map(named).chain(keywords.map(str::to_lowercase)).collect()
    }
}

fn number(value: &Json) -> u64 {
    value.as_u64().unwrap_or_else(|| panic!("{value} is no number"))
}

/// Clients are shown 1 for what is from before there were any.
fn modseq(value: &Json) -> u64 {
    number(value).max(1)
}

/// A list, of which null is the empty one.
fn list(value: &Json) -> &[Json] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

/// What stands between two marks of a response.
#[track_caller]
fn between<'a>(text: &'a str, from: &str, to: &str) -> &'a str {
    let rest = text.split_once(from).unwrap_or_else(|| panic!("no {from:?} in {text}")).1;
    rest.split_once(to).unwrap_or_else(|| panic!("no {to:?} in {text}")).0
}

/// The flags in a FETCH response, in lower case.
#[track_caller]
fn flags_of(response: &str) -> BTreeSet<String> {
    between(response, "FLAGS (", ")").split_whitespace().map(str::to_lowercase).collect()
}
