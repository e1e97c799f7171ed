//! The rules of STYLE.md that a compiler does not know.

use std::path::Path;

use anyhow::Result;

mod layers;
mod promises;
mod sizes;
mod words;

use crate::source;

/// Returns all faults, each with its file and what to do.
pub(crate) fn check(root: &Path) -> Result<Vec<String>> {
    let sources = source::read_all(root)?;
    let packages = layers::packages(root)?;
    let mut faults = layers::check(&packages);
    faults.extend(layers::check_manifests(root, &packages)?);
    faults.extend(layers::check_architecture(root, &packages));
    faults.extend(promises::check(root, &sources)?);
    faults.extend(sizes::check(root, &sources)?);
    faults.extend(sources.iter().flat_map(words::check_source));
    faults.extend(words::check_files(root)?);
    Ok(faults)
}
