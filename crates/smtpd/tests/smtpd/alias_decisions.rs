//! Members of an alias who would decide differently.

use crate::support::{Fixture, Setup, addressed};

/// `strict` takes proven authors only, `lax` anyone; both keep what they refuse, `bare` does not.
const DOMAINS_CONF: &str = "Domains:
\texample.org:
\t\tAliases:
\t\t\tboth:
\t\t\t\tAddresses:
\t\t\t\t\t- strict@example.org
\t\t\t\t\t- lax@example.org
\t\t\t\tPostPublic: true
\t\t\tcalm:
\t\t\t\tAddresses:
\t\t\t\t\t- lax@example.org
\t\t\t\t\t- strict@example.org
\t\t\t\tPostPublic: true
\t\t\tstern:
\t\t\t\tAddresses:
\t\t\t\t\t- strict@example.org
\t\t\t\t\t- sterner@example.org
\t\t\t\tPostPublic: true
\t\t\tmixed:
\t\t\t\tAddresses:
\t\t\t\t\t- bare@example.org
\t\t\t\t\t- strict@example.org
\t\t\t\tPostPublic: true
Accounts:
\tmjl:
\t\tDomain: example.org
\tstrict:
\t\tDomain: example.org
\t\tRejectsMailbox: Rejects
\t\tDestinations:
\t\t\tstrict@example.org:
\t\t\t\tMailbox: Lists
\t\t\t\tMessageAuthRequiredSMTPError: prove it first
\tsterner:
\t\tDomain: example.org
\t\tRejectsMailbox: Rejects
\t\tDestinations:
\t\t\tsterner@example.org:
\t\t\t\tMessageAuthRequiredSMTPError: prove it before
\tlax:
\t\tDomain: example.org
\t\tRejectsMailbox: Rejects
\t\tDestinations:
\t\t\tlax@example.org: nil
\tbare:
\t\tDomain: example.org
\t\tDestinations:
\t\t\tbare@example.org:
\t\t\t\tMessageAuthRequiredSMTPError: not here
";

/// A domain that says nothing of who may send for it.
const UNPROVEN: &str = "From: a@elsewhere.example\r\nMessage-ID: <1@x>\r\n\r\nx\r\n";
const PROVEN: &str = "From: a@client.example\r\nMessage-ID: <2@x>\r\n\r\nx\r\n";

fn fixture() -> Fixture {
    Fixture::with(Setup { domains_conf: DOMAINS_CONF.to_owned(), ..Setup::default() })
}

/// Sends to recipients, on a connection of its own, and checks the reply.
async fn send(fixture: &Fixture, message: &str, rcpts: &[&str], want: &str) {
    let from = if message == PROVEN { "a@client.example" } else { "" };
    let mut client = fixture.deliverer().await;
    let rcpts: Vec<String> = rcpts.iter().map(|rcpt| format!("{rcpt}@example.org")).collect();
    let rcpts: Vec<&str> = rcpts.iter().map(String::as_str).collect();
    let reply = client.transact(from, &rcpts, message).await;
    assert!(reply.starts_with(want), "{rcpts:?}: {reply}");
}

/// How many messages are in mailboxes, `account mailbox` each.
#[track_caller]
fn check(fixture: &Fixture, want: &[(&str, usize)]) {
    for (place, count) in want {
        let (account, mailbox) = place.split_once(' ').unwrap();
        assert_eq!(fixture.messages(account, mailbox).len(), *count, "{place}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_one_member_takes_all_get() {
    let fixture = fixture();
    send(&fixture, UNPROVEN, &["strict"], "550 5.7.26 prove it first").await;
    check(&fixture, &[("strict Lists", 0), ("strict Rejects", 1)]);
    // The same message by the alias: in the mailbox of each member's own destination.
    send(&fixture, UNPROVEN, &["both"], "250").await;
    check(&fixture, &[("strict Lists", 1), ("lax Inbox", 1), ("lax Rejects", 0)]);
    // It is no reject any more.
    check(&fixture, &[("strict Rejects", 0)]);
    let copy = &fixture.messages("strict", "Lists")[0];
    assert!(copy.starts_with("X-Mox-Reason: msg-auth-required;"), "{copy}");
    assert!(copy.contains("another member of the list takes the message"), "{copy}");
    assert!(addressed(copy).starts_with("Delivered-To: strict@example.org\r\n"), "{copy}");
    fixture.check();
}

#[tokio::test(start_paused = true)]
async fn what_no_member_takes_is_refused_as_the_first_does_and_kept_by_each() {
    let fixture = fixture();
    send(&fixture, UNPROVEN, &["stern"], "550 5.7.26 prove it first").await;
    let none = [("strict Lists", 0), ("sterner Inbox", 0)];
    check(&fixture, &none);
    check(&fixture, &[("strict Rejects", 1), ("sterner Rejects", 1)]);
    // Again: it is there already.
    send(&fixture, UNPROVEN, &["stern"], "550 5.7.26 prove it first").await;
    check(&fixture, &[("strict Rejects", 1), ("sterner Rejects", 1)]);
    // A member without such a mailbox.
    send(&fixture, UNPROVEN, &["mixed"], "550 5.7.26 not here").await;
    check(&fixture, &[("bare Inbox", 0), ("bare Rejects", 0), ("strict Rejects", 1)]);
    fixture.check();
}

/// A stranger whose domain says that it is not him: the answer tells nothing.
#[tokio::test(start_paused = true)]
async fn strangers_are_refused_by_all_without_a_reason() {
    let fixture = fixture();
    let mut client = fixture.deliverer().await;
    let message = "From: a@forged.example\r\n\r\nx\r\n";
    let reply = client.transact("a@forged.example", &["calm@example.org"], message).await;
    assert!(reply.starts_with("451 4.3.0"), "{reply}");
    check(&fixture, &[("lax Inbox", 0), ("strict Lists", 0)]);
    check(&fixture, &[("lax Rejects", 1), ("strict Rejects", 1)]);
    fixture.check();
}

#[tokio::test(start_paused = true)]
async fn who_is_addressed_in_person_decides_alone() {
    let fixture = fixture();
    let message = "From: a@elsewhere.example\r\n\r\nx\r\n";
    let mut client = fixture.deliverer().await;
    // The envelope is proven, the author is not.
    let rcpts = ["both@example.org", "strict@example.org"];
    let reply = client.transact("a@client.example", &rcpts, message).await;
    // The alias is served, by its other member; who refused in person keeps the refusal.
    assert!(reply.starts_with("250"), "{reply}");
    check(&fixture, &[("lax Inbox", 1), ("strict Lists", 0), ("strict Rejects", 1)]);
    send(&fixture, PROVEN, &["strict", "both"], "250").await;
    check(&fixture, &[("lax Inbox", 2), ("strict Lists", 1)]);
    fixture.check();
}
