//! `docs/conformance.md`: which rule is checked by which case.
//!
//! It is made of the comments above the cases. `UPDATE=1` in the environment writes it anew.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use super::untestable::{UNTESTABLE, Untestable};

/// What stands above the tables.
const HEAD: &str = "\
# IMAP conformance

<!-- Made of the cases by `UPDATE=1 cargo test -p mox-tests conformance::page`. Do not edit. -->

Each rule that RFC 9051 and RFC 3501 lay on a server, in our words, and the case that checks it. The cases
are in `tests/src/conformance/`; they were written from the standards, not from the server, and talk to a
whole server over loopback. Their client has a reader of its own that holds every line a server sends, in
every case, against the formal syntax of RFC 9051 §9. The name of a case begins with the number of its RFC
and its section. Rules that cannot be seen from outside are at the end, with the reason.
";

/// A case as it is written.
struct Written {
    rfc: u32,
    section: Section,
    rule: String,
    name: String,
    file: String,
}

/// Sorts 2 before 10, and appendices last.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Section(Vec<(bool, u32, String)>);

impl Section {
    fn new(parts: &[&str]) -> Self {
        let part = |part: &&str| match part.parse() {
            Ok(number) => (false, number, String::new()),
            Err(_) => (true, 0, part.to_uppercase()),
        };
        Self(parts.iter().map(part).collect())
    }

    fn print(&self) -> String {
        let part = |(is_letter, number, letter): &(bool, u32, String)| match is_letter {
            true => letter.clone(),
            false => number.to_string(),
        };
        self.0.iter().map(part).collect::<Vec<_>>().join(".")
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// The RFC and the section in the name of a case: `rfc9051_6_3_2_…`, `rfc9051_a_…`.
fn place(name: &str) -> Option<(u32, Section)> {
    let mut parts = name.strip_prefix("rfc")?.split('_');
    let rfc = parts.next()?.parse().ok()?;
    let all: Vec<&str> = parts.collect();
    let is_number = |part: &&&str| part.bytes().all(|byte| byte.is_ascii_digit());
    let count = all.iter().take_while(is_number).count();
    let is_appendix = count == 0 && all.first()?.len() == 1;
    Some((rfc, Section::new(&all[..count.max(usize::from(is_appendix))])))
}

/// All cases, in the order of the files.
fn written() -> Vec<Written> {
    let dir = root().join("tests/src/conformance");
    let mut files: Vec<PathBuf> =
        fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let mut all = Vec::new();
    for path in files {
        let file = path.file_name().unwrap().to_string_lossy().into_owned();
        let mut comment: Vec<String> = Vec::new();
        for line in fs::read_to_string(&path).unwrap().lines() {
            if let Some(text) = line.strip_prefix("/// ") {
                comment.push(text.to_owned());
                continue;
            }
            let name = line.strip_prefix("fn ").and_then(|rest| rest.split('(').next());
            if let Some((name, (rfc, section))) = name.and_then(|name| Some((name, place(name)?))) {
                let rule = cited(name, &comment.join(" "), rfc, &section);
                all.push(Written { rfc, section, rule, name: name.to_owned(), file: file.clone() });
            }
            comment.clear();
        }
    }
    all
}

/// The rule in a comment, which ends with the citation that the name of its case gives.
#[track_caller]
fn cited(name: &str, comment: &str, rfc: u32, section: &Section) -> String {
    let citation = format!(" RFC {rfc} §{}.", section.print());
    let rule = comment.strip_suffix(&citation);
    rule.unwrap_or_else(|| panic!("{name}: {comment:?} does not end with {citation:?}")).to_owned()
}

fn print(cases: &[Written]) -> String {
    let mut rfcs: BTreeMap<u32, BTreeMap<&Section, Vec<&Written>>> = BTreeMap::new();
    for case in cases {
        rfcs.entry(case.rfc).or_default().entry(&case.section).or_default().push(case);
    }
    let mut out = HEAD.to_owned();
    // The newest first: that is what the server speaks.
    for (rfc, sections) in rfcs.iter().rev() {
        let count: usize = sections.values().map(Vec::len).sum();
        writeln!(out, "\n## RFC {rfc}: {count} cases\n").unwrap();
        out.push_str("| section | rule | case |\n|---|---|---|\n");
        for case in sections.values().flatten() {
            let (section, rule) = (case.section.print(), case.rule.replace('|', "\\|"));
            writeln!(out, "| {section} | {rule} | `{}` in {} |", case.name, case.file).unwrap();
        }
    }
    out.push_str("\n## Not to be seen from outside\n\n| place | rule | why there is no case |\n|---|---|---|\n");
    for Untestable { place, rule, reason } in UNTESTABLE {
        writeln!(out, "| {place} | {rule} | {reason} |").unwrap();
    }
    out
}

#[test]
fn the_page_is_current() {
    let path = root().join("docs/conformance.md");
    let want = print(&written());
    if std::env::var_os("UPDATE").is_some() {
        fs::write(&path, &want).unwrap();
    }
    let is = fs::read_to_string(&path).unwrap_or_default();
    assert!(is == want, "docs/conformance.md is old: run this test with UPDATE=1");
}

#[test]
fn sections_are_read_from_names() {
    let read = |name: &str| place(name).map(|(rfc, section)| (rfc, section.print()));
    assert_eq!(read("rfc9051_6_3_10_list_is_x"), Some((9051, "6.3.10".to_owned())));
    assert_eq!(read("rfc9051_e_recent_is_gone"), Some((9051, "E".to_owned())));
    assert_eq!(read("rfc3501_7_2_6_flags"), Some((3501, "7.2.6".to_owned())));
    assert_eq!(read("helper"), None);
    assert!(Section::new(&["6", "2"]) < Section::new(&["6", "10"]));
    assert!(Section::new(&["9"]) < Section::new(&["a"]));
}
