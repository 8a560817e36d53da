//! What stores do without on targets that lack it.

/// Whether there are threads. Where there are none, nothing may wait either: the standard library
/// panics.
pub(crate) const HAS_THREADS: bool = !cfg!(target_family = "wasm");

/// Whether the standard library knows the time. A WebAssembly module in a browser is told it.
pub(crate) const HAS_CLOCK: bool = !cfg!(all(target_family = "wasm", target_os = "unknown"));
