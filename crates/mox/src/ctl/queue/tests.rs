//! The commands about the queue, over the socket.

use std::collections::BTreeMap;

use mox_base::Address;
use mox_queue::{
    Filter, MessageId, NewHook, NewMessage, NewRecipient, Outcome, OutgoingEvent, Release,
    Settlement, SmtpReply,
};
use mox_smtp::{Mailbox, ReversePath};
use tempfile::TempDir;

use super::super::Client;
use super::super::tests::{check_refused, client, server};
use crate::server::Server;

/// All messages.
const ALL: &str = "{}";

/// A server with two messages, which are not to leave yet.
struct Fixture {
    server: Server,
    ids: Vec<MessageId>,
    _dir: TempDir,
}

fn mailbox(address: &str) -> Mailbox {
    Mailbox::from(Address::parse(address).unwrap())
}

impl Fixture {
    async fn new() -> Self {
        let (server, _dir) = server().await;
        let (queue, now) = (&server.services().queue, server.services().clock.now());
        let mut ids = Vec::new();
        for (from, rcpt) in [("mox@localhost", "a@x.example"), ("", "b@y.example")] {
            let body = queue.stage(&mut &b"Subject: \xe9\r\n\r\nbody\r\n"[..]).unwrap();
            let mut message = NewMessage::new("mox", body);
            message.release =
                Some(Release { at: now.plus_secs(36_000), request: "for;36000".to_owned() });
            let from = match from {
                "" => ReversePath::Null,
                from => ReversePath::Mailbox(mailbox(from)),
            };
            message.recipients.push(NewRecipient::new(from, mailbox(rcpt)));
            ids.extend(queue.add(message, now).await.unwrap());
        }
        Self { server, ids, _dir }
    }

    async fn client(&self) -> Client {
        client(&self.server).await
    }

    async fn text(&self, command: &str, parameters: &[&str]) -> String {
        self.client().await.text(command, parameters).await.unwrap()
    }

    /// Retires the first message.
    async fn retire(&self, outcome: Outcome) {
        let (queue, now) = (&self.server.services().queue, self.server.services().clock.now());
        let filter = Filter { ids: vec![self.ids[0]], ..Filter::default() };
        let leases = queue.lease_found(filter, now).await.unwrap();
        let mut settlement = Settlement::new(leases[0].id, now, outcome);
        settlement.keep_secs = 1_000;
        queue.settle(vec![settlement], now).await.unwrap();
    }
}

#[tokio::test]
async fn messages_are_listed() {
    let fixture = Fixture::new().await;
    let list = fixture.text("queuelist", &[ALL, "{\"is_ascending\":true}"]).await;
    let lines: Vec<_> = list.lines().collect();
    assert_eq!((lines.len(), lines[0]), (3, "messages:"));
    assert!(lines[1].starts_with(&format!("{:>5} 2", fixture.ids[0])), "{list}");
    assert!(lines[1].contains(" from:<mox@localhost> to:<a@x.example> next "), "{list}");
    assert!(lines[1].ends_with(" last - error \"\""), "{list}");
    assert!(lines[2].contains(" from:<> to:<b@y.example> next "), "{list}");
    let none = fixture.text("queuelist", &["{\"account\":\"other\"}", "{}"]).await;
    assert_eq!(none, "messages:\n(none)\n");
    let later = "{\"next_attempt\":{\"is_before\":false,\"secs\":35000}}";
    assert_eq!(fixture.text("queuelist", &[later, "{}"]).await.lines().count(), 3);
    let sooner = "{\"next_attempt\":{\"is_before\":true,\"secs\":35000}}";
    assert_eq!(fixture.text("queuelist", &[sooner, "{}"]).await, "messages:\n(none)\n");
    let refused = fixture.client().await.run("queuelist", &["nonsense", "{}"]).await;
    check_refused(refused, "expected");
    fixture.server.shutdown().await;
}

#[tokio::test]
async fn messages_are_changed() {
    let fixture = Fixture::new().await;
    let queue = fixture.server.services().queue.clone();
    let first = || queue.get(fixture.ids[0]).unwrap().unwrap();
    let change = async |filter: &str, change: &str, want: &str| {
        assert_eq!(fixture.text("queuechange", &[filter, change]).await, want, "{change}");
    };
    let before = first().next_attempt;
    change("{\"ids\":[1]}", "{\"Hold\":true}", "1").await;
    assert!(first().is_held);
    assert!(fixture.text("queuelist", &["{\"hold\":true}", "{}"]).await.ends_with(" hold\n"));
    change(ALL, "{\"Schedule\":{\"from_now\":false,\"secs\":60}}", "2").await;
    assert_eq!(first().next_attempt, before.plus_secs(60));
    change(ALL, "{\"RequireTls\":true}", "2").await;
    assert_eq!(first().require_tls, Some(true));
    change(ALL, "{\"RequireTls\":null}", "2").await;
    assert_eq!(first().require_tls, None);
    change(ALL, "{\"Transport\":null}", "2").await;
    change("{\"to\":\"@z.example\"}", "{\"Hold\":true}", "0").await;
    change("{\"hold\":true}", "{\"Hold\":false}", "1").await;
    assert!(!first().is_held);
    let unknown =
        fixture.client().await.run("queuechange", &[ALL, "{\"Transport\":\"none\"}"]).await;
    check_refused(unknown, "no such transport");
    fixture.server.shutdown().await;
}

