//! The states of a piece and every transition between them, as one table. What a transition does is in `facts`.

/// Where a piece stands on its way from nowhere to disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PieceState {
    /// Not selected, and nothing of it asked or kept.
    Unwanted,
    /// Selected, and nothing of it asked or kept.
    Missing,
    /// Some block of it is asked or here.
    Partial,
    /// All blocks are here; the digest is awaited.
    Checking,
    /// The digest was right; the write is awaited.
    Writing,
    /// Verified and written.
    Have,
}

/// What can happen to a piece.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fact {
    /// A block was asked.
    Asked,
    /// The last block came.
    Filled,
    /// A block was found bad alone (BEP 52), and has to come again.
    BlockRefused,
    /// The last of what was asked or here is gone.
    Emptied,
    /// The digest was right.
    Verified,
    /// The digest was wrong.
    HashFailed,
    /// It is on disk.
    Written,
    /// The disk refused it, or some block of it.
    WriteFailed,
    /// A check of the disk found it whole.
    Stored,
    /// It is not on disk any more.
    Lost,
}

impl PieceState {
    /// The state after `fact`, or `None` where that can't happen. `Missing` stands here for both states of rest:
    /// which one it is depends on the selection alone.
    pub(super) fn after(self, fact: Fact) -> Option<Self> {
        use PieceState::{Checking, Have, Missing, Partial, Unwanted, Writing};
        let (from, to): (&[Self], Self) = match fact {
            Fact::Asked => (&[Missing], Partial),
            Fact::Filled => (&[Partial], Checking),
            Fact::BlockRefused => (&[Partial, Checking], Partial),
            Fact::Emptied => (&[Partial], Missing),
            Fact::Verified => (&[Checking], Writing),
            Fact::HashFailed => (&[Checking], Missing),
            Fact::Written => (&[Writing], Have),
            Fact::WriteFailed => (&[Partial, Checking, Writing], Missing),
            Fact::Stored => (&[Unwanted, Missing, Partial, Checking, Writing], Have),
            Fact::Lost => (&[Have], Missing),
        };
        from.contains(&self).then_some(to)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_piece_is_here_only_after_digest_and_write() {
        let way = [Fact::Asked, Fact::Filled, Fact::Verified, Fact::Written];
        let mut state = PieceState::Missing;
        for fact in way {
            assert_eq!(state.after(Fact::Lost), None);
            state = state.after(fact).unwrap();
        }
        assert_eq!(state, PieceState::Have);
        for state in [PieceState::Missing, PieceState::Partial, PieceState::Checking] {
            assert_eq!(state.after(Fact::Written), None);
        }
        assert_eq!(PieceState::Partial.after(Fact::Verified), None);
    }
}
