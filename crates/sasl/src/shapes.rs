//! Which shape a name without account shows.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::{Decoy, ScramShape, Shape, Verifiers};

/// The most accounts of which the shape is kept, at some 100 bytes each. Of more, those are kept that
/// a keyed hash of the name picks, which are a fair sample.
pub const SHAPES_MAX: usize = 16_384;

/// The shapes of all stored passwords of a server, after which names without account are shaped.
///
/// Where accounts differ, as after taking over those of another server, a decoy of one shape would
/// tell who exists: whatever has another shape is an account. So each name without account has a
/// twin: an account that a keyed hash of both names picks, and whose shape it takes, now and when
/// that changes. Among names without account every shape is as frequent as it is among accounts,
/// and so a shape tells nothing.
///
/// The twin is the account with the highest number, made from both names. So a new account becomes
/// the twin of a fair share of all names, and all others keep theirs; this does not depend on
/// what was there before, so that it is so after a restart as well.
#[derive(Debug, Default)]
pub struct Shapes {
    /// By the place of the account.
    by_place: BTreeMap<u64, Twin>,
}

/// An account with a password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Twin {
    /// Its name.
    pub account: Arc<str>,
    /// The shape of what it has stored.
    pub shape: Shape,
}

impl Shapes {
    /// Takes what an account has now; `None` if it has no password: nobody can log in to it, and it
    /// shows as if it did not exist.
    pub fn set(&mut self, decoy: &Decoy, account: &str, shape: Option<Shape>) {
        let place = decoy.place_of_account(account);
        match shape {
            Some(shape) => {
                self.by_place.insert(place, Twin { account: account.into(), shape });
                if self.by_place.len() > SHAPES_MAX {
                    self.by_place.pop_last();
                }
            }
            None => {
                self.by_place.remove(&place);
            }
        }
    }

    /// Whether nothing of what is known changes by this.
    #[must_use]
    pub fn is_known(&self, decoy: &Decoy, account: &str, shape: Option<Shape>) -> bool {
        let known = self.by_place.get(&decoy.place_of_account(account));
        known.map(|twin| twin.shape) == shape
    }

    /// The twin of a name, if any account has a password. Its cost grows with the number of accounts,
    /// at some nanoseconds each, so it must be asked for names with an account as well. For `name` see
    /// [`Decoy::stored`].
    ///
    /// With the shape of the twin, the name shows the right thing to PLAIN and LOGIN, and to SCRAM
    /// unless that is impossible with it.
    #[must_use]
    pub fn twin(&self, decoy: &Decoy, name: &str) -> Option<Twin> {
        self.highest(decoy, name, Some).cloned()
    }

    /// What a name without account shows to SCRAM, and an account with a bcrypt hash as well. Costs the
    /// same.
    #[must_use]
    pub fn verifiers(&self, decoy: &Decoy, name: &str) -> Verifiers {
        let scram = |twin: &Twin| match twin.shape {
            Shape::Scram { sha1, sha256 } => Some((sha1, sha256)),
            Shape::Bcrypt { .. } => None,
        };
        let ours = (ScramShape::OURS, ScramShape::OURS);
        let (sha1, sha256) = self.highest(decoy, name, scram).unwrap_or(ours);
        decoy.verifiers_of(name, sha1, sha256)
    }

    /// What is wanted of the account with the highest number, of those that have it.
    fn highest<'a, T>(
        &'a self,
        decoy: &Decoy,
        name: &str,
        want: impl Fn(&'a Twin) -> Option<T>,
    ) -> Option<T> {
        let user = decoy.place_of_user(name);
        let wanted = self.by_place.iter().filter_map(|(place, twin)| Some((place, want(twin)?)));
        wanted.max_by_key(|(account, _)| mixed(user ^ **account)).map(|(_, wanted)| wanted)
    }
}

