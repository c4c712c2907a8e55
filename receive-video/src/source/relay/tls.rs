//! TLS with a camera: the handshake, whether its certificate is trusted, and in words why it failed.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{ClientConfig, Resumption};
use rustls::crypto::aws_lc_rs::{self, kx_group};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    CertificateError, DigitallySignedStruct, Error, OtherError, RootCertStore, SignatureScheme,
};
use services::config::Fingerprint;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::super::trust::Trust;
use super::breach::Breach;
use super::metered::Metered;

/// How long a camera may take for the handshake.
const MAX_HANDSHAKE: Duration = Duration::from_secs(10);

/// Begins TLS with the camera of that name.
///
/// # Errors
/// Its certificate is not trusted, or it does not speak TLS as it should.
pub(super) async fn handshake(
    tcp: Metered,
    host: &str,
    port: u16,
    trust: &Trust,
) -> Result<TlsStream<Metered>, Breach> {
    let refused = |error: &dyn std::error::Error| Breach::Tls(format!("begin TLS: {error}"));
    let name = ServerName::try_from(host.to_owned()).map_err(|error| refused(&error))?;
    let provider = Arc::new(provider());
    let verifier = Verifier::new(trust.clone(), &provider).map_err(Breach::Tls)?;
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| refused(&error))?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    config.resumption = Resumption::disabled();
    let connecting = TlsConnector::from(Arc::new(config)).connect(name, tcp);
    match timeout(MAX_HANDSHAKE, connecting).await {
        Ok(connected) => connected.map_err(|error| failed(error, port)),
        Err(_) => {
            let words = format!("it did not finish the TLS handshake within {MAX_HANDSHAKE:?}");
            Err(Breach::Tls(words))
        }
    }
}

/// The AWS SDK's cryptography, with the key exchanges that cameras know: a post-quantum one makes a first message of more
/// than one packet, which some servers fail at (<https://tldr.fail>).
fn provider() -> CryptoProvider {
    CryptoProvider {
        kx_groups: vec![kx_group::X25519, kx_group::SECP256R1, kx_group::SECP384R1],
        ..aws_lc_rs::default_provider()
    }
}

/// Checks a camera's certificate.
#[derive(Debug)]
struct Verifier {
    trust: Trust,
    /// Those that were named themselves, or whose issuers were.
    named: Vec<CertificateDer<'static>>,
    /// By whom it was issued; nothing where that does not matter.
    issued: Option<Arc<WebPkiServerVerifier>>,
    provider: Arc<CryptoProvider>,
}

impl Verifier {
    /// # Errors
    /// There is no certificate to trust, or none can be read.
    fn new(trust: Trust, provider: &Arc<CryptoProvider>) -> Result<Self, String> {
        let mut roots = RootCertStore::empty();
        let named = trust.certificates()?;
        match &trust {
            Trust::Pinned(_) => {}
            Trust::File(path) => {
                for certificate in &named {
                    roots.add(certificate.clone()).map_err(|error| {
                        format!("ca {path:?} holds a certificate that cannot be used: {error}")
                    })?;
                }
            }
            Trust::Machine => {
                let found = rustls_native_certs::load_native_certs();
                roots.add_parsable_certificates(found.certs);
            }
        }
        let issued = match &trust {
            Trust::Pinned(_) => None,
            _ => {
                let built = WebPkiServerVerifier::builder_with_provider(
                    Arc::new(roots),
                    Arc::clone(provider),
                );
                Some(built.build().map_err(|_| {
                    "this machine has no certificates of authorities: set certificate_sha256 or ca"
                        .to_owned()
                })?)
            }
        };
        Ok(Self { trust, named, issued, provider: Arc::clone(provider) })
    }

    /// Tells whether it is one that was named itself.
    fn is_known(&self, certificate: &CertificateDer<'_>) -> bool {
        match &self.trust {
            Trust::Machine | Trust::File(_) => self.named.contains(certificate),
            Trust::Pinned(fingerprint) => Fingerprint::of(certificate) == *fingerprint,
        }
    }

    /// Why a certificate is not trusted, and what to set where it is the camera's.
    fn refusal(&self, certificate: &CertificateDer<'_>, why: Option<&Error>) -> Untrusted {
        let fingerprint = Fingerprint::of(certificate);
        let advice =
            format!("if it is the camera's own, set certificate_sha256 = \"{fingerprint}\"");
        let Some(why) = why else {
            return Untrusted(format!(
                "its certificate is not the one that certificate_sha256 names: {advice}"
            ));
        };
        let why = match (why, &self.trust) {
            (Error::InvalidCertificate(CertificateError::UnknownIssuer), Trust::File(path)) => {
                format!("it was not issued by one of ca {path:?}")
            }
            (Error::InvalidCertificate(CertificateError::UnknownIssuer), _) => {
                "it was issued by no authority that this machine trusts".to_owned()
            }
            (
                Error::InvalidCertificate(
                    CertificateError::Expired | CertificateError::ExpiredContext { .. },
                ),
                _,
            ) => "it has expired".to_owned(),
            (Error::InvalidCertificate(other), _) => other.to_string(),
            (other, _) => other.to_string(),
        };
        Untrusted(format!("its certificate is not trusted: {why}; {advice}"))
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        between: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if self.is_known(certificate) {
            return Ok(ServerCertVerified::assertion());
        }
        let issued = self.issued.as_ref();
        let error = match issued
            .map(|issued| issued.verify_server_cert(certificate, between, name, ocsp, now))
        {
            Some(Ok(verified)) => return Ok(verified),
            Some(Err(error)) => Some(error),
            None => None,
        };
        let refusal = self.refusal(certificate, error.as_ref());
        Err(CertificateError::Other(OtherError(Arc::new(refusal))).into())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// A certificate that is not trusted.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Untrusted(String);

/// Why a handshake failed, in words for whoever looks after the camera.
fn failed(error: io::Error, port: u16) -> Breach {
    let cause = error.get_ref().and_then(|cause| cause.downcast_ref::<Error>());
    let words = match cause {
        Some(Error::InvalidCertificate(CertificateError::Other(OtherError(why))))
            if why.is::<Untrusted>() =>
        {
            return Breach::Untrusted(why.to_string());
        }
        Some(Error::InvalidMessage(_)) => {
            format!("it does not speak TLS at port {port}: is rtsp:// meant?")
        }
        Some(Error::AlertReceived(alert)) => format!("it refuses TLS with us: {alert:?}"),
        Some(Error::PeerIncompatible(why)) => {
            format!("it speaks no TLS that is safe, 1.2 with modern ciphers or newer: {why:?}")
        }
        Some(other) => format!("TLS with it failed: {other}"),
        None if error.kind() == io::ErrorKind::UnexpectedEof => {
            format!(
                "it closed the connection in the TLS handshake: does it speak TLS at port {port}?"
            )
        }
        None => return Breach::within("begin TLS with the camera", error),
    };
    Breach::Tls(words)
}
