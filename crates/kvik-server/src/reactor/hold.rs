//! DEBUG HOLD: a stripe that stays taken for a time.

use std::time::Duration;

use kvik::Db;

/// Holds the stripe of a key from a thread that ends with it, as if a command of another client
/// took that long.
#[expect(
    clippy::disallowed_methods,
    reason = "DEBUG HOLD is asked to hold a stripe for a time"
)]
pub(super) fn hold(db: Db, key: Vec<u8>, duration: Duration) {
    let work = move || {
        let held = |_: &mut kvik::Transaction<'_>| {
            std::thread::sleep(duration);
            Ok::<_, kvik::Error>(())
        };
        // A follower does not let it in, which is no fault of the thread.
        let _ = db.transaction(&[key], held);
    };
    let thread = std::thread::Builder::new().name("kvik-hold".into());
    if let Err(error) = thread.spawn(work) {
        tracing::warn!("cannot start a thread: {error}");
    }
}
