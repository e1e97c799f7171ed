//! Rust source read well enough to tell code, comments, strings and tests apart.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// One Rust file.
#[derive(Debug)]
pub(crate) struct Source {
    /// Relative to the workspace, with `/`.
    pub(crate) path: String,
    /// As it is.
    pub(crate) text: String,
    /// The same lines with comments and the inside of strings blanked.
    pub(crate) code: String,
    /// String literals with the line they start on, from 0.
    pub(crate) strings: Vec<(usize, String)>,
    /// For each line, whether it is test code.
    pub(crate) tests: Vec<bool>,
}

/// A function with its lines, from 0, the last one included.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Function {
    pub(crate) name: String,
    pub(crate) first: usize,
    pub(crate) last: usize,
}

/// Folders that hold what was built or found, and not what was written.
const SKIPPED: &[&str] = &[".git", "target", "artifacts", "node_modules", "localserve-data"];

/// All files of the workspace, relative to it and sorted. Does not ask git, so that the tests also
/// run in an unpacked archive.
pub(crate) fn files(root: &Path) -> Result<Vec<String>> {
    let mut files = Vec::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        let entries =
            fs::read_dir(&folder).with_context(|| format!("list {}", folder.display()))?;
        for entry in entries {
            let entry = entry?;
            let (path, name) = (entry.path(), entry.file_name());
            let kind = entry.file_type()?;
            if kind.is_dir() && !SKIPPED.iter().any(|skipped| name == *skipped) {
                folders.push(path);
            } else if kind.is_file() {
                let relative = path.strip_prefix(root).context("lies in the workspace")?;
                files.push(relative.to_string_lossy().into_owned());
            }
        }
    }
    files.sort();
    Ok(files)
}

/// Reads all Rust files of the workspace.
pub(crate) fn read_all(root: &Path) -> Result<Vec<Source>> {
    let files = files(root)?;
    let rust = files.into_iter().filter(|path| path.ends_with(".rs"));
    rust.map(|path| {
        let text = fs::read_to_string(root.join(&path)).with_context(|| format!("read {path}"))?;
        Ok(Source::parse(path, text))
    })
    .collect()
}

impl Source {
    pub(crate) fn parse(path: String, text: String) -> Self {
        let (code, strings) = blank(&text);
        let lines = text.lines().count();
        let mut tests = vec![is_test_file(&path); lines];
        for (at, _) in code.match_indices("#[cfg(test)]") {
            let first = line_of(&code, at);
            let last = line_of(&code, item_end(&code, at + "#[cfg(test)]".len()));
            for line in tests.iter_mut().take(last + 1).skip(first) {
                *line = true;
            }
        }
        Self { path, text, code, strings, tests }
    }

    pub(crate) fn is_test(&self, line: usize) -> bool {
        self.tests.get(line).copied().unwrap_or(false)
    }

    /// Lines that are not test code, comments included.
    pub(crate) fn lines_without_tests(&self) -> usize {
        self.tests.iter().filter(|test| !**test).count()
    }

    /// The crate's folder: `crates/imap`, `xtask`, ….
    pub(crate) fn package_dir(&self) -> &str {
        let parts = if self.path.starts_with("crates/") { 2 } else { 1 };
        let end = self.path.match_indices('/').nth(parts - 1);
        end.map_or("", |(at, _)| &self.path[..at])
    }

    /// All functions with a body.
    pub(crate) fn functions(&self) -> Vec<Function> {
        let mut functions = Vec::new();
        for (at, _) in self.code.match_indices("fn ") {
            let starts_word = !self.code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_');
            let name: String = self.code[at + 3..]
                .chars()
                .take_while(|c| c.is_alphanumeric() || *c == '_')
                .collect();
            if !starts_word || name.is_empty() {
                continue;
            }
            let end = item_end(&self.code, at);
            if self.code[..=end.min(self.code.len() - 1)].ends_with('}') {
                let (first, last) = (line_of(&self.code, at), line_of(&self.code, end));
                functions.push(Function { name, first, last });
            }
        }
        functions
    }
}

fn is_test_file(path: &str) -> bool {
    let file = path.rsplit('/').next().unwrap_or(path);
    let in_tests = path.split('/').rev().skip(1).any(|folder| folder == "tests");
    in_tests || file == "tests.rs" || file.ends_with("_tests.rs")
}

pub(crate) fn line_of(text: &str, at: usize) -> usize {
    text.as_bytes()[..at.min(text.len())].iter().filter(|byte| **byte == b'\n').count()
}

/// The offset of the `}` or `;` that ends the item at `from`, in blanked code.
fn item_end(code: &str, from: usize) -> usize {
    let mut depth = 0_usize;
    let mut brackets = 0_usize;
    for (at, byte) in code.bytes().enumerate().skip(from) {
        match byte {
            b'(' | b'[' => brackets += 1,
            b')' | b']' => brackets = brackets.saturating_sub(1),
            b'{' => depth += 1,
            b'}' => {
                depth = depth.saturating_sub(1);
                if depth == 0 && brackets == 0 {
                    return at;
                }
            }
            b';' if depth == 0 && brackets == 0 => return at,
            _ => {}
        }
    }
    code.len().saturating_sub(1)
}

