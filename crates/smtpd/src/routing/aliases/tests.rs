//! Tables of who may write, who gets a copy, and what the sender hears.

use std::path::Path;
use std::sync::Arc;

use mox_base::Domain;
use mox_smtp::{ForwardPath, Mailbox};

use super::*;
use crate::routing::{Rules, Target, routes};

const MOX_CONF: &str = "DataDir: data\nLogLevel: info\nHostname: mail.example.org\n\
    Listeners:\n\tlocal:\n\t\tIPs:\n\t\t\t- 127.0.0.1\n\
    Postmaster:\n\tAccount: ann\n\tMailbox: Postmaster\n";

const DOMAINS_CONF: &str = "Domains:
\texample.org:
\t\tLocalpartCatchallSeparator: +
\t\tAliases:
\t\t\tpublic:
\t\t\t\tAddresses:
\t\t\t\t\t- ann@example.org
\t\t\t\t\t- bob@example.org
\t\t\t\tPostPublic: true
\t\t\tsales:
\t\t\t\tAddresses:
\t\t\t\t\t- bob@example.org
\t\t\t\t\t- cat@example.org
\t\t\t\tPostPublic: true
\t\t\t\tAllowMsgFrom: true
\t\t\tclosed:
\t\t\t\tAddresses:
\t\t\t\t\t- ann@example.org
\t\t\t\t\t- bob@example.org
\t\t\tboard:
\t\t\t\tAddresses:
\t\t\t\t\t- ann@example.org
\t\t\t\t\t- bob@example.org
\t\t\t\tAllowMsgFrom: true
\t\t\tmixed:
\t\t\t\tAddresses:
\t\t\t\t\t- gone@example.org
\t\t\t\t\t- old@off.example
\t\t\t\t\t- cat@example.org
\t\t\t\tPostPublic: true
\t\t\tdead:
\t\t\t\tAddresses:
\t\t\t\t\t- old@off.example
\t\t\t\t\t- gone@example.org
\t\t\t\tPostPublic: true
\toff.example:
\t\tDisabled: true
Accounts:
\tann:
\t\tDomain: example.org
\t\tDestinations:
\t\t\tann@example.org: nil
\t\t\tann.work@example.org: nil
\tbob:
\t\tDomain: example.org
\t\tLoginDisabled: on leave
\t\tDestinations:
\t\t\tbob@example.org: nil
\t\t\told@off.example: nil
\tcat:
\t\tDomain: example.org
\t\tDestinations:
\t\t\tcat@example.org: nil
\t\t\tgone@example.org:
\t\t\t\tSMTPError: 550 moved away
";

fn config() -> Config {
    Config::parse(Path::new(""), MOX_CONF, DOMAINS_CONF).unwrap()
}

fn path(text: &str) -> ForwardPath {
    ForwardPath::Mailbox(Mailbox::from(Address::parse(text).unwrap()))
}

fn code(result: Result<(), DataRefusal>) -> String {
    let Err(refusal) = result else { return "ok".to_owned() };
    let reply = String::from_utf8(Reply::from(&refusal).to_bytes()).unwrap();
    reply.split(' ').take(2).collect::<Vec<_>>().join(" ")
}

/// Checks whether an author may write; no author for an empty text.
#[track_caller]
fn check_author(alias: &str, from: &str, standing: Standing, want: &str) {
    let config = config();
    let address = Address::parse(&format!("{alias}@example.org")).unwrap();
    let found = config.lookup_address(&address.localpart, Some(&address.domain));
    let Ok(Target::Alias(alias)) = found else { panic!("{alias}: {found:?}") };
    let from = Address::parse(from).ok();
    let got = may_post(&alias, Author { address: from.as_ref(), standing });
    assert_eq!(code(got), want, "{from:?} {standing:?} to {}", alias.address);
}

