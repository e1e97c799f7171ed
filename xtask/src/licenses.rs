//! `cargo xtask licenses`: the licences of mox and of all that is linked into it, as one text.
//!
//! What is linked is what `cargo tree` resolves for the binary on Linux, with what runs to build it
//! and without what only tests use. The texts lie in the sources of the crates, which are there
//! after a build; nothing is loaded from elsewhere.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde::Deserialize;

/// Where the text lies.
pub(crate) const PATH: &str = "crates/mox/src/cli/licenses.txt";

/// The machines that the text is for. All crates of one are those of the other today.
const TARGETS: &[&str] = &["x86_64-unknown-linux-gnu", "aarch64-unknown-linux-gnu"];

/// The first words of files with licences, in lower case.
const NAMES: &[&str] = &["licence", "license", "unlicense", "copying", "copyright", "notice"];

/// How files end that begin like a licence and are code.
const NO_TEXTS: &[&str] = &[".rs", ".c", ".h", ".html", ".json", ".toml", ".py", ".sh"];

/// Files that are left out, as the choice that they offer was not taken.
const NOT_TAKEN: &[(&str, &str)] = &[("zstd-sys", "zstd/COPYING")];

/// What is linked in and is no crate with a file of its own.
const OTHERS: &str = "\
SQLite, as libsqlite3-sys has it: in the public domain
AWS-LC and the code it holds, as aws-lc-sys has it: texts below, under aws-lc-sys
zstd, as zstd-sys has it: BSD-3-Clause or GPL-2.0, the first is taken; text below, under zstd-sys
The standard library of Rust, of the Rust Project Developers: MIT OR Apache-2.0
musl, in static programs, of Rich Felker and others: MIT
";

/// Behind this the Apache License has an example that many copies leave out or fill in. A text is
/// cut there, so that copies share the long part.
const CUT: &str = "END OF TERMS AND CONDITIONS\n";

const CRATES_HEADING: &str = "Crates, with the licence that each says it has";

/// Files and directories of one crate: the largest has 2,400.
const ENTRIES_MAX: usize = 20_000;
/// How deep directories of a crate lie in one another.
const DEPTH_MAX: usize = 16;
/// One file: the longest has 20 kB.
const FILE_BYTES_MAX: u64 = 200_000;
/// All of it, for it is part of the program.
const TEXT_BYTES_MAX: usize = 400_000;

/// A crate by name and version: what makes it one of those in Cargo.lock.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Crate {
    name: String,
    version: String,
}

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    version: String,
    license: Option<String>,
    authors: Vec<String>,
    repository: Option<String>,
    manifest_path: PathBuf,
}

/// A file, or a part of one, and all crates that have it.
#[derive(Debug)]
struct Text {
    text: String,
    holders: BTreeSet<String>,
}

/// Makes the text.
///
/// # Errors
///
/// If cargo fails, sources of a crate are missing, a crate says no licence, or a limit is exceeded.
pub(crate) fn text(root: &Path) -> Result<String> {
    let linked = linked(root)?;
    let packages = packages(root)?;
    let mut list = String::new();
    let mut texts = Vec::new();
    let mut places = BTreeMap::new();
    for one in &linked {
        let found = packages.iter().find(|p| p.name == one.name && p.version == one.version);
        let package =
            found.with_context(|| format!("no sources of {} {}", one.name, one.version))?;
        let expression = package.license.as_deref();
        let expression = expression.with_context(|| format!("{} says no licence", one.name))?;
        list.push_str(&format!("{} {}: {expression}", one.name, one.version));
        let files = files(package)?;
        if files.is_empty() {
            list.push_str(&format!("; without a text, {}", origin(package)));
        }
        list.push('\n');
        for (path, content) in files {
            add(
                &mut texts,
                &mut places,
                &format!("{} {} ({path})", one.name, one.version),
                &content,
            );
        }
    }
    let own = fs::read_to_string(root.join("LICENSE")).context("read our licence")?;
    let made = print(&own, &list, &texts);
    if made.len() > TEXT_BYTES_MAX {
        bail!("{} bytes of licences, of {TEXT_BYTES_MAX}", made.len());
    }
    Ok(made)
}

