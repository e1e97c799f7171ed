//! What is read, and what is said about what is not.

use super::{Keeper, Pen, Tour, Zoo};
use crate::{
    Described, Docs, Document, FAULTS_MAX, Fault, LINE_BYTES_MAX, Problem, describe, from_str,
    to_string,
};

const WHOLE: &str = "\
# A comment.
Name: Tom's: #1 zoo 

Open: true
Visitors: 12
Ratio: 0.25
Break: 1h30m
Keeper:
\tAge: -3
Place:
\tTown: Delft
Pens:
\tnorth pen:
\t\tAnimal: gnu
\t# About the south.
\tsouth: nil
Tags:
\t- a
\t-  b
\t- c: d
Tours:
\t-
\t\tHour: 9
\t-
\t\tStops:
\t\t\t- gate
\t\tHour: 10
Gates:
\t- 127.0.0.1
\t- ::1
";

#[test]
fn every_form_of_value_is_read() {
    let zoo: Zoo = from_str(WHOLE).unwrap();
    assert_eq!(zoo.name, "Tom's: #1 zoo ");
    assert!(zoo.open);
    assert_eq!((zoo.visitors, zoo.ratio), (12, 0.25));
    assert_eq!(zoo.pause.0.as_secs(), 5_400);
    assert_eq!(zoo.keeper, Some(Keeper { age: Some(-3), note: String::new() }));
    assert_eq!(zoo.place.town, "Delft");
    assert_eq!(zoo.pens["north pen"], Pen { animal: "gnu".into(), count: 0 });
    assert_eq!(zoo.pens["south"], Pen::default());
    assert_eq!(zoo.tags, ["a", " b", "c: d"]);
    assert_eq!(zoo.tours[1], Tour { hour: 10, stops: vec!["gate".into()] });
    assert_eq!(zoo.gates.len(), 2);
}

#[test]
fn the_canonical_form_is_written_in_order_without_what_is_not_set() {
    let zoo: Zoo = from_str(WHOLE).unwrap();
    let want = "\
Name: Tom's: #1 zoo 
Open: true
Visitors: 12
Ratio: 0.250000
Break: 1h30m0s
Keeper:
\tAge: -3
Place:
\tTown: Delft
Pens:
\tnorth pen:
\t\tAnimal: gnu
\tsouth: nil
Tags:
\t- a
\t-  b
\t- c: d
Tours:
\t-
\t\tHour: 9
\t-
\t\tHour: 10
\t\tStops:
\t\t\t- gate
Gates:
\t- 127.0.0.1
\t- ::1
";
    assert_eq!(to_string(&zoo, Docs::Omit).unwrap(), want);
}

/// Checks the faults of a text, each as `line: message`; where one is shortened, its start.
#[track_caller]
fn check(text: &str, want: &[&str]) {
    let got = from_str::<Zoo>(text).map_or_else(|faults| faults, |_| Vec::new());
    let got: Vec<String> = got.iter().map(Fault::to_string).collect();
    let same = got.len() == want.len() && got.iter().zip(want).all(|(g, w)| g.starts_with(w));
    assert!(same, "{text:?}\n got {got:#?}\nwant {want:#?}");
}

/// A document whose required keys are there, with a piece put before `Pens`.
fn with(piece: &str) -> String {
    format!("Name: a\n{piece}Pens:\n\tx: nil\n")
}

