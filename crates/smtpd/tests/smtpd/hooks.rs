//! Calls about mail that comes in, and what reports tell of mail that left.

use mox_base::{Address, UnixSeconds};
use mox_queue::{
    Filter, Hook, HookFilter, HookSort, How, Kind, MessageId, NewMessage, NewRecipient, Outcome,
    Retired, Settlement, SmtpReply,
};
use mox_smtp::{Mailbox, ReversePath};
use serde_json::{Value, json};

use crate::support::{Fixture, Setup};

const NOW: UnixSeconds = UnixSeconds(1_795_164_932);

const RCPT: &str = "bob@far.example";

/// The account mjl has both webhooks, the account other none.
fn calling() -> Fixture {
    with_hooks(
        "OutgoingWebhook:\n\t\t\tURL: https://h.example/out\n\t\t\tAuthorization: Basic eA==\n\
         \t\tIncomingWebhook:\n\t\t\tURL: https://h.example/in\n\
         \t\tKeepRetiredWebhookPeriod: 1h\n\t\t",
    )
}

fn with_hooks(hooks: &str) -> Fixture {
    let setup = Setup::default();
    let from = "\tmjl:\n\t\tDomain:";
    let domains_conf = setup.domains_conf.replace(from, &format!("\tmjl:\n\t\t{hooks}Domain:"));
    Fixture::with(Setup { domains_conf, ..setup })
}

/// A message that mjl sent to somebody, and that left.
fn sent(fixture: &Fixture, token: Option<&str>, rcpt: &str) -> Retired {
    sent_as(Kind::Mail, fixture, token, rcpt)
}

fn sent_as(kind: Kind, fixture: &Fixture, token: Option<&str>, rcpt: &str) -> Retired {
    sent_with(kind, fixture, token, (rcpt, None))
}

/// - `to`: the recipient, and its ORCPT.
fn sent_with(
    kind: Kind,
    fixture: &Fixture,
    token: Option<&str>,
    (rcpt, orcpt): (&str, Option<&str>),
) -> Retired {
    let queue = &fixture.queue;
    let body = queue.stage(&mut &b"Subject: x\r\n\r\nx\r\n"[..]).unwrap();
    let mut message = NewMessage::new("mjl", body);
    message.message_id = "<Out@example.org>".to_owned();
    message.envid = Some("env1".to_owned());
    message.kind = kind;
    message.subject = "offer".to_owned();
    message.extra.insert("Order".to_owned(), "17".to_owned());
    let mailbox = |text: &str| Mailbox::from(Address::parse(text).unwrap());
    let mail_from = match token {
        Some(token) => format!("mjl+{token}@example.org"),
        None => "mjl@example.org".to_owned(),
    };
    let mut recipient = NewRecipient::new(ReversePath::Mailbox(mailbox(&mail_from)), mailbox(rcpt));
    recipient.from_id = token.map(str::to_owned);
    recipient.orcpt = orcpt.map(str::to_owned);
    message.recipients = vec![recipient];
    let id = queue.add(message, NOW).wait().unwrap()[0];
    for lease in queue.lease_found(Filter::default(), NOW).wait().unwrap() {
        let reply = SmtpReply { code: 250, ..SmtpReply::default() };
        let outcome = Outcome::Delivered { reply, how: How::default() };
        let settlement = Settlement { keep_secs: 3600, ..Settlement::new(lease.id, NOW, outcome) };
        queue.settle(vec![settlement], NOW).wait().unwrap();
    }
    queue.retired_get(id).unwrap().unwrap()
}

/// A report about one or more recipients. RFC 3464 §2.
fn report(groups: &[&str]) -> String {
    format!(
        "From: <postmaster@client.example>\r\nSubject: report\r\n\
         Content-Type: multipart/report; report-type=delivery-status; boundary=b\r\n\r\n\
         --b\r\n\r\nsorry\r\n--b\r\nContent-Type: message/delivery-status\r\n\r\n\
         Reporting-MTA: dns; client.example\r\nOriginal-Envelope-Id: env1\r\n\r\n{}\r\n\
         --b\r\nContent-Type: text/rfc822-headers\r\n\r\nMessage-ID: <Out@example.org>\r\n\r\n\
         --b--\r\n",
        groups.join("\r\n")
    )
}

