//! Where in a document a value stands.

use std::fmt;

/// One step from a value to a value inside it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Step {
    /// A key of a struct or map.
    Key(String),
    /// A list item, counted from 0.
    Index(usize),
}

/// The steps from the top of a document to a value; the empty path is the document itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Path(Vec<Step>);

impl Path {
    /// The path of the document itself.
    #[must_use]
    pub fn root() -> Self {
        Self::default()
    }

    /// The path of `key` in the struct or map at this path.
    #[must_use]
    pub fn key(&self, key: impl fmt::Display) -> Self {
        self.step(Step::Key(key.to_string()))
    }

    /// The path of item `index`, counted from 0, of the list at this path.
    #[must_use]
    pub fn index(&self, index: usize) -> Self {
        self.step(Step::Index(index))
    }

    /// The steps from the top.
    #[must_use]
    pub fn steps(&self) -> &[Step] {
        &self.0
    }

    fn step(&self, step: Step) -> Self {
        Self(self.0.iter().cloned().chain([step]).collect())
    }
}

/// For people: `Domains.example.org.Routes[0].Transport`. Items are counted from 0.
impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, step) in self.0.iter().enumerate() {
            match step {
                Step::Key(key) if place == 0 => f.write_str(key)?,
                Step::Key(key) => write!(f, ".{key}")?,
                Step::Index(index) => write!(f, "[{index}]")?,
            }
        }
        Ok(())
    }
}
