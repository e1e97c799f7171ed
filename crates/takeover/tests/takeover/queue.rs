//! The queue: messages, history, lists and webhook calls.

use std::io::Read as _;
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use mox_base::{Domain, Host, UnixSeconds};
use mox_queue::{
    Attempt, Change, Filter, HoldRule, Hook, HookAttempt, HookFilter, HookSort, MessageId,
    NewMessage, NewRecipient, OutgoingEvent, Queue, Queued, Retired, RetiredFilter, RetiredSort,
    Sort, Suppression,
};
use mox_smtp::{Mailbox, ReversePath};
use mox_takeover::{QueueAccount, QueueFiles, Summary, TakeoverError, Watch};
use mox_testkit::{TestRng, original};
use serde_json::{Map, Value as Json, json};
use tempfile::TempDir;

use crate::fixtures::{Patient, unix_secs};

/// When the fixtures were made, about: nothing of their history is due to be forgotten.
pub(crate) const NOW: UnixSeconds = UnixSeconds(1_795_170_000);

/// What is kept of calls by the accounts of the tests.
const KEEP_CALLS_SECS: i64 = 3_600;

/// A queue of the original, and one of ours to fill.
pub(crate) struct Queues {
    pub(crate) dir: TempDir,
    pub(crate) ours: Queue,
}

impl Queues {
    pub(crate) fn of_fixture(name: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let host = original::unpack(name, &dir.path().join("host"));
        std::fs::rename(host.data.join("queue"), dir.path().join("queue")).unwrap();
        Self::of(dir)
    }

    /// - `dir`: with theirs in `queue`, and nothing else.
    pub(crate) fn of(dir: TempDir) -> Self {
        let ours = open(dir.path());
        Self { dir, ours }
    }

    pub(crate) fn theirs(&self) -> QueueFiles {
        QueueFiles::open(self.dir.path()).unwrap().unwrap()
    }

    pub(crate) fn copy_watched(&self, watch: &mut dyn Watch) -> Summary {
        self.theirs().copy(&self.ours, NOW, &any_account, watch).unwrap()
    }

    pub(crate) fn copy(&self) -> Summary {
        self.copy_watched(&mut Patient)
    }

    pub(crate) fn queued(&self) -> Vec<Queued> {
        let mut all = self.ours.list(&Filter::default(), &Sort::default()).unwrap();
        all.sort_by_key(|message| message.id);
        all
    }

    pub(crate) fn retired(&self) -> Vec<Retired> {
        let found = self.ours.retired_list(&RetiredFilter::default(), &RetiredSort::default());
        let mut all = found.unwrap();
        all.sort_by_key(|one| one.message.id);
        all
    }

    pub(crate) fn hooks(&self, is_retired: bool) -> Vec<Hook> {
        let (filter, sort) = (HookFilter::default(), HookSort::default());
        let found = match is_retired {
            true => self.ours.hooks_retired(&filter, &sort),
            false => self.ours.hooks(&filter, &sort),
        };
        let mut all = found.unwrap();
        all.sort_by_key(|one| one.id);
        all
    }

    pub(crate) fn body(&self, id: i64) -> Vec<u8> {
        let mut body = Vec::new();
        self.ours.body(MessageId(id)).unwrap().read_to_end(&mut body).unwrap();
        body
    }

    /// All that ours holds, to compare with.
    pub(crate) fn content(&self) -> (Vec<Queued>, Vec<Retired>, Vec<Hook>, Vec<Suppression>) {
        let mut hooks = self.hooks(false);
        hooks.extend(self.hooks(true));
        (self.queued(), self.retired(), hooks, self.ours.suppressions(None, None).unwrap())
    }
}

/// Every test ends with the check of the whole queue.
impl Drop for Queues {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            assert_eq!(self.ours.check().unwrap(), Vec::<String>::new());
        }
    }
}

fn open(dir: &Path) -> Queue {
    Queue::open(&dir.join("ours"), Arc::new(TestRng::new(1))).unwrap()
}

pub(crate) fn any_account(_name: &str) -> Option<QueueAccount> {
    Some(QueueAccount { keep_calls_secs: KEEP_CALLS_SECS })
}

