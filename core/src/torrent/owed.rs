//! What a driver owes for a job: at a border, an answer that doesn't fit is told from one that does before the engine
//! takes it. It keeps no ledger; who hands out jobs does.

use super::work::{FilesOp, Outcome, Work};
use crate::base::{BLOCK, Part, Want};
use thiserror::Error;

/// The shape of the answer to one job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owed(Shape);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shape {
    /// So many files, or any number.
    Files(Option<usize>),
    /// So many bytes; if the flag is set, `Stored` will do.
    Bytes(u64, bool),
    Written,
    /// Digests of so many bytes; if the flag is set, `Absent` will do.
    Digests(Want, u64, bool),
    Saved,
    /// At most so many bytes.
    Http(usize),
    /// Of keys: whether the public one, and whether the secret.
    Exchanged(bool, bool),
    Resolved,
    Mapped,
}

/// How an answer doesn't fit: the driver is to blame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum OwedError {
    /// An answer to another kind of job.
    #[error("the job is answered by {owed}, not by {given}")]
    Kind {
        /// What was owed.
        owed: &'static str,
        /// What came.
        given: &'static str,
    },
    /// Not as many bytes as were to be read.
    #[error("{given} bytes were read of {owed}")]
    Bytes {
        /// Bytes owed.
        owed: u64,
        /// Bytes given.
        given: u64,
    },
    /// Not as many files as were named.
    #[error("{given} files were told of {owed}")]
    Files {
        /// Files owed.
        owed: usize,
        /// Files given.
        given: usize,
    },
    /// A digest too many or too few.
    #[error("wanted were {} and {leaves} leaves", if *.sha1 { "a SHA-1" } else { "no SHA-1" })]
    Digests {
        /// Whether a SHA-1 was wanted.
        sha1: bool,
        /// How many leaves were.
        leaves: u64,
    },
    /// A body longer than allowed.
    #[error("a body of {given} bytes is longer than {max}: such an exchange has failed")]
    Body {
        /// Bytes allowed.
        max: usize,
        /// Bytes given.
        given: usize,
    },
    /// Not the keys that were wanted.
    #[error("wanted were {} and {}", if *.public { "a public key" } else { "no public key" }, if *.secret { "a secret" } else { "no secret" })]
    Keys {
        /// Whether a public key was wanted.
        public: bool,
        /// Whether a secret was.
        secret: bool,
    },
    /// A name that was looked up without result.
    #[error("a name without an address is a failure")]
    NoAddress,
}

impl Owed {
    /// What is owed for this work.
    pub fn of(work: &Work) -> Self {
        let length = |parts: &[Part]| parts.iter().map(|part| u64::from(part.len())).sum();
        Self(match work {
            Work::Files { op: FilesOp::Open { files, .. }, .. } => Shape::Files(Some(files.len())),
            Work::Files { op: FilesOp::Sync | FilesOp::Close, .. } => Shape::Files(None),
            Work::Read { parts, plain, .. } => Shape::Bytes(length(parts), *plain),
            Work::Write { .. } => Shape::Written,
            Work::Hash { data, want, .. } => {
                Shape::Digests(*want, data.iter().map(|chunk| chunk.len() as u64).sum(), false)
            }
            Work::HashStored { parts, want, .. } => Shape::Digests(*want, length(parts), true),
            Work::Save { .. } => Shape::Saved,
            Work::Http { bytes_max, .. } => Shape::Http(*bytes_max),
            Work::Exchange(job) => Shape::Exchanged(job.public, job.theirs.is_some()),
            Work::Resolve { .. } => Shape::Resolved,
            Work::MapPort { .. } => Shape::Mapped,
        })
    }

