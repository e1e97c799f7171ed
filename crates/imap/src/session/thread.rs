//! THREAD.
//!
//! Source: RFC 5256 §3, RFC 5256 §4.

use super::op::ThreadOp;
use super::rights::{self, Right, Target};
use super::{Action, Op, Pending, Session, State, Tagged, limit, search};
use crate::print;
use crate::types::{Thread, ThreadEntry};

/// THREAD and UID THREAD. RFC 5256 §3.
pub(super) fn thread(session: &mut Session, cmd: Tagged, thread: Thread) -> Action {
    let mut key = match search::resolve(session, thread.key) {
        Ok(key) => key,
        Err(why) => return search::unresolved(session, cmd, why),
    };
    let mut cmd = match rights::permit(session, cmd, Target::Selected, Right::Read) {
        Ok(cmd) => cmd,
        Err(action) => return action,
    };
    let State::Selected(view) = &session.state else { return session.done(cmd) };
    // RFC 9738 §3.3: threads of a part of the mailbox, and the client hears that.
    limit::cut_search(session.settings.message_limit(), &mut cmd, &view.uids, &mut key);
    let op = ThreadOp {
        mailbox: view.mailbox,
        known: std::sync::Arc::clone(&view.uids),
        key,
        algorithm: thread.algorithm,
        tag: cmd.tag.clone(),
    };
    session.perform(cmd, Pending::Thread, Op::Thread(op))
}

pub(super) fn complete(session: &mut Session, cmd: Tagged, threads: &[ThreadEntry]) -> Action {
    let State::Selected(view) = &session.state else { return session.done(cmd) };
    let by_uid = cmd.name.is_uid();
    let number = |entry: &ThreadEntry| {
        let uid = entry.uid?;
        if by_uid { Some(uid) } else { view.uids.seq_of(uid) }
    };
    print_threads(&mut session.out, threads, number);
    session.done(cmd)
}

/// `* THREAD (2)(3 6 (4 23)(44 7 96))`: a message with one answer is followed by it, one with more by
/// a list of each. RFC 5256 §4. Without recursion: threads are as deep as senders like.
fn print_threads(
    out: &mut Vec<u8>,
    threads: &[ThreadEntry],
    number: impl Fn(&ThreadEntry) -> Option<u32>,
) {
    out.extend_from_slice(b"* THREAD");
    if !threads.is_empty() {
        out.push(b' ');
    }
    let children = children(threads);
    // The entries above the one at hand: their place, and whether each opened a list.
    let mut above: Vec<(usize, bool)> = Vec::new();
    let close = |out: &mut Vec<u8>, above: &mut Vec<(usize, bool)>, depth: usize| {
        while above.len() > depth {
            if let Some((_, true)) = above.pop() {
                out.push(b')');
            }
        }
    };
    for (at, entry) in threads.iter().enumerate() {
        let depth = usize::try_from(entry.depth).unwrap_or(usize::MAX);
        let is_first = above.len() == depth;
        close(out, &mut above, depth);
        let parent = above.last().map(|(parent, _)| *parent);
        let has_siblings =
            parent.is_some_and(|parent| children.get(parent).is_some_and(|count| *count > 1));
        let parent_shown =
            parent.and_then(|parent| threads.get(parent)).is_some_and(|entry| entry.uid.is_some());
        if parent_shown && is_first {
            out.push(b' ');
        }
        let opens = parent.is_none() || has_siblings;
        if opens {
            out.push(b'(');
        }
        if let Some(number) = number(entry) {
            print::number(out, number);
        }
        above.push((at, opens));
    }
    close(out, &mut above, 0);
    out.extend_from_slice(b"\r\n");
}

/// How many entries are directly below each.
fn children(threads: &[ThreadEntry]) -> Vec<u32> {
    let mut counts = vec![0; threads.len()];
    let mut above: Vec<usize> = Vec::new();
    for (at, entry) in threads.iter().enumerate() {
        above.truncate(usize::try_from(entry.depth).unwrap_or(usize::MAX));
        if let Some(count) = above.last().and_then(|parent| counts.get_mut(*parent)) {
            *count += 1;
        }
        above.push(at);
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Threads as `depth:uid`, `-` for a message that is missing.
    #[track_caller]
    fn check(threads: &str, want: &str) {
        let entry = |text: &str| {
            let (depth, uid) = text.split_once(':').unwrap();
            ThreadEntry { depth: depth.parse().unwrap(), uid: uid.parse().ok() }
        };
        let threads: Vec<_> = threads.split_whitespace().map(entry).collect();
        let mut out = Vec::new();
        print_threads(&mut out, &threads, |entry| entry.uid);
        assert_eq!(String::from_utf8(out).unwrap(), format!("* THREAD{want}\r\n"));
    }

    /// RFC 5256 §4.
    #[test]
    fn threads_are_printed_as_nested_lists() {
        check("", "");
        check("0:2", " (2)");
        check("0:2 0:3 1:6 2:4 3:23 2:44 3:7 4:96", " (2)(3 6 (4 23)(44 7 96))");
        check("0:- 1:3 1:5", " ((3)(5))");
        check("0:- 1:3 2:4 1:5 0:6", " ((3 4)(5))(6)");
        check("0:1 1:2 1:3 2:4 2:5", " (1 (2)(3 (4)(5)))");
        let deep: Vec<_> = (0..100_000).map(|n| format!("{n}:{}", n + 1)).collect();
        let want: Vec<_> = (1..=100_000).map(|n: u32| n.to_string()).collect();
        check(&deep.join(" "), &format!(" ({})", want.join(" ")));
    }
}
