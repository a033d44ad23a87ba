//! Random numbers from a seed that is printed.

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

pub struct Random {
    numbers: StdRng,
    /// No empty text in columns that may not be null.
    pub no_empty: bool,
}

impl Random {
    pub fn new(seed: u64) -> Random {
        Random { numbers: StdRng::seed_from_u64(seed), no_empty: false }
    }

    /// A number below `bound`.
    pub fn below(&mut self, bound: usize) -> usize {
        self.numbers.random_range(0..bound)
    }

    /// A number of this range, both ends included.
    pub fn between(&mut self, low: i64, high: i64) -> i64 {
        self.numbers.random_range(low..=high)
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
