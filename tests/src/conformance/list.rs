//! LIST and NAMESPACE. RFC 9051 §6.3.9, §6.3.10.

use super::peer::Peer;
use super::site::Subject;
use super::{cases, run};

#[test]
fn all() {
    run(cases![
        rfc9051_6_3_9_2_a_star_matches_the_delimiter,
        rfc9051_6_3_9_2_percent_does_not_match_the_delimiter,
        rfc9051_6_3_9_2_wildcards_combine_with_text,
        rfc9051_6_3_9_an_empty_pattern_tells_the_delimiter,
        rfc9051_6_3_9_children_attributes_are_right,
        rfc9051_6_3_9_extended_list_with_several_patterns,
        rfc9051_6_3_9_inbox_matches_in_any_case,
        rfc9051_6_3_9_list_is_not_slowed_by_what_does_not_match,
        rfc9051_6_3_9_noselect_and_nonexistent,
        rfc9051_6_3_9_recursivematch_needs_another_option,
        rfc9051_6_3_9_recursivematch_shows_parents,
        rfc9051_6_3_9_return_status_sends_status,
        rfc9051_6_3_9_return_subscribed_marks_the_subscribed,
        rfc9051_6_3_9_special_use_is_returned,
        rfc9051_6_3_9_subscribed_lists_subscriptions_only,
        rfc9051_6_3_9_the_reference_is_prefixed,
        rfc9051_6_3_9_unknown_options_are_bad,
        rfc9051_6_3_10_namespace_is_personal,
        rfc9051_6_3_9_2_wildcards_in_names_are_not_special_in_create,
    ]);
}

#[track_caller]
fn names(peer: &mut Peer, command: &str) -> Vec<String> {
    let answer = peer.ok(command);
    let name = |line: &str| {
        let (_, rest) = line.split_once(" \"/\" ").unwrap();
        rest.split(" (").next().unwrap().to_owned()
    };
    let mut names: Vec<String> = answer.with("* LIST ").into_iter().map(name).collect();
    names.sort();
    names
}

/// The attributes in a LIST response, in lower case.
#[track_caller]
fn attributes(peer: &mut Peer, command: &str) -> Vec<String> {
    let answer = peer.ok(command);
    let list = answer.one("* LIST ").split(['(', ')']).nth(1).unwrap();
    let mut all: Vec<String> = list.split_whitespace().map(str::to_lowercase).collect();
    all.sort();
    all
}

fn with_tree(s: &Subject<'_>) -> Peer {
    let mut peer = s.rev2();
    for name in ["tree", "tree/a", "tree/a/b", "tree/ab", "treetop"] {
        peer.ok(&format!("CREATE {name}"));
    }
    peer
}

/// `*` matches any characters, the delimiter too. RFC 9051 §6.3.9.2.
fn rfc9051_6_3_9_2_a_star_matches_the_delimiter(s: &Subject<'_>) {
    let mut peer = with_tree(s);
    assert_eq!(names(&mut peer, "LIST \"\" tree/*"), ["tree/a", "tree/a/b", "tree/ab"]);
    assert_eq!(
        names(&mut peer, "LIST \"\" \"tree*\""),
        ["tree", "tree/a", "tree/a/b", "tree/ab", "treetop"]
    );
}

/// `%` matches any characters but the delimiter. RFC 9051 §6.3.9.2.
fn rfc9051_6_3_9_2_percent_does_not_match_the_delimiter(s: &Subject<'_>) {
    let mut peer = with_tree(s);
    assert_eq!(names(&mut peer, "LIST \"\" tree/%"), ["tree/a", "tree/ab"]);
    assert_eq!(names(&mut peer, "LIST \"\" tree%"), ["tree", "treetop"]);
    assert_eq!(names(&mut peer, "LIST \"\" tree/%/%"), ["tree/a/b"]);
}

/// Wildcards stand anywhere in a pattern, and may match nothing. RFC 9051 §6.3.9.2.
fn rfc9051_6_3_9_2_wildcards_combine_with_text(s: &Subject<'_>) {
    let mut peer = with_tree(s);
    assert_eq!(names(&mut peer, "LIST \"\" t*/a%"), ["tree/a", "tree/ab"]);
    assert_eq!(names(&mut peer, "LIST \"\" t%e*b"), ["tree/a/b", "tree/ab"]);
    assert_eq!(names(&mut peer, "LIST \"\" %%tree%%"), ["tree", "treetop"]);
}

/// An empty pattern asks for the delimiter and the root of the reference, not for mailboxes.
/// RFC 9051 §6.3.9.
fn rfc9051_6_3_9_an_empty_pattern_tells_the_delimiter(s: &Subject<'_>) {
    let mut peer = s.login();
    assert_eq!(peer.ok("LIST \"\" \"\"").untagged, ["* LIST (\\Noselect) \"/\" \"\""]);
    let answer = peer.ok("LIST foo \"\"");
    assert!(answer.untagged.len() <= 1, "{answer:?}");
}

