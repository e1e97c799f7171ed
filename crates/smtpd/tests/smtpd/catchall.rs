//! The many forms of an address, and domains where any localpart exists.

use crate::support::{Fixture, Setup};

const DOMAINS_CONF: &str = "Domains:
\texample.org:
\t\tLocalpartCatchallSeparators:
\t\t\t- +
\t\t\t- --
\t\tAliases:
\t\t\tteam:
\t\t\t\tAddresses:
\t\t\t\t\t- mjl@example.org
\t\t\t\tPostPublic: true
\tany.example:
\t\tLocalpartCatchallSeparator: +
\t\tAliases:
\t\t\tlist:
\t\t\t\tAddresses:
\t\t\t\t\t- mjl@example.org
\t\t\t\tPostPublic: true
\tbare.example: nil
Accounts:
\tmjl:
\t\tDomain: example.org
\t\tDestinations:
\t\t\tmjl@example.org: nil
\t\t\t\"\"@example.org:
\t\t\t\tMailbox: Empty
\t\t\tm\u{fc}ller@example.org:
\t\t\t\tMailbox: Mueller
\t\t\t\u{3a9}@example.org:
\t\t\t\tMailbox: Omega
\t\t\tinfo@any.example:
\t\t\t\tMailbox: Info
\tother:
\t\tDomain: any.example
\t\tDestinations:
\t\t\t@any.example:
\t\t\t\tMailbox: Any
\t\t\tme@bare.example: nil
";

fn fixture() -> Fixture {
    Fixture::with(Setup { domains_conf: DOMAINS_CONF.to_owned(), ..Setup::default() })
}

/// Sends to an address, and checks where the message is then, as `account mailbox`.
async fn check(fixture: &Fixture, rcpt: &str, want: &str) {
    let mut client = fixture.deliverer().await;
    client.check("MAIL FROM:<a@client.example> SMTPUTF8", "250").await;
    client.check(&format!("RCPT TO:<{rcpt}>"), "250 2.1.0").await;
    let (account, mailbox) = want.split_once(' ').unwrap();
    let before = fixture.messages(account, mailbox).len();
    assert!(client.data("From: a@client.example\r\n\r\nx\r\n").await.starts_with("250"));
    assert_eq!(fixture.messages(account, mailbox).len(), before + 1, "{rcpt} is not in {want}");
}

async fn check_unknown(fixture: &Fixture, rcpt: &str) {
    let mut client = fixture.deliverer().await;
    client.check("MAIL FROM:<a@client.example> SMTPUTF8", "250").await;
    let reply = client.say(&format!("RCPT TO:<{rcpt}>")).await;
    if reply.starts_with("250") {
        let reply = client.data("From: a@client.example\r\n\r\nx\r\n").await;
        assert!(reply.starts_with("550 5.1.1"), "{rcpt}: {reply}");
    } else {
        assert!(reply.starts_with("550 5.1.1"), "{rcpt}: {reply}");
    }
}

#[tokio::test]
async fn a_catchall_takes_only_what_nobody_else_takes() {
    let fixture = fixture();
    check(&fixture, "whoever@any.example", "other Any").await;
    check(&fixture, "whoever+tag@any.example", "other Any").await;
    check(&fixture, "postmaster@any.example", "other Any").await;
    check(&fixture, "\"\"@any.example", "other Any").await;
    // An address and an alias come first, in each of their forms.
    check(&fixture, "info@any.example", "mjl Info").await;
    check(&fixture, "INFO+tag@any.example", "mjl Info").await;
    check(&fixture, "list@any.example", "mjl Inbox").await;
    check(&fixture, "List+tag@any.example", "mjl Inbox").await;
    fixture.check();
}

#[tokio::test(start_paused = true)]
async fn an_address_is_reached_in_each_of_its_forms() {
    // RFC 5321 §2.3.11, RFC 5233 §1.
    let fixture = fixture();
    for rcpt in ["mjl", "MJL", "mjl+tag", "mjl--tag", "mjl+a--b", "mjl--a+b", "\"mjl\"", "m\\jl"] {
        let rcpt = if rcpt.contains('\\') { format!("\"{rcpt}\"") } else { rcpt.to_owned() };
        check(&fixture, &format!("{rcpt}@example.org"), "mjl Inbox").await;
    }
    check(&fixture, "team--x@example.org", "mjl Inbox").await;
    check(&fixture, "@relay.example,@other.example:mjl@example.org", "mjl Inbox").await;
    check(&fixture, "\"\"@example.org", "mjl Empty").await;
    check(&fixture, "+tag@example.org", "mjl Empty").await;
    // Composed or not; the ohm sign, and both cases of omega. RFC 6530 §10.1.
    check(&fixture, "m\u{fc}ller@example.org", "mjl Mueller").await;
    check(&fixture, "mu\u{308}ller+tag@example.org", "mjl Mueller").await;
    for omega in ["\u{3a9}", "\u{2126}", "\u{3c9}"] {
        check(&fixture, &format!("{omega}@example.org"), "mjl Omega").await;
    }
    // Letters of other scripts that look the same, and one hyphen where two part.
    check_unknown(&fixture, "m\u{458}l@example.org").await;
    check_unknown(&fixture, "\u{43c}jl@example.org").await;
    check_unknown(&fixture, "mjl-tag@example.org").await;
    fixture.check();
}

#[tokio::test(start_paused = true)]
async fn postmaster_is_reached_where_there_is_mail() {
    // RFC 5321 §4.5.1.
    let fixture = fixture();
    check(&fixture, "postmaster@bare.example", "mjl Postmaster").await;
    check(&fixture, "POSTMASTER@mail.example.org", "mjl Postmaster").await;
    check_unknown(&fixture, "postmaster@elsewhere.example").await;
    check_unknown(&fixture, "me@mail.example.org").await;
    // RFC 5321 §4.1.3: a literal names no domain of ours.
    check_unknown(&fixture, "postmaster@[127.0.0.1]").await;
    check_unknown(&fixture, "mjl@[IPv6:2001:db8::1]").await;
    // RFC 6531 §3.5: the address needs SMTPUTF8.
    let mut client = fixture.deliverer().await;
    client.check("MAIL FROM:<a@client.example>", "250").await;
    client.check("RCPT TO:<m\u{fc}ller@example.org>", "553 5.6.7").await;
}
