//! The clock of the views.

use std::time::{Duration, Instant};

#[expect(
    clippy::disallowed_methods,
    reason = "a view waits between two looks at the server"
)]
pub(super) fn pause(time: Duration) {
    if !time.is_zero() {
        std::thread::sleep(time);
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "a view measures time for its user"
)]
pub(super) fn now() -> Instant {
    Instant::now()
}
