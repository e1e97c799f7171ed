//! Pages that say which test holds which promise.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use crate::source::Source;

/// Pages with tables of three columns: a promise, the tests in backquotes, their file.
const PAGES: &[&str] = &["docs/incoming.md", "docs/outgoing.md", "docs/webhooks.md"];

pub(super) fn check(root: &Path, sources: &[Source]) -> Result<Vec<String>> {
    let mut faults = Vec::new();
    for page in PAGES {
        let text = fs::read_to_string(root.join(page)).with_context(|| format!("read {page}"))?;
        faults.extend(check_page(page, &text, sources));
    }
    Ok(faults)
}

/// Each row must name a test, and each test must be one of its file.
fn check_page(page: &str, text: &str, sources: &[Source]) -> Vec<String> {
    let mut faults = Vec::new();
    for (line, row) in text.lines().enumerate() {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let ["", _, tests, path, ""] = *cells else { continue };
        if path == "in" || path.starts_with("---") {
            continue;
        }
        let names: Vec<&str> = tests.split('`').skip(1).step_by(2).collect();
        let source = sources.iter().find(|source| source.path == path);
        let missing = names.iter().filter(|name| !source.is_some_and(|s| has_test(s, name)));
        let mut fault = |text: String| faults.push(format!("{page}:{}: {text}", line + 1));
        if names.is_empty() {
            fault("names no test".to_owned());
        }
        missing.for_each(|name| fault(format!("there is no test {name} in {path}")));
    }
    faults
}

fn has_test(source: &Source, name: &str) -> bool {
    let start = format!("fn {name}(");
    source.code.lines().enumerate().any(|(line, code)| {
        source.is_test(line) && code.split_once(&start).is_some_and(|(before, _)| is_start(before))
    })
}

/// Whether this may stand before `fn`: nothing that makes it part of another word.
fn is_start(before: &str) -> bool {
    matches!(before.trim(), "" | "async")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(row: &str, faults: usize) {
        let code = "fn b() {}\n#[cfg(test)]\nmod tests {\n#[test]\nfn a() {}\nasync fn c() {}\n}\n";
        let source = Source::parse("crates/x/src/y.rs".to_owned(), code.to_owned());
        let page = format!("# A page\n\n| promise | tests | in |\n|---|---|---|\n{row}\n");
        let got = check_page("docs/x.md", &page, &[source]);
        assert_eq!(got.len(), faults, "{row}: {got:?}");
    }

    #[test]
    fn each_promise_has_its_tests() {
        check("| All is well. | `a` | crates/x/src/y.rs |", 0);
        check("| All is well. | `a`, `c` | crates/x/src/y.rs |", 0);
        check("Text without a table.", 0);
        check("| All is well. | `d` | crates/x/src/y.rs |", 1);
        check("| All is well. | `b` | crates/x/src/y.rs |", 1);
        check("| All is well. | `a`, `d` | crates/x/src/z.rs |", 2);
        check("| All is well. | | crates/x/src/y.rs |", 1);
    }
}
