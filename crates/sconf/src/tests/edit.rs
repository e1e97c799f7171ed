//! A program's change leaves the user's lines alone.

use super::{Keeper, Pen, Tour, Zoo};
use crate::{Document, Path, from_document, from_str, update};

const GARDEN: &str = "\
# Made by hand.

# The name on the sign.
Name: Tom
Break: 60m
# Not yet:
# Open: true

Pens:
\t# Smelly.
\twest:
\t\tCount: 07
\t\t# Old.
\t\tAnimal: goat

\t# Loud.
\teast: nil
\t# end of pens
# Words.
Tags:
\t- one
\t# second
\t- two
\t- three
# end
";

/// Makes a change and compares the whole text. What is read back must be what was wanted.
#[track_caller]
fn check(change: impl FnOnce(&mut Zoo), replacements: &[(&str, &str)]) {
    let mut document = Document::parse(GARDEN).unwrap();
    let mut zoo: Zoo = from_document(&document).unwrap();
    change(&mut zoo);
    update(&mut document, &zoo).unwrap();
    let mut want = GARDEN.to_owned();
    for (from, to) in replacements {
        assert!(want.contains(from), "{from:?}");
        want = want.replacen(from, to, 1);
    }
    assert_eq!(document.to_string(), want);
    assert_eq!(from_str::<Zoo>(&want).unwrap(), zoo);
}

#[test]
fn nothing_changes_where_the_meaning_is_the_same() {
    check(|_| {}, &[]);
    check(|zoo| zoo.pause = "1h".parse().unwrap(), &[]);
}

#[test]
fn a_scalar_is_replaced_in_its_line() {
    check(|zoo| zoo.name = "Ann".into(), &[("Name: Tom", "Name: Ann")]);
    check(|zoo| zoo.pens.get_mut("west").unwrap().count = 8, &[("Count: 07", "Count: 8")]);
    check(|zoo| zoo.tags[1] = "zwei".into(), &[("- two", "- zwei")]);
}

#[test]
fn a_new_field_follows_those_declared_before_it() {
    check(|zoo| zoo.visitors = 3, &[("Name: Tom\n", "Name: Tom\nVisitors: 3\n")]);
    check(
        |zoo| zoo.keeper = Some(Keeper { age: Some(0), note: String::new() }),
        &[("Break: 60m\n", "Break: 60m\nKeeper:\n\tAge: 0\n")],
    );
    check(
        |zoo| zoo.tours.push(Tour { hour: 9, stops: Vec::new() }),
        &[("\t- three\n", "\t- three\nTours:\n\t-\n\t\tHour: 9\n")],
    );
}

#[test]
fn a_removed_field_takes_its_comment_along() {
    check(|zoo| zoo.pause = "0s".parse().unwrap(), &[("Break: 60m\n", "")]);
    check(
        |zoo| zoo.pens.get_mut("west").unwrap().animal.clear(),
        &[("\t\t# Old.\n\t\tAnimal: goat\n", "")],
    );
    check(
        |zoo| zoo.tags.clear(),
        &[("# Words.\nTags:\n\t- one\n\t# second\n\t- two\n\t- three\n", "")],
    );
}

#[test]
fn map_entries_come_and_go() {
    let pen = || Pen { animal: "cat".into(), count: 0 };
    // The user's order is not sorted: at the end.
    check(
        |zoo| drop(zoo.pens.insert("cage".into(), pen())),
        &[("\teast: nil\n", "\teast: nil\n\tcage:\n\t\tAnimal: cat\n")],
    );
    check(
        |zoo| drop(zoo.pens.remove("west")),
        &[("\t# Smelly.\n\twest:\n\t\tCount: 07\n\t\t# Old.\n\t\tAnimal: goat\n", "")],
    );
    check(|zoo| drop(zoo.pens.remove("east")), &[("\n\t# Loud.\n\teast: nil\n", "\n")]);
    check(
        |zoo| zoo.pens.get_mut("east").unwrap().count = 2,
        &[("east: nil\n", "east:\n\t\tCount: 2\n")],
    );
    check(
        |zoo| *zoo.pens.get_mut("west").unwrap() = Pen::default(),
        &[("west:\n\t\tCount: 07\n\t\t# Old.\n\t\tAnimal: goat\n", "west: nil\n")],
    );
}

