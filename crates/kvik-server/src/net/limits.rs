//! Limits that the system sets this process.

use std::io;

/// Raises the soft limit of open files to `wanted`, as far as the hard limit goes, and returns the
/// limit in force.
#[cfg(unix)]
pub(crate) fn raise_open_files(wanted: u64) -> io::Result<u64> {
    let (soft, hard) = rlimit::get()?;
    if soft >= wanted {
        return Ok(soft);
    }
    let raised = wanted.min(hard);
    rlimit::set(raised, hard)?;
    Ok(raised)
}

#[cfg(unix)]
mod rlimit {
    use std::io;

    pub(super) fn get() -> io::Result<(u64, u64)> {
        let mut limit = libc::rlimit {
            rlim_cur: 0,
            rlim_max: 0,
        };
        // SAFETY: the pointer is to a live rlimit that the call fills.
        let result = unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) };
        if result == 0 {
            Ok((limit.rlim_cur, limit.rlim_max))
        } else {
            Err(io::Error::last_os_error())
        }
    }

    pub(super) fn set(soft: u64, hard: u64) -> io::Result<()> {
        let limit = libc::rlimit {
            rlim_cur: soft,
            rlim_max: hard,
        };
        // SAFETY: the pointer is to a live rlimit that the call only reads.
        let result = unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) };
        if result == 0 {
            Ok(())
        } else {
            Err(io::Error::last_os_error())
        }
    }
}
