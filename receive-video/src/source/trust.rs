//! Which certificates are a camera's own, where it speaks TLS.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use services::config::{Fingerprint, StreamConfig};

/// The longest file of certificates that is read, in bytes: this machine's own has a quarter of it.
const MAX_FILE: u64 = 1 << 20;

/// What a camera's certificate has to be.
#[derive(Clone, Debug)]
pub(crate) enum Trust {
    /// Issued, for the camera's name, by an authority that this machine trusts.
    Machine,
    /// Issued so by one of a file, or one of the file itself.
    File(PathBuf),
    /// The one with this fingerprint, whoever issued it, for whatever name and time.
    Pinned(Fingerprint),
}

impl Trust {
    /// What a stream's configuration says.
    pub(super) fn of(stream: &StreamConfig) -> Self {
        match (stream.certificate_sha256, &stream.ca) {
            (Some(fingerprint), _) => Self::Pinned(fingerprint),
            (None, Some(path)) => Self::File(path.clone()),
            (None, None) => Self::Machine,
        }
    }

    /// The certificates of its file, read anew at each call: it may be renewed, and away for a while. None without a file.
    ///
    /// # Errors
    /// The file cannot be read, or holds no certificates.
    pub(super) fn certificates(&self) -> Result<Vec<CertificateDer<'static>>, String> {
        let Self::File(path) = self else { return Ok(Vec::new()) };
        read(path).map_err(|why| format!("read ca {path:?}: {why}"))
    }
}

fn read(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let mut pem = Vec::new();
    let read = File::open(path).and_then(|file| file.take(MAX_FILE + 1).read_to_end(&mut pem));
    if read.map_err(|error| error.to_string())? as u64 > MAX_FILE {
        return Err(format!("it has more than {MAX_FILE} bytes"));
    }
    let certificates = CertificateDer::pem_slice_iter(&pem).collect::<Result<Vec<_>, _>>();
    let certificates = certificates.map_err(|error| error.to_string())?;
    match certificates.is_empty() {
        true => Err("it holds no certificate in PEM".to_owned()),
        false => Ok(certificates),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_without_certificates_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ca.pem");
        let error = || Trust::File(path.clone()).certificates().unwrap_err();
        assert!(error().contains("ca.pem\": No such file"), "{}", error());
        std::fs::write(&path, "# none\n").unwrap();
        assert!(error().ends_with("ca.pem\": it holds no certificate in PEM"), "{}", error());
        let torn = "-----BEGIN CERTIFICATE-----\nAAAA\n";
        std::fs::write(&path, torn).unwrap();
        assert!(error().contains("ca.pem\": "), "{}", error());
    }
}