/// A number of which every bit depends on all bits of another; one to one.
fn mixed(number: u64) -> u64 {
    let number = (number ^ (number >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    let number = (number ^ (number >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    number ^ (number >> 33)
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::num::NonZeroU32;

    use super::*;

    const NAMES: usize = 20_000;
    const BCRYPT: Shape = Shape::Bcrypt { cost: 10 };

    fn taken_over() -> Shape {
        let shape = |iterations| ScramShape {
            iterations: NonZeroU32::new(iterations).unwrap(),
            salt_bytes: 16,
        };
        Shape::Scram { sha1: shape(8_192), sha256: shape(4_096) }
    }

    fn decoy() -> Decoy {
        Decoy::new([7; 32])
    }

    /// That many accounts of each shape.
    fn server(counts: &[(Shape, usize)]) -> Shapes {
        let mut shapes = Shapes::default();
        let all = counts.iter().flat_map(|(shape, count)| std::iter::repeat_n(*shape, *count));
        for (number, shape) in all.enumerate() {
            shapes.set(&decoy(), &format!("account{number}"), Some(shape));
        }
        shapes
    }

    fn names() -> impl Iterator<Item = String> {
        (0..NAMES).map(|number| format!("name{number}@example.org"))
    }

    /// Each shape is among names without account as frequent as among accounts, up to four standard
    /// deviations.
    #[track_caller]
    fn check(counts: &[(Shape, usize)]) {
        let shapes = server(counts);
        check_shares(counts, |name| plain(&shapes, name));
    }

    #[track_caller]
    fn check_shares(counts: &[(Shape, usize)], got: impl Fn(&str) -> Shape) {
        let mut found: HashMap<Shape, usize> = HashMap::new();
        names().for_each(|name| *found.entry(got(&name)).or_default() += 1);
        let accounts: usize = counts.iter().map(|(_, count)| count).sum();
        for (shape, count) in counts {
            let share = *count as f64 / accounts as f64;
            let want = share * NAMES as f64;
            let deviation = (want * (1.0 - share)).sqrt();
            let got = *found.get(shape).unwrap_or(&0) as f64;
            assert!((got - want).abs() <= 4.0 * deviation, "{shape:?}: {got} of {want}");
        }
    }

    fn plain(shapes: &Shapes, name: &str) -> Shape {
        shapes.twin(&decoy(), name).map_or(Shape::OURS, |twin| twin.shape)
    }

    fn scram(shapes: &Shapes, name: &str) -> Shape {
        let two = shapes.verifiers(&decoy(), name);
        Shape::Scram { sha1: two.sha1.shape(), sha256: two.sha256.shape() }
    }

    /// RFC 5802 §9: what is shown must not depend on whether there is an account.
    #[test]
    fn names_without_account_have_the_shapes_of_accounts() {
        check(&[(taken_over(), 1)]);
        check(&[(Shape::OURS, 1), (taken_over(), 1)]);
        check(&[(Shape::OURS, 5), (taken_over(), 3), (BCRYPT, 2)]);
        check(&[(Shape::OURS, 300), (taken_over(), 199), (BCRYPT, 1)]);
        // A server without passwords.
        assert!(names().all(|name| plain(&Shapes::default(), &name) == Shape::OURS));
    }

    /// An account with a bcrypt hash shows the same to SCRAM as one that does not exist.
    #[test]
    fn to_scram_they_have_the_shapes_of_those_that_scram_is_for() {
        let mixed = server(&[(Shape::OURS, 5), (taken_over(), 3), (BCRYPT, 2)]);
        check_shares(&[(Shape::OURS, 5), (taken_over(), 3)], |name| scram(&mixed, name));
        // Also among those names alone that show themselves to PLAIN as bcrypt.
        let all = server(&[(Shape::OURS, 50), (taken_over(), 50), (BCRYPT, 100)]);
        let hashed: Vec<_> = names().filter(|name| plain(&all, name) == BCRYPT).collect();
        let ours = hashed.iter().filter(|name| scram(&all, name) == Shape::OURS).count();
        let off_by = (ours as f64 - hashed.len() as f64 / 2.0).abs();
        assert!(off_by <= 2.0 * (hashed.len() as f64).sqrt(), "{ours} of {}", hashed.len());
        for name in names().filter(|name| plain(&all, name) != BCRYPT) {
            assert_eq!(scram(&all, &name), plain(&all, &name), "PLAIN and SCRAM say the same");
        }
    }

    #[test]
    fn a_new_account_leaves_most_names_alone_and_an_upgrade_shows_in_its_twins_only() {
        let mut shapes = server(&[(taken_over(), 9)]);
        assert!(names().all(|name| plain(&shapes, &name) == taken_over()));
        let changed = |shapes: &Shapes| {
            names().filter(|name| plain(shapes, name) == Shape::OURS).collect::<Vec<_>>()
        };
        shapes.set(&decoy(), "account9", Some(Shape::OURS));
        let new = changed(&shapes);
        assert!((1_800..2_200).contains(&new.len()), "{}", new.len());
        shapes.set(&decoy(), "account0", Some(Shape::OURS));
        let both = changed(&shapes);
        assert!((3_700..4_300).contains(&both.len()) && new.iter().all(|name| both.contains(name)));
        shapes.set(&decoy(), "account9", None);
        shapes.set(&decoy(), "account0", Some(taken_over()));
        assert!(changed(&shapes).is_empty());
    }

    #[test]
    fn what_is_known_is_known_and_there_is_a_bound() {
        let mut shapes = server(&[(Shape::OURS, SHAPES_MAX + 100)]);
        assert_eq!(shapes.by_place.len(), SHAPES_MAX);
        shapes.set(&decoy(), "x", None);
        assert!(shapes.is_known(&decoy(), "x", None));
        assert!(!shapes.is_known(&decoy(), "x", Some(BCRYPT)));
        let mut few = server(&[(Shape::OURS, 3)]);
        few.set(&decoy(), "x", Some(BCRYPT));
        assert!(few.is_known(&decoy(), "x", Some(BCRYPT)) && !few.is_known(&decoy(), "x", None));
    }
}
