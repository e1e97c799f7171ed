//! What the account remembers of who sent what, and the questions of a decision about it.

use mox_base::{Address, Domain, Flags, NumSet, UnixSeconds, Validation};
use mox_policy::{
    Addressee, Author, History as _, Identity, IsValidated, Marks, Network, NetworkClass, Origin,
    Past, Proven, Traffic,
};
use mox_store::{
    Envelope, Expunge, FlagChange, FlagOp, Incoming, NewMessage, Policy, RealDisk, StoreError,
};
use proptest::prelude::*;

use crate::support::{Fixture, START, name, set};

const DAY: i64 = 24 * 3600;

pub(crate) fn address(text: &str) -> Address {
    Address::parse(text).unwrap()
}

pub(crate) fn domain(text: &str) -> Domain {
    Domain::parse(text).unwrap()
}

/// The origin of a message whose author, MAIL FROM, EHLO and signature are of the same domain.
pub(crate) fn origin(author: &str, validation: Validation, ip: &str) -> Origin {
    let author = address(author);
    let organization = domain("example.org");
    Origin {
        networks: Some(Network::all_of(ip.parse().unwrap())),
        ehlo: Some(Proven { name: domain("mx.sender.example"), validation }),
        mail_from: Some(Proven { name: author.clone(), validation }),
        mail_from_validation: validation,
        dkim_domains: vec![author.domain.clone()],
        author: Some(Author { address: author, organization, validation }),
        forwarder_ehlo: None,
        forwarder_dkim_domains: Vec::new(),
    }
}

pub(crate) fn incoming(origin: Origin) -> Incoming {
    let marks = Marks::default();
    Incoming { origin, marks, destined: None, decision: None, content_hash: None }
}

pub(crate) fn message_of(fixture: &Fixture, incoming: Incoming, flags: Flags) -> NewMessage {
    let envelope = Envelope { incoming: Some(incoming), ..Envelope::default() };
    let message = fixture.message(b"Subject: x\r\n\r\nbody\r\n");
    NewMessage { envelope: Some(envelope), flags, ..message }
}

/// Delivers a message of an author whose domain is proven.
fn deliver(fixture: &Fixture, mailbox: &str, author: &str, flags: Flags) {
    let from = origin(author, Validation::Strict, "192.0.2.1");
    fixture.add(mailbox, vec![message_of(fixture, incoming(from), flags)]).unwrap();
}

fn mark(fixture: &Fixture, mailbox: &str, uids: &[u32], flags: Flags) {
    let change =
        FlagChange { op: FlagOp::Replace, flags, keywords: Vec::new(), unchanged_since: None };
    fixture.account.change_flags(fixture.id(mailbox), set(uids), change).wait().unwrap();
}

fn move_to(fixture: &Fixture, from: &str, uids: &[u32], to: &str) {
    fixture.account.move_to(fixture.id(from), set(uids), name(to)).wait().unwrap();
}

/// The newest of a mailbox: `j` for junk, `h` for other mail.
fn newest(fixture: &Fixture, mailbox: &str, identity: Identity<'_>, limit: u32) -> String {
    let reader = fixture.account.read().unwrap();
    let past = reader.newest(&name(mailbox), identity, UnixSeconds(0), limit).unwrap();
    past.iter().map(|past| if past.is_junk { 'j' } else { 'h' }).collect()
}

#[track_caller]
fn check(fixture: &Fixture, mailbox: &str, author: &str, want: &str) {
    let author = address(author);
    let identity = Identity::FromAddress(&author, IsValidated::Yes);
    assert_eq!(newest(fixture, mailbox, identity, 50), want, "{author} in {mailbox}");
}

