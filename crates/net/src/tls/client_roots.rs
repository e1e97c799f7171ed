//! Whose certificates are trusted.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use mox_tlspolicy::pkix::Roots;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

/// The size of a file with certificates of authorities that is read.
const CERTS_BYTES_MAX: u64 = 16 << 20;

/// Certificates of authorities that cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RootsError {
    /// A file could not be read, or is larger than 16 MB.
    #[error("read {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// A file is not PEM with certificates.
    #[error("{path}: no certificates in PEM")]
    Pem {
        /// The file.
        path: PathBuf,
    },
}

/// Reads the authorities to trust: those of `files`, and with `with_system` those of the operating
/// system too, or where it has none those of Mozilla that were built in. Reads files: blocks.
///
/// # Errors
///
/// If one of `files` cannot be read. What the system has and cannot be read is left out and logged.
pub fn load_roots(with_system: bool, files: &[PathBuf]) -> Result<Roots, RootsError> {
    let mut roots = Roots::default();
    if with_system {
        add_system(&mut roots);
    }
    for path in files {
        add_file(&mut roots, path)?;
    }
    Ok(roots)
}

fn add_system(roots: &mut Roots) {
    let found = rustls_native_certs::load_native_certs();
    for error in &found.errors {
        tracing::warn!(%error, "read certificates of authorities of the system");
    }
    for cert in &found.certs {
        if let Err(error) = roots.add(cert) {
            tracing::debug!(%error, "certificate of an authority of the system");
        }
    }
    if roots.is_empty() {
        tracing::warn!("the system trusts no authorities: those of Mozilla are trusted instead");
        roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    }
}

fn add_file(roots: &mut Roots, path: &Path) -> Result<(), RootsError> {
    let read = |source| RootsError::Read { path: path.to_owned(), source };
    let mut text = Vec::new();
    let file = File::open(path).map_err(read)?;
    file.take(CERTS_BYTES_MAX + 1).read_to_end(&mut text).map_err(read)?;
    if text.len() as u64 > CERTS_BYTES_MAX {
        return Err(read(io::ErrorKind::FileTooLarge.into()));
    }
    let bad = || RootsError::Pem { path: path.to_owned() };
    let before = roots.len();
    for cert in CertificateDer::pem_slice_iter(&text) {
        roots.add(&cert.map_err(|_| bad())?).map_err(|_| bad())?;
    }
    if roots.len() == before { Err(bad()) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::tls::certs::tests::pem;

    #[test]
    fn files_of_authorities_are_read_whole_or_refused() {
        let folder = tempfile::tempdir().unwrap();
        let cert = String::from_utf8(pem(&["ca.example"]).cert).unwrap();
        #[track_caller]
        fn check(path: &Path, text: &str, want: Option<usize>) {
            fs::write(path, text).unwrap();
            let roots = load_roots(false, &[path.to_owned()]);
            assert_eq!(roots.ok().map(|roots| roots.len()), want, "{text:.80}");
        }
        let path = folder.path().join("ca.pem");
        check(&path, &cert, Some(1));
        check(&path, &format!("# one\n{cert}\n# two\n{cert}"), Some(2));
        check(&path, "", None);
        check(&path, &cert.replace("MII", "AAA"), None);
        let missing = load_roots(false, &[folder.path().join("none.pem")]).unwrap_err();
        assert!(matches!(missing, RootsError::Read { .. }), "{missing}");
        assert!(load_roots(false, &[]).unwrap().is_empty());
        // Whatever this machine has, somebody is trusted.
        assert!(!load_roots(true, &[]).unwrap().is_empty());
    }
}
