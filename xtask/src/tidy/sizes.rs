//! Files and functions that have grown too long.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use crate::source::Source;

/// Lines of a file, without its tests.
const FILE_LINES_MAX: usize = 800;

/// Lines of a function, even of one for which clippy's limit of 70 was lifted with a reason.
const FUNCTION_LINES_MAX: usize = 120;

/// Where the exceptions stand: a path and its number of lines each.
const EXCEPTIONS: &str = "xtask/tidy-exceptions.txt";

pub(super) fn check(root: &Path, sources: &[Source]) -> Result<Vec<String>> {
    let list = fs::read_to_string(root.join(EXCEPTIONS)).context("read list of exceptions")?;
    let sizes = sources.iter().map(|source| (source.path.as_str(), source.lines_without_tests()));
    let mut faults = check_files(&list, &sizes.collect());
    for source in sources {
        for function in source.functions() {
            let lines = function.last - function.first + 1;
            if lines > FUNCTION_LINES_MAX && !source.is_test(function.first) {
                let (path, name) = (&source.path, &function.name);
                faults.push(format!("{path}: {name} has {lines} lines of {FUNCTION_LINES_MAX}"));
            }
        }
    }
    Ok(faults)
}

/// The list may only shrink: a file that got shorter has its line lowered in the same commit.
fn check_files(list: &str, sizes: &BTreeMap<&str, usize>) -> Vec<String> {
    let mut faults = Vec::new();
    let mut allowed = BTreeMap::new();
    for line in list.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let entry =
            line.split_once(' ').and_then(|(path, lines)| Some((path, lines.parse().ok()?)));
        let Some((path, lines)) = entry else {
            faults.push(format!("{EXCEPTIONS}: not a path and a number: {line:?}"));
            continue;
        };
        let size = sizes.get(path).copied().unwrap_or(0);
        if size < lines || size <= FILE_LINES_MAX {
            let what = if size <= FILE_LINES_MAX { "remove it" } else { "lower it" };
            faults.push(format!("{EXCEPTIONS}: {path} has {size} lines now, not {lines}: {what}"));
        }
        allowed.insert(path, lines);
    }
    for (path, size) in sizes {
        let max = allowed.get(path).copied().unwrap_or(FILE_LINES_MAX).max(FILE_LINES_MAX);
        if *size > max {
            faults.push(format!("{path}: {size} lines without tests, of {max}"));
        }
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(list: &str, lines: usize, faults: usize) {
        let sizes = BTreeMap::from([("a.rs", lines)]);
        let got = check_files(list, &sizes);
        assert_eq!(got.len(), faults, "{got:?}");
    }

    #[test]
    fn exceptions_may_only_shrink() {
        check("# none\n", 800, 0);
        check("a.rs 900\n", 900, 0);
        check("", 801, 1);
        check("a.rs 900\n", 901, 1);
        check("a.rs 900\n", 899, 1);
        check("a.rs 900\n", 700, 1);
        check("gone.rs 900\n", 10, 1);
        check("a.rs many\n", 10, 1);
        // An exception below the limit gives nothing.
        check("a.rs 500\n", 600, 1);
    }
}