#[test]
fn line_syntax_is_exact() {
    // Valid.
    check(&with(""), &[]);
    check(&with("\n\t\t  # deeper comment\n"), &[]);
    // At the edge of valid.
    check(&with("Tags:\n\t- \n"), &[]);
    check("Name:\nPens:\n\tx: nil\n", &[]);
    check("Name: a\nPens:\n\tx: nil", &[]);
    check(&with(&format!("Tags:\n\t- {}\n", "x".repeat(LINE_BYTES_MAX - 3))), &[]);
    // Just past the edge.
    check(
        &with(&format!("Tags:\n\t- {}\n", "x".repeat(LINE_BYTES_MAX - 2))),
        &["2: expected indent", "3: line is over 65536 bytes"],
    );
    check(&with("Open:true\n"), &["2: missing space after colon"]);
    check(&with("Open:\ttrue\n"), &["2: missing space after colon", "2: bad boolean"]);
    check(&with("\t\n"), &["2: stray whitespace"]);
    check(&with("Keeper:\n\t\tAge: 1\n"), &["2: expected indent", "3: unexpected indent"]);
    check(&with("Keeper:\n \tAge: 1\n"), &["2: expected indent", "3: space before key"]);
    check(&with("Keeper:\n\t Age: 1\n"), &["2: expected indent", "3: space before key"]);
    check(&with("\tOpen: true\n"), &["2: unexpected indent"]);
    check(&with("Tags:\n\t-a\n"), &["2: expected indent", "3: expected `key: value`"]);
    // Never valid.
    check(&with("Open\n"), &["2: expected `key: value`, but the line has no colon"]);
    check(&with(": true\n"), &["2: empty key"]);
    check("Name: a\r\nPens:\r\n\tx: nil\r\n", &["1: carriage return: lines must end in LF only"]);
    check("", &["1: missing required key \"Name\"", "1: missing required key \"Pens\""]);
}

#[test]
fn keys_and_forms_are_checked_against_the_type() {
    check(&with("Opn: true\n"), &["2: unknown key \"Opn\""]);
    check(&with("open: true\n"), &["2: unknown key \"open\", perhaps \"Open\" is meant"]);
    check(&with("Open : true\n"), &["2: unknown key \"Open \": stray whitespace"]);
    check(&with("Open: true\nOpen: true\n"), &["3: duplicate key \"Open\", first seen on line 2"]);
    check(
        "Name: a\nPens:\n\tx: nil\n\tx: nil\n",
        &["4: duplicate key \"x\", first seen on line 3"],
    );
    check(
        &with("Place:\n\t- Delft\n"),
        &["2: missing required key \"Town\"", "3: expected `key: value`, not a list item"],
    );
    check(&with("Tags:\n\ta: b\n"), &["3: expected a list item"]);
    check(&with("Tags: a\n"), &["2: expected indent"]);
    check(&with("Keeper:\n"), &["2: expected indent"]);
    check(&with("Keeper: nil\n"), &["2: expected indent"]);
    check(&with("Open:\n\ta: b\n"), &["2: expected a value on the same line"]);
    check(&with("Tours:\n\t- Hour: 9\n"), &["3: expected indent"]);
    check(&with("Tours:\n\t-\n\t\tStops:\n\t\t\t- a\n"), &["3: missing required key \"Hour\""]);
    check("Name: a\nPens:\n\tx: y\n", &["3: expected indent"]);
}

#[test]
fn scalars_are_checked() {
    check(&with("Open: True\n"), &["2: bad boolean: \"True\" is neither `true` nor `false`"]);
    check(&with("Open: true \n"), &["2: bad boolean"]);
    check(&with("Open:\n"), &["2: bad boolean"]);
    check(&with("Visitors: 4294967295\n"), &[]);
    check(
        &with("Visitors: 4294967296\n"),
        &["2: bad whole number: \"4294967296\" is not a number \
        from 0 to 4294967295"],
    );
    check(&with("Visitors: -1\n"), &["2: bad whole number"]);
    check(&with("Ratio: inf\n"), &["2: bad number"]);
    check(&with("Ratio: 1e3\n"), &[]);
    check(&with("Break: 5\n"), &["2: bad duration: \"5\": expected numbers with units"]);
    check(&with("Gates:\n\t- localhost\n"), &["3: bad IP address"]);
}

#[test]
fn all_faults_are_reported_not_only_the_first() {
    check(
        "Nam: a\nOpen: yes\nKeeper:\n\tAge: old\n\tNote\nPens:\n\tx:\n\t\tCount: 65536\n",
        &[
            "1: unknown key \"Nam\"",
            "1: missing required key \"Name\"",
            "2: bad boolean",
            "4: bad whole number",
            "5: expected `key: value`",
            "8: bad whole number",
        ],
    );
    let many = with(&"x: y\n".repeat(FAULTS_MAX * 2));
    assert_eq!(from_str::<Zoo>(&many).unwrap_err().len(), FAULTS_MAX);
}