#[test]
fn messages_count_as_long_as_they_are_marked_one_way() {
    let fixture = Fixture::new();
    deliver(&fixture, "Inbox", "ann@example.org", Flags::NONE);
    check(&fixture, "Inbox", "ann@example.org", "");
    for (flags, want) in [
        (Flags::JUNK, "j"),
        (Flags::NOT_JUNK | Flags::SEEN, "h"),
        (Flags::JUNK | Flags::NOT_JUNK, ""),
        (Flags::NOT_JUNK, "h"),
        (Flags::FLAGGED, ""),
    ] {
        mark(&fixture, "Inbox", &[1], flags);
        check(&fixture, "Inbox", "ann@example.org", want);
    }
    deliver(&fixture, "Inbox", "Ann@EXAMPLE.org", Flags::JUNK);
    check(&fixture, "Inbox", "ann@example.org", "j");
    check(&fixture, "Inbox", "bob@example.org", "");
    check(&fixture, "Archive", "ann@example.org", "");
    check(&fixture, "Missing", "ann@example.org", "");
}

#[test]
fn the_newest_come_first_within_time_and_number() {
    let fixture = Fixture::new();
    let ann = address("ann@example.org");
    for (days, flags) in [(9, Flags::JUNK), (3, Flags::NOT_JUNK), (5, Flags::JUNK)] {
        let from = origin("ann@example.org", Validation::Pass, "192.0.2.1");
        let received = Some(START.plus_secs(-days * DAY).into());
        let message = message_of(&fixture, incoming(from), flags);
        fixture.add("Inbox", vec![NewMessage { received, ..message }]).unwrap();
    }
    let asked = |since: UnixSeconds, limit: u32| {
        let reader = fixture.account.read().unwrap();
        let identity = Identity::FromDomain(&ann.domain, IsValidated::Yes);
        let past = reader.newest(&name("Inbox"), identity, since, limit).unwrap();
        past.iter().map(|past| past.is_junk).collect::<Vec<_>>()
    };
    assert_eq!(asked(UnixSeconds(0), 50), [false, true, true]);
    assert_eq!(asked(UnixSeconds(0), 2), [false, true]);
    assert_eq!(asked(START.plus_secs(-5 * DAY), 50), [false, true]);
    assert_eq!(asked(START.plus_secs(-5 * DAY + 1), 50), [false]);
    assert_eq!(asked(START, 50), [false; 0]);
}

#[test]
fn messages_are_found_by_each_identity_that_was_proven() {
    let fixture = Fixture::new();
    let proven = origin("ann@mail.example.org", Validation::Pass, "192.0.2.201");
    fixture.add("Inbox", vec![message_of(&fixture, incoming(proven), Flags::JUNK)]).unwrap();
    let unproven = origin("ann@mail.example.org", Validation::SoftFail, "2001:db8::1");
    fixture.add("Inbox", vec![message_of(&fixture, incoming(unproven), Flags::NOT_JUNK)]).unwrap();
    let (ann, org, ehlo) =
        (address("ann@mail.example.org"), domain("example.org"), domain("mx.sender.example"));
    let network = |ip: &str, class| Identity::Network(Network::of(ip.parse().unwrap(), class));
    let cases = [
        (Identity::FromAddress(&ann, IsValidated::Yes), "j"),
        (Identity::FromAddress(&ann, IsValidated::No), "h"),
        (Identity::FromDomain(&ann.domain, IsValidated::Yes), "j"),
        (Identity::FromDomain(&ann.domain, IsValidated::No), "h"),
        (Identity::FromDomain(&org, IsValidated::Yes), ""),
        (Identity::FromOrganization(&org, IsValidated::Yes), "j"),
        (Identity::FromOrganization(&org, IsValidated::No), "h"),
        (Identity::DkimDomain(&ann.domain), "hj"),
        (Identity::DkimDomain(&org), ""),
        // What SPF did not pass has no history.
        (Identity::MailFrom(&ann), "j"),
        (Identity::MailFromDomain(&ann.domain), "j"),
        (Identity::Ehlo(&ehlo), "j"),
        (network("192.0.2.201", NetworkClass::Host), "j"),
        (network("192.0.2.200", NetworkClass::Host), ""),
        (network("192.0.2.200", NetworkClass::Near), "j"),
        (network("192.0.7.1", NetworkClass::Near), ""),
        (network("192.0.7.1", NetworkClass::Wide), "j"),
        (network("192.0.8.1", NetworkClass::Wide), ""),
        (network("2001:db8::ffff", NetworkClass::Host), "h"),
        (network("::ffff:192.0.2.201", NetworkClass::Host), "j"),
    ];
    for (identity, want) in cases {
        assert_eq!(newest(&fixture, "Inbox", identity, 50), want, "{identity:?}");
    }
    let reader = fixture.account.read().unwrap();
    let identity = Identity::FromDomain(&ann.domain, IsValidated::Yes);
    let past = reader.newest(&name("Inbox"), identity, UnixSeconds(0), 5).unwrap();
    assert_eq!(past, [Past { is_junk: true, from_localpart: Some(ann.localpart) }]);
}

