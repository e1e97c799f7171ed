//! Clients that had synchronized with the original. RFC 7162.

use std::collections::{BTreeMap, BTreeSet};

use super::{FIXTURES, Folder, Host, Message, between, flags_of};
use crate::client::Client;

/// What a client is told about messages.
#[derive(Debug, Default, PartialEq, Eq)]
struct Told {
    /// By UID: message number, mod-sequence and flags.
    changed: BTreeMap<u32, (usize, u64, BTreeSet<String>)>,
    /// UIDs.
    vanished: BTreeSet<u32>,
}

impl Told {
    fn of(lines: &[String]) -> Self {
        let mut told = Self::default();
        for line in lines {
            if let Some(set) = line.strip_prefix("* VANISHED (EARLIER) ") {
                told.vanished.extend(expanded(set));
            } else if line.contains(" FETCH (") {
                let seq = between(line, "* ", " ").parse().unwrap();
                let modseq = between(line, "MODSEQ (", ")").parse().unwrap();
                let uid = between(line, "UID ", " ").parse().unwrap();
                let before = told.changed.insert(uid, (seq, modseq, flags_of(line)));
                assert_eq!(before, None, "told twice: {line}");
            }
        }
        told
    }

    /// What the records say has changed after `since`, of the UIDs that are known.
    fn wanted(folder: &Folder, since: u64, is_known: impl Fn(&Message) -> bool) -> Self {
        let mut told = Self::default();
        for (at, message) in folder.live().enumerate() {
            if message.modseq > since && is_known(message) {
                let what = (at + 1, message.modseq, message.flags());
                told.changed.insert(message.uid, what);
            }
        }
        let gone = folder.messages.iter().filter(|one| one.is_gone && one.modseq > since);
        told.vanished = gone.filter(|one| is_known(one)).map(|one| one.uid).collect();
        told
    }
}

/// The UIDs of a set.
fn expanded(set: &str) -> impl Iterator<Item = u32> {
    set.split(',').flat_map(|range| {
        let (first, last) = range.split_once(':').unwrap_or((range, range));
        first.parse::<u32>().unwrap()..=last.parse().unwrap()
    })
}

/// A set with these UIDs.
fn set<'a>(messages: impl Iterator<Item = &'a Message>) -> String {
    messages.map(|message| message.uid.to_string()).collect::<Vec<_>>().join(",")
}

/// The number in a response code such as UIDNEXT.
#[track_caller]
fn code(lines: &[String], name: &str) -> u64 {
    let start = format!("* OK [{name} ");
    let line = lines.iter().find_map(|line| line.strip_prefix(&start));
    let line = line.unwrap_or_else(|| panic!("no {name} in {lines:?}"));
    line.split(']').next().unwrap().parse().unwrap()
}

async fn select(client: &mut Client, folder: &Folder, with: &str) -> Vec<String> {
    client.ask(&format!("s1 SELECT \"{}\" ({with})", folder.name)).await
}

/// Every state that a client may have stopped at: any in which something about the mailbox was new, and
/// the one before.
fn states(folder: &Folder) -> BTreeSet<u64> {
    let all = folder.messages.iter().flat_map(|one| [one.modseq, one.createseq]);
    let all = all.chain([folder.modseq]).flat_map(|modseq| [modseq - 1, modseq]);
    all.filter(|modseq| (1..=folder.modseq).contains(modseq)).collect()
}

/// RFC 7162 §3.2.5: SELECT with the last known UIDVALIDITY, mod-sequence and UIDs.
#[tokio::test]
async fn a_client_in_sync_fetches_nothing_again() {
    for (fixture, accounts) in FIXTURES {
        let host = Host::start((fixture, accounts)).await;
        let mut messages = 0;
        for account in *accounts {
            let mut client = host.log_in(account).await;
            client.ask("q1 ENABLE QRESYNC").await;
            for folder in host.folders(account) {
                let what = format!("{fixture} {account} {}", folder.name);
                let Folder { uidvalidity, uidnext, modseq, .. } = folder;
                let known = match set(folder.live()) {
                    none if none.is_empty() => String::new(),
                    known => format!(" {known}"),
                };
                let with = format!("QRESYNC ({uidvalidity} {modseq}{known})");
                let lines = select(&mut client, &folder, &with).await;
                assert_eq!(Told::of(&lines), Told::default(), "{what}");
                assert_eq!(code(&lines, "UIDVALIDITY"), uidvalidity, "{what}");
                assert_eq!(code(&lines, "UIDNEXT"), u64::from(uidnext), "{what}");
                assert_eq!(code(&lines, "HIGHESTMODSEQ"), modseq, "{what}");
                let exists = format!("* {} EXISTS", folder.live().count());
                assert!(lines.contains(&exists), "{what}: {lines:?}");
                messages += folder.live().count();
                // A list of all UIDs is what it knows.
                let found = client.ask("u1 UID SEARCH RETURN (ALL) ALL").await;
                let all = found[0].split(" ALL ").nth(1).map(expanded);
                let all: Vec<u32> = all.into_iter().flatten().collect();
                assert_eq!(all, folder.live().map(|one| one.uid).collect::<Vec<_>>(), "{what}");
            }
        }
        assert!(messages > 10);
        host.stop(accounts).await;
    }
}

