//! Whether somebody's signature of a torrent holds (BEP 35): RSA with PKCS #1 v1.5 padding, over SHA-1 as the BEP's own tool
//! has it, or over SHA-256. Nobody is trusted here: a certificate is only asked for its key and its name.

use crate::wire::metainfo::{Info, Signature};
use alloc::string::String;
use alloc::vec::Vec;
use rsa::pkcs8::DecodePublicKey as _;
use rsa::pkcs8::EncodePublicKey as _;
use rsa::traits::PublicKeyParts as _;
use rsa::{Pkcs1v15Sign, RsaPublicKey};
use sha1::{Digest as _, Sha1};
use sha2::Sha256;
use x509_cert::Certificate;
use x509_cert::der::{Decode as _, Encode as _};

/// The longest key that is tried, in bytes: longer ones cost long.
const KEY_BYTES_MAX: usize = 1024;

/// How DER says that a digest is of SHA-1 (RFC 8017, 9.2).
const SHA1_PREFIX: [u8; 15] =
    [0x30, 0x21, 0x30, 0x09, 0x06, 0x05, 0x2b, 0x0e, 0x03, 0x02, 0x1a, 0x05, 0x00, 0x04, 0x14];

/// The same of SHA-256.
const SHA256_PREFIX: [u8; 19] = [
    0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01, 0x05, 0x00,
    0x04, 0x20,
];

/// Whether one of these signatures is this certificate's holder's, over this info dictionary. Which one.
pub fn signed_by<'a>(info: &Info, signatures: &'a [Signature], certificate: &[u8]) -> Option<&'a Signature> {
    let key = key_of(certificate)?;
    signatures.iter().find(|it| {
        let signed = signed_bytes(info, it.info.as_deref());
        let holds = |digest: &[u8], scheme| key.verify(scheme, digest, &it.signature).is_ok();
        holds(&Sha1::digest(&signed), scheme_sha1()) || holds(&Sha256::digest(&signed), scheme_sha256())
    })
}

/// What a signature is of: the info dictionary, and the signature's own.
pub fn signed_bytes(info: &Info, extra: Option<&[u8]>) -> Vec<u8> {
    [info.raw(), extra.unwrap_or_default()].concat()
}

/// RSA over SHA-1, for signing as the BEP's tool does.
pub fn scheme_sha1() -> Pkcs1v15Sign {
    Pkcs1v15Sign { hash_len: Some(20), prefix: SHA1_PREFIX.into() }
}

fn scheme_sha256() -> Pkcs1v15Sign {
    Pkcs1v15Sign { hash_len: Some(32), prefix: SHA256_PREFIX.into() }
}

/// The name of a certificate's holder: its common name, which the BEP wants in reverse-DNS notation.
pub fn holder(certificate: &[u8]) -> Option<String> {
    let certificate = Certificate::from_der(certificate).ok()?;
    let names = certificate.tbs_certificate.subject.0.iter().flat_map(|part| part.0.iter());
    let common = names.rev().find(|name| name.oid == COMMON_NAME)?;
    core::str::from_utf8(common.value.value()).ok().map(String::from)
}

const COMMON_NAME: x509_cert::der::asn1::ObjectIdentifier =
    x509_cert::der::asn1::ObjectIdentifier::new_unwrap("2.5.4.3");

/// The key of a certificate, if it is of RSA and not too long.
fn key_of(certificate: &[u8]) -> Option<RsaPublicKey> {
    let certificate = Certificate::from_der(certificate).ok()?;
    let key = certificate.tbs_certificate.subject_public_key_info.to_der().ok()?;
    RsaPublicKey::from_public_key_der(&key).ok().filter(|key| key.size() <= KEY_BYTES_MAX)
}

/// Whether a private key's public half is the certificate's.
pub fn belongs(public: &RsaPublicKey, certificate: &[u8]) -> bool {
    let der = |key: &RsaPublicKey| key.to_public_key_der().ok();
    key_of(certificate).is_some_and(|key| der(&key).is_some() && der(&key) == der(public))
}