const FAILED: &str = "Final-Recipient: rfc822; bob@far.example\r\nAction: failed\r\n\
    Status: 5.1.1\r\nDiagnostic-Code: smtp; 550 5.1.1 no such user\r\nRemote-MTA: dns; mx.far.example\r\n";

fn hooks(fixture: &Fixture) -> Vec<Hook> {
    fixture.queue.hooks(&HookFilter::default(), &HookSort::default()).unwrap()
}

/// The only call that waits, with its payload.
#[track_caller]
fn only_hook(fixture: &Fixture) -> (Hook, Value) {
    let mut hooks = hooks(fixture);
    assert_eq!(hooks.len(), 1, "{hooks:?}");
    let hook = hooks.remove(0);
    let payload = serde_json::from_str(&hook.call.payload).unwrap();
    (hook, payload)
}

async fn deliver(fixture: &Fixture, from: &str, rcpts: &[&str], message: &str) {
    let mut client = fixture.deliverer().await;
    let reply = client.transact(from, rcpts, message).await;
    assert!(reply.starts_with("250"), "{reply}");
}

#[tokio::test]
async fn an_account_is_told_of_mail_that_came_in() {
    let fixture = calling();
    let message = "From: <a@client.example>\r\nSubject: lunch\r\nMessage-ID: <1@client.example>\r\n\
        \r\nat noon\r\n";
    deliver(&fixture, "a@client.example", &["lists@example.org", "other@example.org"], message)
        .await;
    let (hook, payload) = only_hook(&fixture);
    let call = &hook.call;
    assert_eq!((call.account.as_str(), call.url.as_str()), ("mjl", "https://h.example/in"));
    assert_eq!((call.event, call.queued, call.keep_secs), (None, None, 3600));
    assert_eq!((call.subject.as_str(), call.message_id.as_str()), ("lunch", "<1@client.example>"));
    assert_eq!((&payload["Text"], &payload["Subject"]), (&json!("at noon\n"), &json!("lunch")));
    let reader = fixture.account("mjl").read().unwrap();
    let lists = mox_base::MailboxName::parse("Lists").unwrap();
    let mailbox = reader.mailbox(&lists).unwrap().id;
    let mut meta = payload["Meta"].clone();
    assert!(meta["MsgID"].take().as_i64().unwrap() > 0);
    assert_eq!(reader.uids(mailbox).unwrap().len(), 1);
    let want = json!({
        "MsgID": null,
        "MailFrom": "a@client.example",
        "MailFromValidated": true,
        "MsgFromValidated": true,
        "RcptTo": "lists@example.org",
        "DKIMVerifiedDomains": [],
        "RemoteIP": mox_net::MEMORY_PEER.to_string(),
        "Received": "2026-11-20T08:55:32Z",
        "MailboxName": "Lists",
        "Automated": false,
    });
    assert_eq!(meta, want);
}

#[tokio::test]
async fn nobody_is_told_of_what_was_refused() {
    let fixture = calling();
    let mut client = fixture.deliverer().await;
    let staff = "From: <a@client.example>\r\n\r\nx\r\n";
    let reply = client.transact("a@client.example", &["staff@example.org"], staff).await;
    assert!(reply.starts_with("550"), "{reply}");
    assert!(hooks(&fixture).is_empty());
}

/// RFC 3464 §2.3.3.
#[tokio::test]
async fn a_report_to_the_address_of_a_recipient_becomes_an_event() {
    for (action, event, is_success) in [
        ("failed", "failed", false),
        ("delayed", "delayed", true),
        ("delivered", "delivered", true),
        ("relayed", "relayed", true),
        ("expanded", "expanded", true),
    ] {
        let fixture = calling();
        let id = sent(&fixture, Some("tok"), RCPT).message.id;
        let text = report(&[&FAILED.replace("failed", action)]);
        deliver(&fixture, "", &["mjl+tok@example.org"], &text).await;
        let (hook, payload) = only_hook(&fixture);
        assert_eq!(hook.call.url, "https://h.example/out");
        assert_eq!(hook.call.authorization, "Basic eA==");
        let is_final = action == "failed";
        let error =
            if matches!(action, "failed" | "delayed") { "550 5.1.1 no such user" } else { "" };
        let want = json!({
            "Version": 0, "Event": event, "DSN": true, "Suppressing": is_final,
            "QueueMsgID": id.0, "FromID": "tok", "MessageID": "<Out@example.org>",
            "Subject": "offer", "WebhookQueued": "2026-11-20T08:55:32Z", "SMTPCode": 550,
            "SMTPEnhancedCode": "5.1.1", "Error": error, "Extra": { "Order": "17" },
        });
        assert_eq!(payload, want);
        let retired = fixture.queue.retired_get(id).unwrap().unwrap();
        assert_eq!(retired.is_success, is_success, "{action}");
        let result = retired.message.results.last().unwrap();
        assert_eq!(
            (result.code, result.remote_mta.as_deref()),
            (Some(550), Some("mx.far.example"))
        );
        let suppressed = fixture.queue.suppressed("mjl", &retired.message.rcpt_to).unwrap();
        assert_eq!(suppressed.is_some(), is_final, "{action}");
        assert!(suppressed.is_none_or(|one| !one.is_manual && one.reason.contains("550 5.1.1")));
    }
}

