//! Resume data: a checksummed codec of what is verified.