#[tokio::test]
async fn a_message_is_dumped_as_it_is() {
    let fixture = Fixture::new().await;
    let mut control = fixture.client().await;
    control.run("queuedump", &[&fixture.ids[0].to_string()]).await.unwrap();
    assert_eq!(control.data().await.unwrap(), b"Subject: \xe9\r\n\r\nbody\r\n");
    check_refused(control.run("queuedump", &["99"]).await, "no such message");
    fixture.server.shutdown().await;
}

#[tokio::test]
async fn hold_rules_come_and_go() {
    let fixture = Fixture::new().await;
    assert_eq!(fixture.text("queueholdruleslist", &[]).await, "hold rules:\n(none)\n");
    let mut control = fixture.client().await;
    let added = control.text("queueholdrulesadd", &["mox", "", "x.example"]).await.unwrap();
    assert_eq!(added, "1 1");
    let added = control.text("queueholdrulesadd", &["", "", ""]).await.unwrap();
    assert_eq!(added, "2 1");
    assert_eq!(
        fixture.text("queueholdruleslist", &[]).await,
        "hold rules:\nid 1: account mox, recipient domain x.example\nid 2: all messages\n"
    );
    control.run("queueholdrulesremove", &["2"]).await.unwrap();
    check_refused(control.run("queueholdrulesremove", &["2"]).await, "no such hold rule");
    let wrong = fixture.client().await.run("queueholdrulesadd", &["", "a b", ""]).await;
    check_refused(wrong, "invalid character in domain label");
    fixture.server.shutdown().await;
}

#[tokio::test]
async fn the_history_is_listed_and_printed() {
    let fixture = Fixture::new().await;
    let reply = SmtpReply { code: 250, enhanced: None, lines: vec!["tak\u{1b}en".to_owned()] };
    let outcome = Outcome::Delivered { reply, how: mox_queue::How::default() };
    fixture.retire(outcome).await;
    let list = fixture.text("queueretiredlist", &["{\"is_success\":true}", "{}"]).await;
    assert!(list.starts_with("retired messages:\n    1 "), "{list}");
    assert!(list.contains(" to:<a@x.example> success last activity "), "{list}");
    assert!(list.ends_with(" result \"tak\\u{1b}en\"\n"), "{list}");
    let failed = fixture.text("queueretiredlist", &["{\"is_success\":false}", "{}"]).await;
    assert_eq!(failed, "retired messages:\n(none)\n");
    let printed = fixture.text("queueretiredprint", &["1"]).await;
    let printed: BTreeMap<String, serde_json::Value> = serde_json::from_str(&printed).unwrap();
    assert_eq!((&printed["ID"], &printed["Success"]), (&1.into(), &true.into()));
    assert_eq!(printed["Recipient"], "a@x.example");
    let none = fixture.client().await.run("queueretiredprint", &["2"]).await;
    check_refused(none, "no such message");
    fixture.server.shutdown().await;
}

#[tokio::test]
async fn suppressions_come_and_go() {
    let fixture = Fixture::new().await;
    let mut control = fixture.client().await;
    control.run("queuesuppressadd", &["mox", "U.ser+1@x.example"]).await.unwrap();
    let list = fixture.text("queuesuppresslist", &[""]).await;
    assert_eq!(list.lines().count(), 2, "{list}");
    assert!(list.contains("\nmox\tuser@x.example\tU.ser+1@x.example\tmanual\t2"), "{list}");
    assert_eq!(fixture.text("queuesuppresslist", &["other"]).await.lines().count(), 1);
    for account in ["", "mox"] {
        let found = fixture.text("queuesuppresslookup", &[account, "user@x.example"]).await;
        assert!(found.starts_with("present\n# account\t"), "{found}");
    }
    let found = fixture.text("queuesuppresslookup", &["other", "user@x.example"]).await;
    assert_eq!(found, "not present\n");
    let again = control.run("queuesuppressadd", &["mox", "user@x.example"]).await;
    check_refused(again, "suppressed already");
    let mut control = fixture.client().await;
    control.run("queuesuppressremove", &["mox", "user-2@x.example"]).await.unwrap();
    let gone = control.run("queuesuppressremove", &["mox", "user@x.example"]).await;
    check_refused(gone, "not suppressed");
    let unknown = fixture.client().await.run("queuesuppressadd", &["other", "a@b.example"]).await;
    check_refused(unknown, "no such account");
    let wrong = fixture.client().await.run("queuesuppressadd", &["mox", "a b"]).await;
    check_refused(wrong, "address has no @");
    let unknown = fixture.client().await.run("queuenonsense", &[]).await;
    check_refused(unknown, "unrecognized command");
    fixture.server.shutdown().await;
}