/// A value of the expected files as it is compared: what is empty is nothing, times are in seconds and
/// durations in milliseconds.
fn expected(field: &str, value: &Json) -> Json {
    const TIMES: &[&str] = &[
        "Queued",
        "NextAttempt",
        "LastAttempt",
        "LastActivity",
        "KeepUntil",
        "Start",
        "Submitted",
        "Created",
        "next_attempt",
    ];
    match value {
        Json::String(text) if TIMES.contains(&field) && !text.is_empty() => {
            json!(unix_secs(value))
        }
        Json::Number(ns) if field == "Duration" => json!(ns.as_u64().unwrap() / 1_000_000),
        Json::Object(fields) => object(fields.iter().map(|(name, one)| (&**name, one.clone()))),
        Json::Array(list) => list.iter().map(|one| expected(field, one)).collect::<Vec<_>>().into(),
        other => other.clone(),
    }
    .nothing_if_empty()
}

fn object<'a>(fields: impl Iterator<Item = (&'a str, Json)>) -> Json {
    let fields = fields.map(|(name, one)| (name.to_owned(), expected(name, &one)));
    Json::Object(fields.filter(|(_, one)| !one.is_null()).collect())
}

trait Empty {
    fn nothing_if_empty(self) -> Self;
}

impl Empty for Json {
    fn nothing_if_empty(self) -> Self {
        let is_empty = match &self {
            Self::Null => true,
            Self::Bool(is) => !is,
            Self::Number(number) => number.as_i64() == Some(0),
            Self::String(text) => text.is_empty(),
            Self::Array(list) => list.is_empty(),
            Self::Object(fields) => fields.is_empty(),
        };
        if is_empty { Self::Null } else { self }
    }
}

/// Compares one of ours with a record: a field of the record that ours does not show fails.
#[track_caller]
pub(crate) fn check_record(what: &str, ours: &Json, theirs: &Json) {
    for (field, value) in theirs.as_object().unwrap() {
        let shown = ours.get(field).unwrap_or_else(|| panic!("{what}: {field} is not compared"));
        let shown = shown.clone().nothing_if_empty();
        let want = match value {
            // These are compared with the message as a whole.
            _ if shown == "body" => shown.clone(),
            value => expected(field, value),
        };
        assert_eq!(shown, want, "{what} {} {field}", theirs["ID"]);
    }
}

fn base64(bytes: &[u8]) -> String {
    use base64::Engine as _;
    format!("b64:{}", base64::engine::general_purpose::STANDARD.encode(bytes))
}

fn ip(ip: &IpAddr) -> Json {
    match ip {
        IpAddr::V4(ip) => base64(&ip.octets()).into(),
        IpAddr::V6(ip) => base64(&ip.octets()).into(),
    }
}

/// As the original notes a domain: the Unicode form only if it differs.
fn domain(domain: &Domain) -> Json {
    let unicode = Some(domain.unicode()).filter(|unicode| *unicode != domain.ascii());
    object([("ASCII", json!(domain.ascii())), ("Unicode", json!(unicode))].into_iter())
}

fn host(host: &Host) -> Json {
    match host {
        Host::Domain(name) => json!({"Domain": domain(name)}),
        Host::Ip(address) => json!({"IP": ip(address)}),
    }
}

fn host_text(host: &Host) -> String {
    match host {
        Host::Domain(name) => name.unicode().to_owned(),
        Host::Ip(ip) => format!("[{ip}]"),
    }
}

fn attempt(result: &Attempt) -> Json {
    object(
        [
            ("Start", json!(result.start)),
            ("Success", json!(result.is_success)),
            ("Code", json!(result.code)),
            (
                "Secode",
                json!(result.enhanced.map(|(_, subject, detail)| format!("{subject}.{detail}"))),
            ),
            ("Error", json!(result.text)),
            ("Duration", json!(result.duration_ms * 1_000_000)),
        ]
        .into_iter(),
    )
}

