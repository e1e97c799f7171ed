//! Mail to aliases, from outside and from users.

use crate::support::{Fixture, PASSWORD, Setup, addressed, plain};

const MESSAGE: &str = "From: a@client.example\r\n\r\nx\r\n";

/// `ann` and `bob` have the members that count, `small` and `tiny` have no room.
const DOMAINS_CONF: &str = "Domains:
\texample.org:
\t\tLocalpartCatchallSeparator: +
\t\tAliases:
\t\t\tteam:
\t\t\t\tAddresses:
\t\t\t\t\t- ann@example.org
\t\t\t\t\t- bob@example.org
\t\t\t\tPostPublic: true
\t\t\tsales:
\t\t\t\tAddresses:
\t\t\t\t\t- bob@example.org
\t\t\t\t\t- mjl@example.org
\t\t\t\tPostPublic: true
\t\t\tstaff:
\t\t\t\tAddresses:
\t\t\t\t\t- ann@example.org
\t\t\t\t\t- bob@example.org
\t\t\t\tAllowMsgFrom: true
\t\t\tquiet:
\t\t\t\tAddresses:
\t\t\t\t\t- ann@example.org
\t\t\tnarrow:
\t\t\t\tAddresses:
\t\t\t\t\t- small@example.org
\t\t\t\t\t- gone@example.org
\t\t\t\t\t- ann@off.example
\t\t\t\t\t- bob@example.org
\t\t\t\tPostPublic: true
\t\t\tfull:
\t\t\t\tAddresses:
\t\t\t\t\t- small@example.org
\t\t\t\t\t- tiny@example.org
\t\t\t\tPostPublic: true
\t\t\tdead:
\t\t\t\tAddresses:
\t\t\t\t\t- gone@example.org
\t\t\t\t\t- ann@off.example
\t\t\t\tPostPublic: true
\toff.example:
\t\tDisabled: true
\t\tAliases:
\t\t\tteam:
\t\t\t\tAddresses:
\t\t\t\t\t- ann@example.org
\t\t\t\tPostPublic: true
Accounts:
\tmjl:
\t\tDomain: example.org
\t\tDestinations:
\t\t\tmjl@example.org: nil
\t\t\tgone@example.org:
\t\t\t\tSMTPError: 550 moved away
\tann:
\t\tDomain: example.org
\t\tDestinations:
\t\t\tann@example.org: nil
\t\t\tann@off.example: nil
\tbob:
\t\tDomain: example.org
\t\tLoginDisabled: on leave
\t\tDestinations:
\t\t\tbob@example.org:
\t\t\t\tMailbox: Lists/Bob
\tsmall:
\t\tDomain: example.org
\t\tQuotaMessageSize: 10
\t\tDestinations:
\t\t\tsmall@example.org: nil
\ttiny:
\t\tDomain: example.org
\t\tQuotaMessageSize: 10
\t\tDestinations:
\t\t\ttiny@example.org: nil
";

fn fixture() -> Fixture {
    let fixture =
        Fixture::with(Setup { domains_conf: DOMAINS_CONF.to_owned(), ..Setup::default() });
    fixture.set_password("ann");
    fixture.set_password("mjl");
    fixture
}

/// How many messages each member has.
#[track_caller]
fn check_members(fixture: &Fixture, want: [usize; 3]) {
    let [ann, mjl] = fixture.counts(["ann", "mjl"]);
    assert_eq!([ann, fixture.messages("bob", "Lists/Bob").len(), mjl], want);
}

