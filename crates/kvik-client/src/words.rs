//! Arguments of typed methods, as the words of a command.

use kvik_resp::ArgsBuf;

/// One argument of a typed method, which may be several words: a key, keys, pairs, a number.
pub trait Words {
    /// Appends the words.
    fn add_to(&self, words: &mut ArgsBuf);
}

impl<T: Words + ?Sized> Words for &T {
    fn add_to(&self, words: &mut ArgsBuf) {
        (**self).add_to(words);
    }
}

/// Words of bytes.
macro_rules! words_of_bytes {
    ($($type:ty),+) => {$(
        impl Words for $type {
            fn add_to(&self, words: &mut ArgsBuf) {
                words.push(self.as_ref());
            }
        }
    )+};
}

words_of_bytes!(str, String, [u8], Vec<u8>);

impl<const LEN: usize> Words for [u8; LEN] {
    fn add_to(&self, words: &mut ArgsBuf) {
        words.push(self);
    }
}

/// Words of what is written as text.
macro_rules! words_of_text {
    ($($type:ty),+) => {$(
        impl Words for $type {
            fn add_to(&self, words: &mut ArgsBuf) {
                words.push(self.to_string().as_bytes());
            }
        }
    )+};
}

words_of_text!(i32, i64, u32, u64, usize, f64);

/// 0 or 1.
impl Words for bool {
    fn add_to(&self, words: &mut ArgsBuf) {
        u32::from(*self).add_to(words);
    }
}

/// Several of a kind.
macro_rules! words_of_many {
    ($($type:ty),+) => {$(
        impl Words for [$type] {
            fn add_to(&self, words: &mut ArgsBuf) {
                self.iter().for_each(|word| word.add_to(words));
            }
        }

        impl<const LEN: usize> Words for [$type; LEN] {
            fn add_to(&self, words: &mut ArgsBuf) {
                self.iter().for_each(|word| word.add_to(words));
            }
        }

        impl Words for Vec<$type> {
            fn add_to(&self, words: &mut ArgsBuf) {
                self.iter().for_each(|word| word.add_to(words));
            }
        }
    )+};
}

words_of_many!(&str, String, &[u8], Vec<u8>);

impl<A: Words, B: Words> Words for (A, B) {
    fn add_to(&self, words: &mut ArgsBuf) {
        self.0.add_to(words);
        self.1.add_to(words);
    }
}

impl<A: Words, B: Words, C: Words> Words for (A, B, C) {
    fn add_to(&self, words: &mut ArgsBuf) {
        self.0.add_to(words);
        self.1.add_to(words);
        self.2.add_to(words);
    }
}

impl<A: Words, B: Words> Words for [(A, B)] {
    fn add_to(&self, words: &mut ArgsBuf) {
        self.iter().for_each(|pair| pair.add_to(words));
    }
}

impl<A: Words, B: Words, const LEN: usize> Words for [(A, B); LEN] {
    fn add_to(&self, words: &mut ArgsBuf) {
        self.iter().for_each(|pair| pair.add_to(words));
    }
}

impl<A: Words, B: Words, C: Words, const LEN: usize> Words for [(A, B, C); LEN] {
    fn add_to(&self, words: &mut ArgsBuf) {
        self.iter().for_each(|triple| triple.add_to(words));
    }
}

impl<A: Words, B: Words, C: Words> Words for [(A, B, C)] {
    fn add_to(&self, words: &mut ArgsBuf) {
        self.iter().for_each(|triple| triple.add_to(words));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(of: impl Words) -> Vec<String> {
        let mut words = ArgsBuf::new();
        of.add_to(&mut words);
        let text = |word: &[u8]| String::from_utf8_lossy(word).into_owned();
        words.as_args().iter().map(text).collect()
    }

    #[test]
    fn arguments_are_one_word_or_many() {
        assert_eq!(words("key"), ["key"]);
        assert_eq!(words(b"key"), ["key"]);
        assert_eq!(words(-7_i64), ["-7"]);
        assert_eq!(words(0.5), ["0.5"]);
        assert_eq!(words(["a", "b"]), ["a", "b"]);
        assert_eq!(words([&b"a"[..], b"b"]), ["a", "b"]);
        assert_eq!(words(vec!["a".to_owned()]), ["a"]);
        assert_eq!(words([("a", 1), ("b", 2)]), ["a", "1", "b", "2"]);
    }
}
