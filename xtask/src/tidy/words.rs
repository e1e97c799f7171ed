//! Things that must not be written.

use std::fs;
use std::path::Path;

use anyhow::Result;

use crate::source::{self, Source};

/// Code that is refused everywhere, and why.
const REFUSED: &[(&str, &str)] = &[
    ("#[allow(", "use #[expect(…, reason = \"…\")]"),
    ("#![allow(", "use #![expect(…, reason = \"…\")]"),
    ("#[ignore", "a test runs or is removed"),
    ("#[should_panic", "assert on the error instead"),
    ("todo!(", "open an issue"),
    ("unimplemented!(", "open an issue"),
];

/// Names of modules that say nothing about what is in them.
const EMPTY_NAMES: &[&str] = &["util", "utils", "common", "helper", "helpers", "misc", "manager"];

/// Words in a comment that want an issue number.
const PROMISES: &[&str] = &["TODO", "FIXME", "XXX", "HACK"];

/// Statements that only the databases' crates may write: a literal with both parts, in order.
const SQL: &[(&str, &str)] = &[
    ("SELECT ", " FROM "),
    ("INSERT INTO ", ""),
    ("INSERT OR ", " INTO "),
    ("UPDATE ", " SET "),
    ("DELETE FROM ", ""),
    ("CREATE TABLE ", ""),
    ("CREATE INDEX ", ""),
    ("PRAGMA ", ""),
];

/// Where SQL may stand. This package holds the patterns.
const SQL_DIRS: &[&str] =
    &["crates/sqlite", "crates/store", "crates/queue", "crates/reportdb", "crates/junk", "xtask"];

/// Packages that start other programs and have nothing better than looking again.
const MAY_SLEEP: &[&str] = &["xtask", "bench"];

/// The path of a folder that exists on one machine only. In two parts, not to find itself.
const PRIVATE: &[&str] = &[concat!("../", "shared"), concat!("/work/", "shared")];

pub(super) fn check_source(source: &Source) -> Vec<String> {
    let mut faults = Vec::new();
    let path = &source.path;
    let mut fault = |line: usize, text: &str| faults.push(format!("{path}:{}: {text}", line + 1));
    for (refused, instead) in REFUSED {
        for (at, _) in source.code.match_indices(refused) {
            fault(source::line_of(&source.code, at), &format!("{refused}…: {instead}"));
        }
    }
    for (line, text) in source.text.lines().enumerate() {
        for promise in PROMISES {
            let comment = text.find("//").map_or("", |at| &text[at..]);
            if has_word(comment, promise) && !has_issue(comment) && source.package_dir() != "xtask"
            {
                fault(line, &format!("{promise} without the number of an issue (#12)"));
            }
        }
    }
    if !MAY_SLEEP.contains(&source.package_dir()) {
        for (at, _) in source.code.match_indices("thread::sleep(") {
            fault(source::line_of(&source.code, at), "thread::sleep: wait for the thing itself");
        }
    }
    for line in unpaused_sleeps(source) {
        fault(line, "sleep in a test whose time is not paused");
    }
    if !SQL_DIRS.contains(&source.package_dir()) {
        for (line, text) in &source.strings {
            if is_sql(text) {
                fault(*line, "SQL outside the databases' crates");
            }
        }
    }
    if let Some(name) = empty_name(path) {
        fault(0, &format!("a module named {name} says nothing about what is in it"));
    }
    faults
}

/// Rules for every file, also those that are not Rust.
pub(super) fn check_files(root: &Path) -> Result<Vec<String>> {
    let mut faults = Vec::new();
    for path in source::files(root)? {
        // Binary files are fixtures and corpora.
        let Ok(text) = fs::read_to_string(root.join(&path)) else { continue };
        for (line, content) in text.lines().enumerate() {
            if PRIVATE.iter().any(|private| content.contains(private)) {
                faults.push(format!("{path}:{}: names a folder of one machine", line + 1));
            }
        }
    }
    Ok(faults)
}

