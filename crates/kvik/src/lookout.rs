//! Tells the program when a thread of the store panics.
//!
//! Expiry, files and replies depend on these threads, and a client would wait for ever for one that
//! has ended. A server shuts down then.

use kvik_command::Engine;

/// Tells the program if the thread panics while this lives.
pub(crate) struct Lookout<'a>(pub(crate) &'a Engine);

impl Drop for Lookout<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.host.failed();
        }
    }
}
