//! Mailboxes and messages as clients see them.

use std::collections::{BTreeMap, BTreeSet};

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use mox_base::{DateTime, UnixSeconds};
use serde_json::Value as Json;

use super::{FIXTURES, Folder, Host, Message, between, flags_of, list, number};
use crate::client::Client;

/// A time of the expected files, such as `2026-11-20T10:06:54.63Z`.
fn unix(time: &Json) -> UnixSeconds {
    let text = time.as_str().unwrap();
    let part = |range: std::ops::Range<usize>| text[range].parse::<u16>().unwrap();
    let small = |range| u8::try_from(part(range)).unwrap();
    assert!(text.ends_with('Z'), "{text}");
    let date = DateTime {
        year: part(0..4),
        month: small(5..7),
        day: small(8..10),
        hour: small(11..13),
        minute: small(14..16),
        second: small(17..19),
        zone_minutes: 0,
    };
    date.to_unix().unwrap()
}

/// A FETCH response, its body apart.
struct Fetched {
    items: String,
    body: Vec<u8>,
}

fn fetched(response: &[u8]) -> Fetched {
    const BODY: &[u8] = b"BODY[] {";
    let at = response.windows(BODY.len()).position(|part| part == BODY);
    let at = at.unwrap_or_else(|| panic!("{}", String::from_utf8_lossy(response)));
    let (head, rest) = response.split_at(at);
    let end = rest.iter().position(|byte| *byte == b'\n').unwrap() + 1;
    let size: usize =
        between(std::str::from_utf8(&rest[..end]).unwrap(), "{", "}").parse().unwrap();
    let (body, tail) = rest[end..].split_at(size);
    let items = [head, tail].concat();
    Fetched { items: String::from_utf8(items).unwrap(), body: body.to_vec() }
}

#[track_caller]
fn check_message(want: &Message, found: &Fetched, what: &str) {
    let zone = want.json["received_offset_seconds"].as_i64().unwrap() / 60;
    let zone = i16::try_from(zone).unwrap();
    let received = DateTime::from_unix_in_zone(unix(&want.json["received"]), zone);
    let saved = DateTime::from_unix(unix(&want.json["savedate"]));
    let items = &found.items;
    assert_eq!(between(items, "INTERNALDATE \"", "\""), received.to_imap(), "{what}");
    assert_eq!(between(items, "SAVEDATE \"", "\""), saved.to_imap(), "{what}");
    assert_eq!(between(items, "RFC822.SIZE ", " "), want.json["size"].to_string(), "{what}");
    assert_eq!(between(items, "MODSEQ (", ")"), want.modseq.to_string(), "{what}");
    assert_eq!(flags_of(items), want.flags(), "{what}");
    let hash = digest(&SHA256, &found.body);
    let hash: String = hash.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(want.json["sha256"], hash, "{what}");
}

/// INTERNALDATE with its zone, SAVEDATE, size, flags, mod-sequence, and every byte.
#[tokio::test]
async fn messages_are_what_they_were() {
    let mut zones = BTreeSet::new();
    for (fixture, accounts) in FIXTURES {
        let host = Host::start((fixture, accounts)).await;
        for account in *accounts {
            let mut client = host.log_in(account).await;
            for folder in host.folders(account) {
                client.ask(&format!("s1 EXAMINE \"{}\" (CONDSTORE)", folder.name)).await;
                let items = "UID FLAGS MODSEQ INTERNALDATE SAVEDATE RFC822.SIZE BODY.PEEK[]";
                let command = format!("f1 UID FETCH 1:{} ({items})", folder.uidnext);
                let responses = client.ask_bytes(&command).await;
                let mut found = BTreeMap::new();
                for one in responses.iter().map(|response| fetched(response)) {
                    let uid: u32 = between(&one.items, "UID ", " ").parse().unwrap();
                    found.insert(uid, one);
                }
                assert_eq!(found.len(), folder.live().count(), "{}", folder.name);
                for want in folder.live() {
                    let what = format!("{fixture} {account} {} {}", folder.name, want.uid);
                    check_message(want, &found[&want.uid], &what);
                    zones.insert(want.json["received_offset_seconds"].as_i64());
                }
            }
        }
        host.stop(accounts).await;
    }
    assert!(zones.len() > 2, "{zones:?}");
}

/// What LIST says in extended form of mailboxes: attributes in lower case, by name. RFC 9051 §7.3.1.
async fn listed(client: &mut Client, command: &str) -> BTreeMap<String, BTreeSet<String>> {
    let lines = client.ask(command).await;
    let lines = lines.iter().filter(|line| line.starts_with("* LIST "));
    let all = lines.map(|line| {
        let attributes = between(line, "(", ")").split_whitespace().map(str::to_lowercase);
        // A name without blanks and the like comes bare.
        let name = line.split_once(" \"/\" ").unwrap().1;
        (name.trim_matches('"').to_owned(), attributes.collect())
    });
    all.collect()
}

