//! Which files are wanted, and how much: what the application says of it, what resume data keeps of it, and what it
//! means for pieces. Which piece comes next is the picker's.

use super::content::Content;
use super::{AddTorrent, Context, Priorities, Priority, Selection, Torrent, TorrentEvent};
use crate::picker::{PRIORITY_DEFAULT, PRIORITY_MAX, PRIORITY_MIN};
use crate::resume::Resume;
use alloc::boxed::Box;
use alloc::format;
use alloc::vec;
use alloc::vec::Vec;

/// What is wanted of the files.
#[derive(Clone, Debug)]
pub(super) struct Wants {
    selection: Selection,
    /// The application said which files, or that all.
    selected: bool,
    /// Of the files that it was said of.
    priorities: Priorities,
    /// The application said it of all.
    ranked: bool,
}

/// Of a torrent of which nothing was said.
static PLAIN: Wants =
    Wants { selection: Selection::All, selected: false, priorities: Priorities::new(), ranked: false };

impl Priority {
    /// What the picker makes of it.
    const fn level(self) -> u8 {
        match self {
            Self::Low => PRIORITY_MIN,
            Self::Normal => PRIORITY_DEFAULT,
            Self::High => PRIORITY_MAX,
        }
    }

    const fn of_level(level: u8) -> Self {
        match level {
            ..PRIORITY_DEFAULT => Self::Low,
            PRIORITY_DEFAULT => Self::Normal,
            _ => Self::High,
        }
    }
}

impl Wants {
    /// As a torrent was added.
    pub(super) fn of(add: &AddTorrent) -> Option<Box<Self>> {
        let selection = add.selection.clone().or_else(|| add.source.selection());
        if selection.is_none() && add.priorities.is_none() {
            return None;
        }
        Some(Box::new(Self {
            selection: selection.unwrap_or_default(),
            selected: add.selection.is_some(),
            priorities: add.priorities.clone().unwrap_or_default(),
            ranked: add.priorities.is_some(),
        }))
    }

    /// How much a file is wanted, if it is.
    fn priority(&self, file: u32) -> Priority {
        self.priorities.get(&file).copied().unwrap_or_default()
    }

    /// Takes over what resume data says, as far as the application said nothing. Data in which nothing is selected says
    /// nothing of that: what was only seeded or read is wanted by who adds it without a word.
    fn recall(&mut self, saved: &[u8]) {
        let there = |(n, &one): (u32, &u8)| is_selected(one).then_some(n);
        let files: Vec<u32> = (0..).zip(saved).filter_map(there).collect();
        if !self.selected && !files.is_empty() && files.len() < saved.len() {
            self.selection = Selection::Files(files);
        }
        if !self.ranked {
            for (n, level) in (0..).zip(saved).filter_map(|(n, &one)| Some((n, level_of(one)?))) {
                self.priorities.entry(n).or_insert(Priority::of_level(level));
            }
        }
    }
}

/// Set in a saved priority: the file isn't selected, and this would be its priority if it was.
const UNSELECTED: u8 = 1 << 7;

const fn saved(selected: bool, priority: Priority) -> u8 {
    match (selected, priority) {
        (true, priority) => priority.level(),
        (false, Priority::Normal) => 0,
        (false, priority) => priority.level() | UNSELECTED,
    }
}

const fn is_selected(saved: u8) -> bool {
    saved != 0 && saved & UNSELECTED == 0
}

/// The priority that was saved, if it isn't the normal one.
const fn level_of(saved: u8) -> Option<u8> {
    match saved & !UNSELECTED {
        0 | PRIORITY_DEFAULT => None,
        level => Some(level),
    }
}

impl Torrent {
    /// Wants these files and no others; says which number isn't one.
    pub fn select(&mut self, cx: &mut Context<'_>, selection: &Selection) -> Result<(), u32> {
        let sated = self.is_sated();
        if let Some(content) = &self.content {
            content.check_selection(selection)?;
        }
        let corrected = self.no_file.is_some();
        let wants = self.wants_mut();
        let before = core::mem::replace(&mut wants.selection, selection.clone());
        wants.selected = true;
        self.apply_wants();
        if before != *selection {
            self.make_files();
        }
        self.completed = false;
        self.on_demand = false;
        self.save.on_wants(cx.now, cx.config.save_interval);
        self.abandon_unwanted(cx);
        self.heed_wants(cx, sated);
        self.check_complete(cx);
        if corrected && !self.paused {
            self.resume(cx);
        }
        Ok(())
    }

