//! Whom to tell how far the work has come.

/// Hears of progress. Called between steps on the thread that runs the stage, so it should return soon.
pub trait Progress {
    /// `done` of `total` steps of `stage` are done.
    fn report(&self, stage: &str, done: usize, total: usize);
}

/// Tells nobody.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Progress for Silent {
    fn report(&self, _stage: &str, _done: usize, _total: usize) {}
}

impl<F: Fn(&str, usize, usize)> Progress for F {
    fn report(&self, stage: &str, done: usize, total: usize) {
        self(stage, done, total);
    }
}
