//! The paths that mailboxes get in an export.

use std::collections::HashSet;

/// The longest level that file systems take, with room for what is added.
const LEVEL_BYTES_MAX: usize = 200;

/// The paths given so far.
#[derive(Debug, Default)]
pub(super) struct Paths(HashSet<String>);

impl Paths {
    /// The path for a mailbox, and whether it differs from its name: a level that would mean something
    /// else to a reader gets a `_` in front.
    pub(super) fn of(&mut self, name: &str) -> (String, bool) {
        let levels = name.split('/').enumerate().map(|(depth, level)| safe_level(level, depth));
        let path = levels.collect::<Vec<_>>().join("/");
        let mut unique = path.clone();
        let mut number = 1_u32;
        while !self.0.insert(unique.clone()) {
            number += 1;
            unique = format!("{path}-{number}");
        }
        let is_changed = unique != name;
        (unique, is_changed)
    }
}

fn safe_level(level: &str, depth: usize) -> String {
    let is_special = matches!(level, "cur" | "new" | "tmp")
        || level.starts_with('.')
        || level.ends_with(".mbox")
        || level.ends_with(".sbd")
        || (depth == 0 && level.eq_ignore_ascii_case("maildir"));
    let mut safe = if is_special { format!("_{level}") } else { level.to_owned() };
    if safe.len() > LEVEL_BYTES_MAX {
        let end = (0..=LEVEL_BYTES_MAX).rev().find(|end| safe.is_char_boundary(*end));
        safe.truncate(end.unwrap_or_default());
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_mean_nothing_else() {
        let mut paths = Paths::default();
        let mut check = |name: &str, want: &str| {
            assert_eq!(paths.of(name), (want.to_owned(), name != want), "{name}");
        };
        check("Inbox", "Inbox");
        check("a/b c", "a/b c");
        check("cur/x", "_cur/x");
        check(".a", "_.a");
        check("_.a", "_.a-2");
        check("x.mbox", "_x.mbox");
        check("Maildir", "_Maildir");
        check("a/Maildir", "a/Maildir");
        check(&"é".repeat(120), &"é".repeat(100));
        check(&"é".repeat(121), &format!("{}-2", "é".repeat(100)));
    }
}
