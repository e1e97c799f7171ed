//! Searches that are kept under a name, put in the place of their names.
//!
//! They are annotations of the server, `/private/filters/values/NAME` or, where there is none,
//! `/shared/filters/values/NAME`. All are read at once; each may name others.
//!
//! Source: RFC 5466.

use std::collections::HashMap;

use super::op::{GetMetadataOp, MetadataFound};
use super::{Action, Op, Pending, Session, State, Tagged};
use crate::parser;
use crate::print::Code;
use crate::types::{
    Command, MetadataDepth, MetadataValue, NumSet, ParsedKey, SEARCH_DEPTH_MAX, SEARCH_KEYS_MAX,
    SearchKey, SetMetadata,
};

/// How deep filters may name one another. Ours.
pub const FILTER_DEPTH_MAX: usize = 10;

/// The most bytes of all filters that are put in one search, each as often as it is named; so also
/// of one filter. Ours: a few lines' worth of a client's commands.
pub const FILTER_BYTES_MAX: usize = 64 << 10;

/// Where filters are, those that count first. RFC 5466 §3.2.
const VALUES: [&str; 2] = ["/private/filters/values", "/shared/filters/values"];

/// The program of a command that has one.
fn key_of(command: &mut Command) -> Option<&mut ParsedKey> {
    match command {
        Command::Search(search) => Some(&mut search.key),
        Command::MultiSearch(search) => Some(&mut search.key),
        Command::Thread(thread) => Some(&mut thread.key),
        _ => None,
    }
}

/// Whether a command names filters.
pub(super) fn has_filters(command: &mut Command) -> bool {
    key_of(command).is_some_and(|key| key.any(&|key| matches!(key, SearchKey::Filter(_))))
}

/// Asks for the filters that a command names.
pub(super) fn look_up(session: &mut Session, cmd: Tagged, command: Command) -> Action {
    let op = GetMetadataOp {
        mailbox: None,
        entries: VALUES.map(str::to_owned).to_vec(),
        depth: MetadataDepth::One,
        max_size: None,
    };
    session.perform(cmd, Pending::Filters(Box::new(command)), Op::GetMetadata(op))
}

/// The filters are known: the command goes on without their names. RFC 5466 §3.1.
pub(super) fn found(
    session: &mut Session,
    cmd: Tagged,
    mut command: Command,
    found: MetadataFound,
) -> Action {
    let mut filters = Filters::new(found);
    let Some(key) = key_of(&mut command) else { return session.done(cmd) };
    let whole = std::mem::replace(key, SearchKey::All);
    match filters.expand(whole, 0) {
        Ok(expanded) => {
            *key = expanded;
            session.dispatch(cmd, command)
        }
        Err(fault) => {
            clear_saved(session, &command);
            refuse(session, cmd, &fault)
        }
    }
}

/// RFC 5182 §2.1: a search that fails leaves an empty result.
fn clear_saved(session: &mut Session, command: &Command) {
    let saves = match command {
        Command::Search(search) => search.options.is_some_and(|options| options.save),
        Command::MultiSearch(search) => search.options.save,
        _ => false,
    };
    if let State::Selected(view) = &mut session.state
        && saves
    {
        view.saved = NumSet::new();
    }
}

fn refuse(session: &mut Session, cmd: Tagged, fault: &Fault) -> Action {
    match fault {
        Fault::Undefined(name) => {
            let code = format!("UNDEFINED-FILTER {name}");
            session.no_with(cmd, |out| out.extend_from_slice(code.as_bytes()), "no such filter")
        }
        Fault::TooLarge => session.no(cmd, Some(Code::Limit), "too much in filters"),
    }
}

/// Why filters cannot be put in.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Fault {
    /// There is no filter of this name, or it cannot be understood, or it names itself. RFC 5466 §3.1.
    Undefined(String),
    /// More keys, levels or text than a search may have.
    TooLarge,
}

/// Puts filters in.
struct Filters {
    values: HashMap<String, MetadataValue>,
    keys_left: usize,
    bytes_left: usize,
    /// The filters that are being put in, each named by the one before.
    path: Vec<String>,
}

