//! Random numbers from a seed that is printed: splitmix64.

use domain_events_tests::SplitMix;

pub struct Random {
    numbers: SplitMix,
    /// No empty text in columns that may not be null.
    pub no_empty: bool,
}

impl Random {
    pub fn new(seed: u64) -> Random {
        Random { numbers: SplitMix(seed), no_empty: false }
    }

    fn next(&mut self) -> u64 {
        self.numbers.draw()
    }

    /// A number below `bound`.
    pub fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    /// A number of this range, both ends included.
    pub fn between(&mut self, low: i64, high: i64) -> i64 {
        low + (self.next() % (high - low + 1) as u64) as i64
    }

    /// True that many times of a hundred.
    pub fn percent(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    /// One of these.
    pub fn pick<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.below(of.len())]
    }

    /// Each of these with that chance.
    pub fn some<T: Clone>(&mut self, of: &[T], percent: usize) -> Vec<T> {
        of.iter().filter(|_| self.percent(percent)).cloned().collect()
    }
}
