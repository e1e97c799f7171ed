//! Sessions written down as text: what each side says, what the session asks, when time passes.
//!
//! ```text
//! # A comment. Several cases in one file; words in brackets are settings for the runner.
//! == a refused recipient does not end the transaction [tls user=mjl]
//! S: 220 mail.example ESMTP
//! C: RCPT TO:<nobody@local.example>
//! Q: rcpt <nobody@local.example>
//! A: unknown
//! S: 550 5.1.1 no such address
//! T: +30m
//! S: 421 4.4.2 time-out
//! ```
//!
//! - `C:` bytes from the client, `S:` bytes to the client. CRLF is added to each line, unless it
//!   ends with a single backslash. Escapes: `\r`, `\n`, `\t`, `\0`, `\\`, `\xNN`. A space at the
//!   end of a line is written `\x20`.
//! - `Q:` a question of the session to its services, `A:` the answer, both free text.
//! - `T:` moves the clock: `+` and a sum of numbers with `d`, `h`, `m`, `s` or `ms`.
//! - `S:` and `Q:` lines before the first input are what the session does on its own at the start.
//!
//! [`run`] plays the inputs and compares the outputs. With `UPDATE=1` in the environment it writes
//! the outputs it got into the file instead; comments and blank lines stay where they are.

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;
use std::{env, fs};

/// What a transcript gives to the session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// The session starts. Always the first input, and not written in the file.
    Start,
    /// The client sends these bytes.
    Client(Vec<u8>),
    /// A service answers the last question.
    Answer(String),
    /// Time passes.
    Advance(Duration),
}

/// What the session does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// It sends these bytes. Neighbouring pieces are joined before they are compared.
    Server(Vec<u8>),
    /// It asks its services. One line.
    Question(String),
}

/// One session of a transcript file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Case {
    /// The text after `==`, empty for lines before the first `==`.
    pub name: String,
    /// The words in brackets after the name.
    pub options: Vec<String>,
    /// The number of its first line in the file, from 1.
    pub line: usize,
    lines: Vec<Line>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Line {
    /// A comment, a blank line or the heading: kept as it is.
    Kept(String),
    /// An input with the text it was written as.
    Input(String, Input),
    /// An expected `S:` or `Q:` line, as written.
    Expected(String),
}

/// A fault in a transcript file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseError {
    /// From 1.
    pub line: usize,
    /// What is wrong.
    pub reason: &'static str,
}

impl Case {
    /// Whether the option stands in the heading as a word alone.
    #[must_use]
    pub fn has(&self, option: &str) -> bool {
        self.options.iter().any(|word| word == option)
    }

    /// The value of an option written `key=value` in the heading.
    #[must_use]
    pub fn option(&self, key: &str) -> Option<&str> {
        self.options.iter().find_map(|word| word.strip_prefix(key)?.strip_prefix('='))
    }
}

/// Plays every case of the file and compares, or rewrites the file if `UPDATE=1` is set.
///
/// `start` makes the session of a case and returns the function that takes its inputs. Panics with
/// a readable difference if any output differs from the file.
#[track_caller]
pub fn run<F>(path: impl AsRef<Path>, start: impl FnMut(&Case) -> F)
where
    F: FnMut(&Input) -> Vec<Output>,
{
    run_file(path.as_ref(), |text| play(text, start));
}

#[track_caller]
fn run_file(path: &Path, play: impl FnOnce(&str) -> Result<String, ParseError>) {
    let text = fs::read_to_string(path).unwrap_or_else(|error| fail(path, &error.to_string()));
    let actual = play(&text)
        .unwrap_or_else(|error| fail(path, &format!("line {}: {}", error.line, error.reason)));
    if actual == text {
        return;
    }
    if env::var_os("UPDATE").is_some_and(|value| value == "1") {
        fs::write(path, actual).unwrap_or_else(|error| fail(path, &error.to_string()));
        return;
    }
    fail(path, &format!("{}\nUPDATE=1 writes what was got", difference(&text, &actual)));
}

/// Plays every `*.txt` file of a folder, in the order of their names. At least one must be there.
#[track_caller]
pub fn run_folder<F>(folder: impl AsRef<Path>, mut start: impl FnMut(&Case) -> F)
where
    F: FnMut(&Input) -> Vec<Output>,
{
    for path in files(folder.as_ref()) {
        run(path, &mut start);
    }
}

/// Plays every `*.txt` file of a folder with a session that is the client: `S:` is what it is told,
/// [`Input::Client`] as for a server, and `C:` what it says.
#[track_caller]
pub fn run_client_folder<F>(folder: impl AsRef<Path>, mut start: impl FnMut(&Case) -> F)
where
    F: FnMut(&Input) -> Vec<Output>,
{
    for path in files(folder.as_ref()) {
        run_file(&path, |text| play(&swap_sides(text), &mut start).map(|text| swap_sides(&text)));
    }
}