/// RFC 3463 §3.8 (X.7.2).
#[test]
fn an_alias_is_open_to_some() {
    use Standing::{Proven, Unknown, Unproven};
    let (ann, cat, stranger) = ("ann@example.org", "cat@example.org", "x@client.example");
    // A public alias: everyone, known or not.
    for from in [ann, cat, stranger, ""] {
        for standing in [Proven, Unproven, Unknown] {
            check_author("public", from, standing, "ok");
        }
    }
    // But nobody as the alias itself, or only its members.
    check_author("public", "public@example.org", Proven, "550 5.7.2");
    check_author("sales", "sales@example.org", Proven, "ok");
    check_author("sales", "sales@example.org", Unproven, "550 5.7.2");
    check_author("sales", "sales@example.org", Unknown, "451 4.7.2");
    // For members alone.
    check_author("closed", ann, Proven, "ok");
    check_author("closed", "bob@example.org", Proven, "ok");
    check_author("board", "board@example.org", Proven, "ok");
    // Another address of a member's account is not the member.
    check_author("closed", "ann.work@example.org", Proven, "550 5.7.2");
    check_author("closed", "closed@example.org", Proven, "550 5.7.2");
    check_author("closed", "board@example.org", Proven, "550 5.7.2");
    check_author("closed", cat, Proven, "550 5.7.2");
    check_author("closed", stranger, Proven, "550 5.7.2");
    check_author("closed", "", Proven, "550 5.7.2");
    // Anybody can write a member's address into From.
    check_author("closed", ann, Unproven, "550 5.7.2");
    check_author("board", "board@example.org", Unproven, "550 5.7.2");
    // What cannot be known now is the same for members and strangers.
    for from in [ann, cat, stranger] {
        check_author("closed", from, Unknown, "451 4.7.2");
    }
    check_author("closed", "", Unknown, "550 5.7.2");
}

/// Checks the copies, as `address by alias`, and for each recipient which of them it stands for, or
/// its error.
#[track_caller]
fn check(from: (&str, Standing), rcpts: &[&str], copies: &[&str], want: &[&str]) {
    let config = config();
    let paths: Vec<ForwardPath> = rcpts.iter().map(|rcpt| path(rcpt)).collect();
    let address = Address::parse(from.0).ok();
    let author = Author { address: address.as_ref(), standing: from.1 };
    let hostname = Domain::parse("mail.example.org").unwrap();
    let rules = Rules { is_localserve: false };
    let got = routes(&config, &hostname, &paths, author, rules);
    let name = |text: String| text.replace("@example.org", "");
    let got_copies: Vec<String> = got
        .copies
        .iter()
        .map(|copy| {
            format!("{} by {}", name(copy.address.to_string()), name(copy.rcpt.to_string()))
        })
        .collect();
    assert_eq!(got_copies, copies, "{from:?} {rcpts:?}");
    let got_rcpts: Vec<String> = got
        .rcpts
        .into_iter()
        .map(|rcpt| match rcpt {
            Ok(places) => format!("{places:?}"),
            Err(refusal) => code(Err(refusal)),
        })
        .collect();
    assert_eq!(got_rcpts, want, "{from:?} {rcpts:?}");
}

const STRANGER: (&str, Standing) = ("x@client.example", Standing::Unproven);

#[test]
fn each_member_gets_one_copy() {
    let both = ["ann by <public>", "bob by <public>"];
    check(STRANGER, &["public@example.org"], &both, &["[0, 1]"]);
    // A member of two aliases, and one alias in several spellings.
    check(
        STRANGER,
        &["public@example.org", "sales@example.org"],
        &["ann by <public>", "bob by <public>", "cat by <sales>"],
        &["[0, 1]", "[1, 2]"],
    );
    check(
        STRANGER,
        &["public@example.org", "public+a@example.org", "PUBLIC+b@example.org"],
        &both,
        &["[0, 1]", "[0, 1]", "[0, 1]"],
    );
    // Addressed in person, before or after the alias, in any spelling.
    for rcpts in
        [["Ann+x@example.org", "public@example.org"], ["public@example.org", "ann@example.org"]]
    {
        let config = config();
        let paths = rcpts.map(path);
        let author = Author { address: None, standing: Standing::Unproven };
        let hostname = Domain::parse("mail.example.org").unwrap();
        let rules = Rules { is_localserve: false };
        let got = routes(&config, &hostname, &paths, author, rules);
        let mut accounts: Vec<&str> = got.copies.iter().map(|copy| &*copy.account).collect();
        accounts.sort_unstable();
        assert_eq!(accounts, ["ann", "bob"], "{rcpts:?}");
    }
    // Another address of the member's account is another destination.
    check(
        STRANGER,
        &["ann.work@example.org", "public@example.org"],
        &["ann.work by <ann.work>", "ann by <public>", "bob by <public>"],
        &["[0]", "[1, 2]"],
    );
    // All have it.
    check(
        STRANGER,
        &["ann@example.org", "bob@example.org", "public@example.org"],
        &["ann by <ann>", "bob by <bob>"],
        &["[0]", "[1]", "[]"],
    );
}