/// Whether a text names just the crates that are linked now: what to change, if not.
///
/// # Errors
///
/// If cargo fails.
#[cfg(test)]
fn faults(root: &Path, text: &str) -> Result<Vec<String>> {
    let linked = linked(root)?;
    let named = named(text);
    let missing = linked.difference(&named);
    let missing = missing.map(|one| format!("{} {} is linked, not named", one.name, one.version));
    let gone = named.difference(&linked);
    let gone = gone.map(|one| format!("{} {} is named, not linked", one.name, one.version));
    Ok(missing.chain(gone).collect())
}

/// The crates of others that are linked into the program.
fn linked(root: &Path) -> Result<BTreeSet<Crate>> {
    let mut arguments = vec!["tree", "--package", "mox", "--edges", "normal,build"];
    arguments.extend(["--prefix", "none", "--format", "{p}", "--locked", "--offline"]);
    for target in TARGETS {
        arguments.extend(["--target", target]);
    }
    let tree = cargo(root, &arguments)?;
    Ok(tree.lines().filter_map(linked_line).collect())
}

/// A line of `cargo tree`: name, version with a "v", and where it lies if it is ours.
fn linked_line(line: &str) -> Option<Crate> {
    let mut words = line.split_whitespace();
    let name = words.next()?;
    let version = words.next()?.strip_prefix('v')?;
    let is_ours = words.any(|word| word.starts_with("(/"));
    (!is_ours).then(|| Crate { name: name.to_owned(), version: version.to_owned() })
}

fn packages(root: &Path) -> Result<Vec<Package>> {
    let mut arguments = vec!["metadata", "--format-version", "1", "--locked", "--offline"];
    for target in TARGETS {
        arguments.extend(["--filter-platform", target]);
    }
    let metadata: Metadata =
        serde_json::from_str(&cargo(root, &arguments)?).context("read cargo metadata")?;
    Ok(metadata.packages)
}

fn cargo(root: &Path, arguments: &[&str]) -> Result<String> {
    let program = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(program).args(arguments).current_dir(root).output();
    let output = output.context("run cargo")?;
    if !output.status.success() {
        let why = String::from_utf8_lossy(&output.stderr);
        bail!("cargo {} (build first, for the sources): {why}", arguments.join(" "));
    }
    String::from_utf8(output.stdout).context("read what cargo prints")
}

/// Who made a crate, for those that bring no text.
fn origin(package: &Package) -> String {
    let authors =
        package.authors.iter().map(|author| author.split('<').next().unwrap_or(author).trim());
    let authors = authors.collect::<Vec<_>>().join(", ");
    let repository = package.repository.as_deref().unwrap_or_default();
    format!("by {authors} {repository}").trim_end().to_owned()
}

/// The files with licences of a crate, by their path in it.
fn files(package: &Package) -> Result<BTreeMap<String, String>> {
    let top = package.manifest_path.parent().context("a manifest has a directory")?;
    let mut found = BTreeMap::new();
    let mut dirs = vec![(top.to_owned(), 0)];
    let mut entries = 0;
    while let Some((dir, depth)) = dirs.pop() {
        for entry in fs::read_dir(&dir).with_context(|| format!("list {}", dir.display()))? {
            let entry = entry.with_context(|| format!("list {}", dir.display()))?;
            entries += 1;
            if entries > ENTRIES_MAX || depth > DEPTH_MAX {
                bail!("{}: more than {ENTRIES_MAX} files, or too deep", top.display());
            }
            // Of the entry itself: no link is followed.
            let kind = entry.file_type().context("see what a file is")?;
            let path = entry.path();
            if kind.is_dir() {
                dirs.push((path, depth + 1));
            } else if kind.is_file() && is_license(&entry.file_name().to_string_lossy()) {
                let inside = path.strip_prefix(top).context("a file lies in its crate")?;
                let inside = inside.to_string_lossy().into_owned();
                if !NOT_TAKEN.contains(&(package.name.as_str(), inside.as_str())) {
                    found.insert(inside, read(&path)?);
                }
            }
        }
    }
    Ok(found)
}

