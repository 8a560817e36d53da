//! The operating system's figures about this process, from procfs; zeros where there is none.

use kvik_command::host::ProcessUsage;

/// Kernel clock ticks per second in /proc, fixed by the kernel's interface on all architectures in
/// use.
const TICKS_PER_S: f64 = 100.0;

/// Processor time and memory, as of now.
pub(crate) fn usage() -> ProcessUsage {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let (user_s, system_s) = processor_time(&read("/proc/self/stat"));
    ProcessUsage {
        user_s,
        system_s,
        resident_bytes: resident_bytes(&read("/proc/self/status")).unwrap_or(0),
        machine_bytes: machine_bytes(),
    }
}

/// Bytes of memory that this process may use: the machine's, or what its container is limited to.
pub(crate) fn machine_bytes() -> u64 {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let total = field_kib(&read("/proc/meminfo"), "MemTotal:").unwrap_or(0) * 1024;
    let limit = container_limit(&read("/proc/self/cgroup"), read);
    limit.map_or(total, |limit| match total {
        0 => limit,
        total => total.min(limit),
    })
}

/// The lowest limit of the control groups that the process is in, by the lines of
/// /proc/self/cgroup. A container sees its own group at the root of the file system.
fn container_limit(groups: &str, read: impl Fn(&str) -> String) -> Option<u64> {
    let mut files = vec![
        "/sys/fs/cgroup/memory.max".to_owned(),
        "/sys/fs/cgroup/memory/memory.limit_in_bytes".to_owned(),
    ];
    for line in groups.lines() {
        let mut fields = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (fields.next(), fields.next()) else {
            continue;
        };
        // The limit of each group above holds as well.
        for (at, _) in path.match_indices('/').chain([(path.len(), "")]) {
            let group = &path[..at];
            match controllers {
                "" => files.push(format!("/sys/fs/cgroup{group}/memory.max")),
                _ if controllers.split(',').any(|it| it == "memory") => files.push(format!(
                    "/sys/fs/cgroup/memory{group}/memory.limit_in_bytes"
                )),
                _ => {}
            }
        }
    }
    // Without a limit the files say "max" or a number beyond every machine.
    let limits = files
        .iter()
        .filter_map(|file| read(file).trim().parse().ok());
    limits.filter(|&limit: &u64| limit < 1 << 60).min()
}

/// User and system time: fields 14 and 15, counted from behind the name, which may hold anything.
fn processor_time(stat: &str) -> (f64, f64) {
    let fields = stat.rsplit(')').next().unwrap_or_default();
    let mut ticks = fields
        .split_whitespace()
        .skip(11)
        .map(|field| field.parse::<f64>().unwrap_or(0.0));
    let mut next = || ticks.next().unwrap_or(0.0) / TICKS_PER_S;
    (next(), next())
}

fn resident_bytes(status: &str) -> Option<u64> {
    field_kib(status, "VmRSS:").map(|kib| kib * 1024)
}

fn field_kib(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find(|line| line.starts_with(name))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

/// Processor time of this process in microseconds.
pub(crate) fn cpu_us() -> u64 {
    clock_us(libc::CLOCK_PROCESS_CPUTIME_ID)
}

/// Processor time of the calling thread in microseconds.
pub(crate) fn thread_cpu_us() -> u64 {
    clock_us(libc::CLOCK_THREAD_CPUTIME_ID)
}

fn clock_us(clock: libc::clockid_t) -> u64 {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: the pointer is to a live timespec that the call fills.
    unsafe { libc::clock_gettime(clock, &raw mut time) };
    (time.tv_sec as u64) * 1_000_000 + (time.tv_nsec as u64) / 1000
}

/// Time in which processors of this machine did nothing, in microseconds since it started.
pub(crate) fn machine_idle_us() -> Option<u64> {
    idle_us(&std::fs::read_to_string("/proc/stat").ok()?)
}

/// Idle time and time waiting for disks: the fourth and fifth number of the first line.
fn idle_us(stat: &str) -> Option<u64> {
    let line = stat.lines().next()?.strip_prefix("cpu ")?;
    let ticks = line.split_whitespace().skip(3).take(2);
    let ticks: Option<u64> = ticks.map(|ticks| ticks.parse::<u64>().ok()).sum();
    Some((ticks? as f64 / TICKS_PER_S * 1e6) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_brackets_does_not_confuse() {
        let stat = "1 (a) b) S 0 0 0 0 0 0 0 0 0 0 250 125 0 0 20 0 1 0 100";
        assert_eq!(processor_time(stat), (2.5, 1.25));
    }

    #[test]
    fn idle_time_is_that_of_all_processors() {
        let stat = "cpu  10 0 20 300 45 0 6 0 0 0\ncpu0 10 0 20 100 40 0 6 0 0 0\n";
        assert_eq!(idle_us(stat), Some(3_450_000));
        assert_eq!(idle_us(""), None);
    }

    #[test]
    fn processor_time_passes() {
        let before = cpu_us();
        assert!(before > 0);
        assert!((0..u64::MAX).any(|_| cpu_us() > before));
    }

    #[test]
    fn a_container_is_limited_by_its_groups() {
        let read = |path: &str| match path {
            "/sys/fs/cgroup/memory.max" | "/sys/fs/cgroup/pods/memory.max" => "max\n".to_owned(),
            "/sys/fs/cgroup/pods/one/memory.max" => "1073741824\n".to_owned(),
            "/sys/fs/cgroup/memory/a/memory.limit_in_bytes" => "2048\n".to_owned(),
            _ => String::new(),
        };
        assert_eq!(container_limit("0::/pods/one\n", read), Some(1 << 30));
        assert_eq!(
            container_limit("5:cpu,memory:/a/b\n0::/\n", read),
            Some(2048)
        );
        assert_eq!(container_limit("", read), None);
    }

    #[test]
    fn sizes_are_read_in_kibibytes() {
        assert_eq!(
            field_kib("VmPeak:\t 10 kB\nVmRSS:\t  2048 kB\n", "VmRSS:"),
            Some(2048)
        );
        assert_eq!(field_kib("", "VmRSS:"), None);
    }
}