#[test]
fn the_author_gets_no_copy_of_what_is_surely_theirs() {
    let ann = "Ann+x@example.org";
    check((ann, Standing::Proven), &["public@example.org"], &["bob by <public>"], &["[0]"]);
    check((ann, Standing::Proven), &["closed@example.org"], &["bob by <closed>"], &["[0]"]);
    // To themselves: asked for.
    check(
        (ann, Standing::Proven),
        &["public@example.org", "ann@example.org"],
        &["bob by <public>", "ann by <ann>"],
        &["[0]", "[1]"],
    );
    // A forgery is shown to its victim.
    let both = ["ann by <public>", "bob by <public>"];
    check((ann, Standing::Unproven), &["public@example.org"], &both, &["[0, 1]"]);
    check((ann, Standing::Unknown), &["public@example.org"], &both, &["[0, 1]"]);
    // One alias refuses, the others do not.
    check(STRANGER, &["closed@example.org", "public@example.org"], &both, &["550 5.7.2", "[0, 1]"]);
}

#[test]
fn members_whose_addresses_take_no_mail_are_left_out() {
    // Who may not log in gets mail all the same.
    check(STRANGER, &["bob@example.org"], &["bob by <bob>"], &["[0]"]);
    check(STRANGER, &["old@off.example"], &[], &["450 4.2.1"]);
    check(STRANGER, &["gone@example.org"], &[], &["550 5.1.1"]);
    check(STRANGER, &["mixed@example.org"], &["cat by <mixed>"], &["[0]"]);
    // The first one's answer, if there is nobody else.
    check(STRANGER, &["dead@example.org"], &[], &["450 4.2.1"]);
    // Somebody else, who has it: the alias is served.
    check(STRANGER, &["cat@example.org", "mixed@example.org"], &["cat by <cat>"], &["[0]", "[]"]);
    check(("cat@example.org", Standing::Proven), &["mixed@example.org"], &[], &["[]"]);
}

fn copy(config: &Config, address: &str) -> crate::routing::Copy {
    let hostname = Domain::parse("mail.example.org").unwrap();
    let rules = Rules { is_localserve: false };
    let author = Author { address: None, standing: Standing::Unproven };
    routes(config, &hostname, &[path(address)], author, rules).copies.remove(0)
}

/// Checks which of four copies are stored, when recipients stand for `rcpts` and the copies in
/// `accepted` would be taken.
#[track_caller]
fn check_granted(rcpts: &[&[usize]], accepted: &[usize], want: &[usize]) {
    let config = config();
    let copies = vec![copy(&config, "ann@example.org"); 4];
    let rcpts = rcpts.iter().map(|places| Ok(Arc::from(*places))).collect();
    let routes = Routes { copies, rcpts, left_out: Vec::new() };
    let granted = routes.granted(|place| accepted.contains(&place));
    let got: Vec<usize> = (0..4).filter(|place| granted[*place]).collect();
    assert_eq!(got, want, "{accepted:?} of {:?}", routes.rcpts);
}