/// A message that another server sent, before its history was taken over from there.
#[tokio::test]
async fn a_report_about_a_message_that_was_taken_over_finds_it() {
    let there = calling();
    let mut taken = sent(&there, Some("tok"), RCPT);
    taken.message.id = MessageId(4_711);
    let fixture = calling();
    assert_eq!(fixture.queue.keep_retired(vec![taken]).wait().unwrap(), []);
    deliver(&fixture, "", &["mjl+tok@example.org"], &report(&[FAILED])).await;
    let (hook, payload) = only_hook(&fixture);
    assert_eq!(hook.call.url, "https://h.example/out");
    assert_eq!((&payload["QueueMsgID"], &payload["FromID"]), (&json!(4_711), &json!("tok")));
    assert_eq!((&payload["Event"], &payload["DSN"]), (&json!("failed"), &json!(true)));
    let retired = fixture.queue.retired_get(MessageId(4_711)).unwrap().unwrap();
    assert!(!retired.is_success);
    assert_eq!(retired.message.results.last().unwrap().code, Some(550));
    assert!(fixture.queue.suppressed("mjl", &retired.message.rcpt_to).unwrap().is_some());
    // What is sent from here on has other numbers.
    assert!(sent(&fixture, None, RCPT).message.id > MessageId(4_711));
}

#[tokio::test]
async fn what_is_no_report_about_one_recipient_is_unrecognized() {
    let plain = "From: <a@client.example>\r\nSubject: away\r\n\r\nI am on leave\r\n";
    let broken = report(&[&FAILED.replace("Action", "X-Action")]);
    let two = report(&[FAILED, &FAILED.replace("bob", "eve")]);
    for (message, is_dsn) in [(plain, false), (broken.as_str(), true), (two.as_str(), true)] {
        let fixture = calling();
        let before = sent(&fixture, Some("tok"), RCPT);
        deliver(&fixture, "", &["mjl+tok@example.org"], message).await;
        let (_, payload) = only_hook(&fixture);
        assert_eq!((&payload["Event"], &payload["DSN"]), (&json!("unrecognized"), &json!(is_dsn)));
        assert_eq!(fixture.queue.retired_get(before.message.id).unwrap().unwrap(), before);
    }
}

#[tokio::test]
async fn an_unknown_token_is_just_an_address() {
    let fixture = calling();
    sent(&fixture, Some("tok"), RCPT);
    let message = "From: <a@client.example>\r\nSubject: x\r\n\r\nx\r\n";
    deliver(&fixture, "a@client.example", &["mjl+shop@example.org"], message).await;
    let (hook, payload) = only_hook(&fixture);
    assert_eq!(hook.call.url, "https://h.example/in");
    assert_eq!(payload["Meta"]["RcptTo"], "mjl+shop@example.org");
}

#[tokio::test]
async fn events_that_nobody_asked_for_are_not_told() {
    let hooks_conf = "OutgoingWebhook:\n\t\t\tURL: https://h.example/out\n\t\t\tEvents:\n\
        \t\t\t\t- delivered\n\t\tIncomingWebhook:\n\t\t\tURL: https://h.example/in\n\t\t";
    let fixture = with_hooks(hooks_conf);
    let id = sent(&fixture, Some("tok"), RCPT).message.id;
    deliver(&fixture, "", &["mjl+tok@example.org"], &report(&[FAILED])).await;
    assert!(hooks(&fixture).is_empty());
    assert!(!fixture.queue.retired_get(id).unwrap().unwrap().is_success);
}