fn has_word(text: &str, word: &str) -> bool {
    text.split(|c: char| !c.is_alphanumeric() && c != '_').any(|one| one == word)
}

fn has_issue(text: &str) -> bool {
    let mut after = text.split('#').skip(1);
    after.any(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
}

fn is_sql(text: &str) -> bool {
    SQL.iter().any(|(first, second)| {
        let begin = text.find(first);
        begin.is_some_and(|at| text[at + first.len() - 1..].contains(second))
    })
}

/// Lines of tests that sleep in real time. With `start_paused` a sleep costs nothing and always
/// takes the same; without, it makes tests slow and lets them fail on a busy machine.
fn unpaused_sleeps(source: &Source) -> Vec<usize> {
    let mut paused = false;
    let mut lines = Vec::new();
    // Attributes hold no strings here, so blanked code is as good as the text.
    for (line, code) in source.code.lines().enumerate() {
        if code.contains("#[test]") || code.contains("#[tokio::test") {
            paused = code.contains("start_paused = true");
        }
        if code.contains("sleep(") && !paused && source.is_test(line) {
            lines.push(line);
        }
    }
    lines
}

fn empty_name(path: &str) -> Option<&str> {
    let parts = path.split('/').map(|part| part.strip_suffix(".rs").unwrap_or(part));
    parts.into_iter().find(|part| EMPTY_NAMES.contains(part))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(path: &str, text: &str, faults: usize) {
        let source = Source::parse(path.to_owned(), text.to_owned());
        let got = check_source(&source);
        assert_eq!(got.len(), faults, "{text}: {got:?}");
    }

    const HERE: &str = "crates/imap/src/x.rs";

    #[test]
    fn refused_code_is_found_and_text_about_it_is_not() {
        check(HERE, "#[expect(dead_code, reason = \"x\")]\n", 0);
        check(HERE, "// no #[allow(x)] here\nlet a = \"#[ignore]\";\n", 0);
        check(HERE, "#[allow(dead_code)]\n", 1);
        check(HERE, "#[test]\n#[ignore]\nfn a() {}\n", 1);
        check(HERE, "fn a() { todo!() }\n", 1);
    }

    #[test]
    fn a_promise_wants_an_issue() {
        check(HERE, "// TODO(#12): later\n", 0);
        check(HERE, "// All TODOs are gone.\n", 0);
        check(HERE, "let a = 1; // FIXME\n", 1);
        check(HERE, "/// XXX why\n", 1);
    }

    #[test]
    fn sql_stays_in_its_crates() {
        check(HERE, "let a = \"SELECT inbox\"; let b = \"UPDATE your client\";\n", 0);
        check("crates/store/src/x.rs", "let a = \"SELECT a FROM b\";\n", 0);
        check(HERE, "let a = \"SELECT a FROM b\";\n", 1);
        check(HERE, "let a = r#\"DELETE FROM b\"#;\n", 1);
        check(HERE, "let a = \"UPDATE b SET c = 1\";\n", 1);
    }

    #[test]
    fn tests_do_not_sleep_in_real_time() {
        let test = |attribute: &str| {
            format!(
                "#[cfg(test)]\nmod tests {{\n{attribute}\nasync fn a() {{ sleep(b).await }}\n}}\n"
            )
        };
        check(HERE, &test("#[tokio::test(start_paused = true)]"), 0);
        check(HERE, "async fn a() { sleep(b).await }\n", 0);
        check(HERE, &test("#[tokio::test]"), 1);
        check(HERE, "fn a() { std::thread::sleep(b) }\n", 1);
    }

    #[test]
    fn empty_names_are_refused() {
        check("crates/imap/src/utils.rs", "", 1);
        check("crates/imap/src/helpers/mod.rs", "", 1);
        check("crates/imap/src/utilise.rs", "", 0);
    }

    #[test]
    fn this_file_does_not_find_itself() {
        assert!(PRIVATE.iter().all(|private| !include_str!("words.rs").contains(private)));
    }
}
