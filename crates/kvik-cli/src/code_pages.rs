//! Memory of code that only the start has needed.
//!
//! Linux keeps each page of a program mapped once it has been touched, and counts it as resident:
//! for a server that waits, reading arguments, configuration and files makes up most of its memory.
//! The pages are let go instead. Code that runs again is mapped again from the page cache, by a
//! page fault that reads nothing.

use std::fs::File;
use std::io::{BufRead, BufReader, Lines};
use std::ops::Range;

/// Lets go of the program's mapped pages that are the same in its files.
pub(crate) fn release() {
    // Without /proc, as in a bare chroot, nothing is let go.
    let Ok(file) = File::open("/proc/self/smaps") else {
        return;
    };
    let mappings = Mappings(BufReader::new(file).lines());
    // The list is whole before a mapping is changed.
    let clean: Vec<Range<usize>> = mappings.filter_map(Mapping::clean).collect();
    clean.into_iter().for_each(let_go);
}

#[expect(unsafe_code, reason = "a system call on addresses")]
fn let_go(pages: Range<usize>) {
    let start = std::ptr::with_exposed_provenance_mut(pages.start);
    // SAFETY: the pages belong to a file that is mapped and cannot be written to here, and none of
    // them has been replaced by a copy: what is read there later is what was there before.
    // Where the mapping is gone meanwhile the call fails.
    unsafe { libc::madvise(start, pages.len(), libc::MADV_DONTNEED) };
}

/// A mapping as the system lists it.
struct Mapping {
    pages: Range<usize>,
    permissions: String,
    is_of_file: bool,
    /// Bytes of pages that differ from the file, as "0 kB".
    anonymous: String,
}

impl Mapping {
    /// `start-end permissions offset device inode path`.
    fn parse(line: &str) -> Option<Self> {
        let mut words = line.split_ascii_whitespace();
        let (start, end) = words.next()?.split_once('-')?;
        let address = |text| usize::from_str_radix(text, 16).ok();
        Some(Self {
            pages: address(start)?..address(end)?,
            permissions: words.next()?.to_owned(),
            is_of_file: words.nth(3).is_some_and(|path| path.starts_with('/')),
            anonymous: String::new(),
        })
    }

    /// The pages, if all of them are as in the file. A breakpoint or a relocated address makes a
    /// copy of its page.
    fn clean(self) -> Option<Range<usize>> {
        let is_read_only = matches!(&*self.permissions, "r-xp" | "r--p");
        let is_clean = self.is_of_file && is_read_only && self.anonymous == "0 kB";
        is_clean.then_some(self.pages)
    }
}

/// The mappings of a list with details.
struct Mappings<R>(Lines<R>);

impl<R: BufRead> Iterator for Mappings<R> {
    type Item = Mapping;

    fn next(&mut self) -> Option<Mapping> {
        let mut mapping = Mapping::parse(&self.0.next()?.ok()?)?;
        // The last detail of each is this one.
        loop {
            let line = self.0.next()?.ok()?;
            match line.split_once(':') {
                Some(("Anonymous", bytes)) => mapping.anonymous = bytes.trim().to_owned(),
                Some(("VmFlags", _)) => return Some(mapping),
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIST: &str = "\
1000-3000 r-xp 00001000 fd:00 12 /usr/bin/kvik
Rss:                   8 kB
Anonymous:             0 kB
VmFlags: rd ex mr mw me
3000-4000 r--p 00003000 fd:00 12 /usr/bin/kvik
Rss:                   4 kB
Anonymous:             4 kB
VmFlags: rd mr mw me
4000-5000 rw-p 00004000 fd:00 12 /usr/bin/kvik
Anonymous:             0 kB
VmFlags: rd wr mr mw me
5000-6000 r--p 00000000 00:00 0
Anonymous:             0 kB
VmFlags: rd mr mw me
6000-8000 r--p 00000000 fd:00 13 /usr/lib/libc.so.6
Anonymous:             0 kB
VmFlags: rd mr mw me
";

    #[test]
    fn only_unchanged_pages_of_files_are_let_go() {
        let mappings = Mappings(LIST.as_bytes().lines());
        let clean: Vec<_> = mappings.filter_map(Mapping::clean).collect();
        assert_eq!(clean, [0x1000..0x3000, 0x6000..0x8000]);
    }

    #[test]
    fn pages_of_files_are_fewer_and_what_runs_goes_on() {
        let resident_kb = || {
            let status = std::fs::read_to_string("/proc/self/status").unwrap();
            let line = status
                .lines()
                .find_map(|line| line.strip_prefix("RssFile:"));
            let first = line.unwrap().split_ascii_whitespace().next();
            first.unwrap().parse::<u64>().unwrap()
        };
        let before = resident_kb();
        release();
        let after = resident_kb();
        assert!(after < before, "{before} kB, then {after} kB");
    }
}
