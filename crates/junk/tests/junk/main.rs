//! Tests of the filter as a whole.

mod invariants;

use mox_junk::{Class, Kinds, Model, Params, Words};
use mox_testkit::junk::Corpus;
use proptest::prelude::*;

/// A line of a message, or something like it.
fn line() -> impl Strategy<Value = String> {
    let name = "(From|To|Subject|Received|Date|Message-ID|Content-Type|X-[A-Za-z]{1,9})";
    prop_oneof![
        "[ -~]{0,90}",
        (name, "\\PC{0,60}").prop_map(|(name, value)| format!("{name}: {value}")),
        Just(String::new()),
        Just("Content-Type: multipart/mixed; boundary=x".to_owned()),
        Just("Content-Type: text/html; charset=utf-16".to_owned()),
        Just("Content-Transfer-Encoding: base64".to_owned()),
        Just("--x".to_owned()),
        "<[a-z]{1,6}( [a-z]{3,5}=['\"]?[ -~]{0,40}['\"]?){0,3}>?[ -~]{0,30}",
        "https?://[a-z@.%0-9\\PC]{1,40}/\\PC{0,20}",
    ]
}

proptest! {
    #[test]
    fn any_lines_have_words_within_bounds(lines in prop::collection::vec(line(), 0..30)) {
        invariants::check_words(lines.join("\r\n").as_bytes());
    }

    #[test]
    fn any_bytes_have_words_within_bounds(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        invariants::check_words(&bytes);
    }

    /// Mail with some bytes changed.
    #[test]
    fn damaged_mail_has_words_within_bounds(
        number in 0..1_000_u64,
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..20),
    ) {
        let mut message = Corpus::new(1).sample(number).message;
        for (at, byte) in damage {
            let at = at.index(message.len());
            message[at] = byte;
        }
        invariants::check_words(&message);
    }
}

/// The attack: what takes long. Each message is of 128 KiB.
#[test]
fn hostile_messages_cost_little_more_than_others() {
    let filler = |unit: &str| unit.repeat((1 << 16) / unit.len());
    for body in [
        filler("a"),
        filler("a b "),
        filler("<a href=\""),
        filler("<"),
        filler("&amp;"),
        filler("http://"),
        filler("a@b.example "),
        filler("\u{200b}"),
        filler("日"),
        filler("'"),
    ] {
        for kind in ["plain", "html"] {
            let message = format!("Subject: {body}\r\nContent-Type: text/{kind}\r\n\r\n{body}");
            invariants::check_words(message.as_bytes());
        }
    }
}

/// Fresh, each class learnt twice from real messages; then unlearnt again.
#[test]
fn two_messages_of_each_class_are_enough_to_know_them_again() {
    let corpus = Corpus::new(9);
    let samples = || (0..).map(|number| corpus.sample(number));
    let words = |is_spam| {
        let sample = samples().find(|sample| sample.is_spam == is_spam).unwrap();
        Words::of_bytes(&sample.message, Kinds::default())
    };
    let (ham, spam) = (words(false), words(true));
    let mut model = Model::default();
    for _ in 0..2 {
        model.train(&ham, Class::Ham);
        model.train(&spam, Class::Spam);
    }
    let probability = |model: &Model, words| model.classify(words, &Params::default()).probability;
    assert!(probability(&model, &ham) <= 0.1, "{}", probability(&model, &ham));
    assert!(probability(&model, &spam) >= 0.9, "{}", probability(&model, &spam));
    for _ in 0..2 {
        model.untrain(&ham, Class::Ham);
        model.untrain(&spam, Class::Spam);
    }
    for words in [&ham, &spam] {
        assert!((probability(&model, words) - 0.5).abs() < 0.1);
    }
}
