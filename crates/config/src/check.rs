//! Checks of what the types alone do not say, all faults at once.

use std::path::Path;

use crate::Static;
use crate::finding::Checker;
use crate::snapshot::{Config, NamedFiles};

pub(crate) fn statics(_: &Static, _: &Path, _: NamedFiles, _: &mut Checker<'_>) {}
pub(crate) fn dynamic(_: &Config, _: NamedFiles, _: &mut Checker<'_>) {}
pub(crate) fn unused_statics(_: &mut Checker<'_>) {}
pub(crate) fn unused_dynamic(_: &mut Checker<'_>) {}
