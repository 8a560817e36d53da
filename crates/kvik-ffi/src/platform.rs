//! The parts of the interface that depend on the target: what a store is opened with, and paths.
//!
//! A WebAssembly module has no scripts. In a browser it has neither a clock nor randomness of its
//! own either, and asks the page for both.

use std::path::PathBuf;

use kvik::Options;

#[cfg(all(target_family = "wasm", target_os = "unknown"))]
mod page {
    #[link(wasm_import_module = "kvik")]
    unsafe extern "C" {
        /// Milliseconds since the epoch, as `Date.now()` has them.
        safe fn now_ms() -> f64;
        /// A number from 0 up to 1, as `Math.random()` has it.
        safe fn random() -> f64;
    }

    pub(super) fn now_us() -> u64 {
        (now_ms() * 1000.0) as u64
    }

    pub(super) fn seed() -> u64 {
        let half = || (random() * f64::from(u32::MAX)) as u64;
        half() << 32 | half()
    }
}

/// How a store is opened here.
#[cfg(not(target_family = "wasm"))]
pub(crate) fn options() -> Options {
    Options::default().scripts(kvik_script::LuaEngine::shared())
}

/// How a store is opened in a page.
#[cfg(all(target_family = "wasm", target_os = "unknown"))]
pub(crate) fn options() -> Options {
    let options = Options::default().clock(kvik::Clock::Host(page::now_us));
    options.seed(page::seed())
}

/// How a store is opened in a module that has a clock and files.
#[cfg(all(target_family = "wasm", not(target_os = "unknown")))]
pub(crate) fn options() -> Options {
    Options::default()
}

/// The path that C names with these bytes; none if no path is written so here.
pub(crate) fn path(bytes: &[u8]) -> Option<PathBuf> {
    #[cfg(unix)]
    let name = {
        use std::os::unix::ffi::OsStrExt;
        Some(std::ffi::OsStr::from_bytes(bytes))
    };
    #[cfg(not(unix))]
    let name = std::str::from_utf8(bytes).ok();
    name.map(PathBuf::from)
}
