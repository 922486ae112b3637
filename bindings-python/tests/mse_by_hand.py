"""MSE by its definition, step by step, so that a test can take any of them wrongly: keys, padding, marks, terms."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha1

P = int(
    "FFFFFFFFFFFFFFFFC90FDAA22168C234C4C6628B80DC1CD129024E088A67CC74"
    "020BBEA63B139B22514A08798E3404DDEF9519B3CD3A431B302B0A6DF25F1437"
    "4FE1356D6D51C245E485B576625E7EC6F44C42E9A63A36210000000000090563",
    16,
)
PLAINTEXT, RC4 = 1, 2


def rc4(key: bytes) -> Callable[[bytes], bytes]:
    """A key stream without its first 1024 bytes, to be laid over what comes."""
    state, j = list(range(256)), 0
    for i in range(256):
        j = (j + state[i] + key[i % len(key)]) % 256
        state[i], state[j] = state[j], state[i]
    i = j = 0

    def apply(data: bytes) -> bytes:
        nonlocal i, j
        out = bytearray()
        for byte in data:
            i = (i + 1) % 256
            j = (j + state[i]) % 256
            state[i], state[j] = state[j], state[i]
            out.append(byte ^ state[(state[i] + state[j]) % 256])
        return bytes(out)

    apply(bytes(1024))
    return apply


def public(private: int) -> bytes:
    """The key that goes over the wire."""
    return pow(2, private, P).to_bytes(96, "big")


class Keys:
    """What both sides know once they have each other's key."""

    def __init__(self, private: int, theirs: bytes, skey: bytes) -> None:
        secret = pow(int.from_bytes(theirs[:96], "big"), private, P).to_bytes(96, "big")
        self.mark = sha1(b"req1" + secret).digest()
        veil = zip(sha1(b"req2" + skey).digest(), sha1(b"req3" + secret).digest(), strict=True)
        self.veiled = bytes(a ^ b for a, b in veil)
        self.from_a = rc4(sha1(b"keyA" + secret + skey).digest())
        self.from_b = rc4(sha1(b"keyB" + secret + skey).digest())


def terms(levels: int, *, pad: int = 0, said_pad: int | None = None, constant: bytes = bytes(8)) -> bytes:
    """Verification constant, levels and padding, in clear."""
    length = pad if said_pad is None else said_pad
    return constant + levels.to_bytes(4, "big") + length.to_bytes(2, "big") + bytes(pad)