fn hook_attempt(result: &HookAttempt) -> Json {
    object(
        [
            ("Start", json!(result.start)),
            ("Duration", json!(result.duration_ms * 1_000_000)),
            ("URL", json!(result.url)),
            ("Success", json!(result.is_success)),
            ("Code", json!(result.code)),
            ("Error", json!(result.error)),
            ("Response", json!(result.response)),
        ]
        .into_iter(),
    )
}

/// The fields that `Msg` and `MsgRetired` have in common.
fn message(ours: &Queued) -> Json {
    let sender = ours.mail_from.mailbox();
    let ips =
        ours.dialed_ips.iter().map(|(host, ips)| (host.clone(), ips.iter().map(ip).collect()));
    json!({
        "ID": ours.id.0,
        "BaseID": ours.base_id.map(|base| base.0),
        "Queued": ours.queued.0,
        "SenderAccount": ours.account,
        "SenderLocalpart": sender.map(|sender| sender.localpart.as_str()),
        "SenderDomainStr": sender.map(|sender| host_text(&sender.host)),
        "FromID": ours.from_id,
        "RecipientLocalpart": ours.rcpt_to.localpart.as_str(),
        "RecipientDomain": host(&ours.rcpt_to.host),
        "RecipientDomainStr": host_text(&ours.rcpt_to.host),
        "Attempts": ours.attempts,
        "MaxAttempts": ours.attempts_max,
        "DialedIPs": Json::Object(ips.collect::<Map<_, _>>()),
        "LastAttempt": ours.last_attempt.map(|at| at.0),
        "Results": ours.results.iter().map(attempt).collect::<Vec<_>>(),
        "Has8bit": ours.has_8bit,
        "SMTPUTF8": ours.needs_utf8,
        "IsDMARCReport": ours.kind == mox_queue::Kind::DmarcReport,
        "IsTLSReport": ours.kind == mox_queue::Kind::TlsReport,
        "Size": ours.size,
        "MessageID": ours.message_id,
        "Subject": ours.subject,
        "Transport": ours.transport,
        "RequireTLS": ours.require_tls,
        "FutureReleaseRequest": ours.release.as_ref().map(|release| &release.request),
        "Extra": ours.extra,
    })
}

fn with(mut value: Json, more: Json) -> Json {
    let Json::Object(more) = more else { panic!("fields") };
    value.as_object_mut().unwrap().extend(more);
    value
}

pub(crate) fn queued(ours: &Queued) -> Json {
    let sender = ours.mail_from.mailbox().map(|sender| host(&sender.host));
    let more = json!({
        "SenderDomain": sender,
        "Hold": ours.is_held,
        "NextAttempt": ours.next_attempt.0,
        "MsgPrefix": "body",
        "DSNUTF8": "body",
    });
    with(message(ours), more)
}

fn retired(ours: &Retired) -> Json {
    let rcpt = &ours.message.rcpt_to;
    let more = json!({
        "LastActivity": ours.last_activity.0,
        "RecipientAddress": format!("{}@{}", rcpt.localpart.as_str(), host_text(&rcpt.host)),
        "Success": ours.is_success,
        "KeepUntil": ours.keep_until.0,
    });
    with(message(&ours.message), more)
}

pub(crate) fn hook(ours: &Hook) -> Json {
    let (call, end) = (&ours.call, ours.retired);
    let authorization = match end {
        None => json!(call.authorization),
        Some(_) => json!(ours.has_authorization),
    };
    json!({
        "ID": ours.id.0,
        "QueueMsgID": call.queued.map(|id| id.0),
        "FromID": call.from_id,
        "MessageID": call.message_id,
        "Subject": call.subject,
        "Extra": call.extra,
        "Account": call.account,
        "URL": call.url,
        "Authorization": authorization,
        "IsIncoming": call.event.is_none(),
        "OutgoingEvent": call.event.map(OutgoingEvent::as_str),
        "Payload": call.payload,
        "Submitted": ours.submitted.0,
        "Attempts": ours.attempts,
        "NextAttempt": ours.next_attempt.0,
        "Results": ours.results.iter().map(hook_attempt).collect::<Vec<_>>(),
        "SupersededByID": end.and_then(|end| end.superseded_by).map(|id| id.0),
        "Success": end.is_some_and(|end| end.is_success),
        "LastActivity": end.map(|end| end.last_activity.0),
        "KeepUntil": end.map(|end| end.keep_until.0),
    })
}

