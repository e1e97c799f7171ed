//! Threads of a mailbox: `ORDEREDSUBJECT` and `REFERENCES`. RFC 5256 §3.
//!
//! Message-IDs and base subjects come as hashes ([`text_hash`]): two different texts with one hash
//! would be taken for the same, which puts a message into a wrong thread and does no other harm.
//!
//! Nothing here recurses, so a thread may be as deep as it has messages.

use std::collections::HashMap;

/// The most references of all messages together that are followed one by one; beyond it, of each
/// message only the last, which is its parent. Bounds the memory.
pub const THREAD_REFERENCES_MAX: usize = 2_000_000;

/// The most steps spent in all on proving that a link closes no loop where a cut link makes the
/// quick proof fail; then such links are not made. No real mailbox comes near it.
const LOOP_STEPS_MAX: usize = 20_000_000;

/// No node.
const NONE: u32 = u32::MAX;

/// What threading needs to know of a message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ThreadMessage<'a> {
    /// The hash of its [canonical](crate::canonical_message_id) Message-ID, if it has one.
    pub id: Option<u64>,
    /// The hashes of the ids that it [refers to](crate::referenced_ids), the parent last.
    pub references: &'a [u64],
    /// The hash of its base subject (RFC 5256 §2.1) as compared by [`casemap`](crate::casemap);
    /// `None` if that is empty.
    pub subject: Option<u64>,
    /// Whether the subject is that of a reply or forward.
    pub is_reply: bool,
    /// The sent date in Unix seconds. RFC 5256 §2.2.
    pub sent: i64,
}

/// A node of the threads, in the order in which they are written: each before those below it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ThreadNode {
    /// How many nodes are above it.
    pub depth: u32,
    /// The place of the message in what was given; `None` for a parent that is not there.
    pub message: Option<u32>,
}

/// A hash of a text that stays the same for ever, for it is stored. Never zero. FNV-1a, its bits
/// mixed once more.
#[must_use]
pub fn text_hash(text: &str) -> u64 {
    let hash = text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    let hash = (hash ^ (hash >> 32)).wrapping_mul(0xd6e8_feb8_6659_fd93);
    (hash ^ (hash >> 32)).max(1)
}

