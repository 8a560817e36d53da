//! Whatever bytes an nkv client sends: no panic, and the same commands however the network cuts
//! them.

#![no_main]

use kvik_server::codec::{CodecSettings, Speech};
use libfuzzer_sys::fuzz_target;

#[path = "../door.rs"]
mod door;

fuzz_target!(|data: &[u8]| door::check(Speech::Nkv, &CodecSettings::default(), data));