fn is_license(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    NAMES.iter().any(|begin| name.starts_with(begin))
        && !NO_TEXTS.iter().any(|end| name.ends_with(end))
}

fn read(path: &Path) -> Result<String> {
    let size_bytes = fs::metadata(path).with_context(|| format!("see {}", path.display()))?.len();
    if size_bytes > FILE_BYTES_MAX {
        bail!("{}: {size_bytes} bytes, of {FILE_BYTES_MAX}", path.display());
    }
    let bytes = fs::read(path).with_context(|| format!("read {}", path.display()))?;
    Ok(plain(&String::from_utf8_lossy(&bytes)))
}

/// The text without what differs from copy to copy and is not seen: ends of lines, blanks before
/// them, empty lines around all, control characters.
fn plain(text: &str) -> String {
    let is_seen = |c: char| !c.is_control() || c == '\t';
    let lines = text.trim_start_matches('\u{feff}').lines();
    let lines: Vec<String> =
        lines.map(|line| line.chars().filter(|c| is_seen(*c)).collect::<String>()).collect();
    let lines: Vec<&str> = lines.iter().map(|line| line.trim_end()).collect();
    let mut text = lines.join("\n").trim_matches('\n').to_owned();
    text.push('\n');
    text
}

/// Adds a file in its parts. Texts that differ in white space only are one.
fn add(texts: &mut Vec<Text>, places: &mut BTreeMap<String, usize>, holder: &str, content: &str) {
    let cut = content.find(CUT).map_or(content.len(), |at| at + CUT.len());
    let (terms, rest) = content.split_at(cut);
    for part in [terms, rest.trim_matches('\n')] {
        let key = part.split_whitespace().collect::<Vec<_>>().join(" ");
        if key.is_empty() {
            continue;
        }
        let place = *places.entry(key).or_insert(texts.len());
        if place == texts.len() {
            texts.push(Text { text: part.to_owned(), holders: BTreeSet::new() });
        }
        if let Some(text) = texts.get_mut(place) {
            text.holders.insert(holder.to_owned());
        }
    }
}

fn print(own: &str, list: &str, texts: &[Text]) -> String {
    let rule = "-".repeat(80);
    let mut made = format!(
        "mox is under this licence. What it is linked with follows, each under its own.\n\n\
         {}\n{rule}\n{CRATES_HEADING}\n\n{list}\n{rule}\nOther parts\n\n{OTHERS}\n\
         A text that several have stands once. What they add at its end stands by itself.\n",
        plain(own)
    );
    for text in texts {
        let holders: Vec<_> = text.holders.iter().map(String::as_str).collect();
        made.push_str(&format!("\n{rule}\nOf {}:\n\n", holders.join(",\n   ")));
        made.push_str(text.text.trim_end_matches('\n'));
        made.push('\n');
    }
    made
}