#[test]
fn depth_is_limited() {
    let nested = |depth: usize| -> String {
        (0..=depth).map(|depth| format!("{}a:\n", "\t".repeat(depth))).collect()
    };
    assert!(Document::parse(&nested(crate::DEPTH_MAX)).is_ok());
    let faults = Document::parse(&nested(crate::DEPTH_MAX + 1)).unwrap_err();
    assert_eq!(faults, [Fault { line: crate::DEPTH_MAX + 2, problem: Problem::TooDeep }]);
}

#[test]
fn the_size_of_a_document_is_limited() {
    let long = "\n".repeat(crate::DOCUMENT_BYTES_MAX);
    assert!(Document::parse(&long).is_ok());
    let faults = Document::parse(&format!("{long}\n")).unwrap_err();
    assert_eq!(faults, [Fault { line: 0, problem: Problem::DocumentTooLong }]);
    let many = "- \n".repeat(crate::ENTRIES_MAX);
    assert!(Document::parse(&many).is_ok());
    let faults = Document::parse(&format!("{many}- \n")).unwrap_err();
    assert_eq!(faults[0].problem, Problem::TooManyEntries);
}

#[test]
fn what_cannot_be_read_back_is_not_written() {
    let zoo = |change: fn(&mut Zoo)| {
        let mut zoo: Zoo = from_str(WHOLE).unwrap();
        change(&mut zoo);
        to_string(&zoo, Docs::Omit).map_err(|error| error.to_string())
    };
    assert!(zoo(|_| {}).is_ok());
    assert!(zoo(|zoo| zoo.name = "a\nOpen: false".into()).unwrap_err().contains("one line"));
    for key in ["", " ", "a:b", "#a", " #a", "\ta", "- a", "a\nb"] {
        let mut zoo: Zoo = from_str(WHOLE).unwrap();
        zoo.pens.insert(key.into(), Pen::default());
        assert!(to_string(&zoo, Docs::Omit).is_err(), "{key:?}");
    }
    assert!(zoo(|zoo| zoo.pens.clear()).unwrap_err().contains("Pens: must not be empty"));
    // A struct that counts by being there needs a line.
    let text = zoo(|zoo| zoo.keeper = Some(Keeper::default())).unwrap();
    assert!(from_str::<Zoo>(&text).unwrap().keeper.is_some(), "{text}");
}

#[test]
fn the_description_has_every_key_with_its_docs() {
    let text = describe(&Zoo::SHAPE);
    let want = "\
# What it is called.
Name:

# Whether it is open. (optional)
Open: false

# How many came yesterday.
#
# Counted at the gate, by a person with a mechanical counter that has not been
# oiled since. (optional)
Visitors: 0

# Sun. (optional)
Ratio: 0.000000

# At noon. (optional)
Break: 0s

# Who is in charge. (optional)
Keeper:
\t# In years. (optional)
\tAge: 0

\t# Written. (optional)
\tNote:

# Where. (optional)
Place:
\t# Named.
\tTown:

# By name.
Pens:
\tx:
\t\t# Kind. (optional)
\t\tAnimal:

\t\t# How many. (optional)
\t\tCount: 0

# Free. (optional)
Tags:
\t- 

# Guided. (optional)
Tours:
\t-
\t\t# Of day.
\t\tHour: 0

\t\t# On foot. (optional)
\t\tStops:
\t\t\t- 

# Gates. (optional)
Gates:
\t- 
";
    assert_eq!(text, want);
}

#[test]
fn docs_stand_above_the_keys_that_are_written() {
    let zoo = Zoo {
        name: "a".into(),
        pens: [("x".into(), Pen { count: 2, ..Pen::default() })].into(),
        ..Zoo::default()
    };
    let text = to_string(&zoo, Docs::Write).unwrap();
    let want = "\
\n# What it is called.\nName: a\n\n# By name.\nPens:\n\tx:\n\n\t\t# How many. (optional)\n\
        \t\tCount: 2\n";
    assert_eq!(text, want);
    assert_eq!(from_str::<Zoo>(&text).unwrap(), zoo);
}
