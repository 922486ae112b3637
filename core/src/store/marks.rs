//! How much may wait in memory for blocks, hash and write, and what to do when it is much. It only counts.

/// Limits of the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoreConfig {
    /// Bytes that may wait in memory for more blocks, for their hash or their write. Default 32 MiB. At this mark no
    /// block is asked for; lower saves memory, and writes more blocks unverified, to be hashed from storage later.
    pub store_bytes_max: u64,
    /// Above so many bytes in memory nothing more is asked for, and unfinished pieces are written unverified. Default
    /// 24 MiB.
    pub store_high_bytes: u64,
    /// Asking begins again, and writing unverified ends, at so many bytes. Default 16 MiB.
    pub store_low_bytes: u64,
}

impl Default for StoreConfig {
    fn default() -> Self {
        Self { store_bytes_max: 32 << 20, store_high_bytes: 24 << 20, store_low_bytes: 16 << 20 }
    }
}

/// The bytes that the store holds or has asked for, against its marks. One for all torrents of an engine, or one each.
#[derive(Clone, Copy, Debug)]
pub struct Watermarks {
    max: u64,
    high: u64,
    low: u64,
    asked: u64,
    collecting: u64,
    jobs: u64,
    full: bool,
}

impl Watermarks {
    /// Marks with nothing held. Marks out of order are put in order: low <= high <= max.
    pub fn new(config: &StoreConfig) -> Self {
        let max = config.store_bytes_max;
        let high = config.store_high_bytes.min(max);
        let low = config.store_low_bytes.min(high);
        Self { max, high, low, asked: 0, collecting: 0, jobs: 0, full: false }
    }

    /// Bytes were asked of a peer and may come at any time.
    pub fn on_asked(&mut self, bytes: u64) {
        self.asked += bytes;
    }

    /// Bytes that were asked for came, or won't come.
    pub fn on_settled(&mut self, bytes: u64) {
        debug_assert!(bytes <= self.asked, "settled more than was asked");
        self.asked = self.asked.saturating_sub(bytes);
    }

    /// An assembly's pinned bytes went from `before` to `after` (`Assembly::pinned`).
    pub fn on_collected(&mut self, before: u64, after: u64) {
        self.collecting = (self.collecting + after).saturating_sub(before);
        self.turn();
    }

    /// The bytes that hash and write jobs hold went from `before` to `after`. A job holds its bytes until it is answered,
    /// also a cancelled one.
    pub fn on_jobs(&mut self, before: u64, after: u64) {
        self.jobs = (self.jobs + after).saturating_sub(before);
        self.turn();
    }

    /// Bytes that may be asked of peers now. Never asks for what can't be held.
    pub fn room(&self) -> u64 {
        if self.full { 0 } else { self.max.saturating_sub(self.held() + self.asked) }
    }

    /// Bytes of unfinished pieces that should be written unverified now (`Assembly::next_spill`): without that, memory
    /// full of pieces that nobody may finish would stay full for ever.
    pub fn spill(&self) -> u64 {
        if self.full { self.collecting.saturating_sub(self.low) } else { 0 }
    }

    /// Bytes held: for more blocks, hash or write.
    pub fn held(&self) -> u64 {
        self.collecting + self.jobs
    }

    fn turn(&mut self) {
        let held = self.held();
        self.full = if self.full { held > self.low } else { held >= self.high };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn marks() -> Watermarks {
        let config = StoreConfig { store_bytes_max: 100, store_high_bytes: 80, store_low_bytes: 50 };
        Watermarks::new(&config)
    }

    #[test]
    fn what_is_asked_for_takes_room_before_it_comes() {
        let mut marks = marks();
        marks.on_asked(60);
        assert_eq!(marks.room(), 40);
        marks.on_settled(60);
        marks.on_collected(0, 60);
        assert_eq!((marks.room(), marks.held()), (40, 60));
        marks.on_asked(40);
        assert_eq!(marks.room(), 0);
    }

    #[test]
    fn above_the_high_mark_nothing_is_asked_until_the_low_mark() {
        let mut marks = marks();
        marks.on_jobs(0, 80);
        assert_eq!((marks.room(), marks.spill()), (0, 0), "jobs end by themselves");
        marks.on_jobs(80, 51);
        assert_eq!(marks.room(), 0);
        marks.on_jobs(51, 50);
        assert_eq!(marks.room(), 50);
    }

    #[test]
    fn memory_full_of_unfinished_pieces_is_spilled_to_the_low_mark() {
        let mut marks = marks();
        marks.on_collected(0, 70);
        assert_eq!(marks.spill(), 0);
        marks.on_jobs(0, 10);
        assert_eq!((marks.room(), marks.spill()), (0, 20));
        marks.on_collected(70, 50);
        marks.on_jobs(10, 30);
        assert_eq!((marks.room(), marks.spill()), (0, 0));
        marks.on_jobs(30, 0);
        assert_eq!(marks.room(), 50);
    }
}