#[tokio::test]
async fn a_member_of_several_aliases_gets_one_copy() {
    // RFC 5321 §3.9.
    let fixture = fixture();
    let mut client = fixture.deliverer().await;
    let rcpts = ["team@example.org", "sales@example.org", "Team+x@example.org"];
    let reply = client.transact("a@client.example", &rcpts, MESSAGE).await;
    assert!(reply.starts_with("250 2.2.0"), "{reply}");
    check_members(&fixture, [1, 1, 1]);
    // A copy tells which recipient it came by, and no other. RFC 5321 §7.2.
    let copies =
        [("ann", "Inbox", "team"), ("bob", "Lists/Bob", "team"), ("mjl", "Inbox", "sales")];
    for (account, mailbox, alias) in copies {
        let copy = &fixture.messages(account, mailbox)[0];
        let copy = addressed(copy);
        assert!(copy.starts_with(&format!("Delivered-To: {account}@example.org\r\n")), "{copy}");
        assert!(copy.contains("Return-Path: <a@client.example>\r\n"), "{copy}");
        assert!(copy.contains(&format!("<{alias}@example.org>;")), "{copy}");
        assert_eq!(copy.matches("@example.org").count(), 2, "{copy}");
    }
    fixture.check();
}

#[tokio::test]
async fn an_alias_in_a_thousand_spellings_is_one_alias() {
    let fixture = fixture();
    let mut client = fixture.deliverer().await;
    client.check("MAIL FROM:<a@client.example>", "250").await;
    for n in 0..1_000 {
        client.check(&format!("RCPT TO:<team+{n}@example.org>"), "250").await;
    }
    client.check("RCPT TO:<team@example.org>", "452 4.5.3").await;
    assert!(client.data(MESSAGE).await.starts_with("250"));
    check_members(&fixture, [1, 1, 0]);
    fixture.check();
}

#[tokio::test(start_paused = true)]
async fn an_alias_is_served_if_one_member_is() {
    let fixture = fixture();
    let mut client = fixture.deliverer().await;
    // One is full, one moved away, one has a domain that is switched off; and one may not log in,
    // but gets mail.
    let reply = client.transact("a@client.example", &["narrow@example.org"], MESSAGE).await;
    assert!(reply.starts_with("250 2.2.0"), "{reply}");
    check_members(&fixture, [0, 1, 0]);
    // All are full. RFC 3463 §3.3.
    let reply = client.transact("a@client.example", &["full@example.org"], MESSAGE).await;
    assert!(reply.starts_with("452 4.2.2"), "{reply}");
    // None takes mail: the answer is that of the first.
    let reply = client.transact("a@client.example", &["dead@example.org"], MESSAGE).await;
    assert!(reply.starts_with("550 5.1.1") && reply.contains("moved away"), "{reply}");
    // The alias itself is in a domain that is switched off.
    let mut client = fixture.deliverer().await;
    client.check("MAIL FROM:<a@client.example>", "250").await;
    client.check("RCPT TO:<team@off.example>", "450 4.2.1").await;
    assert_eq!(fixture.counts(["small", "tiny"]), [0, 0]);
    fixture.check();
}

#[tokio::test(start_paused = true)]
async fn some_recipients_served_is_a_success() {
    // RFC 5321 §4.2.5: no reply could tell both.
    let fixture = fixture();
    let mut client = fixture.deliverer().await;
    let rcpts = ["staff@example.org", "full@example.org", "team@example.org"];
    let reply = client.transact("a@client.example", &rcpts, MESSAGE).await;
    assert!(reply.starts_with("250 2.2.0"), "{reply}");
    check_members(&fixture, [1, 1, 0]);
    // None is: the errors differ, and the worse one counts.
    let rcpts = ["staff@example.org", "full@example.org"];
    let reply = client.transact("a@client.example", &rcpts, MESSAGE).await;
    assert!(reply.starts_with("554 5.3.0"), "{reply}");
    check_members(&fixture, [1, 1, 0]);
}

/// Delivers what `user` wrote, as the queue does: the domain vouches for the author. Checks the reply and
/// how many messages members have then.
async fn check_write(
    fixture: &Fixture,
    user: &str,
    (from, rcpts): (&str, &[&str]),
    want: &str,
    members: [usize; 3],
) {
    let mut client = fixture.deliverer().await;
    let message = format!("From: {from}@example.org\r\n\r\nx\r\n");
    let rcpts: Vec<String> = rcpts.iter().map(|rcpt| format!("{rcpt}@example.org")).collect();
    let rcpts: Vec<&str> = rcpts.iter().map(String::as_str).collect();
    let reply = client.transact(&format!("{user}@example.org"), &rcpts, &message).await;
    assert!(reply.starts_with(want), "{user} as {from} to {rcpts:?}: {reply}");
    check_members(fixture, members);
}