fn rule(id: i64, ours: &HoldRule) -> Json {
    let text = |one: &Option<Domain>| one.as_ref().map(|one| one.unicode().to_owned());
    json!({
        "ID": id,
        "Account": ours.account,
        "SenderDomain": ours.sender_domain.as_ref().map(domain),
        "RecipientDomain": ours.rcpt_domain.as_ref().map(domain),
        "SenderDomainStr": text(&ours.sender_domain),
        "RecipientDomainStr": text(&ours.rcpt_domain),
    })
}

/// They have no numbers here.
fn suppression(id: &Json, ours: &Suppression) -> Json {
    json!({
        "ID": id,
        "Created": ours.created.0,
        "Account": ours.account,
        "BaseAddress": ours.base_address,
        "OriginalAddress": ours.address,
        "Manual": ours.is_manual,
        "Reason": ours.reason,
    })
}

fn check_suppressions(queues: &Queues, theirs: &Json) {
    let ours = queues.ours.suppressions(None, None).unwrap();
    let theirs = theirs["records"].as_array().unwrap();
    assert_eq!(ours.len(), theirs.len());
    for theirs in theirs {
        let is_this = |one: &&Suppression| {
            theirs["Account"] == one.account && theirs["BaseAddress"] == one.base_address
        };
        let ours = ours.iter().find(is_this).unwrap();
        check_record("Suppression", &suppression(&theirs["ID"], ours), theirs);
    }
}

#[track_caller]
fn check_all(what: &str, ours: &[Json], theirs: &Json) -> u64 {
    let theirs = theirs["records"].as_array().unwrap();
    assert_eq!(ours.len(), theirs.len(), "{what}");
    for (ours, theirs) in ours.iter().zip(theirs) {
        check_record(what, ours, theirs);
    }
    ours.len() as u64
}

#[track_caller]
fn check(fixture: &str) {
    let queues = Queues::of_fixture(fixture);
    let would = queues.theirs().check(NOW, &any_account, &mut Patient).unwrap();
    let summary = queues.copy();
    assert!(summary.is_whole(), "{summary:?}");
    assert_eq!(would, summary);
    let expected = original::expected(fixture);
    let theirs = &expected["raw"]["queue/index.db"];
    let ours: Vec<_> = queues.queued().iter().map(queued).collect();
    let count = check_all("Msg", &ours, &theirs["Msg"]);
    assert_eq!(summary.taken.get("queued messages").copied().unwrap_or(0), count);
    let ours: Vec<_> = queues.retired().iter().map(retired).collect();
    check_all("MsgRetired", &ours, &theirs["MsgRetired"]);
    let ours: Vec<_> = queues.hooks(false).iter().map(hook).collect();
    check_all("Hook", &ours, &theirs["Hook"]);
    let ours: Vec<_> = queues.hooks(true).iter().map(hook).collect();
    check_all("HookRetired", &ours, &theirs["HookRetired"]);
    let ours = queues.ours.hold_rules().unwrap();
    let ours: Vec<_> = ours.iter().map(|(id, one)| rule(id.0, one)).collect();
    check_all("HoldRule", &ours, &theirs["HoldRule"]);
    check_suppressions(&queues, &theirs["Suppression"]);
    check_bodies(&queues, &expected["queue"]);
    check_numbers(&queues, theirs);
}

/// What the expected files say of messages and their files together.
fn sent(ours: &Queued, body: &[u8]) -> Json {
    let address =
        |mailbox: &Mailbox| format!("{}@{}", mailbox.localpart.as_str(), host_text(&mailbox.host));
    let hash: String =
        digest(&SHA256, body).as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    json!({
        "id": ours.id.0,
        "base_id": ours.base_id.map(|base| base.0),
        "attempts": ours.attempts,
        "extra": ours.extra,
        "from_id": ours.from_id,
        "full_len": body.len(),
        "full_sha256": hash,
        "hold": ours.is_held,
        "message_id": ours.message_id,
        "next_attempt": ours.next_attempt.0,
        "nresults": ours.results.len(),
        "recipient": address(&ours.rcpt_to),
        "sender": ours.mail_from.mailbox().map(address),
        "sender_account": ours.account,
        "size": ours.size,
        "transport": ours.transport,
        // Of their files; ours has the bytes in one.
        "file_error": null,
        "path": "body",
        "prefix_len": "body",
    })
}