/// What is forwarded is not remembered by what the forwarder is known by.
#[test]
fn forwarded_messages_have_no_networks() {
    let fixture = Fixture::new();
    let from = Origin {
        networks: None,
        ehlo: None,
        mail_from: None,
        forwarder_ehlo: Some(domain("old.example")),
        forwarder_dkim_domains: vec![domain("old.example")],
        ..origin("ann@example.org", Validation::None, "192.0.2.1")
    };
    let forwarded =
        Incoming { marks: Marks { is_forward: true, ..Marks::default() }, ..incoming(from) };
    fixture.add("Inbox", vec![message_of(&fixture, forwarded, Flags::JUNK)]).unwrap();
    let host = Network::of("192.0.2.1".parse().unwrap(), NetworkClass::Host);
    assert_eq!(newest(&fixture, "Inbox", Identity::Network(host), 50), "");
    assert_eq!(newest(&fixture, "Inbox", Identity::DkimDomain(&domain("old.example")), 50), "");
    assert_eq!(newest(&fixture, "Inbox", Identity::DkimDomain(&domain("example.org")), 50), "j");
    assert_eq!(
        fixture.account.read().unwrap().traffic(host, UnixSeconds(0)),
        Ok(Traffic::default())
    );
}

#[test]
fn messages_count_where_they_were_delivered_and_until_they_are_gone() {
    let fixture = Fixture::new();
    deliver(&fixture, "Inbox", "ann@example.org", Flags::JUNK);
    deliver(&fixture, "Inbox", "ann@example.org", Flags::NOT_JUNK);
    move_to(&fixture, "Inbox", &[1], "Archive");
    check(&fixture, "Inbox", "ann@example.org", "hj");
    check(&fixture, "Archive", "ann@example.org", "");
    // A role marks what comes to a mailbox.
    move_to(&fixture, "Inbox", &[2], "Junk");
    check(&fixture, "Inbox", "ann@example.org", "jj");
    fixture.account.copy(fixture.id("Archive"), set(&[1]), name("Trash")).wait().unwrap();
    check(&fixture, "Inbox", "ann@example.org", "jjj");
    // Renamed, it is still the same mailbox.
    fixture.account.rename_mailbox(name("Archive"), name("Old")).wait().unwrap();
    fixture.account.delete_mailbox(name("Junk")).wait().unwrap();
    check(&fixture, "Inbox", "ann@example.org", "jj");
    let all = Expunge { uids: NumSet::all(), only_deleted: false };
    fixture.account.expunge(fixture.id("Old"), all).wait().unwrap();
    check(&fixture, "Inbox", "ann@example.org", "j");
    fixture.account.delete_mailbox(name("Trash")).wait().unwrap();
    check(&fixture, "Inbox", "ann@example.org", "");
    fixture.settle();
}

fn with_introbox() -> Fixture {
    let mailboxes = Policy::default_mailboxes();
    let policy = Policy {
        initial_mailboxes: mailboxes,
        introbox: Some(name("Introbox")),
        rejects_mailbox: Some(name("Rejects")),
        ..Policy::default()
    };
    let fixture = Fixture::with(policy, RealDisk);
    for mailbox in ["Introbox", "Rejects"] {
        fixture.account.create_mailbox(name(mailbox), mox_base::SpecialUse::NONE).wait().unwrap();
    }
    fixture
}

fn put_aside(fixture: &Fixture, mailbox: &str, marks: Marks) {
    let from = origin("ann@example.org", Validation::Strict, "192.0.2.1");
    let destined = Some(name("Inbox"));
    let aside = Incoming { destined, marks, ..incoming(from) };
    fixture.add(mailbox, vec![message_of(fixture, aside, Flags::NONE)]).unwrap();
}