/// The reference and the pattern are put together. RFC 9051 §6.3.9.
fn rfc9051_6_3_9_the_reference_is_prefixed(s: &Subject<'_>) {
    let mut peer = with_tree(s);
    assert_eq!(names(&mut peer, "LIST tree/ %"), ["tree/a", "tree/ab"]);
    assert_eq!(names(&mut peer, "LIST tree/a/ *"), ["tree/a/b"]);
}

/// INBOX is found under its name in any case, and by patterns that match it in upper case. RFC 9051 §6.3.9.
fn rfc9051_6_3_9_inbox_matches_in_any_case(s: &Subject<'_>) {
    let mut peer = s.login();
    for pattern in ["INBOX", "inbox", "InBoX", "INB*", "I%X"] {
        let found = names(&mut peer, &format!("LIST \"\" {pattern}"));
        assert_eq!(found.len(), 1, "{pattern}: {found:?}");
        assert!(found[0].eq_ignore_ascii_case("INBOX"), "{pattern}: {found:?}");
    }
}

/// A pattern of many wildcards is answered at once. RFC 9051 §6.3.9.
fn rfc9051_6_3_9_list_is_not_slowed_by_what_does_not_match(s: &Subject<'_>) {
    let mut peer = s.login();
    peer.ok(&format!("CREATE {}", "a".repeat(200)));
    let pattern = "*a".repeat(90) + "*b";
    assert_eq!(names(&mut peer, &format!("LIST \"\" \"{pattern}\"")), Vec::<String>::new());
}

/// `\HasChildren` and `\HasNoChildren` tell whether there are mailboxes below. RFC 9051 §6.3.9.
fn rfc9051_6_3_9_children_attributes_are_right(s: &Subject<'_>) {
    let mut peer = with_tree(s);
    let list = "LIST \"\"";
    let up = attributes(&mut peer, &format!("{list} tree/a RETURN (CHILDREN)"));
    assert!(up.contains(&"\\haschildren".to_owned()), "{up:?}");
    let leaf = attributes(&mut peer, &format!("{list} tree/a/b RETURN (CHILDREN)"));
    assert!(leaf.contains(&"\\hasnochildren".to_owned()), "{leaf:?}");
}

/// A subscribed name without a mailbox is `\NonExistent` and never listed without SUBSCRIBED.
/// RFC 9051 §6.3.9.
fn rfc9051_6_3_9_noselect_and_nonexistent(s: &Subject<'_>) {
    let mut peer = s.rev2();
    peer.ok("CREATE gone");
    peer.ok("SUBSCRIBE gone");
    peer.ok("DELETE gone");
    assert_eq!(names(&mut peer, "LIST \"\" gone"), Vec::<String>::new());
    let found = attributes(&mut peer, "LIST (SUBSCRIBED) \"\" gone");
    assert_eq!(found, ["\\nonexistent", "\\subscribed"]);
}

/// The selection option SUBSCRIBED lists subscribed names only, each with `\Subscribed`.
/// RFC 9051 §6.3.9.
fn rfc9051_6_3_9_subscribed_lists_subscriptions_only(s: &Subject<'_>) {
    let mut peer = with_tree(s);
    for name in ["tree", "tree/a/b", "tree/ab", "treetop"] {
        peer.ok(&format!("UNSUBSCRIBE {name}"));
    }
    peer.ok("SUBSCRIBE tree/a");
    let answer = peer.ok("LIST (SUBSCRIBED) \"\" tree*");
    assert!(answer.one("* LIST ").to_lowercase().contains("\\subscribed"), "{answer:?}");
    assert!(answer.one("* LIST ").ends_with(" tree/a"), "{answer:?}");
}

/// The return option SUBSCRIBED marks what is subscribed and lists the rest as well.
/// RFC 9051 §6.3.9.
fn rfc9051_6_3_9_return_subscribed_marks_the_subscribed(s: &Subject<'_>) {
    let mut peer = with_tree(s);
    peer.ok("SUBSCRIBE tree/a");
    peer.ok("UNSUBSCRIBE tree/ab");
    let answer = peer.ok("LIST \"\" tree/% RETURN (SUBSCRIBED)");
    for line in answer.with("* LIST ") {
        let is_marked = line.to_lowercase().contains("\\subscribed");
        assert_eq!(is_marked, line.ends_with(" tree/a"), "{line}");
    }
    assert_eq!(answer.with("* LIST ").len(), 2, "{answer:?}");
}