#[test]
fn new_keys_go_to_their_place_in_a_sorted_map() {
    let text = "Name: a\nPens:\n\n\t# bee\n\tb: nil\n\td: nil\n";
    for (key, want) in [
        ("a", "Pens:\n\n\ta: nil\n\t# bee\n\tb: nil\n\td: nil\n"),
        ("c", "Pens:\n\n\t# bee\n\tb: nil\n\tc: nil\n\td: nil\n"),
        ("e", "Pens:\n\n\t# bee\n\tb: nil\n\td: nil\n\te: nil\n"),
    ] {
        let mut document = Document::parse(text).unwrap();
        let mut zoo: Zoo = from_document(&document).unwrap();
        zoo.pens.insert(key.into(), Pen::default());
        update(&mut document, &zoo).unwrap();
        assert_eq!(document.to_string(), format!("Name: a\n{want}"));
    }
}

#[test]
fn list_items_keep_their_comments() {
    check(|zoo| drop(zoo.tags.remove(0)), &[("\t- one\n", "")]);
    check(|zoo| drop(zoo.tags.remove(1)), &[("\t# second\n\t- two\n", "")]);
    check(|zoo| zoo.tags.insert(1, "x".into()), &[("\t- one\n", "\t- one\n\t- x\n")]);
    check(|zoo| zoo.tags.push("x".into()), &[("\t- three\n", "\t- three\n\t- x\n")]);
}

#[test]
fn a_change_that_cannot_be_written_changes_nothing() {
    let mut document = Document::parse(GARDEN).unwrap();
    let mut zoo: Zoo = from_document(&document).unwrap();
    zoo.name = "Ann".into();
    zoo.tags.push("a\nb".into());
    assert!(update(&mut document, &zoo).is_err());
    assert_eq!(document.to_string(), GARDEN);
}

#[test]
fn values_are_set_and_removed_by_path() {
    let mut document = Document::parse(GARDEN).unwrap();
    let root = Path::root();
    let count = root.key("Pens").key("west").key("Count");
    assert_eq!(document.entry(&count).unwrap().text(), Some("07"));
    document.set(&count, "9").unwrap();
    document.set(&root.key("Pens").key("new").key("Animal"), "owl").unwrap();
    document.set(&root.key("Tags").index(2), "drei").unwrap();
    assert!(document.remove(&root.key("Tags").index(0)));
    assert!(!document.remove(&root.key("Tags").index(7)));
    assert!(document.remove(&root.key("Pens").key("west").key("Animal")));
    let want = GARDEN
        .replace("Count: 07", "Count: 9")
        .replace("\t\t# Old.\n\t\tAnimal: goat\n", "")
        .replace("\teast: nil\n", "\teast: nil\n\tnew:\n\t\tAnimal: owl\n")
        .replace("- three", "- drei")
        .replace("\t- one\n", "");
    assert_eq!(document.to_string(), want);
    // What goes below nothing is removed with it.
    assert!(document.remove(&root.key("Pens").key("new").key("Animal")));
    assert!(document.entry(&root.key("Pens").key("new")).is_none());
    // Neither a value for what holds others, nor others below a value.
    assert!(document.set(&root.key("Pens"), "x").is_err());
    assert!(document.set(&root.key("Name").key("x"), "x").is_err());
    assert!(document.set(&root.key("Tags").index(9), "x").is_err());
    assert!(document.set(&root, "x").is_err());
}

#[test]
fn lines_are_found_by_path() {
    let document = Document::parse(GARDEN).unwrap();
    let pens = Path::root().key("Pens");
    assert_eq!(document.line(&Path::root()), 1);
    assert_eq!(document.line(&pens.key("west").key("Animal")), 14);
    // The nearest line above, for a key that is not there; keys in other case.
    assert_eq!(document.line(&pens.key("west").key("Color")), 11);
    assert_eq!(document.line(&pens.key("EAST")), 17);
    assert_eq!(pens.key("a.b").index(0).key("c").to_string(), "Pens.a.b[0].c");
}
