//! LIST and LSUB.

use std::collections::HashSet;

use super::op::MailboxInfo;
use super::{Action, Op, Pending, Session, Tagged, metadata};
use crate::print::{self, ListLine};
use crate::types::{List, ListPattern, SEPARATOR, StatusItem};

/// LIST. RFC 9051 §6.3.9.
pub(super) fn list(session: &mut Session, cmd: Tagged, list: List) -> Action {
    // RFC 9051 §6.3.9: an empty pattern asks for the separator.
    if !list.extended && list.patterns.iter().all(String::is_empty) {
        print::untagged(&mut session.out, "LIST (\\Noselect) \"/\" \"\"");
        return session.done(cmd);
    }
    if list.return_status.contains(&StatusItem::HighestModSeq) {
        session.enable_condstore();
    }
    let with_status = !list.return_status.is_empty();
    let with_metadata = !list.return_metadata.is_empty();
    let op = Op::List { with_status, with_metadata };
    session.perform(cmd, Pending::List(Box::new(list)), op)
}

/// What of the whole tree is looked up for each name.
struct Tree<'a> {
    /// Names with an existing mailbox somewhere below.
    with_children: HashSet<&'a str>,
    /// Names with a subscribed name somewhere below.
    with_subscribed: HashSet<&'a str>,
}

impl<'a> Tree<'a> {
    fn of(names: &'a [MailboxInfo]) -> Self {
        let above = |test: fn(&MailboxInfo) -> bool| {
            let chosen = names.iter().filter(move |info| test(info));
            chosen.flat_map(|info| parents(info.name.as_str())).collect()
        };
        Self {
            with_children: above(|info| info.exists),
            with_subscribed: above(|info| info.is_subscribed),
        }
    }
}

fn parents(name: &str) -> impl Iterator<Item = &str> {
    name.match_indices(SEPARATOR).filter_map(|(at, _)| name.get(..at))
}

/// Prints the names that match. Sorted bytewise. RFC 9051 §6.3.9, RFC 5819 §2.
pub(super) fn complete(
    session: &mut Session,
    cmd: Tagged,
    list: &List,
    mut names: Vec<MailboxInfo>,
) -> Action {
    names.sort_by(|a, b| a.name.cmp(&b.name));
    let patterns: Vec<ListPattern> = list
        .patterns
        .iter()
        .filter(|pattern| !pattern.is_empty())
        .filter_map(|pattern| ListPattern::new(&list.reference, pattern))
        .collect();
    let tree = Tree::of(&names);
    let utf8 = session.enabled.utf8();
    let mut listed = Vec::new();
    for info in &names {
        let name = info.name.as_str();
        if !patterns.iter().any(|pattern| pattern.matches(name)) {
            continue;
        }
        let child_subscribed =
            list.recursive_match && list.select_subscribed && tree.with_subscribed.contains(name);
        if !is_selected(list, info, child_subscribed) {
            continue;
        }
        let attributes = attributes(list, info, &tree);
        ListLine { attributes: &attributes, name, old_name: None, child_subscribed }
            .print(&mut session.out, utf8);
        if let Some(status) = info.status.as_ref().filter(|_| !list.return_status.is_empty()) {
            print::status(&mut session.out, name, &list.return_status, status, utf8);
        }
        if !list.return_metadata.is_empty() && info.exists {
            let (asked, has) = (&list.return_metadata, &info.metadata);
            metadata::print_listed(&mut listed, &info.name, asked, has, utf8);
        }
    }
    // The original has annotations after everything else; RFC 9590 §3 leaves the order open.
    session.out.extend_from_slice(&listed);
    session.done(cmd)
}

/// RFC 9051 §6.3.9.1: every selection option must hold; RECURSIVEMATCH lets a child stand in.
fn is_selected(list: &List, info: &MailboxInfo, child_subscribed: bool) -> bool {
    if list.select_special_use && info.special_use.is_empty() {
        return false;
    }
    if list.select_subscribed { info.is_subscribed || child_subscribed } else { info.exists }
}

fn attributes(list: &List, info: &MailboxInfo, tree: &Tree<'_>) -> Vec<&'static str> {
    let mut all = Vec::with_capacity(4);
    if list.select_subscribed && info.is_subscribed {
        all.push("\\Subscribed");
    }
    if !info.exists {
        all.push("\\NonExistent");
    }
    if list.return_children {
        let has_children = tree.with_children.contains(info.name.as_str());
        all.push(if has_children { "\\HasChildren" } else { "\\HasNoChildren" });
    }
    if list.return_subscribed && info.is_subscribed && !list.select_subscribed {
        all.push("\\Subscribed");
    }
    all.extend(info.special_use.names());
    all
}

/// LSUB. RFC 3501 §6.3.9: with `%` a name whose child is subscribed is listed with `\Noselect`.
pub(super) fn complete_lsub(
    session: &mut Session,
    cmd: Tagged,
    (reference, pattern): (&str, &str),
    mut names: Vec<MailboxInfo>,
) -> Action {
    names.sort_by(|a, b| a.name.cmp(&b.name));
    if let Some(pattern) = ListPattern::new(reference, pattern) {
        let tree = Tree::of(&names);
        for info in &names {
            let name = info.name.as_str();
            let is_parent =
                pattern.ends_in_percent() && info.exists && tree.with_subscribed.contains(name);
            if !(info.is_subscribed || is_parent) || !pattern.matches(name) {
                continue;
            }
            let attributes: &[&str] = if info.is_subscribed { &[] } else { &["\\Noselect"] };
            let line = ListLine { attributes, name, ..ListLine::default() };
            line.print_lsub(&mut session.out, session.enabled.utf8());
        }
    }
    session.done(cmd)
}
