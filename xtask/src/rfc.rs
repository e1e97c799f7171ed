//! The index of RFC citations: which rule is implemented and tested where.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use crate::source::{self, Source};

/// Where the index is kept.
pub(crate) const PATH: &str = "docs/rfc.md";

/// Citations per 1,000 lines that a protocol crate has at least, tests left out.
const DENSITY_MIN: usize = 10;

/// The protocol crates whose rules come from RFCs. `sconf` is not among them: its syntax is in
/// none.
const PROTOCOL_CRATES: &[&str] =
    &["dns", "mime", "sasl", "smtp", "imap", "jmap", "mailauth", "tlspolicy", "reports"];

/// A place that cites: the file and the item, without a line number, which every edit would move.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    path: String,
    item: String,
    test: bool,
}

/// A section of an RFC, in the order of its numbers. Empty: the whole RFC.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Section {
    key: Vec<(u32, String)>,
    text: String,
}

/// Lines and citations of one crate, both without tests.
#[derive(Debug, Default)]
struct Density {
    lines: usize,
    citations: usize,
    test_citations: usize,
}

/// All citations of the workspace.
#[derive(Debug, Default)]
pub(crate) struct Index {
    rfcs: BTreeMap<u32, BTreeMap<Section, BTreeSet<Place>>>,
    density: BTreeMap<String, Density>,
}

impl Index {
    pub(crate) fn build(root: &Path) -> Result<Self> {
        let mut index = Self::default();
        for source in source::read_all(root)? {
            if source.package_dir() != "xtask" {
                index.add_source(&source);
            }
        }
        let transcripts = source::files(root)?;
        for path in transcripts.iter().filter(|path| is_transcript(path)) {
            let text = fs::read_to_string(root.join(path)).with_context(|| path.clone())?;
            index.add_transcript(path, &text);
        }
        Ok(index)
    }

    fn add_source(&mut self, source: &Source) {
        let package = source.package_dir().trim_start_matches("crates/").to_owned();
        let lines: Vec<&str> = source.text.lines().collect();
        let code: Vec<&str> = source.code.lines().collect();
        for (number, line) in lines.iter().enumerate() {
            let test = source.is_test(number);
            for (rfc, section) in citations(line) {
                let item = item_at(&lines, &code, number);
                self.add(rfc, section, Place { path: source.path.clone(), item, test });
                let density = self.density.entry(package.clone()).or_default();
                if test { density.test_citations += 1 } else { density.citations += 1 }
            }
        }
        self.density.entry(package).or_default().lines += source.lines_without_tests();
    }

    fn add_transcript(&mut self, path: &str, text: &str) {
        let mut case = String::new();
        for line in text.lines() {
            if let Some(name) = line.strip_prefix("==") {
                name.split('[').next().unwrap_or("").trim().clone_into(&mut case);
            }
            for (rfc, section) in citations(line) {
                let place = Place { path: path.to_owned(), item: case.clone(), test: true };
                self.add(rfc, section, place);
            }
        }
    }

    fn add(&mut self, rfc: u32, section: Section, place: Place) {
        self.rfcs.entry(rfc).or_default().entry(section).or_default().insert(place);
    }

