//! From a client's word to the number of a command, in a few nanoseconds.
//!
//! A word is read as three machine words, folded to uppercase eight bytes at a time, and looked up
//! in one open-addressing table for commands and subcommands alike (a subcommand's key includes its
//! container). A probe compares three numbers in one cache line; there is no loop over bytes, no
//! allocation and no pointer to follow.

/// A folded name: uppercase, padded with zeros, its length in the last byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Name([u64; 3]);

/// The longest name. Redis' longest has 21 bytes.
const NAME_MAX: usize = 23;

impl Name {
    /// The name that `word` spells in any case, unless it is longer than all names.
    #[inline]
    pub(super) fn fold(word: &[u8]) -> Option<Self> {
        if word.len() > NAME_MAX {
            return None;
        }
        let length = (word.len() as u64) << 56;
        Some(match word.split_first_chunk::<8>() {
            None => Self([uppercase(load(word)), 0, length]),
            Some((first, rest)) => {
                let (second, third) = rest.split_at(rest.len().min(8));
                let words = [u64::from_le_bytes(*first), load(second), load(third)].map(uppercase);
                Self([words[0], words[1], words[2] | length])
            }
        })
    }

    /// Folded multiplication. The names in the index are ours, so nobody can choose them to
    /// collide.
    fn hash(self, container: u16) -> usize {
        let mix = |x: u64, y: u64| {
            let product = u128::from(x) * u128::from(y);
            (product as u64) ^ (product >> 64) as u64
        };
        let [a, b, c] = self.0;
        let low = mix(a ^ 0x9E37_79B9_7F4A_7C15, b ^ 0xD1B5_4A32_D192_ED03);
        mix(low ^ c, 0xA24B_AED4_963E_E407 ^ u64::from(container)) as usize
    }
}

/// Up to eight bytes as a number, the first lowest: two overlapping reads instead of a copy of
/// unknown length.
#[inline]
fn load(bytes: &[u8]) -> u64 {
    let n = bytes.len();
    if let Some(all) = bytes.first_chunk::<8>() {
        u64::from_le_bytes(*all)
    } else if let (Some(low), Some(high)) = (bytes.first_chunk::<4>(), bytes.last_chunk::<4>()) {
        u64::from(u32::from_le_bytes(*low)) | u64::from(u32::from_le_bytes(*high)) << (8 * (n - 4))
    } else {
        bytes
            .iter()
            .rev()
            .fold(0, |number, byte| number << 8 | u64::from(*byte))
    }
}

/// Folds the ASCII letters of eight bytes at once. The sums set a byte's top bit when its low seven
/// bits are at least `a`, or beyond `z`; they cannot carry into the next byte.
#[inline]
fn uppercase(word: u64) -> u64 {
    const ONES: u64 = u64::from_le_bytes([1; 8]);
    let low_bits = word & (ONES * 0x7F);
    let from_a = low_bits + ONES * (0x80 - b'a' as u64);
    let beyond_z = low_bits + ONES * (0x80 - b'z' as u64 - 1);
    let lowercase = from_a & !beyond_z & !word & (ONES * 0x80);
    word ^ (lowercase >> 2)
}

/// Open addressing, at most a quarter full, so that an absent name is found absent at once.
#[derive(Debug)]
pub(super) struct Index {
    cells: Vec<IndexCell>,
}

/// Half a cache line.
#[derive(Clone, Copy, Debug)]
struct IndexCell {
    name: Name,
    container: u16,
    id: u16,
}

/// The id of a free cell.
const FREE: u16 = u16::MAX;

impl Index {
    /// An empty index with room for `count` names.
    pub(super) fn for_entries(count: usize) -> Self {
        let free = IndexCell {
            name: Name([0; 3]),
            container: 0,
            id: FREE,
        };
        Self {
            cells: vec![free; (count * 4).next_power_of_two()],
        }
    }

    /// Enters a name that is not there yet.
    pub(super) fn insert(&mut self, container: u16, name: Name, id: u16) {
        let free = self
            .probe(container, name)
            .find(|at| self.cells[*at].id == FREE);
        let free = free.expect("the index has four cells for every entry");
        self.cells[free] = IndexCell {
            name,
            container,
            id,
        };
    }

    /// The id entered under this name in this container.
    #[inline]
    pub(super) fn find(&self, container: u16, name: Name) -> Option<u16> {
        for at in self.probe(container, name) {
            let cell = &self.cells[at];
            if cell.id == FREE {
                return None;
            }
            if cell.name == name && cell.container == container {
                return Some(cell.id);
            }
        }
        None
    }

    #[inline]
    fn probe(&self, container: u16, name: Name) -> impl Iterator<Item = usize> + use<> {
        let mask = self.cells.len() - 1;
        let start = name.hash(container);
        (0..=mask).map(move |i| start.wrapping_add(i) & mask)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_ascii_letters_are_folded() {
        for byte in 0..=u8::MAX {
            let folded = uppercase(u64::from_le_bytes([
                byte, b'a', 0x80, b'z', 0xFF, b'{', byte, b'`',
            ]));
            let upper = byte.to_ascii_uppercase();
            assert_eq!(
                folded.to_le_bytes(),
                [upper, b'A', 0x80, b'Z', 0xFF, b'{', upper, b'`'],
                "{byte}"
            );
        }
    }

    #[test]
    fn names_of_every_length_are_told_apart() {
        let longest = b"abcdefghijklmnopqrstuvw";
        let mut seen = Vec::new();
        for length in 0..=longest.len() {
            let name = Name::fold(&longest[..length]).expect("short enough");
            assert_eq!(
                Name::fold(&longest[..length].to_ascii_uppercase()),
                Some(name)
            );
            assert!(!seen.contains(&name));
            seen.push(name);
            for at in 0..length {
                let mut other = longest[..length].to_vec();
                other[at] ^= 1;
                assert_ne!(Name::fold(&other), Some(name), "{length} {at}");
            }
        }
        assert_eq!(Name::fold(&[b'a'; 24]), None);
        assert_ne!(Name::fold(b"GET\0"), Name::fold(b"GET"));
    }

    #[test]
    fn every_entered_name_is_found_and_no_other() {
        let names: Vec<String> = (0..500).map(|i| format!("NAME-{i}")).collect();
        let mut index = Index::for_entries(names.len());
        let fold = |name: &String| Name::fold(name.as_bytes()).expect("short enough");
        for (id, name) in names.iter().enumerate() {
            assert_eq!(index.find(7, fold(name)), None);
            index.insert(7, fold(name), id as u16);
        }
        for (id, name) in names.iter().enumerate() {
            assert_eq!(index.find(7, fold(name)), Some(id as u16));
            assert_eq!(index.find(8, fold(name)), None);
        }
    }
}
