//! What a filter has learnt, in a file.

use std::fs::File;
use std::io::{BufReader, BufWriter, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::Args;
use mox_junk::{Kinds, Model};

/// The file with what was learnt.
#[derive(Clone, Debug, Args)]
pub(super) struct ModelFile {
    /// File with what was learnt. It holds hashes of words and how often they were seen.
    #[arg(long, value_name = "FILE")]
    pub(super) model: PathBuf,
}

/// Reads what was learnt of words of these kinds.
pub(super) fn read(path: &Path, kinds: Kinds) -> Result<Model> {
    let read = || {
        let mut file = BufReader::new(File::open(path)?);
        Ok::<_, anyhow::Error>(Model::read_from(kinds, &mut file)?)
    };
    read().with_context(|| format!("read {}", path.display()))
}

/// Writes it in one go: whoever reads the file finds the old or the new one.
pub(super) fn write(path: &Path, kinds: Kinds, model: &Model) -> Result<()> {
    let write = || {
        let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty());
        let file = tempfile::NamedTempFile::new_in(dir.unwrap_or_else(|| Path::new(".")))?;
        let mut writer = BufWriter::new(&file);
        model.write_to(kinds, &mut writer)?;
        writer.flush()?;
        drop(writer);
        file.as_file().sync_all()?;
        file.persist(path)?;
        Ok::<_, anyhow::Error>(())
    };
    write().with_context(|| format!("write {}", path.display()))
}