    /// Whether this answer will do. A failure and `Cancelled` always do.
    pub fn check(&self, outcome: &Outcome) -> Result<(), OwedError> {
        match (self.0, outcome) {
            (_, Outcome::Failed(_) | Outcome::Cancelled)
            | (Shape::Bytes(_, true), Outcome::Stored)
            | (Shape::Written, Outcome::Written)
            | (Shape::Digests(_, _, true), Outcome::Absent)
            | (Shape::Saved, Outcome::Saved)
            | (Shape::Mapped, Outcome::Mapped { .. }) => Ok(()),
            (Shape::Files(owed), Outcome::Files(files)) => {
                let (owed, given) = (owed.unwrap_or(files.len()), files.len());
                if owed == given { Ok(()) } else { Err(OwedError::Files { owed, given }) }
            }
            (Shape::Bytes(owed, _), Outcome::Bytes(chunks)) => {
                let given = chunks.iter().map(|chunk| chunk.len() as u64).sum();
                if owed == given { Ok(()) } else { Err(OwedError::Bytes { owed, given }) }
            }
            (Shape::Digests(want, bytes, _), Outcome::Digests(digests)) => {
                let leaves = if want.leaves { bytes.div_ceil(u64::from(BLOCK)) } else { 0 };
                let fits = digests.sha1.is_some() == want.sha1 && digests.leaves.len() as u64 == leaves;
                if fits { Ok(()) } else { Err(OwedError::Digests { sha1: want.sha1, leaves }) }
            }
            (Shape::Http(max), Outcome::Http { body, .. }) => {
                let given = body.len();
                if given <= max { Ok(()) } else { Err(OwedError::Body { max, given }) }
            }
            (Shape::Exchanged(public, secret), Outcome::Exchanged(keys)) => {
                let fits = keys.public.is_some() == public && keys.secret.is_some() == secret;
                if fits { Ok(()) } else { Err(OwedError::Keys { public, secret }) }
            }
            (Shape::Resolved, Outcome::Resolved(addrs)) => {
                if addrs.is_empty() {
                    Err(OwedError::NoAddress)
                } else {
                    Ok(())
                }
            }
            (
                shape,
                Outcome::Bytes(_)
                | Outcome::Stored
                | Outcome::Written
                | Outcome::Digests(_)
                | Outcome::Absent
                | Outcome::Files(_)
                | Outcome::Saved
                | Outcome::Http { .. }
                | Outcome::Exchanged(_)
                | Outcome::Resolved(_)
                | Outcome::Mapped { .. },
            ) => Err(OwedError::Kind { owed: shape.name(), given: name(outcome) }),
        }
    }
}

impl Shape {
    fn name(self) -> &'static str {
        match self {
            Self::Files(_) => "Files",
            Self::Bytes(..) => "Bytes",
            Self::Written => "Written",
            Self::Digests(..) => "Digests",
            Self::Saved => "Saved",
            Self::Http(_) => "Http",
            Self::Exchanged(..) => "Exchanged",
            Self::Resolved => "Resolved",
            Self::Mapped => "Mapped",
        }
    }
}

fn name(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Bytes(_) => "Bytes",
        Outcome::Stored => "Stored",
        Outcome::Written => "Written",
        Outcome::Digests(_) => "Digests",
        Outcome::Absent => "Absent",
        Outcome::Files(_) => "Files",
        Outcome::Saved => "Saved",
        Outcome::Http { .. } => "Http",
        Outcome::Exchanged(_) => "Exchanged",
        Outcome::Resolved(_) => "Resolved",
        Outcome::Mapped { .. } => "Mapped",
        Outcome::Failed(_) => "Failed",
        Outcome::Cancelled => "Cancelled",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{Chunk, Digests, Extent, TorrentId};
    use std::vec;

    fn read(plain: bool) -> Owed {
        let parts = vec![Part::Stored(Extent { file: 0, offset: 5, length: 7 }), Part::Pad(3)];
        Owed::of(&Work::Read { torrent: TorrentId(1), parts, plain })
    }

    #[test]
    fn an_answer_of_another_kind_does_not_do() {
        let error = read(false).check(&Outcome::Written).expect_err("nothing was written");
        assert_eq!(error, OwedError::Kind { owed: "Bytes", given: "Written" });
        assert!(read(false).check(&Outcome::Stored).is_err(), "the link isn't plain");
        assert_eq!(read(true).check(&Outcome::Stored), Ok(()));
        assert_eq!(read(true).check(&Outcome::Cancelled), Ok(()));
    }

    #[test]
    fn all_bytes_are_owed_and_no_more() {
        let answer = |n: usize| read(false).check(&Outcome::Bytes(vec![Chunk::from(vec![0; n])]));
        assert_eq!(answer(10), Ok(()));
        assert_eq!(answer(9), Err(OwedError::Bytes { owed: 10, given: 9 }));
        assert_eq!(answer(11), Err(OwedError::Bytes { owed: 10, given: 11 }));
    }

    #[test]
    fn a_leaf_is_owed_for_each_block_begun() {
        let want = Want { sha1: false, leaves: true };
        let data = vec![Chunk::from(vec![0; 16 * 1024]), Chunk::from(vec![0; 1])];
        let owed = Owed::of(&Work::Hash { data, pad: 0, want });
        let answer = |leaves: usize, sha1| {
            owed.check(&Outcome::Digests(Digests { sha1, leaves: vec![[0; 32]; leaves] }))
        };
        assert_eq!(answer(2, None), Ok(()));
        assert_eq!(answer(1, None), Err(OwedError::Digests { sha1: false, leaves: 2 }));
        assert!(answer(2, Some([0; 20])).is_err(), "no SHA-1 was wanted");
        assert!(owed.check(&Outcome::Absent).is_err(), "bytes in memory are never absent");
    }
}