#[test]
fn what_is_taken_out_of_the_introbox_counts_for_where_it_was_destined() {
    let fixture = with_introbox();
    for _ in 0..4 {
        put_aside(&fixture, "Introbox", Marks::default());
    }
    // To where it was destined: the user wants it.
    move_to(&fixture, "Introbox", &[1], "Inbox");
    assert_eq!(fixture.flags("Inbox", 1), Flags::NOT_JUNK);
    check(&fixture, "Inbox", "ann@example.org", "h");
    // To Junk: junk.
    move_to(&fixture, "Introbox", &[2], "Junk");
    assert_eq!(fixture.flags("Junk", 1), Flags::JUNK);
    check(&fixture, "Inbox", "ann@example.org", "jh");
    // Elsewhere: nothing is said, until it is marked; it stays a message of the Introbox.
    move_to(&fixture, "Introbox", &[3], "Archive");
    assert_eq!(fixture.flags("Archive", 1), Flags::NONE);
    mark(&fixture, "Archive", &[1], Flags::NOT_JUNK);
    check(&fixture, "Inbox", "ann@example.org", "jh");
    check(&fixture, "Introbox", "ann@example.org", "h");
    // Marked in the Introbox, then copied.
    mark(&fixture, "Introbox", &[4], Flags::JUNK);
    fixture.account.copy(fixture.id("Introbox"), set(&[4]), name("Inbox")).wait().unwrap();
    assert_eq!(fixture.flags("Inbox", 2), Flags::JUNK);
    check(&fixture, "Inbox", "ann@example.org", "jjh");
    // Moving on changes nothing more.
    move_to(&fixture, "Inbox", &[1], "Archive");
    assert_eq!(fixture.flags("Archive", 2), Flags::NOT_JUNK);
    check(&fixture, "Inbox", "ann@example.org", "jjh");
}

#[test]
fn what_is_taken_out_of_the_rejects_is_new_and_counts_for_where_it_was_destined() {
    let fixture = with_introbox();
    let marks = Marks { is_seen: true, is_reject: true, ..Marks::default() };
    for _ in 0..3 {
        put_aside(&fixture, "Rejects", marks);
    }
    assert_eq!(fixture.flags("Rejects", 1), Flags::SEEN);
    mark(&fixture, "Rejects", &[1], Flags::SEEN | Flags::NOT_JUNK);
    check(&fixture, "Inbox", "ann@example.org", "");
    check(&fixture, "Rejects", "ann@example.org", "h");
    move_to(&fixture, "Rejects", &[1], "Inbox");
    assert_eq!(fixture.flags("Inbox", 1), Flags::NOT_JUNK);
    check(&fixture, "Inbox", "ann@example.org", "h");
    check(&fixture, "Rejects", "ann@example.org", "");
    // Not marked: it counts once it is.
    move_to(&fixture, "Rejects", &[2], "Archive");
    assert_eq!(fixture.flags("Archive", 1), Flags::NONE);
    mark(&fixture, "Archive", &[1], Flags::JUNK);
    check(&fixture, "Inbox", "ann@example.org", "jh");
    // A copy stays seen.
    fixture.account.copy(fixture.id("Rejects"), set(&[3]), name("Inbox")).wait().unwrap();
    assert_eq!(fixture.flags("Inbox", 2), Flags::SEEN);
}

fn has_sent(fixture: &Fixture, addressee: Addressee<'_>, since: UnixSeconds) -> bool {
    fixture.account.read().unwrap().has_sent_to(addressee, since).unwrap()
}

