//! Time, as the log needs it.

/// Tells the time. The log reads no clock of its own.
pub trait Clock: Send + Sync {
    /// Milliseconds since 1970 by the wall clock. It may jump; it ages retained files.
    fn unix_ms(&self) -> u64;

    /// Milliseconds since some moment, never going back. It paces fsyncs and retries.
    fn monotonic_ms(&self) -> u64;

    /// The same in microseconds, of which durations of fsyncs are counted.
    fn monotonic_us(&self) -> u64 {
        self.monotonic_ms() * 1000
    }
}
