//! The sizes in which the arena hands out memory: steps of 4 bytes up to 128, of 8 up to 256, and
//! from there on eight steps to each doubling, up to 4 KiB. What is asked for is rounded up by 2
//! bytes of 60 on average, by 6 % above 256.

/// Largest size.
pub(crate) const MAX_BYTES: usize = 4096;
const MIN_BYTES: usize = 16;
/// Number of sizes.
pub(crate) const CLASSES: usize = 77;

const FOURS_END: usize = 128;
const EIGHTS_END: usize = 256;
const FOURS: usize = (FOURS_END - MIN_BYTES) / 4 + 1;
const EIGHTS: usize = (EIGHTS_END - FOURS_END) / 8;

/// The smallest class for `bytes`, which are at most [`MAX_BYTES`].
#[inline]
pub(crate) fn class_for(bytes: usize) -> usize {
    if bytes <= FOURS_END {
        return bytes.max(MIN_BYTES).div_ceil(4) - MIN_BYTES / 4;
    }
    if bytes <= EIGHTS_END {
        return FOURS - 1 + (bytes - FOURS_END).div_ceil(8);
    }
    let doubling = (bytes - 1).ilog2();
    let step = 1 << (doubling - 3);
    let steps = (bytes - (1 << doubling)).div_ceil(step);
    FOURS + EIGHTS - 1 + (doubling - EIGHTS_END.ilog2()) as usize * 8 + steps
}

/// The size of a class.
#[inline]
pub(crate) fn bytes_of(class: usize) -> usize {
    BYTES[class] as usize
}

/// `bytes` rounded up to a class.
#[inline]
pub(crate) fn rounded(bytes: usize) -> usize {
    bytes_of(class_for(bytes))
}

const BYTES: [u16; CLASSES] = {
    let mut sizes = [0; CLASSES];
    let (mut class, mut bytes) = (0, MIN_BYTES);
    while class < CLASSES {
        sizes[class] = bytes as u16;
        bytes += if bytes < FOURS_END {
            4
        } else if bytes < EIGHTS_END {
            8
        } else {
            (1 << bytes.ilog2()) / 8
        };
        class += 1;
    }
    sizes
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_size_gets_the_smallest_class_that_holds_it() {
        assert_eq!(bytes_of(CLASSES - 1), MAX_BYTES);
        for bytes in 0..=MAX_BYTES {
            let class = class_for(bytes);
            assert!(bytes_of(class) >= bytes, "{bytes}");
            assert!(class == 0 || bytes_of(class - 1) < bytes, "{bytes}");
        }
    }
}
