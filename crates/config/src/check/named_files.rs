//! Files named in the settings.

use std::fs;
use std::io::{self, Read};
use std::path::Path;

use mox_sconf::Path as Key;

use crate::finding::Checker;
use crate::snapshot::NamedFiles;

/// The most that is read of a certificate or key file, in bytes.
const PEM_BYTES_MAX: u64 = 1 << 20;

/// What a PEM file must hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pem {
    /// A certificate (RFC 7468 §5).
    Certificate,
    /// A private key: PKCS #8 (RFC 7468 §10), or the older forms for RSA and EC.
    PrivateKey,
    /// A private key in PKCS #8 only.
    Pkcs8,
}

/// The directory where relative names start, and whether to look at all.
#[derive(Clone, Copy, Debug)]
pub(super) struct Files<'a> {
    pub(super) dir: &'a Path,
    pub(super) named_files: NamedFiles,
}

impl Files<'_> {
    /// Checks that a file is there and holds what it should, by its PEM label.
    ///
    /// That the key is that of the certificate is found when they are loaded.
    pub(super) fn pem(self, name: &str, want: Pem, key: &Key, checker: &mut Checker<'_>) {
        let Some(text) = self.read(name, key, checker) else { return };
        let label = |label: &str| text.contains(&format!("-----BEGIN {label}-----"));
        let (found, noun) = match want {
            Pem::Certificate => (label("CERTIFICATE"), "certificate"),
            Pem::Pkcs8 => (label("PRIVATE KEY"), "private key in PKCS #8 form"),
            Pem::PrivateKey => {
                let old = label("RSA PRIVATE KEY") || label("EC PRIVATE KEY");
                (old || label("PRIVATE KEY"), "private key")
            }
        };
        if !found {
            let path = self.dir.join(name);
            let path = path.display();
            checker.fault(key, format_args!("{path} holds no {noun}: give a PEM file with one"));
        }
    }

    /// Reads a named file; `None` if it is not to be looked at, or after reporting why it cannot.
    pub(super) fn read(self, name: &str, key: &Key, checker: &mut Checker<'_>) -> Option<String> {
        if name.is_empty() {
            checker.fault(key, "is empty: give the name of a file");
            return None;
        }
        if self.named_files == NamedFiles::Skip {
            return None;
        }
        let path = self.dir.join(name);
        let mut bytes = Vec::new();
        let read =
            fs::File::open(&path).and_then(|file| file.take(PEM_BYTES_MAX).read_to_end(&mut bytes));
        match read {
            Ok(_) => Some(String::from_utf8_lossy(&bytes).into_owned()),
            Err(error)
                if self.named_files == NamedFiles::CheckReadable
                    && error.kind() == io::ErrorKind::PermissionDenied =>
            {
                None
            }
            Err(error) => {
                let path = path.display();
                checker.fault(
                    key,
                    format_args!("{path}: {error}: put the file there, or correct the name"),
                );
                None
            }
        }
    }
}