impl Filters {
    fn new(found: MetadataFound) -> Self {
        let mut values = HashMap::new();
        for (entry, value) in found.entries {
            let place = VALUES.iter().find_map(|above| entry.strip_prefix(above));
            let name = place.and_then(|name| name.strip_prefix('/'));
            if let (Some(name), Some(value)) = (name, value) {
                // Sorted by name: private ones come first, and count.
                values.entry(name.to_owned()).or_insert(value);
            }
        }
        let (keys_left, bytes_left) = (SEARCH_KEYS_MAX, FILTER_BYTES_MAX);
        Self { values, keys_left, bytes_left, path: Vec::new() }
    }

    /// Replaces names in a program that is `depth` levels down.
    ///
    /// Bounded in depth, and by the number of keys that come out and the text that is read.
    fn expand(&mut self, key: ParsedKey, depth: usize) -> Result<ParsedKey, Fault> {
        if depth > SEARCH_DEPTH_MAX {
            return Err(Fault::TooLarge);
        }
        self.keys_left = self.keys_left.checked_sub(1).ok_or(Fault::TooLarge)?;
        let below = depth + 1;
        Ok(match key {
            SearchKey::Filter(name) => self.filter(name, below)?,
            SearchKey::And(keys) => SearchKey::And(
                keys.into_iter().map(|key| self.expand(key, below)).collect::<Result<_, _>>()?,
            ),
            SearchKey::Or(one, two) => SearchKey::Or(
                Box::new(self.expand(*one, below)?),
                Box::new(self.expand(*two, below)?),
            ),
            SearchKey::Not(key) => SearchKey::Not(Box::new(self.expand(*key, below)?)),
            SearchKey::Fuzzy(key) => SearchKey::Fuzzy(Box::new(self.expand(*key, below)?)),
            key => key,
        })
    }

    fn filter(&mut self, name: String, depth: usize) -> Result<ParsedKey, Fault> {
        if self.path.contains(&name) {
            return Err(Fault::Undefined(name));
        }
        if self.path.len() == FILTER_DEPTH_MAX {
            return Err(Fault::TooLarge);
        }
        let Some(value) = self.values.get(&name) else { return Err(Fault::Undefined(name)) };
        let left = self.bytes_left.checked_sub(value.bytes.len());
        self.bytes_left = left.ok_or(Fault::TooLarge)?;
        let Ok(key) = parser::filter_value(&value.bytes) else {
            return Err(Fault::Undefined(name));
        };
        self.path.push(name);
        let expanded = self.expand(key, depth);
        self.path.pop();
        expanded
    }
}