/// Threads by base subject alone. RFC 5256 §3, `ORDEREDSUBJECT`: the first message of a thread by
/// date is the parent of all others.
///
/// `messages` in the order of their sequence numbers. Costs n log n.
#[must_use]
pub fn thread_by_subject(messages: &[ThreadMessage<'_>]) -> Vec<ThreadNode> {
    let mut by_date: Vec<(i64, u32)> = (0_u32..).zip(messages).map(|(i, m)| (m.sent, i)).collect();
    by_date.sort_unstable();
    // Threads in the order of their first messages.
    let mut numbers: HashMap<Option<u64>, u32> = HashMap::new();
    let mut members: Vec<(u32, u32)> = Vec::with_capacity(messages.len());
    for (_, message) in by_date {
        let subject = at(messages, message).and_then(|message| message.subject);
        let next = u32::try_from(numbers.len()).unwrap_or(NONE);
        members.push((*numbers.entry(subject).or_insert(next), message));
    }
    // Stable: by date within a thread.
    members.sort_by_key(|(thread, _)| *thread);
    let mut last = None;
    members
        .into_iter()
        .map(|(thread, message)| {
            let depth = u32::from(last.replace(thread) == Some(thread));
            ThreadNode { depth, message: Some(message) }
        })
        .collect()
}

/// Threads by the references of messages to one another. RFC 5256 §3, `REFERENCES`.
///
/// `messages` in the order of their sequence numbers. Costs n log n in messages and references,
/// and memory for both.
#[must_use]
pub fn thread_by_references(messages: &[ThreadMessage<'_>]) -> Vec<ThreadNode> {
    let mut links = Links::new(messages);
    links.link_all(messages);
    let mut threads = Threads::of(messages, links.parent);
    threads.gather_subjects();
    threads.write()
}

fn at<T: Copy>(slice: &[T], index: u32) -> Option<T> {
    slice.get(index as usize).copied()
}

/// Step 1: who is the parent of whom. Nodes are the messages by their places, then those that are
/// only referred to.
struct Links {
    parent: Vec<u32>,
    /// A forest of its own (union-find): nodes that were ever linked are in one set.
    set: Vec<u32>,
    /// By the node that names a set: whether a link in it was cut, so that two nodes may be in one
    /// set without being linked.
    is_torn: Vec<bool>,
    ids: HashMap<u64, u32>,
    steps_left: usize,
}

impl Links {
    fn new(messages: &[ThreadMessage<'_>]) -> Self {
        let count = messages.len();
        let mut ids = HashMap::with_capacity(count);
        for (place, message) in (0_u32..).zip(messages) {
            // Of several messages with one id, the first has it; the others are as if they had
            // ids of their own.
            if let Some(id) = message.id {
                ids.entry(id).or_insert(place);
            }
        }
        let parent = vec![NONE; count];
        let set = (0_u32..).take(count).collect();
        Self { parent, set, is_torn: vec![false; count], ids, steps_left: LOOP_STEPS_MAX }
    }

    fn link_all(&mut self, messages: &[ThreadMessage<'_>]) {
        let mut references_left = THREAD_REFERENCES_MAX;
        for (place, message) in (0_u32..).zip(messages) {
            let all = message.references;
            let followed = if all.len() <= references_left {
                all
            } else {
                all.last_chunk::<1>().map_or(all, |last| last)
            };
            references_left = references_left.saturating_sub(all.len());
            let mut above = NONE;
            for id in followed {
                let node = self.node(*id);
                // Step 1(A). A link that is there already stays.
                if above != NONE && at(&self.parent, node) == Some(NONE) {
                    self.link(node, above);
                }
                above = node;
            }
            // Step 1(B).
            self.set_parent(place, above);
        }
    }

    fn node(&mut self, id: u64) -> u32 {
        let next = u32::try_from(self.parent.len()).unwrap_or(NONE);
        let node = *self.ids.entry(id).or_insert(next);
        if node == next {
            self.parent.push(NONE);
            self.set.push(next);
            self.is_torn.push(false);
        }
        node
    }

    /// Gives a message the parent that its own last reference names: what others said of it was
    /// cut short.
    fn set_parent(&mut self, child: u32, parent: u32) {
        let old = at(&self.parent, child).unwrap_or(NONE);
        if old == parent {
            return;
        }
        if old != NONE {
            let set = self.find(child);
            put(&mut self.is_torn, set, true);
            put(&mut self.parent, child, NONE);
        }
        if parent != NONE {
            self.link(child, parent);
        }
    }

    /// Links a node that has no parent, unless that would close a loop.
    fn link(&mut self, child: u32, parent: u32) {
        let (below, above) = (self.find(child), self.find(parent));
        if below == above {
            // The child is the root of its tree. If nothing was ever cut from the set, it is one
            // tree, and the parent is in it, below the child.
            let is_torn = at(&self.is_torn, below).unwrap_or(true);
            if !is_torn || self.is_above(child, parent) {
                return;
            }
        }
        put(&mut self.parent, child, parent);
        put(&mut self.set, below, above);
        let is_torn =
            at(&self.is_torn, below) == Some(true) || at(&self.is_torn, above) == Some(true);
        put(&mut self.is_torn, above, is_torn);
    }

    /// The name of the set, by halving the way to it for those who come later.
    fn find(&mut self, mut node: u32) -> u32 {
        while let Some(up) = at(&self.set, node).filter(|up| *up != node) {
            let further = at(&self.set, up).unwrap_or(up);
            put(&mut self.set, node, further);
            node = further;
        }
        node
    }

    /// Whether `ancestor` is `node` or above it. Also true when it would take too long to say.
    fn is_above(&mut self, ancestor: u32, mut node: u32) -> bool {
        while node != NONE {
            if node == ancestor || self.steps_left == 0 {
                return true;
            }
            self.steps_left -= 1;
            node = at(&self.parent, node).unwrap_or(NONE);
        }
        false
    }
}

fn put<T>(slice: &mut [T], index: u32, value: T) {
    if let Some(slot) = slice.get_mut(index as usize) {
        *slot = value;
    }
}

/// What siblings are sorted by: the sent date, then the sequence number.
type Key = (i64, u32);

/// The threads from step 2 on. Below a root there are messages only.
struct Threads<'a> {
    messages: &'a [ThreadMessage<'a>],
    /// Of messages and of roots without message, in their order.
    parent: Vec<u32>,
    /// Of each node: its own key, or that of its first child where it has no message.
    key: Vec<Key>,
}

impl<'a> Threads<'a> {
    /// Steps 2 and 3: missing messages go, but for roots with more than one child.
    fn of(messages: &'a [ThreadMessage<'a>], links: Vec<u32>) -> Self {
        let count = u32::try_from(messages.len()).unwrap_or(NONE);
        let mut parent = lift(links, count);
        let mut children = vec![0_u32; parent.len()];
        for up in parent.iter().take(messages.len()) {
            if let Some(number) = children.get_mut(*up as usize) {
                *number += 1;
            }
        }
        // Roots without message get the numbers after the messages.
        let mut renamed: HashMap<u32, u32> = HashMap::new();
        let mut next = count;
        for node in 0..messages.len() {
            let up = parent.get(node).copied().unwrap_or(NONE);
            if up == NONE || up < count {
                continue;
            }
            let name = if at(&children, up) == Some(1) {
                NONE
            } else {
                *renamed.entry(up).or_insert_with(|| {
                    next += 1;
                    next - 1
                })
            };
            if let Some(slot) = parent.get_mut(node) {
                *slot = name;
            }
        }
        parent.truncate(messages.len());
        parent.resize(next as usize, NONE);
        let key = (0_u32..).zip(messages).map(|(place, message)| (message.sent, place)).collect();
        let mut threads = Self { messages, parent, key };
        threads.key_missing();
        threads
    }

    /// The keys of the roots without message.
    fn key_missing(&mut self) {
        let count = self.messages.len();
        self.key.truncate(count);
        self.key.resize(self.parent.len(), (i64::MAX, NONE));
        for node in 0..count {
            let (Some(up), Some(own)) = (self.parent.get(node), self.key.get(node).copied()) else {
                continue;
            };
            let up = *up as usize;
            if up >= count
                && let Some(first) = self.key.get_mut(up)
            {
                *first = own.min(*first);
            }
        }
    }

    fn is_missing(&self, node: u32) -> bool {
        node as usize >= self.messages.len()
    }

    /// The message whose subject is that of the thread: the root, or its first child.
    fn speaker(&self, root: u32) -> ThreadMessage<'a> {
        let message = if self.is_missing(root) {
            at(&self.key, root).map_or(NONE, |key| key.1)
        } else {
            root
        };
        at(self.messages, message).unwrap_or_default()
    }

    fn roots(&self) -> Vec<u32> {
        let mut roots: Vec<(Key, u32)> = (0_u32..)
            .zip(self.parent.iter().zip(&self.key))
            .filter(|(_, (up, _))| **up == NONE)
            .map(|(node, (_, key))| (*key, node))
            .collect();
        roots.sort_unstable();
        roots.into_iter().map(|(_, node)| node).collect()
    }

    /// Steps 4 and 5: threads with one subject become one.
    fn gather_subjects(&mut self) {
        // Step 4: in the order of their dates.
        let roots = self.roots();
        // Step 5(B).
        let mut table: HashMap<u64, u32> = HashMap::new();
        for root in &roots {
            let speaker = self.speaker(*root);
            let Some(subject) = speaker.subject else { continue };
            let in_table = *table.entry(subject).or_insert(*root);
            let is_better =
                self.is_missing(*root) || (self.speaker(in_table).is_reply && !speaker.is_reply);
            if !self.is_missing(in_table) && is_better {
                table.insert(subject, *root);
            }
        }
        // Step 5(C).
        let mut moved_children: HashMap<u32, u32> = HashMap::new();
        for root in roots {
            let speaker = self.speaker(root);
            let Some(subject) = speaker.subject else { continue };
            let Some(head) = table.get(&subject).copied().filter(|head| *head != root) else {
                continue;
            };
            match (self.is_missing(head), self.is_missing(root)) {
                (true, true) => {
                    moved_children.insert(root, head);
                }
                (true, false) => put(&mut self.parent, root, head),
                (false, false) if speaker.is_reply && !self.speaker(head).is_reply => {
                    put(&mut self.parent, root, head);
                }
                (false, _) => {
                    let both = u32::try_from(self.parent.len()).unwrap_or(NONE);
                    self.parent.push(NONE);
                    let key = at(&self.key, head).unwrap_or_default();
                    self.key.push(key.min(at(&self.key, root).unwrap_or(key)));
                    put(&mut self.parent, head, both);
                    put(&mut self.parent, root, both);
                    table.insert(subject, both);
                }
            }
        }
        for up in &mut self.parent {
            if let Some(head) = moved_children.get(up) {
                *up = *head;
            }
        }
        self.key_missing();
    }

    /// Step 6, and the nodes in the order in which they are written.
    fn write(&self) -> Vec<ThreadNode> {
        // Children of one parent stand together, sorted; the roots come last.
        let mut family: Vec<(u32, Key, u32)> = (0_u32..)
            .zip(self.parent.iter().zip(&self.key))
            // A root without message that gave its children away has no key.
            .filter(|(_, (_, key))| key.1 != NONE)
            .map(|(node, (up, key))| (*up, *key, node))
            .collect();
        family.sort_unstable();
        let mut first_child = vec![NONE; self.parent.len()];
        for (place, (up, _, _)) in (0_u32..).zip(&family) {
            if at(&first_child, *up) == Some(NONE) {
                put(&mut first_child, *up, place);
            }
        }
        let roots = family.partition_point(|(up, _, _)| *up != NONE);
        let mut nodes = Vec::with_capacity(family.len());
        // Where to go on at each level.
        let mut levels = vec![u32::try_from(roots).unwrap_or(NONE)];
        let mut ups = vec![NONE];
        while let (Some(place), Some(up)) = (levels.last_mut(), ups.last()) {
            match at(&family, *place).filter(|(parent, _, _)| parent == up) {
                Some((_, _, node)) => {
                    *place += 1;
                    let depth = u32::try_from(ups.len() - 1).unwrap_or(NONE);
                    let message = (!self.is_missing(node)).then_some(node);
                    nodes.push(ThreadNode { depth, message });
                    levels.push(at(&first_child, node).unwrap_or(NONE));
                    ups.push(node);
                }
                None => {
                    levels.pop();
                    ups.pop();
                }
            }
        }
        nodes
    }
}