#[tokio::test]
async fn webhook_calls_are_listed_changed_and_printed() {
    let fixture = Fixture::new().await;
    let services = fixture.server.services();
    let (queue, now) = (&services.queue, services.clock.now());
    let call = |event| NewHook {
        account: "mox".to_owned(),
        // Nobody listens there, and it would not be due by then.
        url: "http://localhost:1/hook".to_owned(),
        authorization: "Basic secret".to_owned(),
        event,
        payload: "{\"Version\":0}".to_owned(),
        keep_secs: 1_000,
        ..NewHook::default()
    };
    let hooks = vec![call(None), call(Some(OutgoingEvent::Failed))];
    queue.add_hooks(hooks, now).await.unwrap();
    let later = "{\"Schedule\":{\"from_now\":true,\"secs\":36000}}";
    assert_eq!(fixture.text("queuehookchange", &["{}", later]).await, "2");
    let incoming = "{\"event\":\"incoming\"}";
    let list = fixture.text("queuehooklist", &[incoming, "{}"]).await;
    assert!(list.starts_with("webhooks:\n    1 "), "{list}");
    assert!(list.contains(" event incoming url http://localhost:1/hook error "), "{list}");
    assert_eq!(list.lines().count(), 2, "{list}");
    let printed = fixture.text("queuehookprint", &["1"]).await;
    assert!(!printed.contains("secret"), "{printed}");
    let printed: BTreeMap<String, serde_json::Value> = serde_json::from_str(&printed).unwrap();
    assert_eq!(printed["Payload"]["Version"], 0);
    assert_eq!((&printed["Authorization"], &printed["IsIncoming"]), (&true.into(), &true.into()));
    assert_eq!(fixture.text("queuehookchange", &[incoming, "\"Cancel\""]).await, "1");
    let list = fixture.text("queuehooklist", &["{}", "{}"]).await;
    assert!(list.contains(" event failed ") && !list.contains(" event incoming "), "{list}");
    let list = fixture.text("queuehookretiredlist", &["{}", "{\"by_queued\":true}"]).await;
    assert!(list.starts_with("retired webhooks:\n    1 "), "{list}");
    assert!(list.contains(" failure last activity "), "{list}");
    let printed = fixture.text("queuehookretiredprint", &["1"]).await;
    let printed: BTreeMap<String, serde_json::Value> = serde_json::from_str(&printed).unwrap();
    assert_eq!(printed["Success"], false);
    let none = fixture.client().await.run("queuehookretiredprint", &["2"]).await;
    check_refused(none, "no such webhook call");
    let none = fixture.client().await.run("queuehookprint", &["1"]).await;
    check_refused(none, "no such webhook call");
    let unknown = fixture.client().await.run("queuehooklist", &["{\"event\":\"x\"}", "{}"]).await;
    check_refused(unknown, "unknown event");
    fixture.server.shutdown().await;
}

#[tokio::test]
async fn messages_are_given_up_and_removed() {
    let fixture = Fixture::new().await;
    let queue = fixture.server.services().queue.clone();
    assert_eq!(fixture.text("queuefail", &["{\"to\":\"@z.example\"}"]).await, "0");
    assert_eq!(fixture.text("queuedrop", &["{\"to\":\"@y.example\"}"]).await, "1");
    assert_eq!(queue.count(&Filter::default()).unwrap(), 1);
    let account = fixture.server.services().store.account("mox").unwrap();
    let inbox = || {
        let inbox = account.read().unwrap().mailbox(&mox_base::MailboxName::inbox()).unwrap();
        inbox.counts.messages()
    };
    let feed = account.subscribe();
    let before = inbox();
    assert_eq!(fixture.text("queuefail", &[ALL]).await, "1");
    assert_eq!(queue.count(&Filter::default()).unwrap(), 0);
    // The sender is told.
    while inbox() == before {
        feed.ready().await;
        let _changes = feed.take();
    }
    fixture.server.shutdown().await;
}