/// Blanks comments and the inside of strings and characters; newlines stay. Also returns strings.
fn blank(text: &str) -> (String, Vec<(usize, String)>) {
    let mut code = text.as_bytes().to_vec();
    let mut strings = Vec::new();
    let bytes = text.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        let rest = &bytes[at..];
        let end = if rest.starts_with(b"//") {
            at + rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len())
        } else if rest.starts_with(b"/*") {
            block_comment_end(bytes, at)
        } else if let Some(opening) = string_start(bytes, at) {
            let inside = at + opening.length;
            let end = string_end(bytes, inside, &opening);
            strings.push((line_of(text, at), text[inside..end].to_owned()));
            wipe(&mut code, inside, end);
            at = end + 1 + opening.hashes;
            continue;
        } else if bytes[at] == b'\'' {
            match char_end(text, at) {
                Some(end) => {
                    wipe(&mut code, at + 1, end);
                    at = end + 1;
                }
                // A lifetime.
                None => at += 1,
            }
            continue;
        } else {
            at += 1;
            continue;
        };
        wipe(&mut code, at, end);
        at = end;
    }
    (String::from_utf8_lossy(&code).into_owned(), strings)
}

fn wipe(code: &mut [u8], from: usize, to: usize) {
    let to = to.min(code.len());
    for byte in &mut code[from.min(to)..to] {
        if *byte != b'\n' {
            *byte = b' ';
        }
    }
}

fn block_comment_end(bytes: &[u8], from: usize) -> usize {
    let mut depth = 0;
    let mut at = from;
    while at < bytes.len() {
        if bytes[at..].starts_with(b"/*") {
            depth += 1;
            at += 2;
        } else if bytes[at..].starts_with(b"*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += 1;
        }
    }
    at
}

/// How a string literal opens.
struct Opening {
    length: usize,
    hashes: usize,
    /// A raw string knows no escapes.
    raw: bool,
}

fn string_start(bytes: &[u8], at: usize) -> Option<Opening> {
    if bytes[at] == b'"' {
        return Some(Opening { length: 1, hashes: 0, raw: false });
    }
    if at > 0 && (bytes[at - 1].is_ascii_alphanumeric() || bytes[at - 1] == b'_') {
        return None;
    }
    let prefix = usize::from(matches!(bytes[at], b'b' | b'c'));
    if bytes.get(at + prefix) != Some(&b'r') {
        return None;
    }
    let hashes = bytes[at + prefix + 1..].iter().take_while(|byte| **byte == b'#').count();
    let length = prefix + 1 + hashes + 1;
    let quoted = bytes.get(at + length - 1) == Some(&b'"');
    quoted.then_some(Opening { length, hashes, raw: true })
}

fn string_end(bytes: &[u8], inside: usize, opening: &Opening) -> usize {
    let mut at = inside;
    while at < bytes.len() {
        if !opening.raw && bytes[at] == b'\\' {
            at += 2;
            continue;
        }
        let hashes = bytes[at + 1..].iter().take_while(|byte| **byte == b'#').count();
        if bytes[at] == b'"' && hashes >= opening.hashes {
            return at;
        }
        at += 1;
    }
    bytes.len()
}

/// The offset of the closing quote of the character at `at`, or `None` if it is a lifetime.
fn char_end(text: &str, at: usize) -> Option<usize> {
    let rest = &text[at + 1..];
    let mut chars = rest.char_indices();
    let (_, first) = chars.next()?;
    if first == '\\' {
        let escaped = chars.next()?.0 + 1;
        return rest.get(escaped..)?.find('\'').map(|end| at + 1 + escaped + end);
    }
    let (end, quote) = chars.next()?;
    (quote == '\'').then_some(at + 1 + end)
}

/// The manifest of the package in a folder.
pub(crate) fn manifest(root: &Path, dir: &str) -> Result<String> {
    let path: PathBuf = root.join(dir).join("Cargo.toml");
    fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(text: &str) -> Source {
        Source::parse("crates/imap/src/x.rs".to_owned(), text.to_owned())
    }

    #[track_caller]
    fn check_blank(text: &str, want: &str) {
        assert_eq!(source(text).code, want, "{text}");
    }

    #[test]
    fn comments_and_strings_are_blanked() {
        check_blank("a // b", "a     ");
        check_blank("a /* { /* */ } */ b", "a                 b");
        check_blank("f(\"x\\\"{\")", "f(\"    \")");
        check_blank("r#\"a\"b\"#;", "r#\"   \"#;");
        check_blank("r\"a\\\";", "r\"  \";");
        check_blank("('{', '\\'', 'a')", "(' ', '  ', ' ')");
        check_blank("fn f<'a>(x: &'a str)", "fn f<'a>(x: &'a str)");
    }

    #[test]
    fn raw_closings_are_whole() {
        let strings = source("let a = r#\"one\"#; let b = br\"two\"; let c = \"three\";").strings;
        let texts: Vec<_> = strings.iter().map(|(_, text)| text.as_str()).collect();
        assert_eq!(texts, ["one", "two", "three"]);
    }

    #[test]
    fn test_code_is_told_apart() {
        let text = "fn a() {\n}\n#[cfg(test)]\nmod tests {\n    fn b() { \"}\"; }\n}\nfn c() {}\n";
        let source = source(text);
        assert_eq!(source.tests, [false, false, true, true, true, true, false]);
        assert_eq!(source.lines_without_tests(), 3);
        let outside = Source::parse("crates/a/src/tests/b.rs".to_owned(), "x\n".to_owned());
        assert_eq!(outside.tests, [true]);
    }

    #[test]
    fn functions_have_their_lines() {
        let text =
            "trait T {\n    fn only_declared(&self) -> [u8; 2];\n}\nfn long(\n) {\n    x;\n}\n";
        let want = Function { name: "long".to_owned(), first: 3, last: 6 };
        assert_eq!(source(text).functions(), [want]);
    }

    #[test]
    fn a_file_knows_its_package() {
        assert_eq!(source("").package_dir(), "crates/imap");
        let xtask = Source::parse("xtask/src/main.rs".to_owned(), String::new());
        assert_eq!(xtask.package_dir(), "xtask");
    }
}