/// Gives each message its nearest ancestor that is a message, else the root of its tree, which is
/// then none; `NONE` for a root itself. Linear: the way found is noted in all nodes on it.
fn lift(mut parent: Vec<u32>, count: u32) -> Vec<u32> {
    let mut way = Vec::new();
    for message in 0..count {
        let mut up = at(&parent, message).unwrap_or(NONE);
        while up != NONE && up >= count {
            let further = at(&parent, up).unwrap_or(NONE);
            if further == NONE {
                break;
            }
            way.push(up);
            up = further;
        }
        for node in way.drain(..) {
            put(&mut parent, node, up);
        }
        put(&mut parent, message, up);
    }
    parent
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Messages as `id: references: subject`, in the order of their numbers and dates; `!` before
    /// the subject marks a reply, `@n` after it another date.
    struct Mailbox {
        references: Vec<Vec<u64>>,
        rest: Vec<ThreadMessage<'static>>,
    }

    impl Mailbox {
        fn parse(text: &str) -> Self {
            let hash = |text: &str| (!text.is_empty()).then(|| text_hash(text));
            let mut mailbox = Self { references: Vec::new(), rest: Vec::new() };
            for (number, line) in (1_i64..).zip(text.split(';')) {
                let mut fields = line.split(':').map(str::trim);
                let mut next = || fields.next().unwrap_or_default();
                let (id, references, subject) = (next(), next(), next());
                let (subject, date) = subject.split_once('@').unwrap_or((subject, ""));
                let is_reply = subject.starts_with('!');
                mailbox.references.push(references.split_whitespace().map(text_hash).collect());
                mailbox.rest.push(ThreadMessage {
                    id: hash(id),
                    subject: hash(subject.trim_start_matches('!').trim()),
                    is_reply,
                    sent: date.parse().unwrap_or(number),
                    references: &[],
                });
            }
            mailbox
        }

        fn messages(&self) -> Vec<ThreadMessage<'_>> {
            let with = |(rest, references): (&ThreadMessage<'static>, _)| ThreadMessage {
                references,
                ..*rest
            };
            self.rest.iter().zip(self.references.iter().map(Vec::as_slice)).map(with).collect()
        }
    }

    /// As `depth number`, `-` for a missing message.
    fn print(nodes: &[ThreadNode]) -> String {
        let one = |node: &ThreadNode| {
            let message = node.message.map_or_else(|| "-".to_owned(), |m| (m + 1).to_string());
            format!("{}{message}", ">".repeat(node.depth as usize))
        };
        nodes.iter().map(one).collect::<Vec<_>>().join(" ")
    }

    #[track_caller]
    fn check(mailbox: &str, want: &str) {
        let mailbox = Mailbox::parse(mailbox);
        assert_eq!(print(&thread_by_references(&mailbox.messages())), want);
    }

    /// RFC 5256 §3, `REFERENCES`, steps 1 to 4 and 6.
    #[test]
    fn references_make_threads() {
        // Valid.
        check("a::x; b:a:!x; c:a b:!x; d:a:!x", "1 >2 >>3 >4");
        check("a::x; b::y", "1 2");
        // The parent comes later in the mailbox, or is dated later: dates order the siblings only.
        check("b:a:!x; a::x", "2 >1");
        check("a::x; c:a:!x@9; b:a:!x@5", "1 >3 >2");
        check("a::x@9; b::y@5", "2 1");
        // Equal dates: the order of the numbers.
        check("a::x@1; b::y@1; c::z@1", "1 2 3");
        // At the edge: parents that are missing.
        check("b:a:!x", "1");
        check("b:a:!x; c:a:!x", "- >1 >2");
        check("c:a b:!x; d:a b:!x", "- >1 >2");
        check("c:a b:!x; e:a d:!x", "- >1 >2");
        check("a::x; c:a b:!x; d:a b:!x", "1 >2 >3");
        // A thread whose head is missing is dated by its first message.
        check("b:a:!x@5; c:a:!x@3; d::y@4", "- >2 >1 3");
        // Ids that are missing or used twice.
        check(":: x; ::y; :z:w", "1 2 3");
        check("a::x; a::y; b:a:!x", "1 >3 2");
        // Another message told less of the way: its own reference counts.
        check("c:a b:!x; b:z:!y; a::x", "2 >1 3");
    }

    /// RFC 5256 §3, `REFERENCES`, step 1: no link that would close a loop.
    #[test]
    fn loops_are_not_closed() {
        check("a:b:x; b:a:x", "2 >1");
        check("a:a:x", "1");
        // The last reference cuts what others made, even if it cannot be followed itself.
        check("a:b a:x; b::y", "1 2");
        check("a:c:x; b:a:x; c:b:x", "3 >1 >>2");
        check("a:b c:x; b:c a:x; c:a b:x", "2 >3 >>1");
        // A link that was cut is no part of a loop any more.
        check("x:a b:s; b:c:s; a:b:s", "2 >1 >3");
    }

    /// RFC 5256 §3, `REFERENCES`, step 5.
    #[test]
    fn threads_of_one_subject_are_gathered() {
        // A reply below what it answers, whatever the order.
        check("a::x; b::!x", "1 >2");
        check("b::!x; a::x", "2 >1");
        // Two that are equal get a common, missing parent; and a third joins them.
        check("a::x; b::x", "- >1 >2");
        check("a::!x; b::!x", "- >1 >2");
        check("a::x; b::x; c::!x; d::x", "- >1 >2 >3 >4");
        // A missing head takes what has its subject.
        check("b:a:!x; c:a:!x; d::x; e::!x", "- >1 >2 >3 >4");
        check("d::x; b:a:!x; c:a:!x", "- >1 >2 >3");
        // Two missing heads become one.
        check("b:a:!x; c:a:!x; e:d:!x; f:d:!x", "- >1 >2 >3 >4");
        // Without a subject nothing is gathered; other subjects stay apart.
        check("a::; b::; c::!", "1 2 3");
        check("a::x; b::y; c::!y", "1 2 >3");
        // Only roots are gathered: what is below keeps its place.
        check("a::x; b:a:!y; c::y", "1 >2 3");
    }

    /// RFC 5256 §3, `ORDEREDSUBJECT`.
    #[test]
    fn subjects_alone_make_flat_threads() {
        let check = |mailbox: &str, want: &str| {
            let mailbox = Mailbox::parse(mailbox);
            assert_eq!(print(&thread_by_subject(&mailbox.messages())), want);
        };
        check("a::x; b::y; c:b:!x; d::!y", "1 >3 2 >4");
        check("a::x@5; b::y@3; c::x@1", "3 >1 2");
        check("a::; b::; c::x", "1 >2 3");
        check("a::x@1; b::x@1; c::x@1", "1 >2 >3");
    }

    #[test]
    fn a_thread_may_be_deep() {
        let count = 50_000_u64;
        let references: Vec<u64> = (0..count).collect();
        let message = |n: u64| ThreadMessage {
            id: Some(n + 1),
            references: references
                .chunks(1)
                .nth(usize::try_from(n).unwrap())
                .filter(|_| n > 0)
                .unwrap_or_default(),
            ..ThreadMessage::default()
        };
        let messages: Vec<_> = (0..count).map(message).collect();
        let nodes = thread_by_references(&messages);
        assert!((0_u32..).zip(&nodes).all(|(n, node)| node.depth == n && node.message == Some(n)));
        assert_eq!(nodes.len(), messages.len());
    }

    proptest! {
        /// RFC 5256 §3: every message is there once, and no missing one below the root.
        #[test]
        fn every_message_has_one_place(
            given in prop::collection::vec(
                (0_u64..8, prop::collection::vec(1_u64..9, 0..4), 0_u64..4, any::<bool>(), 0_i64..4),
                0..14,
            )
        ) {
            let messages: Vec<_> = given.iter().map(|(id, references, subject, is_reply, sent)| {
                let some = |n: &u64| (*n != 0).then_some(*n);
                ThreadMessage {
                    id: some(id), references, subject: some(subject),
                    is_reply: *is_reply, sent: *sent,
                }
            }).collect();
            for nodes in [thread_by_references(&messages), thread_by_subject(&messages)] {
                let mut seen: Vec<_> = nodes.iter().filter_map(|node| node.message).collect();
                seen.sort_unstable();
                prop_assert_eq!(seen, (0_u32..).take(messages.len()).collect::<Vec<_>>());
                let mut depth_max = 0;
                for (node, next) in nodes.iter().zip(nodes.iter().skip(1).map(Some).chain([None])) {
                    prop_assert!(node.depth <= depth_max);
                    depth_max = node.depth + 1;
                    if node.message.is_none() {
                        prop_assert_eq!(node.depth, 0);
                        prop_assert_eq!(next.map(|next| next.depth), Some(1), "has children");
                    }
                }
            }
        }
    }
}