#[tokio::test]
async fn users_write_to_aliases() {
    let fixture = fixture();
    // A member: everyone else gets it.
    check_write(&fixture, "ann", ("ann", &["staff"]), "250", [0, 1, 0]).await;
    check_write(&fixture, "ann", ("Ann+x", &["staff", "team"]), "250", [0, 2, 0]).await;
    // With a copy for herself, asked for.
    check_write(&fixture, "ann", ("ann", &["ann", "staff"]), "250", [1, 3, 0]).await;
    // As the alias: all members get it, she too.
    check_write(&fixture, "ann", ("staff", &["staff"]), "250", [2, 4, 0]).await;
    // She is the only member, and has it.
    check_write(&fixture, "ann", ("ann", &["quiet"]), "250", [2, 4, 0]).await;
    // No member: only where everyone may.
    check_write(&fixture, "mjl", ("mjl", &["staff"]), "550 5.7.2", [2, 4, 0]).await;
    check_write(&fixture, "mjl", ("mjl", &["quiet"]), "550 5.7.2", [2, 4, 0]).await;
    check_write(&fixture, "mjl", ("mjl", &["team"]), "250", [3, 5, 0]).await;
    check_write(&fixture, "mjl", ("mjl", &["staff", "team"]), "250", [4, 6, 0]).await;
    fixture.check();
}

/// Nobody writes as an alias of others, nor as one that is not for that.
#[tokio::test]
async fn members_write_as_an_alias_that_lets_them() {
    let fixture = fixture();
    for (user, from, want) in [
        ("ann", "staff", "250"),
        ("mjl", "staff", "550 5.7.1"),
        ("ann", "quiet", "550 5.7.1"),
        ("ann", "team", "550 5.7.1"),
    ] {
        let mut client = fixture.submitter(&format!("{user}@example.org")).await;
        let message = format!("From: {from}@example.org\r\n\r\nx\r\n");
        let rcpts = ["team@example.org"];
        let reply = client.transact(&format!("{user}@example.org"), &rcpts, &message).await;
        assert!(reply.starts_with(want), "{user} as {from}: {reply}");
        let reply = client.say(&format!("MAIL FROM:<{from}@example.org>")).await;
        assert_eq!(reply.starts_with("250"), want == "250", "{user} as {from}: {reply}");
    }
    assert_eq!(fixture.only_queued().to(), "team@example.org");
}

#[tokio::test(start_paused = true)]
async fn an_alias_does_not_log_in_and_tells_nobody_that_it_exists() {
    let fixture = fixture();
    let mut client = fixture.client(Fixture::port(mox_smtpd::Service::Submission)).await;
    for user in ["staff@example.org", "nobody@example.org", "ann", "postmaster@example.org"] {
        client.check(&format!("AUTH PLAIN {}", plain(user, PASSWORD)), "535 5.7.8").await;
    }
    // RFC 5321 §3.5.3, §7.3.
    let mut client = fixture.deliverer().await;
    client
        .dialogue(
            "EXPN staff => 252 2.7.0
             EXPN nothing => 252 2.7.0
             VRFY ann@example.org => 252 2.7.0
             VRFY nobody@example.org => 252 2.7.0",
        )
        .await;
    // Which of several authors are members shows in no reply.
    for from in ["nobody@example.org", "mjl@example.org", "a@client.example"] {
        let mut client = fixture.deliverer().await;
        let message = format!("From: {from}\r\n\r\nx\r\n");
        let reply = client.transact("a@client.example", &["staff@example.org"], &message).await;
        assert!(reply.starts_with("550 5.7.2 not allowed to write to this address"), "{reply}");
    }
}

