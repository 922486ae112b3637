//! Signing torrents (BEP 35): with an RSA key and the X.509 certificate that goes with it. Reading signatures is the
//! engine's.

use millstream_core::verify::signed::{belongs, holder, scheme_sha1, signed_bytes};
use millstream_core::wire::Metainfo;
use millstream_core::wire::metainfo::{MetainfoError, Signature, with_signature};
use rsa::RsaPrivateKey;
use rsa::pkcs1::DecodeRsaPrivateKey as _;
use rsa::pkcs8::DecodePrivateKey as _;
use sha1::{Digest as _, Sha1};
use thiserror::Error;
use x509_cert::der::pem;

/// Why a torrent can't be signed.
#[derive(Debug, Error)]
pub enum SignError {
    /// No RSA key in PEM or DER, of PKCS #8 or PKCS #1; one with a password isn't read.
    #[error("the key is no RSA key in PEM or DER without a password")]
    Key,
    /// No X.509 certificate in PEM or DER, or one without a common name.
    #[error("the certificate is no X.509 certificate with a common name, in PEM or DER")]
    Certificate,
    /// Key and certificate don't belong together.
    #[error("the certificate is not of this key")]
    Pair,
    /// The torrent can't be read.
    #[error(transparent)]
    Torrent(#[from] MetainfoError),
    /// The key can't sign.
    #[error("the key can't sign: {0}")]
    Sign(rsa::Error),
}

/// Who signs.
#[derive(Debug)]
pub struct Signer {
    key: RsaPrivateKey,
    certificate: Vec<u8>,
    name: String,
}

impl Signer {
    /// Takes the contents of a key's and a certificate's file. The signer's name is the certificate's common name.
    pub fn new(key: &[u8], certificate: &[u8]) -> Result<Self, SignError> {
        let text = core::str::from_utf8(key).unwrap_or_default();
        let key = RsaPrivateKey::from_pkcs8_pem(text)
            .ok()
            .or_else(|| RsaPrivateKey::from_pkcs1_pem(text).ok())
            .or_else(|| RsaPrivateKey::from_pkcs8_der(key).ok())
            .or_else(|| RsaPrivateKey::from_pkcs1_der(key).ok())
            .ok_or(SignError::Key)?;
        let certificate = certificate_der(certificate).ok_or(SignError::Certificate)?;
        let name = holder(&certificate).ok_or(SignError::Certificate)?;
        if !belongs(&key.to_public_key(), &certificate) {
            return Err(SignError::Pair);
        }
        Ok(Self { key, certificate, name })
    }

    /// The torrent file with the signature, which holds the certificate; one that it had of this signer is replaced.
    pub fn sign(&self, torrent: &[u8]) -> Result<Vec<u8>, SignError> {
        let metainfo = Metainfo::parse(torrent)?;
        let digest = Sha1::digest(signed_bytes(&metainfo.info, None));
        let signature = self.key.sign(scheme_sha1(), &digest).map_err(SignError::Sign)?;
        let signature = Signature {
            signer: self.name.clone(),
            certificate: Some(self.certificate.clone()),
            info: None,
            signature,
        };
        Ok(with_signature(torrent, &signature)?)
    }
}

/// A certificate's DER, from a file in PEM or DER.
pub fn certificate_der(file: &[u8]) -> Option<Vec<u8>> {
    let der = match pem::decode_vec(file) {
        Ok(("CERTIFICATE", der)) => der,
        Ok(_) => return None,
        Err(_) => file.to_vec(),
    };
    holder(&der).map(|_| der)
}

#[cfg(test)]
mod tests {
    use super::*;
    use millstream_core::verify::signed::signed_by;
    use millstream_core::wire::metainfo::{FileEntry, InfoBuilder, MetainfoBuilder, Version};

    const KEY: &[u8] = include_bytes!("../tests/data/signer.key");
    const CERTIFICATE: &[u8] = include_bytes!("../tests/data/signer.pem");
    const OTHER: &[u8] = include_bytes!("../tests/data/other.pem");

    fn torrent(byte: u8) -> Vec<u8> {
        let mut info = InfoBuilder::new("a", 16 << 10, Version::V1);
        info.files = vec![FileEntry { path: vec!["a".into()], length: 5, ..FileEntry::default() }];
        info.v1_digests = vec![[byte; 20]];
        MetainfoBuilder::default().build(&info).unwrap()
    }

    #[test]
    fn bep_0035_what_is_signed_is_its_signers_and_nobody_elses() {
        let signer = Signer::new(KEY, CERTIFICATE).unwrap();
        let signed = Metainfo::parse(&signer.sign(&torrent(7)).unwrap()).unwrap();
        let (own, other) = (certificate_der(CERTIFICATE).unwrap(), certificate_der(OTHER).unwrap());
        let found = signed_by(&signed.info, &signed.signatures, &own).unwrap();
        assert_eq!((found.signer.as_str(), found.certificate.as_ref()), ("org.example.signer", Some(&own)));
        assert!(signed_by(&signed.info, &signed.signatures, &other).is_none(), "another's certificate");
        let another = Metainfo::parse(&torrent(8)).unwrap();
        assert!(signed_by(&another.info, &signed.signatures, &own).is_none(), "another torrent");
        let mut bent = signed.signatures.clone();
        bent[0].info = Some(b"de".to_vec());
        assert!(signed_by(&signed.info, &bent, &own).is_none(), "what is signed too was added");
        assert!(signed_by(&signed.info, &signed.signatures, b"no certificate").is_none());
    }

    #[test]
    fn bep_0035_a_signature_of_openssl_holds() {
        let torrent = include_bytes!("../tests/data/signed-by-openssl.torrent");
        let metainfo = Metainfo::parse(torrent).unwrap();
        let own = certificate_der(CERTIFICATE).unwrap();
        assert_eq!(
            signed_by(&metainfo.info, &metainfo.signatures, &own).map(|it| it.signer.as_str()),
            Some("sha1")
        );
        let sha256 =
            metainfo.signatures.iter().filter(|it| it.signer == "sha256").cloned().collect::<Vec<_>>();
        assert!(signed_by(&metainfo.info, &sha256, &own).is_some(), "and one over SHA-256");
    }

    #[test]
    fn a_key_and_a_certificate_that_do_not_belong_together_are_refused() {
        assert!(matches!(Signer::new(KEY, OTHER), Err(SignError::Pair)));
        assert!(matches!(Signer::new(b"", CERTIFICATE), Err(SignError::Key)));
        assert!(matches!(Signer::new(KEY, KEY), Err(SignError::Certificate)));
    }
}