#[test]
fn whom_the_account_wrote_to_is_known_by_what_is_in_sent() {
    let fixture = Fixture::new();
    let text = b"From: me@local.example\r\nTo: \"Ann B.\" <Ann@News.Example.co.uk>, x, grp: c@d.example;\r\n\
         Cc: cc@example.net\r\nBcc: =?utf-8?q?b?= <bcc@xn--bcher-kva.example>\r\n\
         Date: Fri, 20 Nov 2026 08:00:00 +0000\r\n\r\n1\r\n";
    let at = UnixSeconds(1_795_161_600);
    fixture.add("Drafts", vec![fixture.message(text)]).unwrap();
    let (ann, org) = (address("ann@news.example.co.uk"), domain("example.co.uk"));
    assert!(!has_sent(&fixture, Addressee::Address(&ann), UnixSeconds(0)));
    move_to(&fixture, "Drafts", &[1], "Sent");
    for (text, want) in [
        ("ann@news.example.co.uk", true),
        ("bob@news.example.co.uk", false),
        ("c@d.example", true),
        ("cc@example.net", true),
        ("bcc@b\u{fc}cher.example", true),
        ("me@local.example", false),
    ] {
        let address = address(text);
        assert_eq!(has_sent(&fixture, Addressee::Address(&address), at), want, "{text}");
        assert!(!has_sent(&fixture, Addressee::Address(&address), at.plus_secs(1)), "{text}");
    }
    assert!(has_sent(&fixture, Addressee::Domain(&ann.domain), at));
    assert!(!has_sent(&fixture, Addressee::Domain(&org), at));
    assert!(has_sent(&fixture, Addressee::Organization(&org), at));
    assert!(!has_sent(&fixture, Addressee::Organization(&ann.domain), at));
    // A copy was sent too; both are gone only when both are.
    fixture.account.copy(fixture.id("Sent"), set(&[1]), name("Archive")).wait().unwrap();
    let all = Expunge { uids: NumSet::all(), only_deleted: false };
    fixture.account.expunge(fixture.id("Sent"), all.clone()).wait().unwrap();
    assert!(has_sent(&fixture, Addressee::Address(&ann), at));
    fixture.account.expunge(fixture.id("Archive"), all).wait().unwrap();
    assert!(!has_sent(&fixture, Addressee::Address(&ann), UnixSeconds(0)));
    // Without a date it is the time at which it was stored.
    fixture.add("Sent", vec![fixture.message(b"To: ann@news.example.co.uk\r\n\r\n2\r\n")]).unwrap();
    assert!(has_sent(&fixture, Addressee::Organization(&org), START));
    assert!(!has_sent(&fixture, Addressee::Organization(&org), START.plus_secs(1)));
}

#[test]
fn traffic_counts_what_came_for_a_day() {
    let fixture = Fixture::new();
    let size =
        message_of(&fixture, incoming(origin("a@b.example", Validation::None, "::1")), Flags::NONE)
            .content
            .size();
    let network = |class| Network::of("192.0.2.1".parse().unwrap(), class);
    let traffic = |class, since| {
        let found = fixture.account.read().unwrap().traffic(network(class), since).unwrap();
        assert_eq!(found.bytes, found.messages * size);
        found.messages
    };
    for ip in ["192.0.2.1", "192.0.2.1", "192.0.2.2", "192.0.3.1", "::ffff:192.0.2.1"] {
        let from = incoming(origin("ann@example.org", Validation::None, ip));
        fixture.add("Inbox", vec![message_of(&fixture, from, Flags::NONE)]).unwrap();
    }
    // What did not come by SMTP does not count.
    fixture.deliver_many(3);
    let all = Expunge { uids: NumSet::all(), only_deleted: false };
    fixture.account.expunge(fixture.id("Inbox"), all).wait().unwrap();
    let counts = NetworkClass::ALL.map(|class| traffic(class, START));
    assert_eq!(counts, [3, 4, 5]);
    assert_eq!(traffic(NetworkClass::Wide, START.plus_secs(1)), 0);
    // To the second, in each place of a wide span.
    let more = [1, 150, 299, 300, 301, 899, 900];
    let ages = more.map(|secs| START.plus_secs(-secs));
    for received in ages {
        let from = incoming(origin("ann@example.org", Validation::None, "192.0.2.1"));
        let message = message_of(&fixture, from, Flags::NONE);
        fixture
            .add("Inbox", vec![NewMessage { received: Some(received.into()), ..message }])
            .unwrap();
    }
    for age in 0..1_000 {
        let want = 3 + more.iter().filter(|secs| **secs <= age).count() as u64;
        assert_eq!(traffic(NetworkClass::Host, START.plus_secs(-age)), want, "{age}");
    }
    // What is too old is forgotten when more comes.
    fixture.clock.advance(std::time::Duration::from_secs(26 * 3600));
    deliver(&fixture, "Inbox", "ann@example.org", Flags::NONE);
    assert_eq!(NetworkClass::ALL.map(|class| traffic(class, UnixSeconds(0))), [1; 3]);
}