#[test]
fn what_one_member_takes_all_get() {
    check_granted(&[&[0, 1, 2, 3]], &[0, 1, 2, 3], &[0, 1, 2, 3]);
    check_granted(&[&[0, 1, 2, 3]], &[2], &[0, 1, 2, 3]);
    check_granted(&[&[0, 1, 2, 3]], &[], &[]);
    // Single recipients decide for themselves.
    check_granted(&[&[0], &[1], &[2], &[3]], &[1, 3], &[1, 3]);
    // Two aliases with a member in common.
    check_granted(&[&[0, 1], &[1, 2], &[3]], &[0], &[0, 1]);
    check_granted(&[&[0, 1], &[1, 2], &[3]], &[1], &[0, 1, 2]);
    // What no recipient stands for is not stored.
    check_granted(&[&[0], &[]], &[0, 1], &[0]);
}

#[test]
fn an_alias_is_served_if_a_member_is() {
    let policy = |code, enhanced| Err(DataRefusal::Policy(Reply::new(code, enhanced, "x")));
    #[track_caller]
    fn check(outcomes: &[Result<(), DataRefusal>], want: &str) {
        let places = (0..outcomes.len()).collect();
        let routes = Routes { rcpts: vec![Ok(places)], ..Routes::default() };
        let got = routes.results(outcomes).remove(0);
        assert_eq!(code(got), want, "{outcomes:?}");
    }
    check(&[Ok(()), Ok(())], "ok");
    check(&[Err(DataRefusal::OverQuota), Ok(())], "ok");
    check(&[policy(451, (3, 0)), policy(550, (7, 26)), Ok(())], "ok");
    check(&[], "ok");
    // The first one's answer.
    check(&[Err(DataRefusal::OverQuota), policy(451, (3, 0))], "452 4.2.2");
    check(&[policy(550, (7, 26)), Err(DataRefusal::Unavailable)], "550 5.7.26");
    // A recipient that has no copy keeps its error.
    let routes = Routes {
        rcpts: vec![Err(DataRefusal::UnknownAddress), Ok(Arc::from([0]))],
        ..Routes::default()
    };
    let got = routes.results(&[Ok(())]);
    assert_eq!(got, [Err(DataRefusal::UnknownAddress), Ok(())]);
}

/// Ann, and an alias whose one member she is: if she has no copy, the sender is not told of success.
#[test]
fn an_alias_without_copies_of_its_own_is_served_if_anybody_is() {
    let routes = Routes { rcpts: vec![Ok(Arc::from([0])), Ok(Arc::from([]))], ..Routes::default() };
    for failure in [DataRefusal::OverQuota, DataRefusal::Unavailable] {
        let got = routes.results(&[Err(failure.clone())]);
        assert_eq!(got, [Err(failure.clone()), Err(failure)]);
    }
    assert_eq!(routes.results(&[Ok(())]), [Ok(()), Ok(())]);
}

/// A stranger who writes an alias a thousand times, each time with another tag, has no thousand
/// copies made for each member. The first version did that.
#[test]
fn copies_are_bounded_by_the_members() {
    let config = config();
    let rcpts: Vec<ForwardPath> = (0..mox_smtp::server::RCPTS_MAX)
        .map(|n| path(&format!("public+{n}@example.org")))
        .collect();
    let hostname = Domain::parse("mail.example.org").unwrap();
    let rules = Rules { is_localserve: false };
    let author = Author { address: None, standing: Standing::Unproven };
    let got = routes(&config, &hostname, &rcpts, author, rules);
    assert_eq!(got.copies.len(), 2);
    assert_eq!(got.rcpts.len(), rcpts.len());
    // Nor is it told a thousand times who gets none.
    let rcpts: Vec<ForwardPath> =
        (0..1_000).map(|n| path(&format!("mixed+{n}@example.org"))).collect();
    let got = routes(&config, &hostname, &rcpts, author, rules);
    let left_out: Vec<String> = got.left_out.iter().map(|(member, _)| member.to_string()).collect();
    assert_eq!(left_out, ["gone@example.org", "old@off.example"]);
    assert!(got.rcpts.iter().all(|places| matches!(places, Ok(places) if **places == [0])));
}
