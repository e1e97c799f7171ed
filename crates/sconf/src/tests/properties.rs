//! Properties over random documents and values.

use proptest::collection::{btree_map, vec};
use proptest::prelude::*;

use super::{Keeper, Pen, Place, Tour, Zoo};
use crate::{Docs, Document, Duration, from_document, from_str, to_string, update};

prop_compose! {
    fn pen()(animal in "[a-z: #-]{0,6}", count: u16) -> Pen {
        Pen { animal, count }
    }
}

prop_compose! {
    fn tour()(hour: u16, stops in vec("[a-z#:\t -]{0,5}", 0..3)) -> Tour {
        Tour { hour, stops }
    }
}

prop_compose! {
    fn keeper()(age: Option<i64>, note in "\\PC{0,8}") -> Keeper {
        Keeper { age, note }
    }
}

prop_compose! {
    fn zoo()(
        name in "\\PC{0,12}",
        (open, visitors, age_secs) in (any::<bool>(), any::<u32>(), 0..1_000_000_u64),
        ratio in prop::num::f64::NORMAL | prop::num::f64::ZERO,
        keeper in prop::option::of(keeper()),
        town in "[a-z]{0,3}",
        pens in btree_map("[a-z][a-z0-9 .@#-]{0,6}", pen(), 1..5),
        tags in vec("\\PC{0,5}", 0..5),
        tours in vec(tour(), 0..4),
        gates in vec(any::<std::net::IpAddr>(), 0..3),
    ) -> Zoo {
        let pause = Duration::from_secs(age_secs);
        Zoo { name, open, visitors, ratio, pause, keeper, place: Place { town }, pens, tags, tours,
            gates }
    }
}

/// Comments and blank lines between the lines of a text, at any indentation.
fn commented(text: &str, seed: &[u8]) -> String {
    let mut seed = seed.iter().cycle();
    let mut out = String::new();
    for line in text.lines() {
        match seed.next().map_or(0, |b| b % 5) {
            0 => out.push_str("# top\n"),
            1 => out.push('\n'),
            2 => out.push_str("\t# one deep\n\n"),
            _ => {}
        }
        out.push_str(line);
        out.push('\n');
    }
    out
}

fn comments(text: &str) -> Vec<&str> {
    text.lines().filter(|line| line.trim_start().starts_with('#')).collect()
}

proptest! {
    #[test]
    fn what_is_written_is_read_to_the_same(zoo in zoo()) {
        for docs in [Docs::Omit, Docs::Write] {
            let text = to_string(&zoo, docs).unwrap();
            prop_assert_eq!(&from_str::<Zoo>(&text).unwrap(), &zoo, "{}", text);
        }
    }

    #[test]
    fn a_document_read_without_faults_prints_byte_by_byte(text in "([\t]{0,3}[-a#: \n]{0,5}\n?){0,12}") {
        if let Ok(document) = Document::parse(&text) {
            prop_assert_eq!(document.to_string(), text);
        }
    }

    #[test]
    fn no_text_panics(text in "\\PC*|([\t]{0,3}(Name|Pens|Tags|-|x|#)?:? ?(nil|1)?\r?\n){0,12}") {
        let _result = from_str::<Zoo>(&text);
    }

    #[test]
    fn any_value_can_be_brought_to_any_other(
        (from, to) in (zoo(), zoo()),
        seed in vec(any::<u8>(), 1..20),
    ) {
        let text = commented(&to_string(&from, Docs::Omit).unwrap(), &seed);
        let mut document = Document::parse(&text).unwrap();
        prop_assert_eq!(&from_document::<Zoo>(&document).unwrap(), &from);
        // The same value changes no byte.
        update(&mut document, &from).unwrap();
        prop_assert_eq!(document.to_string(), text.clone());
        // Another one leaves a document that reads as it, with no comment that was not there.
        update(&mut document, &to).unwrap();
        let edited = document.to_string();
        prop_assert_eq!(&from_str::<Zoo>(&edited).unwrap(), &to, "{}", edited);
        let mut left = comments(&text).into_iter();
        for comment in comments(&edited) {
            prop_assert!(left.any(|have| have == comment), "{}", edited);
        }
    }

    #[test]
    fn a_change_of_one_scalar_changes_one_line(
        zoo in zoo(),
        name in "[a-z]{13}",
        seed in vec(any::<u8>(), 1..20),
    ) {
        let text = commented(&to_string(&zoo, Docs::Omit).unwrap(), &seed);
        let mut document = Document::parse(&text).unwrap();
        update(&mut document, &Zoo { name, ..zoo }).unwrap();
        let edited = document.to_string();
        let changed = text.lines().zip(edited.lines()).filter(|(old, new)| old != new).count();
        prop_assert_eq!((changed, text.lines().count()), (1, edited.lines().count()));
    }
}