/// RFC 3461 §4.4. Attack: whoever has seen a message tells what became of it for others.
#[tokio::test]
async fn a_report_that_names_a_message_must_come_to_its_sender_about_its_recipient() {
    let named_by_id = report(&[FAILED]).replace("Original-Envelope-Id: env1\r\n", "");
    let named_by_envid = report(&[FAILED]).replace("<Out@", "<other@");
    let not_named = named_by_id.replace("<Out@", "<other@");
    let of_another = report(&[&FAILED.replace("bob", "eve")]);
    let cases = [
        ("", "mjl", &named_by_id, true),
        ("", "mjl", &named_by_envid, true),
        ("", "mjl", &not_named, false),
        ("", "mjl", &of_another, false),
        ("", "other", &named_by_id, false),
        ("a@client.example", "mjl", &named_by_id, false),
    ];
    for (from, account, message, is_found) in cases {
        let fixture = Fixture::new();
        let before = sent(&fixture, None, RCPT);
        deliver(&fixture, from, &[&format!("{account}@example.org")], message).await;
        let after = fixture.queue.retired_get(before.message.id).unwrap().unwrap();
        assert_eq!(after.is_success, !is_found, "{from} {account} {message}");
        assert_eq!(after.message.results.len(), 1 + usize::from(is_found));
        // What can be forged puts nobody on the list.
        assert!(fixture.queue.suppressed("mjl", &after.message.rcpt_to).unwrap().is_none());
        assert!(hooks(&fixture).is_empty());
    }
}

/// RFC 3464 §2.3.1, §2.3.2; RFC 5890 §2.3.2.1.
#[tokio::test]
async fn a_report_may_name_the_recipient_in_any_of_its_forms() {
    const ASCII: &str = "bob@xn--bcher-kva.example";
    let original = "Original-Recipient: rfc822; list@old.example\r\n";
    for (orcpt, fields, rcpt, is_found) in [
        (None, "", ASCII, true),
        (None, "", "bob@bücher.example", true),
        (Some("rfc822;list@old.example"), original, ASCII, true),
        (Some("rfc822;list@old.example"), "", ASCII, true),
        (None, original, ASCII, false),
        (None, "", "bob@buecher.example", false),
    ] {
        let fixture = Fixture::new();
        let to = ("bob@bücher.example", orcpt);
        let id = sent_with(Kind::Mail, &fixture, None, to).message.id;
        let group = format!("{fields}{}", FAILED.replace(RCPT, rcpt));
        deliver(&fixture, "", &["mjl@example.org"], &report(&[&group])).await;
        let retired = fixture.queue.retired_get(id).unwrap().unwrap();
        assert_eq!(!retired.is_success, is_found, "{orcpt:?} {fields} {rcpt}");
    }
}

/// Reports of ours that fail later, at a server behind the one that took them. RFC 3464 §2.3.3.
#[tokio::test]
async fn an_address_where_a_report_failed_gets_none_for_a_while() {
    let delayed = FAILED.replace("failed", "delayed");
    for (kind, group, count) in [
        (Kind::DmarcReport, FAILED, 1),
        (Kind::TlsReport, FAILED, 1),
        (Kind::TlsReport, delayed.as_str(), 0),
        (Kind::Mail, FAILED, 0),
    ] {
        let fixture = Fixture::new();
        sent_as(kind, &fixture, None, RCPT);
        deliver(&fixture, "", &["mjl@example.org"], &report(&[group])).await;
        let suppressed = fixture.reports.report_suppressions(None).unwrap();
        let addresses: Vec<_> = suppressed.iter().map(|one| one.address.as_str()).collect();
        assert_eq!(addresses, vec![RCPT; count], "{kind:?} {group}");
    }
}

/// Three failures in a row, of which none says that the address is gone.
#[tokio::test]
async fn a_recipient_that_fails_three_times_is_suppressed() {
    let fixture = calling();
    let full = FAILED.replace("550 5.1.1 no such user", "552 5.2.2 full").replace("5.1.1", "5.2.2");
    for (turn, suppresses) in [(1, false), (2, false), (3, true)] {
        let token = format!("tok{turn}");
        let rcpt = sent(&fixture, Some(&token), RCPT).message.rcpt_to;
        deliver(&fixture, "", &[&format!("mjl+{token}@example.org")], &report(&[&full])).await;
        let suppressed = fixture.queue.suppressed("mjl", &rcpt).unwrap();
        assert_eq!(suppressed.is_some(), suppresses, "{turn}");
    }
}