/// Checks the filters that SETMETADATA sets, or says what is wrong. RFC 5466 §3.2.
///
/// Filters that they name may come later, so whether those are there is seen when they are used.
pub(super) fn check_set(set: &SetMetadata) -> Result<(), &'static str> {
    if set.mailbox.is_some() {
        return Ok(());
    }
    for (entry, value) in &set.entries {
        let place = VALUES.iter().find_map(|above| entry.strip_prefix(above));
        let Some(name) = place.and_then(|name| name.strip_prefix('/')) else { continue };
        let Some(value) = value else { continue };
        if !parser::is_filter_name(name) {
            return Err("bad name of a filter");
        }
        if value.bytes.len() > FILTER_BYTES_MAX || parser::filter_value(&value.bytes).is_err() {
            return Err("a filter must be a search program");
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::MailboxArg;

    fn value(text: &str) -> Option<MetadataValue> {
        Some(MetadataValue { bytes: text.as_bytes().to_vec(), is_binary: false })
    }

    /// Puts filters, each `name=program` (`name` below `/private`, or `/shared` if it begins with
    /// `+`), in a program.
    #[track_caller]
    fn check(filters: &[&str], program: &str, want: Result<&str, Fault>) {
        let mut entries: Vec<_> = filters
            .iter()
            .map(|filter| {
                let (name, program) = filter.split_once('=').unwrap();
                let entry = match name.strip_prefix('+') {
                    Some(name) => format!("/shared/filters/values/{name}"),
                    None => format!("/private/filters/values/{name}"),
                };
                (entry, value(program))
            })
            .collect();
        entries.sort_by(|a, b| a.0.cmp(&b.0));
        let mut filters = Filters::new(MetadataFound { entries, ..MetadataFound::default() });
        let key = |program: &str| parser::filter_value(program.as_bytes()).unwrap();
        assert_eq!(filters.expand(key(program), 0), want.map(key), "{program}");
    }

    fn undefined(name: &str) -> Result<&'static str, Fault> {
        Err(Fault::Undefined(name.to_owned()))
    }

    /// RFC 5466 §3.1.
    #[test]
    fn names_are_replaced_by_what_they_stand_for() {
        // Valid.
        check(&["a=SEEN"], "FILTER a", Ok("SEEN"));
        check(&["a=SEEN"], "NOT FILTER A LARGER 5", Ok("NOT SEEN LARGER 5"));
        check(&["a=SEEN DRAFT"], "OR FILTER a FILTER a", Ok("OR (SEEN DRAFT) (SEEN DRAFT)"));
        check(&["a=FILTER b", "b=FUZZY TEXT x"], "FILTER a", Ok("FUZZY TEXT x"));
        check(&["a=SEEN", "+a=DRAFT", "+b=FLAGGED"], "(FILTER a) FILTER b", Ok("SEEN FLAGGED"));
        // Never valid.
        check(&["a=SEEN"], "FILTER b", undefined("b"));
        check(&["a=FILTER c", "b=SEEN"], "FILTER b FILTER a", undefined("c"));
        check(&["a=bogus"], "FILTER a", undefined("a"));
        check(&["a=FILTER a"], "FILTER a", undefined("a"));
        check(&["a=FILTER b", "b=OR SEEN FILTER a"], "FILTER a", undefined("a"));
    }

    /// Filters that double at each level would be gigabytes.
    #[test]
    fn what_is_put_in_is_bounded() {
        let chain = |last: usize, value: &str| {
            let name = |n: usize| format!("f{n}={}", value.replace('N', &(n + 1).to_string()));
            let mut all: Vec<String> = (1..last).map(name).collect();
            all.push(format!("f{last}=SEEN"));
            all
        };
        let texts = chain(FILTER_DEPTH_MAX, "FILTER fN");
        let all: Vec<&str> = texts.iter().map(String::as_str).collect();
        check(&all, "FILTER f1", Ok("SEEN"));
        let texts = chain(FILTER_DEPTH_MAX + 1, "FILTER fN");
        let all: Vec<&str> = texts.iter().map(String::as_str).collect();
        check(&all, "FILTER f1", Err(Fault::TooLarge));
        let texts = chain(FILTER_DEPTH_MAX, "FILTER fN FILTER fN FILTER fN");
        let all: Vec<&str> = texts.iter().map(String::as_str).collect();
        check(&all, "FILTER f1", Err(Fault::TooLarge));
        let large = format!("a=BODY {}", "x".repeat(FILTER_BYTES_MAX / 2));
        check(&[&large], "FILTER a FILTER a", Err(Fault::TooLarge));
        let deep = format!("a={}SEEN", "NOT ".repeat(SEARCH_DEPTH_MAX - 1));
        check(&[&deep], "NOT NOT FILTER a", Err(Fault::TooLarge));
    }

    /// RFC 5466 §3.2.
    #[test]
    fn filters_are_looked_at_when_they_are_set() {
        let set = |mailbox: Option<&str>, entry: &str, value| {
            check_set(&SetMetadata {
                mailbox: mailbox.map(|name| MailboxArg(name.to_owned())),
                entries: vec![(entry.to_owned(), value)],
            })
            .is_ok()
        };
        for (entry, text, want) in [
            ("/private/filters/values/a", "SEEN", true),
            ("/shared/filters/values/a", "FILTER not-yet", true),
            ("/private/filters/descriptions/a", "what I have seen", true),
            ("/private/filters/valuesa", "x y", true),
            ("/private/filters/values/a", "", false),
            ("/shared/filters/values/a", "bogus", false),
            ("/private/filters/values/a/b", "SEEN", false),
            ("/private/filters/values/a b", "SEEN", false),
        ] {
            assert_eq!(set(None, entry, value(text)), want, "{entry} {text}");
            assert!(set(Some("x"), entry, value(text)) && set(None, entry, None), "{entry}");
        }
        let long = format!("BODY {}", "x".repeat(FILTER_BYTES_MAX - 5));
        assert!(set(None, "/private/filters/values/a", value(&long)));
        assert!(!set(None, "/private/filters/values/a", value(&format!("{long}x"))));
    }
}