    /// Crates that cite too little.
    pub(crate) fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        for name in PROTOCOL_CRATES {
            let Some(density) = self.density.get(*name) else { continue };
            // A crate that only says what it will be has nothing to cite yet.
            if density.lines >= 50 && density.citations * 1_000 < DENSITY_MIN * density.lines {
                let Density { lines, citations, .. } = density;
                faults.push(format!("{name}: {citations} citations in {lines} lines"));
            }
        }
        faults
    }

    /// Lines and citations of the protocol crates, for the terminal.
    pub(crate) fn print_density(&self) -> String {
        let mut text = String::from("crate      lines  cited  in tests  per 1,000\n");
        for name in PROTOCOL_CRATES {
            let Some(Density { lines, citations, test_citations }) = self.density.get(*name) else {
                continue;
            };
            let rate = citations * 1_000 / lines.max(&1);
            let _ =
                writeln!(text, "{name:10} {lines:5}  {citations:5}  {test_citations:8}  {rate:9}");
        }
        text
    }

    /// The page.
    pub(crate) fn print(&self) -> String {
        let mut page = String::from(
            "# RFCs and where they are implemented\n\n\
             Written by `cargo xtask rfc` from the comments in the code; do not edit. A section without \
             a place under \"tests\" is a rule without a test that names it.\n",
        );
        for (rfc, sections) in &self.rfcs {
            let link = format!("https://www.rfc-editor.org/rfc/rfc{rfc}");
            let _ = write!(
                page,
                "\n## [RFC {rfc}]({link})\n\n| section | code | tests |\n|---|---|---|\n"
            );
            for (section, places) in sections {
                let list = |test| print_places(places.iter().filter(|place| place.test == test));
                let title = if section.text.is_empty() { "(whole)" } else { &section.text };
                let _ = writeln!(page, "| {title} | {} | {} |", list(false), list(true));
            }
        }
        page
    }
}

fn print_places<'a>(places: impl Iterator<Item = &'a Place>) -> String {
    let mut by_file: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for place in places {
        by_file.entry(&place.path).or_default().push(&place.item);
    }
    let files = by_file.iter().map(|(path, items)| {
        let path = path.trim_start_matches("crates/").replacen("/src/", "/", 1);
        format!("{path}: {}", items.join(", "))
    });
    files.collect::<Vec<_>>().join("; ").replace('|', "\\|")
}

fn is_transcript(path: &str) -> bool {
    path.contains("/tests/transcripts/") && path.ends_with(".txt")
}

/// The citations of a line: `RFC 9051 §6.4.8`, `RFC 5321 §4.1, §4.2`, `RFC 5321 erratum 1820`.
fn citations(line: &str) -> Vec<(u32, Section)> {
    let mut found = Vec::new();
    for part in line.split("RFC ").skip(1) {
        let digits = part.len() - part.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let (number, mut rest) = part.split_at(digits);
        let Ok(number) = number.parse() else { continue };
        if let Some(erratum) = rest.strip_prefix(" erratum ") {
            let digits = erratum.trim_start_matches(|c: char| c.is_ascii_digit());
            let id = &erratum[..erratum.len() - digits.len()];
            found.push((number, Section::new(&format!("erratum {id}"))));
            continue;
        }
        let before = found.len();
        while let Some((section, tail)) = next_section(rest) {
            found.push((number, Section::new(&format!("§{section}"))));
            rest = tail;
        }
        if found.len() == before {
            found.push((number, Section::new("")));
        }
    }
    found
}

/// A section right here, or after a comma, `and` or `to`.
fn next_section(text: &str) -> Option<(&str, &str)> {
    let joined = [", ", " and ", " to ", ","].iter().find_map(|join| text.strip_prefix(join));
    let text = joined.unwrap_or(text).trim_start();
    let rest = text.strip_prefix('§')?.trim_start_matches('§');
    let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '.').unwrap_or(rest.len());
    let section = rest[..end].trim_end_matches('.');
    (!section.is_empty()).then(|| (section, &rest[section.len()..]))
}

impl Section {
    fn new(text: &str) -> Self {
        let parts = text.trim_start_matches('§').split('.');
        let key = parts.map(|part| (part.parse().unwrap_or(u32::MAX), part.to_owned())).collect();
        Self { key, text: text.to_owned() }
    }
}

/// The item that a line belongs to: of a doc comment the next one, else the function around.
fn item_at(lines: &[&str], code: &[&str], number: usize) -> String {
    let line = lines.get(number).map_or("", |line| line.trim_start());
    if line.starts_with("//!") {
        return "module".to_owned();
    }
    if line.starts_with("///") {
        let mut after = code.iter().skip(number + 1).map(|line| line.trim());
        let item = after.find(|line| !line.is_empty() && !line.starts_with("#["));
        return item.map_or_else(String::new, item_name);
    }
    let before = code.iter().take(number + 1).rev();
    let function = before.map(|line| line.trim()).find(|line| line.contains("fn "));
    function.map_or_else(|| "module".to_owned(), item_name)
}