fn check_bodies(queues: &Queues, theirs: &Json) {
    let (ours, theirs) = (queues.queued(), theirs.as_array().unwrap());
    assert_eq!(ours.len(), theirs.len());
    for (ours, theirs) in ours.iter().zip(theirs) {
        check_record("queue", &sent(ours, &queues.body(ours.id.0)), theirs);
    }
}

/// A new message gets a number that none had.
fn check_numbers(queues: &Queues, theirs: &Json) {
    let ids = ["Msg", "MsgRetired"].into_iter().flat_map(|name| {
        theirs[name]["records"].as_array().unwrap().iter().map(|one| one["ID"].as_i64().unwrap())
    });
    let last = ids.max().unwrap();
    assert!(add(&queues.ours, "new@elsewhere.example").0 > last);
}

pub(crate) fn add(queue: &Queue, rcpt: &str) -> MessageId {
    let body = queue.stage(&mut &b"Subject: new\r\n\r\n"[..]).unwrap();
    let rcpt = Mailbox::from(mox_base::Address::parse(rcpt).unwrap());
    let mut message = NewMessage::new("alice", body);
    message.recipients = vec![NewRecipient::new(ReversePath::Null, rcpt)];
    queue.add(message, NOW).wait().unwrap()[0]
}

#[test]
fn of_a_localserve() {
    check("basic");
}

#[test]
fn of_a_server_with_some_of_everything() {
    check("rich");
}

#[test]
fn of_a_copy_made_while_it_ran() {
    check("live");
}

/// Ends the copying after some commits.
pub(crate) struct Impatient(pub(crate) u32);

impl Watch for Impatient {
    fn progress(&mut self, _done: u64, _total: u64) -> bool {
        self.0 -= 1;
        self.0 > 0
    }
}

#[test]
fn copying_may_end_after_every_commit_and_be_done_again() {
    let whole = Queues::of_fixture("rich");
    let summary = whole.copy();
    assert_eq!(whole.copy(), summary, "done again");
    let queues = Queues::of_fixture("rich");
    // Each part is at least one commit.
    for commits in 1..=6 {
        queues.copy_watched(&mut Impatient(commits));
    }
    assert_eq!(queues.copy(), summary);
    let without_bodies = |queues: &Queues| {
        let mut content = queues.content();
        content.0.iter_mut().for_each(|one| one.body_id = 0);
        content.1.iter_mut().for_each(|one| one.message.body_id = 0);
        content
    };
    assert_eq!(without_bodies(&queues), without_bodies(&whole));
}

#[track_caller]
fn check_used(queues: &Queues) {
    let before = queues.content();
    let used = queues.theirs().copy(&queues.ours, NOW, &any_account, &mut Patient);
    assert!(matches!(used, Err(TakeoverError::QueueUsed)), "{used:?}");
    assert_eq!(queues.content(), before);
}

#[test]
fn a_queue_that_is_in_use_is_left_alone() {
    // With a number of theirs, and with one behind.
    let queues = Queues::of_fixture("rich");
    add(&queues.ours, "a@elsewhere.example");
    check_used(&queues);
    let queues = Queues::of_fixture("rich");
    queues.copy();
    add(&queues.ours, "a@elsewhere.example");
    check_used(&queues);
    // Numbers were given, and nothing is left.
    let queues = Queues::of_fixture("basic");
    for _ in 0..100 {
        let id = add(&queues.ours, "a@elsewhere.example");
        let filter = Filter { ids: vec![id], ..Filter::default() };
        queues.ours.change(filter, Change::Drop, NOW).wait().unwrap();
    }
    check_used(&queues);
    // A rule of its own.
    let queues = Queues::of_fixture("basic");
    queues.ours.add_hold_rule(HoldRule::default()).wait().unwrap();
    check_used(&queues);
}
