//! A Redis-compatible store as a library.