/// Makes client lines of server lines and the other way round.
fn swap_sides(text: &str) -> String {
    let swap = |line: &str| match (line.strip_prefix("C:"), line.strip_prefix("S:")) {
        (Some(rest), _) => format!("S:{rest}\n"),
        (None, Some(rest)) => format!("C:{rest}\n"),
        (None, None) => format!("{line}\n"),
    };
    text.lines().map(swap).collect()
}

#[track_caller]
fn files(folder: &Path) -> Vec<std::path::PathBuf> {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| fail(folder, &error.to_string()));
    let mut paths: Vec<_> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "txt"));
    paths.sort();
    assert!(!paths.is_empty(), "no transcripts in {}", folder.display());
    paths
}

/// Plays a transcript given as text, its lines indented or not, for short cases inside a test.
#[track_caller]
pub fn run_text<F>(text: &str, start: impl FnMut(&Case) -> F)
where
    F: FnMut(&Input) -> Vec<Output>,
{
    let text: String = text.lines().map(|line| format!("{}\n", line.trim_start())).collect();
    let inline = Path::new("inline transcript");
    match play(&text, start) {
        Ok(actual) if actual == text => {}
        Ok(actual) => fail(inline, &difference(&text, &actual)),
        Err(error) => fail(inline, &format!("line {}: {}", error.line, error.reason)),
    }
}

/// Plays the text and returns it with the outputs that came.
pub fn play<F>(text: &str, mut start: impl FnMut(&Case) -> F) -> Result<String, ParseError>
where
    F: FnMut(&Input) -> Vec<Output>,
{
    let mut played = String::with_capacity(text.len());
    for case in parse(text)? {
        let mut session = start(&case);
        if case.lines.iter().any(|line| !matches!(line, Line::Kept(_))) {
            play_case(&case, &mut session, &mut played);
        } else {
            push_kept(&case.lines, &mut played);
        }
    }
    Ok(played)
}

/// Splits a transcript into its cases.
pub fn parse(text: &str) -> Result<Vec<Case>, ParseError> {
    let mut cases: Vec<Case> = Vec::new();
    for (index, raw) in text.lines().enumerate() {
        let line = index + 1;
        if let Some(heading) = raw.strip_prefix("==") {
            let (name, options) = parse_heading(heading);
            cases.push(Case { name, options, line, lines: vec![Line::Kept(raw.to_owned())] });
            continue;
        }
        let parsed = parse_line(raw).map_err(|reason| ParseError { line, reason })?;
        if cases.is_empty() {
            cases.push(Case { name: String::new(), options: Vec::new(), line, lines: Vec::new() });
        }
        if let Some(case) = cases.last_mut() {
            case.lines.push(parsed);
        }
    }
    Ok(cases)
}

fn parse_heading(heading: &str) -> (String, Vec<String>) {
    let heading = heading.trim();
    let bracketed = heading.strip_suffix(']').and_then(|rest| rest.rsplit_once('['));
    match bracketed {
        Some((name, words)) => {
            (name.trim().to_owned(), words.split_whitespace().map(str::to_owned).collect())
        }
        None => (heading.to_owned(), Vec::new()),
    }
}

fn parse_line(raw: &str) -> Result<Line, &'static str> {
    if raw.trim().is_empty() || raw.starts_with('#') {
        return Ok(Line::Kept(raw.to_owned()));
    }
    let (kind, rest) = raw.split_once(':').ok_or("not C:, S:, Q:, A:, T:, # or ==")?;
    let rest = rest.strip_prefix(' ').unwrap_or(rest);
    let input = match kind {
        "S" | "Q" => return Ok(Line::Expected(raw.to_owned())),
        "C" => Input::Client(unescape_line(rest)?),
        "A" => Input::Answer(rest.to_owned()),
        "T" => Input::Advance(parse_wait(rest)?),
        _ => return Err("not C:, S:, Q:, A:, T:, # or =="),
    };
    Ok(Line::Input(raw.to_owned(), input))
}

fn unescape_line(text: &str) -> Result<Vec<u8>, &'static str> {
    let mut bytes = Vec::with_capacity(text.len() + 2);
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'\\' {
            bytes.push(byte);
            continue;
        }
        match rest.next() {
            // A single backslash at the end: no CRLF.
            None => return Ok(bytes),
            Some(b'r') => bytes.push(b'\r'),
            Some(b'n') => bytes.push(b'\n'),
            Some(b't') => bytes.push(b'\t'),
            Some(b'0') => bytes.push(0),
            Some(b'\\') => bytes.push(b'\\'),
            Some(b'x') => {
                let digits = [rest.next().unwrap_or(b'?'), rest.next().unwrap_or(b'?')];
                let digits = std::str::from_utf8(&digits).map_err(|_| "bad \\x escape")?;
                bytes.push(u8::from_str_radix(digits, 16).map_err(|_| "bad \\x escape")?);
            }
            Some(_) => return Err("unknown escape"),
        }
    }
    bytes.extend_from_slice(b"\r\n");
    Ok(bytes)
}

