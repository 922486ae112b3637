//! The driver's warnings on their way to Python's `logging`: kept until a session's loop takes them. One list for the
//! process, as the driver's log is one.

use super::bell::lock;
use core::fmt::{Debug, Write};
use core::sync::atomic::{AtomicBool, Ordering};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, Once, Weak};
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

/// Lines that wait at most; the oldest go first.
const LINES_MAX: usize = 1000;

/// Python's numbers of the levels.
const WARNING: u8 = 30;
const ERROR: u8 = 40;

/// A level, as Python counts them, and a text.
pub(crate) type Line = (u8, String);

static LINES: Mutex<VecDeque<Line>> = Mutex::new(VecDeque::new());
static WAITING: AtomicBool = AtomicBool::new(false);
static BELLS: Mutex<Vec<Weak<dyn Ring>>> = Mutex::new(Vec::new());

/// What calls a session's loop.
pub(crate) trait Ring: Send + Sync {
    /// Something lies ready.
    fn ring(&self);
}

/// From now on this bell rings for warnings too.
pub(crate) fn listen<R: Ring + 'static>(bell: &Arc<R>) {
    static ONCE: Once = Once::new();
    // This library has its own log: nobody else can have set it.
    ONCE.call_once(|| drop(tracing::subscriber::set_global_default(ToPython)));
    let mut bells = lock(&BELLS);
    bells.retain(|bell| bell.strong_count() > 0);
    let bell: Weak<R> = Arc::downgrade(bell);
    bells.push(bell);
}

/// The lines that wait.
pub(crate) fn take() -> Vec<Line> {
    if !WAITING.swap(false, Ordering::SeqCst) {
        return Vec::new();
    }
    core::mem::take(&mut *lock(&LINES)).into()
}

struct ToPython;

impl Subscriber for ToPython {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() <= Level::WARN && metadata.target().starts_with("millstream")
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(LevelFilter::WARN)
    }

    fn event(&self, event: &Event<'_>) {
        let level = if *event.metadata().level() == Level::ERROR { ERROR } else { WARNING };
        let mut text = Text::default();
        event.record(&mut text);
        {
            let mut lines = lock(&LINES);
            if lines.len() >= LINES_MAX {
                lines.pop_front();
            }
            lines.push_back((level, text.message + &text.fields));
        }
        if !WAITING.swap(true, Ordering::SeqCst) {
            lock(&BELLS).iter().filter_map(Weak::upgrade).for_each(|bell| bell.ring());
        }
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

/// The message, and the other fields behind it.
#[derive(Default)]
struct Text {
    message: String,
    fields: String,
}

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        // Writing into a text doesn't fail.
        let _ = match field.name() {
            "message" => write!(self.message, "{value:?}"),
            name => write!(self.fields, " {name}={value:?}"),
        };
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.record_debug(field, &format_args!("{value}"));
    }
}
