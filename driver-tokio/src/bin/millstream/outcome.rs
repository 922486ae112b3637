//! How a subcommand ends: the exit codes, and the one sentence on stderr.

use crate::ui;
use core::fmt::Display;

/// Why a subcommand doesn't end with 0.
#[derive(Debug)]
pub(crate) enum Trouble {
    /// It couldn't be done: 1.
    Failed(String),
    /// It was done, and the answer is no; all is said already: 1.
    No,
    /// It was asked for wrongly: 2.
    Usage(String),
    /// SIGINT or SIGTERM: 130.
    Interrupted,
}

impl Trouble {
    /// It couldn't be done.
    pub(crate) fn failed(why: impl Display) -> Self {
        Self::Failed(why.to_string())
    }

    /// Says it on stderr; the exit code.
    pub(crate) fn tell(&self) -> i32 {
        match self {
            Self::Failed(why) => {
                ui::complain(why);
                1
            }
            Self::No => 1,
            Self::Usage(why) => {
                ui::complain(why);
                2
            }
            Self::Interrupted => 130,
        }
    }
}