fn parse_wait(text: &str) -> Result<Duration, &'static str> {
    const BAD: &str = "a wait is + and numbers with d, h, m, s or ms";
    let mut rest = text.trim().strip_prefix('+').ok_or(BAD)?;
    let mut wait = Duration::ZERO;
    while !rest.is_empty() {
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let (number, tail) = rest.split_at(digits);
        let letters = tail.len() - tail.trim_start_matches(|c: char| c.is_ascii_alphabetic()).len();
        let (unit, tail) = tail.split_at(letters);
        let millis = match unit {
            "d" => 86_400_000,
            "h" => 3_600_000,
            "m" => 60_000,
            "s" => 1_000,
            "ms" => 1,
            _ => return Err(BAD),
        };
        let number: u64 = number.parse().map_err(|_| BAD)?;
        wait += Duration::from_millis(number.checked_mul(millis).ok_or(BAD)?);
        rest = tail;
    }
    Ok(wait)
}

/// Outputs come right after their input, in place of the expected lines; comments between
/// expected lines keep their place if the number of lines before them does not change.
fn play_case(case: &Case, session: &mut impl FnMut(&Input) -> Vec<Output>, played: &mut String) {
    let mut rest = case.lines.as_slice();
    let mut actual = print_outputs(session(&Input::Start));
    // The heading and comments stand before what the session says at its start.
    let heading = rest.iter().take_while(|line| matches!(line, Line::Kept(_))).count();
    push_kept(&rest[..heading], played);
    rest = &rest[heading..];
    loop {
        let span = rest.iter().take_while(|line| !matches!(line, Line::Input(..))).count();
        push_outputs(&rest[..span], actual, played);
        rest = &rest[span..];
        let Some((Line::Input(raw, input), tail)) = rest.split_first() else { return };
        played.push_str(raw);
        played.push('\n');
        actual = print_outputs(session(input));
        rest = tail;
    }
}

fn push_outputs(lines: &[Line], actual: Vec<String>, played: &mut String) {
    let mut actual = actual.into_iter();
    let last_expected = lines.iter().rposition(|line| matches!(line, Line::Expected(_)));
    // Without expected lines, what came stands before any comment.
    let spill_at = last_expected.map_or(0, |index| index + 1);
    for (index, line) in lines.iter().enumerate() {
        if index == spill_at {
            push_lines(actual.by_ref(), played);
        }
        match line {
            Line::Kept(text) => push_lines([text.clone()].into_iter(), played),
            _ => push_lines(actual.next().into_iter(), played),
        }
    }
    push_lines(actual, played);
}

fn push_kept(lines: &[Line], played: &mut String) {
    for line in lines {
        if let Line::Kept(text) = line {
            push_lines([text.clone()].into_iter(), played);
        }
    }
}

fn push_lines(lines: impl Iterator<Item = String>, played: &mut String) {
    for line in lines {
        played.push_str(&line);
        played.push('\n');
    }
}

fn print_outputs(outputs: Vec<Output>) -> Vec<String> {
    let mut lines = Vec::new();
    let mut pending = Vec::new();
    for output in outputs {
        match output {
            Output::Server(bytes) => pending.extend_from_slice(&bytes),
            Output::Question(text) => {
                print_bytes(&std::mem::take(&mut pending), &mut lines);
                lines.push(format!("Q: {}", text.trim_end()));
            }
        }
    }
    print_bytes(&pending, &mut lines);
    lines
}

fn print_bytes(bytes: &[u8], lines: &mut Vec<String>) {
    let mut rest = bytes;
    while !rest.is_empty() {
        let end = rest.windows(2).position(|pair| pair == b"\r\n");
        let line = end.map_or(rest, |end| &rest[..end]);
        let mark = if end.is_some() { "" } else { "\\" };
        lines.push(format!("S: {}{mark}", escape(line)).trim_end_matches(' ').to_owned());
        rest = end.map_or(&[][..], |end| &rest[end + 2..]);
    }
}

/// The escaped form of bytes, UTF-8 left readable.
#[must_use]
pub fn escape(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '\r' => text.push_str("\\r"),
                '\n' => text.push_str("\\n"),
                '\t' => text.push_str("\\t"),
                '\\' => text.push_str("\\\\"),
                c if c.is_ascii_control() => push_hex(&mut text, u32::from(c)),
                c => text.push(c),
            }
        }
        for byte in chunk.invalid() {
            push_hex(&mut text, u32::from(*byte));
        }
    }
    if text.ends_with(' ') {
        text.pop();
        text.push_str("\\x20");
    }
    text
}