/// The crates that a text names in its list.
#[cfg(test)]
fn named(text: &str) -> BTreeSet<Crate> {
    let lines = text.lines().skip_while(|line| *line != CRATES_HEADING).skip(2);
    let lines = lines.take_while(|line| !line.is_empty());
    let crates = lines.filter_map(|line| line.split_once(':')?.0.split_once(' '));
    crates.map(|(name, version)| Crate { name: name.into(), version: version.into() }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(name: &str, version: &str) -> Crate {
        Crate { name: name.into(), version: version.into() }
    }

    #[test]
    fn the_text_names_what_is_linked() {
        let root = crate::root().unwrap();
        let written = fs::read_to_string(root.join(PATH)).unwrap();
        let faults = faults(&root, &written).unwrap();
        assert!(faults.is_empty(), "run `cargo xtask licenses`:\n{}", faults.join("\n"));
        assert!(written == text(&root).unwrap(), "run `cargo xtask licenses`");
        // A crate less or another version is seen.
        let without = written.replace("\nrustls 0.", "\nrustls 9.");
        assert_eq!(self::faults(&root, &without).unwrap().len(), 2);
    }

    #[test]
    fn lines_of_the_tree_are_read() {
        let cases = [
            ("syn v2.0.1", Some(of("syn", "2.0.1"))),
            ("serde_derive v1.0.2 (proc-macro) (*)", Some(of("serde_derive", "1.0.2"))),
            ("zstd-sys v2.1.2+zstd.1.5.7", Some(of("zstd-sys", "2.1.2+zstd.1.5.7"))),
            ("mox v0.1.0 (/src/mox/crates/mox)", None),
            ("mox-base v0.1.0 (/src/mox/crates/base) (*)", None),
            ("", None),
            ("[build-dependencies]", None),
        ];
        for (line, want) in cases {
            assert_eq!(linked_line(line), want, "{line}");
        }
    }

    #[test]
    fn files_with_licences_are_known_by_their_names() {
        for name in ["LICENSE", "license-mit", "LICENSE.md", "COPYING", "UNLICENSE", "NOTICES.md"] {
            assert!(is_license(name), "{name}");
        }
        for name in ["license.rs", "README.md", "copyright.py", "my-license", ""] {
            assert!(!is_license(name), "{name}");
        }
    }

    #[test]
    fn files_are_found_in_the_whole_crate_and_no_links_followed() {
        let dir = tempfile::tempdir().unwrap();
        let put = |path: &str, text: &str| {
            let path = dir.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        put("LICENSE", "\u{feff}a  \r\n\u{c}b\r\n\r\n");
        put("zstd/LICENSE", "c");
        put("zstd/COPYING", "the other choice");
        put("src/license.rs", "code");
        std::os::unix::fs::symlink("..", dir.path().join("zstd/licenses")).unwrap();
        let package = Package {
            name: "zstd-sys".into(),
            version: "1.0.0".into(),
            license: None,
            authors: vec!["A B <a@b.example>".into(), "C".into()],
            repository: None,
            manifest_path: dir.path().join("Cargo.toml"),
        };
        let found: Vec<_> = files(&package).unwrap().into_iter().collect();
        let want = [("LICENSE", "a\nb\n"), ("zstd/LICENSE", "c\n")];
        assert_eq!(found, want.map(|(path, text)| (path.to_owned(), text.to_owned())));
        assert_eq!(origin(&package), "by A B, C");
        let long = usize::try_from(FILE_BYTES_MAX).unwrap() + 1;
        put("NOTICE", &"x".repeat(long));
        assert!(files(&package).is_err());
    }

    #[test]
    fn texts_that_are_the_same_are_printed_once() {
        let mut texts = Vec::new();
        let mut places = BTreeMap::new();
        for (holder, content) in [
            ("a 1 (LICENSE)", "terms\nEND OF TERMS AND CONDITIONS\n\nCopyright A\n"),
            ("b 2 (LICENSE)", " terms\nEND OF TERMS AND CONDITIONS\n\nCopyright B\n"),
            ("c 3 (LICENSE)", "terms\n\nEND OF TERMS AND CONDITIONS\n"),
            ("d 4 (LICENSE)", "\n"),
        ] {
            add(&mut texts, &mut places, holder, content);
        }
        let made = print("ours\n", "a 1: MIT\nb 2: ISC; without a text, by B\n", &texts);
        assert_eq!(named(&made), BTreeSet::from([of("a", "1"), of("b", "2")]));
        let (_, made) = made.split_once("musl").unwrap();
        assert_eq!(made.matches("terms\n").count(), 1, "{made}");
        assert!(
            made.contains("Of a 1 (LICENSE),\n   b 2 (LICENSE),\n   c 3 (LICENSE):\n"),
            "{made}"
        );
        assert!(made.contains("Of b 2 (LICENSE):\n\nCopyright B\n"), "{made}");
        assert!(!made.contains("d 4"), "{made}");
    }
}
