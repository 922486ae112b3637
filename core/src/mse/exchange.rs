//! The arithmetic of a key exchange: Diffie and Hellman in a fixed group of 768 bits. Pure; slow enough to be a job.

use crate::wire::mse::{Exchanged, KEY_BYTES, KeyExchange, PublicKey, SharedSecret};
use crypto_bigint::modular::{ConstMontyForm, ConstMontyParams};
use crypto_bigint::{U192, U768, const_monty_params};

const_monty_params!(
    Group,
    U768,
    "ffffffffffffffffc90fdaa22168c234c4c6628b80dc1cd129024e088a67cc74020bbea63b139b22514a08798e3404ddef9519b3cd3a431b302b0a6df25f14374fe1356d6d51c245e485b576625e7ec6f44c42e9a63a36210000000000090563",
    "The integers modulo the prime that both sides know."
);

type Element = ConstMontyForm<Group, { U768::LIMBS }>;

const GENERATOR: u8 = 2;
const PRIVATE_BITS: u32 = 160;

/// Does the job. Hundreds of microseconds.
pub fn exchange(job: &KeyExchange) -> Exchanged {
    let mut wide = [0; 24];
    let (_, low) = wide.split_at_mut(4);
    low.copy_from_slice(&job.private.0);
    let private = U192::from_be_slice(&wide);
    let power = |base: U768| bytes(&Element::new(&base).pow_bounded_exp(&private, PRIVATE_BITS).retrieve());
    Exchanged {
        public: job.public.then(|| PublicKey(power(U768::from(GENERATOR)))),
        secret: job.theirs.map(|theirs| SharedSecret(power(U768::from_be_slice(&theirs.0)))),
    }
}

/// Whether a public key is one that leaves a secret open: 0, 1, p-1, or no number below p.
pub(super) fn is_weak(key: &PublicKey) -> bool {
    let key = U768::from_be_slice(&key.0);
    let last = Group::PARAMS.modulus().as_ref().wrapping_sub(&U768::ONE);
    key <= U768::ONE || key >= last
}

fn bytes(number: &U768) -> [u8; KEY_BYTES] {
    let mut out = [0; KEY_BYTES];
    out.copy_from_slice(number.to_be_bytes().as_ref());
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::mse::PrivateKey;

    fn public(private: [u8; 20]) -> PublicKey {
        let job = KeyExchange { private: PrivateKey(private), public: true, theirs: None };
        exchange(&job).public.unwrap()
    }

    fn secret(private: [u8; 20], theirs: PublicKey) -> SharedSecret {
        let job = KeyExchange { private: PrivateKey(private), public: false, theirs: Some(theirs) };
        exchange(&job).secret.unwrap()
    }

    #[test]
    fn both_sides_come_to_one_secret() {
        let (a, b) = ([0x5a; 20], [0xc3; 20]);
        assert_eq!(secret(a, public(b)), secret(b, public(a)));
        assert_ne!(secret(a, public(b)), secret(a, public(a)));
    }

    #[test]
    fn small_powers_are_what_they_are_and_keep_their_leading_zeros() {
        let mut private = [0; 20];
        private[19] = 10;
        let mut want = [0; KEY_BYTES];
        want[94] = 4;
        assert_eq!(public(private), PublicKey(want));
    }

    #[test]
    fn pitfall_7_keys_that_leave_the_secret_open_are_weak() {
        let key = |low: u8| {
            let mut key = [0; KEY_BYTES];
            key[95] = low;
            PublicKey(key)
        };
        let near =
            |less: u8| PublicKey(bytes(&Group::PARAMS.modulus().as_ref().wrapping_sub(&U768::from(less))));
        for weak in [key(0), key(1), near(1), near(0), PublicKey([0xff; KEY_BYTES])] {
            assert!(is_weak(&weak), "{weak:?}");
        }
        assert!(!is_weak(&key(2)) && !is_weak(&near(2)));
    }
}