/// RECURSIVEMATCH lists a parent that does not match itself with CHILDINFO. RFC 9051 §6.3.9.
fn rfc9051_6_3_9_recursivematch_shows_parents(s: &Subject<'_>) {
    let mut peer = with_tree(s);
    for name in ["tree", "tree/a", "tree/ab"] {
        peer.ok(&format!("UNSUBSCRIBE {name}"));
    }
    peer.ok("SUBSCRIBE tree/a/b");
    let answer = peer.ok("LIST (SUBSCRIBED RECURSIVEMATCH) \"\" tree");
    let line = answer.one("* LIST ").to_uppercase();
    assert!(line.contains("CHILDINFO") && line.contains("SUBSCRIBED"), "{line}");
    // Without a matching child the parent is not listed.
    peer.ok("UNSUBSCRIBE tree/a/b");
    assert!(peer.ok("LIST (SUBSCRIBED RECURSIVEMATCH) \"\" tree").untagged.is_empty());
}

/// RECURSIVEMATCH alone, or with REMOTE only, is a syntax error. RFC 9051 §6.3.9.
fn rfc9051_6_3_9_recursivematch_needs_another_option(s: &Subject<'_>) {
    let mut peer = s.login();
    peer.bad("LIST (RECURSIVEMATCH) \"\" *");
    peer.bad("LIST (REMOTE RECURSIVEMATCH) \"\" *");
}

/// Options that are not known are refused with BAD. RFC 9051 §6.3.9.
fn rfc9051_6_3_9_unknown_options_are_bad(s: &Subject<'_>) {
    let mut peer = s.login();
    peer.bad("LIST (XYZZY) \"\" *");
    peer.bad("LIST \"\" * RETURN (XYZZY)");
    peer.bad("LIST \"\"");
    peer.bad("LIST");
}

/// RETURN (STATUS …) sends a STATUS response for each mailbox that can be selected, after its LIST.
/// RFC 9051 §6.3.9.
fn rfc9051_6_3_9_return_status_sends_status(s: &Subject<'_>) {
    let mut peer = s.rev2();
    peer.fill("INBOX", 2);
    let answer = peer.ok("LIST \"\" inbox RETURN (STATUS (MESSAGES UNSEEN))");
    assert_eq!(answer.untagged.len(), 2, "{answer:?}");
    assert!(answer.untagged[0].starts_with("* LIST "), "{answer:?}");
    assert!(answer.untagged[1].contains("MESSAGES 2"), "{answer:?}");
    assert!(answer.untagged[1].contains("UNSEEN 2"), "{answer:?}");
    let answer = peer.ok("LIST (SUBSCRIBED) \"\" absent RETURN (STATUS (MESSAGES))");
    assert!(answer.untagged.is_empty(), "{answer:?}");
}

/// Several patterns are one answer; a mailbox that matches two of them is listed once.
/// RFC 9051 §6.3.9.
fn rfc9051_6_3_9_extended_list_with_several_patterns(s: &Subject<'_>) {
    let mut peer = with_tree(s);
    assert_eq!(
        names(&mut peer, "LIST \"\" (tree/a tree/% treetop)"),
        ["tree/a", "tree/ab", "treetop"]
    );
}

/// Special uses are told where they are asked for, with attributes of the standard.
/// RFC 9051 §6.3.9.
fn rfc9051_6_3_9_special_use_is_returned(s: &Subject<'_>) {
    let mut peer = s.rev2();
    let answer = peer.ok("LIST \"\" % RETURN (SPECIAL-USE)");
    let all = answer.untagged.join("\n").to_lowercase();
    for attribute in ["\\sent", "\\trash", "\\drafts"] {
        assert_eq!(all.matches(attribute).count(), 1, "{attribute}: {all}");
    }
}

/// NAMESPACE tells the personal namespace with its delimiter, and NIL for those that are not there.
/// RFC 9051 §6.3.10.
fn rfc9051_6_3_10_namespace_is_personal(s: &Subject<'_>) {
    let answer = s.login().ok("NAMESPACE");
    assert_eq!(answer.untagged, ["* NAMESPACE ((\"\" \"/\")) NIL NIL"]);
    s.login().bad("NAMESPACE x");
}

/// A name that has a wildcard in it is found by itself, and the wildcard still matches others.
/// RFC 9051 §6.3.9.2.
fn rfc9051_6_3_9_2_wildcards_in_names_are_not_special_in_create(s: &Subject<'_>) {
    let mut peer = s.rev2();
    if peer.ask("CREATE \"per%cent\"").status == "OK" {
        peer.ok("CREATE per-cent");
        assert_eq!(names(&mut peer, "LIST \"\" \"per%cent\"").len(), 2);
        peer.ok("DELETE \"per%cent\"");
        assert_eq!(names(&mut peer, "LIST \"\" per*"), ["per-cent"]);
    }
}
