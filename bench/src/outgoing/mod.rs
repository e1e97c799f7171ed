//! Mail that leaves.

pub(crate) mod crash;
mod sink;
mod submit;