#[test]
fn a_failed_delivery_is_not_remembered() {
    let policy = Policy { quota_bytes: Some(10), ..Policy::default() };
    let fixture = Fixture::with(policy, RealDisk);
    let from = incoming(origin("ann@example.org", Validation::Strict, "192.0.2.1"));
    let refused = fixture.add("Inbox", vec![message_of(&fixture, from, Flags::JUNK)]);
    assert!(matches!(refused, Err(StoreError::OverQuota { .. })));
    check(&fixture, "Inbox", "ann@example.org", "");
    let host = Network::of("192.0.2.1".parse().unwrap(), NetworkClass::Host);
    let traffic = fixture.account.read().unwrap().traffic(host, UnixSeconds(0));
    assert_eq!(traffic, Ok(Traffic::default()));
}

#[derive(Clone, Debug)]
enum Step {
    Deliver(usize, bool, u16),
    PutAside(bool),
    Mark(usize, u32, u16),
    Copy(usize, u32, usize),
    Move(usize, u32, usize),
    Expunge(usize, u32),
}

const MAILBOXES: [&str; 5] = ["Inbox", "Introbox", "Rejects", "Junk", "Sent"];

fn step() -> impl Strategy<Value = Step> {
    let marks = || prop::sample::select(vec![0, 64, 128, 192_u16]);
    let mailbox = || 0..MAILBOXES.len();
    let uid = || 1..4_u32;
    prop_oneof![
        (0..3_usize, any::<bool>(), marks()).prop_map(|(n, v, f)| Step::Deliver(n, v, f)),
        any::<bool>().prop_map(Step::PutAside),
        (mailbox(), uid(), marks()).prop_map(|(m, u, f)| Step::Mark(m, u, f)),
        (mailbox(), uid(), mailbox()).prop_map(|(m, u, t)| Step::Copy(m, u, t)),
        (mailbox(), uid(), mailbox()).prop_map(|(m, u, t)| Step::Move(m, u, t)),
        (mailbox(), uid()).prop_map(|(m, u)| Step::Expunge(m, u)),
    ]
}

fn apply(fixture: &Fixture, step: &Step) {
    let (account, id) = (&fixture.account, |place: usize| fixture.id(MAILBOXES[place]));
    let uids = |uid: u32| set(&[uid]);
    match *step {
        Step::Deliver(author, is_proven, flags) => {
            let author = ["ann@example.org", "bob@example.org", "\"c d\"@sub.example.org"][author];
            let validation = if is_proven { Validation::Dmarc } else { Validation::Fail };
            let from = incoming(origin(author, validation, "192.0.2.1"));
            let message = message_of(fixture, from, Flags::from_bits(flags));
            fixture.add("Inbox", vec![message]).unwrap();
        }
        Step::PutAside(is_reject) => {
            let marks = Marks { is_seen: is_reject, is_reject, ..Marks::default() };
            put_aside(fixture, if is_reject { "Rejects" } else { "Introbox" }, marks);
        }
        Step::Mark(mailbox, uid, flags) => {
            mark(fixture, MAILBOXES[mailbox], &[uid], Flags::from_bits(flags));
        }
        // To the same mailbox is refused.
        Step::Copy(from, uid, to) => {
            let _refused = account.copy(id(from), uids(uid), name(MAILBOXES[to])).wait();
        }
        Step::Move(from, uid, to) => {
            let _refused = account.move_to(id(from), uids(uid), name(MAILBOXES[to])).wait();
        }
        Step::Expunge(mailbox, uid) => {
            let which = Expunge { uids: uids(uid), only_deleted: false };
            account.expunge(id(mailbox), which).wait().unwrap();
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Whatever is done, the tables are what origins and flags say: the fixture's check tells.
    #[test]
    fn the_history_follows_whatever_is_done(steps in prop::collection::vec(step(), 1..25)) {
        let fixture = with_introbox();
        for step in steps {
            apply(&fixture, &step);
        }
        fixture.settle();
    }
}
