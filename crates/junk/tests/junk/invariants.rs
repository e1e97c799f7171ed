//! What holds of the words of any bytes. The fuzz target checks the same.

use mox_junk::{
    Class, HEADER_WORDS_MAX, Kinds, Model, Params, TEXT_WORDS_MAX, Totals, Words, arrival,
};

/// No word is longer, in bytes: a row of three, or an address.
const WORD_BYTES_MAX: usize = 1_000;

/// Checks the words of these bytes as a message, of all kinds.
pub(crate) fn check_words(bytes: &[u8]) {
    let _date = arrival(bytes);
    for kinds in [Kinds::default(), Kinds { onegrams: true, twograms: true, threegrams: true }] {
        let words = Words::of_bytes(bytes, kinds);
        assert!(words.len() <= TEXT_WORDS_MAX + HEADER_WORDS_MAX);
        let sorted = words.sorted();
        assert!(sorted.is_sorted_by(|a, b| a.hash < b.hash));
        for word in &sorted {
            assert!(!word.text.is_empty() && word.text.len() <= WORD_BYTES_MAX, "{word:?}");
            assert!(!word.text.contains(char::is_control), "{word:?}");
        }
        assert_eq!(words.hashes(), Words::of_bytes(bytes, kinds).hashes());
        check_learning(&words);
    }
}

/// What is learnt raises the probability of its class, and is gone when it is unlearnt.
fn check_learning(words: &Words) {
    for class in [Class::Ham, Class::Spam] {
        let mut model = Model::default();
        model.train(words, class);
        model.train(words, class);
        let score = model.classify(words, &Params::default());
        assert!((0.0..=1.0).contains(&score.probability));
        match class {
            Class::Ham => assert!(score.probability < 0.5 || words.is_empty()),
            Class::Spam => assert!(score.probability > 0.5 || words.is_empty()),
        }
        model.untrain(words, class);
        model.untrain(words, class);
        assert_eq!((model.len(), model.totals()), (0, Totals::default()));
    }
}
