//! Keeps messages that could not be sent.

use std::fs::{DirBuilder, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// The folder in the home of the user.
const FOLDER: &str = "moxsubmit.failures";

/// What the names of its files begin with.
const PREFIX: &str = "newmsg.";

/// Writes a message, as it came, into a file that only the user can read.
pub(super) fn keep(home: Option<&Path>, message: &[u8]) -> Result<PathBuf> {
    let folder = home.context("no home to keep it in")?.join(FOLDER);
    match DirBuilder::new().mode(0o700).create(&folder) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        made => made.with_context(|| format!("make {}", folder.display()))?,
    }
    let mut builder = tempfile::Builder::new();
    let file =
        builder.prefix(PREFIX).permissions(Permissions::from_mode(0o600)).tempfile_in(&folder);
    let mut file = file.with_context(|| format!("make file in {}", folder.display()))?;
    file.write_all(message).and_then(|()| file.as_file().sync_all()).context("write message")?;
    let (_, path) = file.keep().context("keep file")?;
    Ok(path)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn messages_are_kept_for_the_user_alone() {
        let home = tempfile::tempdir().unwrap();
        let (one, other) = (keep(Some(home.path()), b"a"), keep(Some(home.path()), b"b"));
        let (one, other) = (one.unwrap(), other.unwrap());
        assert_eq!(
            (fs::read(&one).unwrap(), fs::read(&other).unwrap()),
            (b"a".into(), b"b".into())
        );
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&one), mode(&home.path().join(FOLDER))), (0o600, 0o700));
        let name = one.file_name().unwrap().to_str().unwrap().to_owned();
        assert!(name.starts_with(PREFIX), "{name}");
        assert!(keep(None, b"a").is_err());
        assert!(keep(Some(&home.path().join("none")), b"a").is_err());
    }
}