#[tokio::test]
async fn a_domain_that_is_switched_off_still_logs_in() {
    let fixture = fixture();
    let mut client = fixture.submitter("ann@off.example").await;
    client
        .dialogue(
            "MAIL FROM:<ann@off.example> => 451 4.3.0
             MAIL FROM:<ann@example.org> => 250
             RCPT TO:<ann@off.example> => 450 4.2.1
             RCPT TO:<team@off.example> => 450 4.2.1
             RCPT TO:<mjl@example.org> => 250",
        )
        .await;
    let reply = client.data("From: ann@example.org\r\n\r\nx\r\n").await;
    assert!(reply.starts_with("250"), "{reply}");
    assert_eq!(fixture.only_queued().to(), "mjl@example.org");
}

/// Who switches an account off whose password is known to others must not wait until they hang up.
#[tokio::test]
async fn an_account_that_is_switched_off_sends_no_more() {
    let fixture = fixture();
    let mut client = fixture.submitter("mjl@example.org").await;
    client.check("MAIL FROM:<mjl@example.org>", "250").await;
    client.check("RCPT TO:<ann@example.org>", "250").await;
    fixture.configure("\tmjl:\n", "\tmjl:\n\t\tLoginDisabled: call us\n");
    client.check("RCPT TO:<ann@example.org>", "550 5.7.13 account disabled: call us").await;
    client
        .dialogue(
            "RSET => 250
             MAIL FROM:<> => 250
             RCPT TO:<ann@example.org> => 550 5.7.13
             DATA => 503",
        )
        .await;
    // It still gets mail, and others send.
    let mut client = fixture.submitter("ann@example.org").await;
    client.check("MAIL FROM:<ann@example.org>", "250").await;
    client.check("RCPT TO:<mjl@example.org>", "250").await;
    assert!(client.data("From: ann@example.org\r\n\r\nx\r\n").await.starts_with("250"));
    assert_eq!(fixture.only_queued().row.account, "ann");
}

/// A session outlives its account: what comes in it then is queued for nobody. A removed account was
/// not looked for once, and its users went on to send.
#[tokio::test]
async fn an_account_that_is_removed_sends_no_more() {
    let fixture = fixture();
    let mut before_rcpt = fixture.submitter("ann@example.org").await;
    before_rcpt.check("MAIL FROM:<ann@example.org>", "250").await;
    let mut before_data = fixture.submitter("ann@example.org").await;
    before_data.check("MAIL FROM:<ann@example.org>", "250").await;
    before_data.check("RCPT TO:<bob@example.org>", "250").await;
    // Its addresses are those of another account from now on.
    fixture.configure("\tann:\n", "\tanna:\n");
    before_rcpt
        .dialogue(
            "RCPT TO:<bob@example.org> => 550 5.7.13 account disabled: it was removed
             RSET => 250
             MAIL FROM:<ann@example.org> => 550 5.7.1
             MAIL FROM:<> => 250
             RCPT TO:<bob@example.org> => 550 5.7.13
             DATA => 503",
        )
        .await;
    let reply = before_data.data("From: ann@example.org\r\n\r\nx\r\n").await;
    assert!(reply.starts_with("550 5.7.1"), "{reply}");
    assert!(fixture.queued().is_empty());
}

/// What is true when the data has come counts.
#[tokio::test(start_paused = true)]
async fn a_recipient_may_go_away_before_the_data() {
    let fixture = fixture();
    let mut client = fixture.deliverer().await;
    client.check("MAIL FROM:<a@client.example>", "250").await;
    client.check("RCPT TO:<ann@example.org>", "250").await;
    client.check("RCPT TO:<staff@example.org>", "250").await;
    fixture.configure(
        "\t\t\tann@example.org: nil\n",
        "\t\t\tann@example.org:\n\t\t\t\tSMTPError: 421\n",
    );
    let reply = client.data(MESSAGE).await;
    assert!(reply.starts_with("554 5.3.0"), "{reply}");
    check_members(&fixture, [0, 0, 0]);
}
