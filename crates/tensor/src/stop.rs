//! Whether to go on: cancellation from elsewhere, and a deadline.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::Clock;

/// A handle that stops work. Clones share the cancellation, each with a deadline of its own.
#[derive(Clone, Debug, Default)]
pub struct Stop {
    cancelled: Arc<AtomicBool>,
    watched: Option<&'static AtomicBool>,
    deadline: Option<Duration>,
}

/// Why work was stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Stopped {
    /// Somebody called [`Stop::cancel`].
    #[error("cancelled")]
    Cancelled,
    /// The deadline passed.
    #[error("the deadline passed")]
    Deadline,
}

impl Stop {
    /// A handle that has not been cancelled, without a deadline.
    pub fn new() -> Self {
        Self::default()
    }

    /// A handle that also stops while `flag` is raised: for a host that shares memory and calls nothing.
    pub fn watching(flag: &'static AtomicBool) -> Self {
        Stop { watched: Some(flag), ..Self::default() }
    }

    /// A handle that the same [`cancel`](Self::cancel) stops, and that also stops when the context's clock reaches
    /// `deadline`. An earlier deadline of this handle stays.
    #[must_use]
    pub fn with_deadline(&self, deadline: Duration) -> Self {
        let deadline = self.deadline.map_or(deadline, |earlier| earlier.min(deadline));
        Stop { deadline: Some(deadline), ..self.clone() }
    }

    /// As [`with_deadline`](Self::with_deadline), `time` from now.
    #[must_use]
    pub fn within(&self, time: Duration, clock: &dyn Clock) -> Self {
        self.with_deadline(clock.now().saturating_add(time))
    }

    /// Stops whoever holds a clone of this handle, at its next check.
    pub fn cancel(&self) {
        self.cancelled.store(true, Ordering::Relaxed);
    }

    /// Whether [`cancel`](Self::cancel) was called, or the flag that is watched is raised.
    pub fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Relaxed)
            || self.watched.is_some_and(|flag| flag.load(Ordering::Relaxed))
    }

    /// When to stop, in the time of the context's clock.
    pub fn deadline(&self) -> Option<Duration> {
        self.deadline
    }

    /// Whether to go on. Costs a load or two, and a look at the clock if there is a deadline.
    pub fn check(&self, clock: &dyn Clock) -> Result<(), Stopped> {
        if self.is_cancelled() {
            return Err(Stopped::Cancelled);
        }
        match self.deadline {
            Some(deadline) if clock.now() >= deadline => Err(Stopped::Deadline),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct At(u64);

    impl Clock for At {
        fn now(&self) -> Duration {
            Duration::from_secs(self.0)
        }
    }

    #[test]
    fn cancelling_one_handle_stops_its_clones() {
        let stop = Stop::new();
        let clone = stop.with_deadline(Duration::from_secs(5));
        assert_eq!(clone.check(&At(4)), Ok(()));
        stop.cancel();
        assert_eq!(clone.check(&At(4)), Err(Stopped::Cancelled));
        assert_eq!(clone.check(&At(6)), Err(Stopped::Cancelled));
    }

    #[test]
    fn a_watched_flag_stops_for_as_long_as_it_is_raised() {
        static FLAG: AtomicBool = AtomicBool::new(false);
        let stop = Stop::watching(&FLAG).with_deadline(Duration::from_secs(5));
        assert_eq!(stop.check(&At(4)), Ok(()));
        FLAG.store(true, Ordering::Relaxed);
        assert_eq!(stop.check(&At(4)), Err(Stopped::Cancelled));
        FLAG.store(false, Ordering::Relaxed);
        assert_eq!(stop.check(&At(4)), Ok(()));
    }

    #[test]
    fn the_earliest_deadline_counts() {
        let stop = Stop::new().within(Duration::from_secs(3), &At(2));
        assert_eq!(stop.check(&At(4)), Ok(()));
        assert_eq!(stop.check(&At(5)), Err(Stopped::Deadline));
        assert_eq!(stop.with_deadline(Duration::from_secs(9)).deadline(), Some(Duration::from_secs(5)));
        assert_eq!(stop.with_deadline(Duration::from_secs(1)).deadline(), Some(Duration::from_secs(1)));
    }
}
