//! What holds for any text. Used by the tests beside this file and by the fuzz targets.

use std::collections::BTreeMap;

use mox_sconf::{Docs, Document, Duration, FAULTS_MAX, Faults, Path, from_document};

mox_sconf::settings! {
    /// A document with every form of value.
    pub(crate) struct Any {
        /// Text.
        "Text" optional => text: String,
        /// Boolean.
        "Flag" optional => flag: bool,
        /// Number.
        "Count" optional => count: i64,
        /// Decimal.
        "Share" optional => share: f64,
        /// Duration.
        "Wait" optional => wait: Option<Duration>,
        /// Map.
        "Map" optional => map: BTreeMap<String, Item>,
        /// List.
        "List" optional => list: Vec<Item>,
        /// Texts.
        "Texts" optional => texts: Vec<String>,
    }

    /// A part of it.
    pub(crate) struct Item {
        /// Text.
        "Text" optional => text: String,
        /// Below.
        "Texts" optional => texts: Vec<String>,
    }
}

/// Reads a text as a document, and what it says as settings; changes them and reads them again.
pub(crate) fn check(text: &str) {
    let mut faults = Faults::default();
    let mut document = Document::read(text, &mut faults);
    let lines = text.lines().count();
    let valid = faults.is_empty();
    if valid {
        assert_eq!(document.to_string(), text, "a document prints as it was read");
    }
    assert!(document.line(&Path::root().key("Map").key("x").key("Texts").index(1)) <= lines.max(1));
    let found = faults.into_sorted();
    assert!(found.len() <= FAULTS_MAX);
    assert!(found.iter().all(|fault| fault.line <= lines), "{found:?}");
    let any = from_document::<Any>(&document);
    // What was left out of a faulty document may be missed, so that nothing is said about edits.
    let (true, Ok(any)) = (valid, any) else { return };
    // The same settings change nothing.
    let before = document.to_string();
    assert_eq!(mox_sconf::update(&mut document, &any), Ok(()));
    assert_eq!(document.to_string(), before);
    // Written anew they are the same.
    let written = mox_sconf::to_string(&any, Docs::Write);
    let again = written.as_ref().map(|written| mox_sconf::from_str(written));
    assert_eq!(again, Ok(Ok(any.clone())), "{written:?}");
    // Other settings are what is read after the change.
    let mut other = any.clone();
    other.flag = !other.flag;
    other.texts.insert(0, "new".to_owned());
    other.list.pop();
    other.map.insert("new".to_owned(), Item::default());
    assert_eq!(mox_sconf::update(&mut document, &other), Ok(()));
    let changed = document.to_string();
    assert_eq!(mox_sconf::from_str::<Any>(&changed), Ok(other), "{changed}");
}
