//! One half learnt, the other judged.

use mox_junk::{Class, Model, Tally};
use mox_testkit::TestRng;

use super::Setting;
use super::source::Item;

/// Learns a half that the seed chooses, and scores the other one.
pub(super) fn run(items: &[Item], setting: &Setting, seed: u64) -> Tally {
    let rng = TestRng::new(seed);
    let is_learnt: Vec<bool> = items.iter().map(|_| rng.below(2) == 0).collect();
    let mut model = Model::default();
    let mut tally = Tally::default();
    for (item, _) in items.iter().zip(&is_learnt).filter(|(_, is_learnt)| **is_learnt) {
        model.train(&setting.words(item), class(item));
    }
    for (item, _) in items.iter().zip(&is_learnt).filter(|(_, is_learnt)| !**is_learnt) {
        let score = model.classify(&setting.words(item), &setting.params);
        tally.add(class(item), score.probability);
    }
    tally
}

pub(super) fn class(item: &Item) -> Class {
    if item.is_spam { Class::Spam } else { Class::Ham }
}
