//! Which certificates are a camera's own, where it speaks TLS.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use services::config::{Fingerprint, StreamConfig};

use super::error::SourceError;

/// The longest file of certificates that is read, in bytes: this machine's own has a quarter of it.
const MAX_FILE: u64 = 1 << 20;

/// What a camera's certificate has to be.
#[derive(Clone, Debug)]
pub(crate) enum Trust {
    /// Issued, for the camera's name, by an authority that this machine trusts.
    Machine,
    /// Issued so by one of a file, or one of the file itself.
    File {
        /// The file.
        path: PathBuf,
        /// What it holds.
        certificates: Arc<[CertificateDer<'static>]>,
    },
    /// The one with this fingerprint, whoever issued it, for whatever name and time.
    Pinned(Fingerprint),
}

impl Trust {
    /// Reads a stream's configuration, and the file that it names.
    ///
    /// # Errors
    /// The file cannot be read, or holds no certificates.
    pub(super) fn of(stream: &StreamConfig) -> Result<Self, SourceError> {
        match (stream.certificate_sha256, &stream.ca) {
            (Some(fingerprint), _) => Ok(Self::Pinned(fingerprint)),
            (None, Some(path)) => Self::of_file(path),
            (None, None) => Ok(Self::Machine),
        }
    }

    fn of_file(path: &Path) -> Result<Self, SourceError> {
        let refused = |why: String| SourceError::hopeless(format!("read ca {path:?}: {why}"));
        let mut pem = Vec::new();
        let read = File::open(path).and_then(|file| file.take(MAX_FILE + 1).read_to_end(&mut pem));
        if read.map_err(|error| refused(error.to_string()))? as u64 > MAX_FILE {
            return Err(refused(format!("it has more than {MAX_FILE} bytes")));
        }
        let certificates = CertificateDer::pem_slice_iter(&pem).collect::<Result<Vec<_>, _>>();
        let certificates = certificates.map_err(|error| refused(error.to_string()))?;
        if certificates.is_empty() {
            return Err(refused("it holds no certificate in PEM".to_owned()));
        }
        Ok(Self::File { path: path.to_owned(), certificates: certificates.into() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_without_certificates_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ca.pem");
        let error = || Trust::of_file(&path).unwrap_err().to_string();
        assert!(error().contains("ca.pem\": No such file"), "{}", error());
        std::fs::write(&path, "# none\n").unwrap();
        assert!(error().ends_with("ca.pem\": it holds no certificate in PEM"), "{}", error());
        let torn = "-----BEGIN CERTIFICATE-----\nAAAA\n";
        std::fs::write(&path, torn).unwrap();
        assert!(error().contains("ca.pem\": "), "{}", error());
    }
}
