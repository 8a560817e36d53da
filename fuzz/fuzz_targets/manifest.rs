//! Whatever bytes a manifest has: no panic, and one that is printed is read as the same.

#![no_main]

use kvik_log::Manifest;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Ok(manifest) = Manifest::parse(data) {
        let text = manifest.print();
        // A quoted name may take more room than a line has.
        if text.lines().all(|line| line.len() < 1000) && !text.is_empty() {
            assert_eq!(Manifest::parse(text.as_bytes()), Ok(manifest));
        }
    }
});
