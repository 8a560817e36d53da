//! Whatever bytes an append-only file has: no panic, the same units however the file is read, and
//! what is valid is read again as it was.
//!
//! The first byte chooses how much is read at once, the others are the file.

#![no_main]

use std::io::{self, Read};

use kvik_log::UnitReader;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let [piece, file @ ..] = data else {
        return;
    };
    let (whole, valid, error) = read(file, file.len().max(1));
    let (pieces, valid_in_pieces, error_in_pieces) = read(file, usize::from(*piece).max(1));
    assert_eq!((&pieces, valid_in_pieces, &error_in_pieces), (&whole, valid, &error));
    let cut = &file[..usize::try_from(valid).expect("a place in the file")];
    assert_eq!(read(cut, cut.len().max(1)), (whole, valid, None));
});

/// A file that gives at most so many bytes at once.
struct Pieces<'a>(&'a [u8], usize);

impl Read for Pieces<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let most = out.len().min(self.1);
        self.0.read(&mut out[..most])
    }
}

/// The units as text, where the last one ends, and why there are no more.
fn read(file: &[u8], piece: usize) -> (Vec<String>, u64, Option<String>) {
    let mut reader = UnitReader::new(Pieces(file, piece), 0, 0);
    let mut units = Vec::new();
    let error = loop {
        match reader.next_unit() {
            Ok(Some(unit)) => {
                let effects: Vec<_> = unit.effects().collect();
                units.push(format!("{:?} {:?} {effects:?}", unit.end, unit.time_s));
            }
            Ok(None) => break None,
            Err(error) => break Some(error.to_string()),
        }
    };
    (units, reader.valid(), error)
}
