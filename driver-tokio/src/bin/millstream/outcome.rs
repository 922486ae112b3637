//! How a subcommand ends: the exit codes, and the one sentence on stderr.

use crate::ui::{self, Line, News, Output};
use core::fmt::Display;

/// Why a subcommand doesn't end with 0.
#[derive(Debug)]
pub(crate) enum Trouble {
    /// It couldn't be done: 1.
    Failed(String),
    /// All is said already; the exit code.
    Told(i32),
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

    /// Says it now, also as an event, and not again.
    pub(crate) fn told(self, output: &Output) -> Self {
        let (code, why) = match &self {
            Self::Failed(why) => (1, why),
            Self::Usage(why) => (2, why),
            Self::Told(_) | Self::Interrupted => return self,
        };
        if let Output::Json = output {
            output.say(&Line { news: News::Error { message: why }, name: None, node: None });
        }
        output.complain(why);
        Self::Told(code)
    }

    /// Says it on stderr; the exit code.
    pub(crate) fn tell(&self) -> i32 {
        match self {
            Self::Failed(why) => {
                ui::complain(why);
                1
            }
            Self::Told(code) => *code,
            Self::Usage(why) => {
                ui::complain(why);
                2
            }
            Self::Interrupted => 130,
        }
    }
}
