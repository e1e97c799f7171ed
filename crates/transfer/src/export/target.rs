//! Where an export goes.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, BufWriter, Read, Write};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;
use mox_base::UnixSeconds;
use zip::ZipWriter;
use zip::write::{SimpleFileOptions, StreamWriter};

/// Access of files and folders in archives.
const FILE_MODE: u32 = 0o660;
const FOLDER_MODE: u32 = 0o770;

/// Access of files and folders on disk: it is somebody's mail.
const OWN_FILE_MODE: u32 = 0o600;
const OWN_FOLDER_MODE: u32 = 0o700;

/// A place for the files of an export.
pub struct Target<W: Write>(Kind<W>);

enum Kind<W: Write> {
    Directory { root: PathBuf, file: Option<BufWriter<File>> },
    Tar(Box<tar::Builder<W>>),
    Tgz(Box<tar::Builder<GzEncoder<W>>>),
    Zip(Box<ZipWriter<StreamWriter<W>>>),
    Single(W),
}

impl Target<io::Sink> {
    /// A directory, which is made if it is missing. No file in it is written over.
    ///
    /// # Errors
    ///
    /// If it cannot be made.
    pub fn directory(root: &Path) -> io::Result<Self> {
        DirBuilder::new().recursive(true).mode(OWN_FOLDER_MODE).create(root)?;
        Ok(Self(Kind::Directory { root: root.to_owned(), file: None }))
    }
}

impl<W: Write> Target<W> {
    /// A tar file.
    pub fn tar(writer: W) -> Self {
        Self(Kind::Tar(Box::new(tar::Builder::new(writer))))
    }

    /// A tar file compressed by gzip.
    pub fn tgz(writer: W) -> Self {
        let writer = GzEncoder::new(writer, Compression::default());
        Self(Kind::Tgz(Box::new(tar::Builder::new(writer))))
    }

    /// A zip file.
    pub fn zip(writer: W) -> Self {
        Self(Kind::Zip(Box::new(ZipWriter::new_stream(writer))))
    }

    /// The mbox of a single mailbox, and nothing else.
    pub fn single(writer: W) -> Self {
        Self(Kind::Single(writer))
    }

    /// Writes what ends an archive, and gives back the writer where there is one.
    ///
    /// # Errors
    ///
    /// If that cannot be written.
    pub fn finish(self) -> io::Result<Option<W>> {
        let mut writer = match self.0 {
            Kind::Directory { .. } => return Ok(None),
            Kind::Tar(builder) => builder.into_inner()?,
            Kind::Tgz(builder) => builder.into_inner()?.finish()?,
            Kind::Zip(zip) => zip.finish()?.into_inner(),
            Kind::Single(writer) => writer,
        };
        writer.flush()?;
        Ok(Some(writer))
    }

    pub(super) fn is_single(&self) -> bool {
        matches!(self.0, Kind::Single(_))
    }

    /// Whether the size of a file must be known before it is written.
    pub(super) fn needs_size(&self) -> bool {
        matches!(self.0, Kind::Tar(_) | Kind::Tgz(_))
    }

    pub(super) fn folder(&mut self, path: &str) -> io::Result<()> {
        match &mut self.0 {
            Kind::Directory { root, .. } => {
                let mut builder = DirBuilder::new();
                builder.recursive(true).mode(OWN_FOLDER_MODE).create(root.join(path))
            }
            Kind::Tar(builder) => tar_folder(builder, path),
            Kind::Tgz(builder) => tar_folder(builder, path),
            Kind::Zip(zip) => {
                let options = SimpleFileOptions::default().unix_permissions(FOLDER_MODE);
                Ok(zip.add_directory(path, options)?)
            }
            Kind::Single(_) => Ok(()),
        }
    }

    pub(super) fn file(
        &mut self,
        path: &str,
        modified: UnixSeconds,
        size: u64,
        content: &mut dyn Read,
    ) -> io::Result<()> {
        match &mut self.0 {
            Kind::Tar(builder) => tar_file(builder, path, modified, (size, content)),
            Kind::Tgz(builder) => tar_file(builder, path, modified, (size, content)),
            _ => {
                self.begin(path)?;
                io::copy(content, self)?;
                self.end()
            }
        }
    }

    /// Begins a file whose size is not known; what is written goes to it.
    pub(super) fn begin(&mut self, path: &str) -> io::Result<()> {
        match &mut self.0 {
            Kind::Directory { root, file } => {
                let path = root.join(path);
                if let Some(parent) = path.parent() {
                    DirBuilder::new().recursive(true).mode(OWN_FOLDER_MODE).create(parent)?;
                }
                let opened = OpenOptions::new()
                    .write(true)
                    .create_new(true)
                    .mode(OWN_FILE_MODE)
                    .open(path)?;
                *file = Some(BufWriter::new(opened));
                Ok(())
            }
            Kind::Zip(zip) => {
                let options =
                    SimpleFileOptions::default().unix_permissions(FILE_MODE).large_file(true);
                Ok(zip.start_file(path, options)?)
            }
            Kind::Tar(_) | Kind::Tgz(_) | Kind::Single(_) => Ok(()),
        }
    }

    pub(super) fn end(&mut self) -> io::Result<()> {
        match &mut self.0 {
            Kind::Directory { file, .. } => file.take().map_or(Ok(()), |mut file| file.flush()),
            _ => Ok(()),
        }
    }
}

impl<W: Write> Write for Target<W> {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        match &mut self.0 {
            Kind::Directory { file: Some(file), .. } => file.write(data),
            Kind::Zip(zip) => zip.write(data),
            Kind::Single(writer) => writer.write(data),
            Kind::Directory { .. } | Kind::Tar(_) | Kind::Tgz(_) => {
                Err(io::ErrorKind::Unsupported.into())
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn header(modified: UnixSeconds, mode: u32, size: u64) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_size(size);
    header.set_mode(mode);
    header.set_mtime(u64::try_from(modified.0).unwrap_or_default());
    header
}

fn tar_folder<W: Write>(builder: &mut tar::Builder<W>, path: &str) -> io::Result<()> {
    let mut header = header(UnixSeconds(0), FOLDER_MODE, 0);
    header.set_entry_type(tar::EntryType::Directory);
    builder.append_data(&mut header, format!("{path}/"), io::empty())
}

fn tar_file<W: Write>(
    builder: &mut tar::Builder<W>,
    path: &str,
    modified: UnixSeconds,
    (size, content): (u64, &mut dyn Read),
) -> io::Result<()> {
    builder.append_data(&mut header(modified, FILE_MODE, size), path, content)
}
