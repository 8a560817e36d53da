//! Whatever bytes lie in a file of kevy: no panic, and the words of its commands take no more than
//! the file has.

#![no_main]

use std::io::Cursor;

use kvik_server::import::kevy::{command_log, snapshot};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let mut bytes = 0;
    let mut run = |words: &[&[u8]]| bytes += words[1..].iter().map(|word| word.len()).sum::<usize>();
    command_log::read(&mut Cursor::new(data), &mut run).expect("a slice can be read");
    assert!(bytes <= data.len());
    snapshot::read(&mut Cursor::new(data), data.len() as u64, &mut |_| {}).expect("a slice can be read");
});