    /// Gives files priorities, and leaves those of others; says which number isn't a file's, and changes nothing then.
    /// What is under way goes on. What is read beside the selection stays wanted as it is.
    pub fn set_priorities(&mut self, cx: &mut Context<'_>, priorities: &Priorities) -> Result<(), u32> {
        if let Some(content) = &self.content
            && let Some((&beyond, _)) = priorities.range(content.files()..).next()
        {
            return Err(beyond);
        }
        self.wants_mut().priorities.extend(priorities);
        self.save.on_wants(cx.now, cx.config.save_interval);
        let wants = self.wants.as_deref().unwrap_or(&PLAIN);
        if let Some(content) = &mut self.content {
            content.rank(&content.levels(wants));
            self.cut_web_runs();
        }
        Ok(())
    }

    /// How much each real file is wanted, `None` if it isn't; nothing until the metadata is known.
    pub fn priorities(&self) -> Vec<Option<Priority>> {
        let Some(content) = &self.content else { return Vec::new() };
        let wants = self.wants();
        let selected = selected(&wants.selection, content.files());
        (0..).zip(selected).map(|(n, selected)| selected.then(|| wants.priority(n))).collect()
    }

    /// What was said of files holds for the content that there is now.
    pub(super) fn apply_wants(&mut self) {
        let Some(content) = &mut self.content else { return };
        let files = content.files();
        let beyond = self.wants.as_mut().and_then(|wants| wants.priorities.split_off(&files).pop_first());
        let wants = self.wants.as_deref().unwrap_or(&PLAIN);
        self.no_file = content.check_selection(&wants.selection).err();
        if self.no_file.is_none() {
            content.choose(&content.levels(wants));
        }
        if let Some((file, _)) = beyond {
            let warning = format!("there is no file {file} to give a priority to");
            self.event(TorrentEvent::Warning(warning));
        }
    }

    /// Takes over what resume data says of files.
    pub(super) fn recall_wants(&mut self, resume: &Resume) {
        let Some(content) = &self.content else { return };
        let files = content.info.files();
        if files.len() != resume.files.len() {
            return;
        }
        let real = files.iter().zip(&resume.files).filter(|(file, _)| !file.attributes.pad);
        let saved: Vec<u8> = real.map(|(_, saved)| saved.priority).collect();
        if saved.iter().any(|&one| one != PRIORITY_DEFAULT) {
            self.wants_mut().recall(&saved);
            self.apply_wants();
        }
    }

    /// What resume data says of each file, pad files too.
    pub(super) fn saved_priorities(&self) -> Vec<u8> {
        let Some(content) = &self.content else { return Vec::new() };
        let wants = self.wants();
        let mut real = (0..).zip(selected(&wants.selection, content.files()));
        let mut next = || real.next().map(|(n, selected)| saved(selected, wants.priority(n)));
        let saved = content.info.files().iter().map(|file| if file.attributes.pad { None } else { next() });
        saved.map(|saved| saved.unwrap_or(PRIORITY_DEFAULT)).collect()
    }

    fn wants(&self) -> &Wants {
        self.wants.as_deref().unwrap_or(&PLAIN)
    }

    fn wants_mut(&mut self) -> &mut Wants {
        self.wants.get_or_insert_with(|| Box::new(PLAIN.clone()))
    }
}

/// Of each of so many files, whether it is selected.
fn selected(selection: &Selection, files: u32) -> Vec<bool> {
    match selection {
        Selection::All => vec![true; files as usize],
        Selection::Files(numbers) => {
            let mut selected = vec![false; files as usize];
            for &n in numbers {
                if let Some(one) = selected.get_mut(n as usize) {
                    *one = true;
                }
            }
            selected
        }
    }
}

impl Content {
    /// How many real files there are.
    fn files(&self) -> u32 {
        self.info.real_files().count() as u32
    }

    /// Says which number isn't a file's.
    fn check_selection(&self, selection: &Selection) -> Result<(), u32> {
        match selection {
            Selection::All => Ok(()),
            Selection::Files(numbers) => {
                let files = self.files();
                numbers.iter().find(|&&n| n >= files).map_or(Ok(()), |&n| Err(n))
            }
        }
    }

    /// How much each piece is wanted: as much as the file in it that is wanted most. Pieces of no real file are wanted
    /// with all.
    fn levels(&self, wants: &Wants) -> Vec<u8> {
        let mut levels = vec![0; self.geometry.pieces() as usize];
        let files = self.info.real_files().map(|(_, file)| file);
        for ((n, file), selected) in (0..).zip(files).zip(selected(&wants.selection, self.files())) {
            let level = if selected { wants.priority(n).level() } else { 0 };
            for piece in self.geometry.touched(file.offset, file.length) {
                if let Some(one) = levels.get_mut(piece as usize) {
                    *one = level.max(*one);
                }
            }
        }
        if wants.selection == Selection::All {
            levels.iter_mut().filter(|level| **level == 0).for_each(|level| *level = PRIORITY_DEFAULT);
        }
        levels
    }
}
