//! What time it is, so that deadlines and timings work where the standard library has no clock.

use std::time::Duration;

/// A clock that never runs backwards.
pub trait Clock: Send + Sync {
    /// Time since a moment that stays the same for this clock.
    fn now(&self) -> Duration;
}

/// The system's monotonic clock, counted from the first time the process asks; all values of this type agree.
///
/// Bare WebAssembly has no clock: there time stands still until the host has lent one of its own.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

/// The clock that the host has lent.
#[cfg(all(target_family = "wasm", target_os = "unknown"))]
static LENT: std::sync::OnceLock<fn() -> Duration> = std::sync::OnceLock::new();

#[cfg(all(target_family = "wasm", target_os = "unknown"))]
impl SystemClock {
    /// Lends the host's clock, which never runs backwards and which all threads agree on. The first one stays.
    pub fn lend(now: fn() -> Duration) {
        // A second one is refused, as said.
        let _ = LENT.set(now);
    }
}

impl Clock for SystemClock {
    #[cfg(not(all(target_family = "wasm", target_os = "unknown")))]
    fn now(&self) -> Duration {
        static START: std::sync::OnceLock<std::time::Instant> = std::sync::OnceLock::new();
        START.get_or_init(std::time::Instant::now).elapsed()
    }

    #[cfg(all(target_family = "wasm", target_os = "unknown"))]
    fn now(&self) -> Duration {
        LENT.get().map_or(Duration::ZERO, |now| now())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_passes_and_clocks_agree() {
        let earlier = SystemClock.now();
        std::thread::sleep(Duration::from_millis(2));
        assert!(SystemClock.now() - earlier >= Duration::from_millis(2));
    }
}