/// RFC 7162 §3.2.5.1: what came after a mod-sequence is told, all of it and nothing else.
#[tokio::test]
async fn a_client_that_fell_behind_is_told_what_it_missed() {
    for (fixture, accounts) in FIXTURES {
        let host = Host::start((fixture, accounts)).await;
        let (mut changed, mut vanished) = (0, 0);
        for account in *accounts {
            let mut client = host.log_in(account).await;
            client.ask("q1 ENABLE QRESYNC").await;
            for folder in host.folders(account) {
                for since in states(&folder) {
                    let what = format!("{fixture} {account} {} {since}", folder.name);
                    // What was there then. Without it, it is told of all that is gone since.
                    let was_there = |one: &&Message| {
                        one.createseq <= since && !(one.is_gone && one.modseq <= since)
                    };
                    let known = set(folder.messages.iter().filter(was_there));
                    let validity = folder.uidvalidity;
                    let mut wants = vec![(String::new(), Told::wanted(&folder, since, |_| true))];
                    if !known.is_empty() {
                        let want = Told::wanted(&folder, since, |one| was_there(&one));
                        wants.push((format!(" {known}"), want));
                    }
                    for (known, want) in wants {
                        let with = format!("QRESYNC ({validity} {since}{known})");
                        let lines = select(&mut client, &folder, &with).await;
                        assert_eq!(Told::of(&lines), want, "{what}{known}");
                        (changed, vanished) =
                            (changed + want.changed.len(), vanished + want.vanished.len());
                    }
                    // RFC 7162 §3.2.6: the same in an open mailbox.
                    let command = format!("f1 UID FETCH 1:{} (FLAGS)", folder.uidnext);
                    let lines =
                        client.ask(&format!("{command} (CHANGEDSINCE {since} VANISHED)")).await;
                    assert_eq!(Told::of(&lines), Told::wanted(&folder, since, |_| true), "{what}");
                }
            }
        }
        assert!(changed > 10 && vanished > 4, "{fixture}: {changed} {vanished}");
        host.stop(accounts).await;
    }
}

/// RFC 7162 §3.1.4.1: a client with CONDSTORE alone asks for flags that changed.
#[tokio::test]
async fn a_client_with_condstore_hears_of_changed_flags() {
    for (fixture, accounts) in FIXTURES {
        let host = Host::start((fixture, accounts)).await;
        for account in *accounts {
            let mut client = host.log_in(account).await;
            for folder in host.folders(account) {
                let lines = select(&mut client, &folder, "CONDSTORE").await;
                assert_eq!(code(&lines, "HIGHESTMODSEQ"), folder.modseq);
                for since in states(&folder) {
                    let command = format!("f1 FETCH 1:* (UID FLAGS) (CHANGEDSINCE {since})");
                    let told = match folder.live().count() {
                        0 => Told::default(),
                        _ => Told::of(&client.ask(&command).await),
                    };
                    let want = Told::wanted(&folder, since, |one| !one.is_gone);
                    assert_eq!(told, want, "{fixture} {account} {} {since}", folder.name);
                }
            }
        }
        host.stop(accounts).await;
    }
}

/// A client of another server, or of a mailbox that was made anew, starts from nothing. RFC 7162 §3.2.5.
#[tokio::test]
async fn another_uidvalidity_is_not_caught_up_with() {
    let (fixture, accounts) = FIXTURES[1];
    let host = Host::start((fixture, accounts)).await;
    let mut client = host.log_in("alice").await;
    client.ask("q1 ENABLE QRESYNC").await;
    for folder in host.folders("alice") {
        let with = format!("QRESYNC ({} 1 1:{})", folder.uidvalidity + 1, folder.uidnext);
        let lines = select(&mut client, &folder, &with).await;
        assert_eq!(Told::of(&lines), Told::default(), "{}", folder.name);
    }
    host.stop(accounts).await;
}