fn check_status(folder: &Folder, line: &str) {
    let json = &folder.json;
    let item = |name: &str| -> u64 {
        let rest = between(line, &format!("{name} "), ")");
        rest.split(' ').next().unwrap().parse().unwrap()
    };
    assert_eq!(item("MESSAGES"), number(&json["total"]) + number(&json["deleted"]), "{line}");
    assert_eq!(item("DELETED"), number(&json["deleted"]), "{line}");
    assert_eq!(item("UNSEEN"), number(&json["unseen"]), "{line}");
    assert_eq!(item("SIZE"), number(&json["size"]), "{line}");
    assert_eq!(item("UIDNEXT"), u64::from(folder.uidnext), "{line}");
    assert_eq!(item("UIDVALIDITY"), folder.uidvalidity, "{line}");
    assert_eq!(item("HIGHESTMODSEQ"), folder.modseq, "{line}");
}

/// RFC 9051 §6.3.9, §6.3.11: the same mailboxes with the same roles and subscriptions, and their status.
#[tokio::test]
async fn mailboxes_are_what_they_were() {
    for (fixture, accounts) in FIXTURES {
        let host = Host::start((fixture, accounts)).await;
        for account in *accounts {
            let mut client = host.log_in(account).await;
            let folders = host.folders(account);
            let all = listed(&mut client, "l1 LIST \"\" * RETURN (SPECIAL-USE SUBSCRIBED)").await;
            let names: Vec<&str> = all.keys().map(String::as_str).collect();
            let mut want: Vec<&str> = folders.iter().map(|folder| &*folder.name).collect();
            want.sort_unstable();
            assert_eq!(names, want, "{fixture} {account}");
            let subscribed: Vec<&str> = list(&host.account(account)["subscriptions"])
                .iter()
                .map(|name| name.as_str().unwrap())
                .collect();
            for folder in &folders {
                let attributes = &all[&folder.name];
                let roles: BTreeSet<_> = list(&folder.json["special_use"])
                    .iter()
                    .map(|role| match role.as_str().unwrap() {
                        "Draft" => "\\drafts".to_owned(),
                        role => format!("\\{}", role.to_lowercase()),
                    })
                    .collect();
                let known = ["\\archive", "\\drafts", "\\junk", "\\sent", "\\trash"];
                let found = attributes.iter().filter(|one| known.contains(&one.as_str())).cloned();
                assert_eq!(found.collect::<BTreeSet<_>>(), roles, "{}", folder.name);
                let is_subscribed = attributes.contains("\\subscribed");
                assert_eq!(is_subscribed, subscribed.contains(&&*folder.name), "{}", folder.name);
                let items = "MESSAGES DELETED UNSEEN SIZE UIDNEXT UIDVALIDITY HIGHESTMODSEQ";
                let status = format!("t1 STATUS \"{}\" ({items})", folder.name);
                check_status(folder, &client.ask(&status).await[0]);
            }
            // Also to mailboxes that are not there.
            let found = listed(&mut client, "l2 LIST (SUBSCRIBED) \"\" *").await;
            let found: BTreeSet<&str> = found.keys().map(String::as_str).collect();
            assert_eq!(found, subscribed.into_iter().collect(), "{fixture} {account}");
        }
        host.stop(accounts).await;
    }
}

/// RFC 5464 §4.2: the same annotations, of mailboxes and of the account.
#[tokio::test]
async fn annotations_are_what_they_were() {
    let (fixture, accounts) = FIXTURES[1];
    let host = Host::start((fixture, accounts)).await;
    let mut client = host.log_in("alice").await;
    let folders = host.folders("alice");
    let (mut there, mut gone) = (0, 0);
    for record in list(&host.account("alice")["raw"]["Annotation"]["records"]) {
        let (id, key) = (&record["MailboxID"], record["Key"].as_str().unwrap());
        let name = match folders.iter().find(|folder| folder.json["id"] == *id) {
            Some(folder) => &*folder.name,
            None if *id == 0 => "",
            None => continue,
        };
        let answer = client.ask_bytes(&format!("m1 GETMETADATA \"{name}\" \"{key}\"")).await;
        let answer = answer.concat();
        let text = String::from_utf8_lossy(&answer);
        let has = |part: &[u8]| answer.windows(part.len()).any(|bytes| bytes == part);
        if record["Expunged"] == true {
            assert!(text.contains(&format!("{key} NIL")) || text.is_empty(), "{text}");
            gone += 1;
            continue;
        }
        let value = record["Value"].as_str().unwrap().strip_prefix("b64:").unwrap();
        let value = STANDARD.decode(value).unwrap();
        assert!(has(key.as_bytes()) && has(&value), "{key} {value:?}: {text}");
        assert_eq!(record["IsString"] == false, has(b" ~{"), "{key}: {text}");
        there += 1;
    }
    assert!(there > 2 && gone > 0, "{there} {gone}");
    host.stop(accounts).await;
}
