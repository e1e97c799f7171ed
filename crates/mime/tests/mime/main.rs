//! Tests of the crate as its users see it.

// Marked so that clippy knows the helpers in them for tests.
#[cfg(test)]
mod differential;
#[cfg(test)]
mod invariants;
#[cfg(test)]
mod properties;
#[cfg(test)]
mod samples;