fn push_hex(text: &mut String, number: u32) {
    // Writing to a String cannot fail.
    let _ = write!(text, "\\x{number:02x}");
}

/// The first differing line with three lines before it, marked.
fn difference(want: &str, got: &str) -> String {
    let (want, got): (Vec<_>, Vec<_>) = (want.lines().collect(), got.lines().collect());
    let same = want.iter().zip(&got).take_while(|(want, got)| want == got).count();
    let mut text = String::new();
    for line in &want[same.saturating_sub(5)..same] {
        let _ = writeln!(text, "  {line}");
    }
    for line in want[same..].iter().take(5) {
        let _ = writeln!(text, "- {line}");
    }
    for line in got[same..].iter().take(5) {
        let _ = writeln!(text, "+ {line}");
    }
    format!("difference at line {}:\n{text}", same + 1)
}

#[track_caller]
fn fail(path: &Path, reason: &str) -> ! {
    #[expect(clippy::panic, reason = "a panic is how a test fails")]
    {
        panic!("{}: {reason}", path.display())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Says what it hears in capitals, asks before saying `hello`, and times out after an hour.
    fn echo(_case: &Case) -> impl FnMut(&Input) -> Vec<Output> + use<> {
        let mut waited = Duration::ZERO;
        move |input| match input {
            Input::Start => vec![Output::Server(b"ready\r\n".to_vec())],
            Input::Client(bytes) if bytes == b"hello\r\n" => {
                vec![Output::Server(b"wait\r\n".to_vec()), Output::Question("who is it".to_owned())]
            }
            Input::Client(bytes) => vec![Output::Server(bytes.to_ascii_uppercase())],
            Input::Answer(name) => vec![Output::Server(format!("hello {name}\r\n").into_bytes())],
            Input::Advance(wait) => {
                waited += *wait;
                let over = waited >= Duration::from_secs(3_600);
                over.then(|| Output::Server(b"bye\r\n".to_vec())).into_iter().collect()
            }
        }
    }

    const GOOD: &str = "\
# About the file.

== polite
S: ready
C: hello
S: wait
# Comment between.
Q: who is it
A: Ann
S: hello Ann

T: +59m59s
T: +1s
S: bye

== bytes [tls user=ann]
S: ready
C: a\\xffb\\tc\\\\d\\
S: A\\xffB\\tC\\\\D\\
C: one\\r\\ntwo
S: ONE
S: TWO
C: trail\\x20
S: TRAIL\\x20
C:
S:
";

    #[test]
    fn a_true_transcript_plays_to_itself() {
        assert_eq!(play(GOOD, echo).unwrap(), GOOD);
    }

    #[test]
    fn a_false_transcript_is_corrected() {
        let bad = GOOD.replace("S: hello Ann\n", "S: go away\nS: now\n").replace("S: TWO\n", "");
        assert_eq!(play(&bad, echo).unwrap(), GOOD);
    }

    #[test]
    fn options_stand_in_the_heading() {
        let cases = parse(GOOD).unwrap();
        let case = &cases[2];
        assert_eq!(case.name, "bytes");
        assert!(case.has("tls") && !case.has("user"));
        assert_eq!((case.option("user"), case.option("tls")), (Some("ann"), None));
    }

    #[track_caller]
    fn check_wait(text: &str, want: Option<u64>) {
        assert_eq!(parse_wait(text).ok(), want.map(Duration::from_millis), "{text}");
    }

    #[test]
    fn waits_are_sums_of_units() {
        check_wait("+30m", Some(1_800_000));
        check_wait("+1d2h3m4s5ms", Some(93_784_005));
        check_wait("+0s", Some(0));
        check_wait("30m", None);
        check_wait("+30", None);
        check_wait("+m", None);
        check_wait("+99999999999999999999s", None);
    }

    #[track_caller]
    fn check_fault(text: &str, line: usize) {
        assert_eq!(parse(text).map_err(|error| error.line), Err(line), "{text}");
    }

    #[test]
    fn faults_name_their_line() {
        check_fault("C: a\nX: b\n", 2);
        check_fault("== x\nC: \\xg0\n", 2);
        check_fault("C: \\q\n", 1);
        check_fault("T: soon\n", 1);
    }

    #[test]
    fn a_file_is_compared_and_rewritten_only_when_asked() {
        let path = env::temp_dir().join(format!("mox-testkit-{}.txt", std::process::id()));
        fs::write(&path, GOOD).unwrap();
        run(&path, echo);
        fs::write(&path, GOOD.replace("S: bye", "S: good bye")).unwrap();
        let failed = std::panic::catch_unwind(|| run(&path, echo)).is_err();
        let updating = env::var_os("UPDATE").is_some_and(|value| value == "1");
        assert_eq!(failed, !updating);
        fs::remove_file(&path).unwrap();
    }
}