/// The name after `fn`, `struct` and the like; of a field or variant the first word.
fn item_name(line: &str) -> String {
    const KEYWORDS: &[&str] =
        &["fn", "struct", "enum", "const", "static", "type", "trait", "mod", "macro_rules"];
    let mut words =
        line.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|word| !word.is_empty());
    let all: Vec<&str> = words.by_ref().collect();
    // `const fn name`: the last keyword counts.
    let keyword = all.iter().take(5).rposition(|word| KEYWORDS.contains(word));
    let name = match keyword {
        Some(at) => all.get(at + 1),
        None => all.iter().find(|word| !["pub", "crate", "impl"].contains(word)),
    };
    name.map_or_else(String::new, |name| (*name).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(line: &str, want: &[(u32, &str)]) {
        let got = citations(line);
        let got: Vec<_> = got.iter().map(|(rfc, section)| (*rfc, section.text.as_str())).collect();
        assert_eq!(got, want, "{line}");
    }

    #[test]
    fn citations_are_found_in_their_form() {
        check("/// Source: RFC 9051 §6.4.8.", &[(9051, "§6.4.8")]);
        check("// RFC 5802 §5.1, §7. RFC 7677", &[(5802, "§5.1"), (5802, "§7"), (7677, "")]);
        check("RFC 6125 §A.1 and §B", &[(6125, "§A.1"), (6125, "§B")]);
        check("see RFC 5321 erratum 1820", &[(5321, "erratum 1820")]);
        check("the RFC says; RFC x", &[]);
    }

    #[test]
    fn sections_are_sorted_as_numbers() {
        let mut sections = ["§10", "§2.10", "§2.9", "", "§2"].map(Section::new);
        sections.sort();
        let texts = sections.map(|section| section.text);
        assert_eq!(texts, ["§2", "§2.9", "§2.10", "§10", ""]);
    }

    #[test]
    fn the_page_names_items_and_tells_tests_apart() {
        let text = "//! RFC 1 §1\n\n/// Parses. RFC 2 §3\n#[must_use]\npub fn parse() {\n    \
                    // RFC 2 §4\n}\n\nenum A {\n    /// RFC 2 §3\n    B,\n}\n\
                    #[cfg(test)]\nmod tests {\n    fn works() {\n        // RFC 2 §3\n    }\n}\n";
        let mut index = Index::default();
        let path = "crates/imap/src/x.rs".to_owned();
        index.add_source(&Source::parse(path, text.to_owned()));
        index.add_transcript("crates/imap/tests/transcripts/a.txt", "== hello [tls]\n# RFC 2 §4\n");
        let page = index.print();
        assert!(page.contains("| §1 | imap/x.rs: module |  |"), "{page}");
        assert!(page.contains("| §3 | imap/x.rs: B, parse | imap/x.rs: works |"), "{page}");
        assert!(page.contains("| §4 | imap/x.rs: parse | imap/tests/transcripts/a.txt: hello |"));
        assert_eq!(index.density["imap"].citations, 4);
        assert_eq!(index.density["imap"].test_citations, 1);
    }

    #[test]
    fn a_crate_that_cites_too_little_is_a_fault() {
        let mut index = Index::default();
        let mut text = "// RFC 1 §1\n".to_owned();
        text.push_str(&"x\n".repeat(99));
        index.add_source(&Source::parse("crates/mime/src/x.rs".to_owned(), text.clone()));
        assert_eq!(index.faults(), Vec::<String>::new());
        text.push('x');
        index.add_source(&Source::parse("crates/smtp/src/x.rs".to_owned(), text));
        assert_eq!(index.faults(), ["smtp: 1 citations in 101 lines"]);
    }
}
