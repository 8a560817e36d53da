//! The nine bytes with which a file starts: who wrote it, and the version.

use super::fault::FileFault;

/// Length of the header.
pub(super) const HEADER_LEN: usize = 9;

/// From here on versions are Valkey's, and so is the name before them.
const VALKEY: u16 = 80;

/// The header of a file of this version.
pub(super) fn header_of(version: u16) -> [u8; HEADER_LEN] {
    let text = if version < VALKEY {
        format!("REDIS{version:04}")
    } else {
        format!("VALKEY{version:03}")
    };
    let bytes = text.as_bytes().try_into();
    bytes.expect("a version has at most three digits")
}

/// The version that a header tells.
pub(super) fn version_of(header: &[u8; HEADER_LEN]) -> Result<u16, FileFault> {
    let (digits, is_valkey) = match header {
        [b'R', b'E', b'D', b'I', b'S', digits @ ..] => (&digits[..], false),
        [b'V', b'A', b'L', b'K', b'E', b'Y', digits @ ..] => (&digits[..], true),
        _ => return Err(FileFault::NotRdb),
    };
    // A sign would parse as well.
    if !digits.iter().all(u8::is_ascii_digit) {
        return Err(FileFault::NotRdb);
    }
    let number = std::str::from_utf8(digits)
        .ok()
        .and_then(|text| text.parse().ok());
    let version = number.ok_or(FileFault::NotRdb)?;
    // Each server keeps to its own range of numbers, and refuses the other's name in front of them.
    if version == 0 || is_valkey != (version >= VALKEY) {
        return Err(FileFault::UnknownVersion(version));
    }
    Ok(version)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_come_back() {
        for version in [1, 9, 10, 12, 15, 79, 80, 81, 999] {
            assert_eq!(version_of(&header_of(version)), Ok(version));
        }
        assert_eq!(&header_of(10), b"REDIS0010");
        assert_eq!(&header_of(80), b"VALKEY080");
    }

    #[test]
    fn a_name_with_the_other_servers_version_is_refused() {
        for (header, fault) in [
            (b"REDIS0080", FileFault::UnknownVersion(80)),
            (b"VALKEY011", FileFault::UnknownVersion(11)),
            (b"REDIS0000", FileFault::UnknownVersion(0)),
            (b"REDIS+010", FileFault::NotRdb),
            (b"REDIS00x0", FileFault::NotRdb),
            (b"*1\r\n$4\r\nP", FileFault::NotRdb),
        ] {
            assert_eq!(version_of(header), Err(fault));
        }
    }
}
