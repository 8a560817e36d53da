//! A server to measure or to compare with: started on a free loopback port in a folder of its own,
//! stopped when dropped.

#![allow(
    clippy::disallowed_methods,
    reason = "it waits for another process to start"
)]

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::{Context, bail};
use kvik_client::Client;
use tempfile::TempDir;

/// The unit of the times in /proc, which is the same on every Linux.
const TICKS_PER_SEC: f64 = 100.0;

/// A start that takes longer has failed.
const START_ATTEMPTS: u32 = 100;
const START_PAUSE: Duration = Duration::from_millis(50);

pub(crate) struct Server {
    name: String,
    version: String,
    address: SocketAddr,
    child: Child,
    /// Its working directory, removed with it.
    _dir: TempDir,
}

impl Server {
    /// Starts `program` with the arguments that all these servers share and `extra`; returns when
    /// it answers.
    pub(crate) fn start(name: &str, program: &Path, extra: &[&str]) -> anyhow::Result<Self> {
        Self::spawn(name, Command::new(program), extra)
    }

    /// The same with a program that starts the server.
    pub(crate) fn spawn(name: &str, mut command: Command, extra: &[&str]) -> anyhow::Result<Self> {
        let dir = tempfile::tempdir()?;
        let port = free_port()?;
        let child = command
            .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--dir"])
            .arg(dir.path())
            // kvns has no flags. Its page of metrics takes a port of its own.
            .env("KVNS_HOST", "127.0.0.1")
            .env("KVNS_PORT", port.to_string())
            .env("KVNS_METRICS_HOST", "127.0.0.1")
            .env("KVNS_METRICS_PORT", free_port()?.to_string())
            .args(extra)
            .current_dir(dir.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .with_context(|| format!("cannot start {name}"))?;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let mut server = Self {
            name: name.to_owned(),
            version: String::new(),
            address,
            child,
            _dir: dir,
        };
        server.version = server.wait_for_version()?;
        Ok(server)
    }

    pub(crate) fn name(&self) -> String {
        self.name.clone()
    }

    pub(crate) fn version(&self) -> String {
        self.version.clone()
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// A connection to it that waits for replies however long they take.
    pub(crate) fn client(&self) -> anyhow::Result<Client> {
        let url = format!("redis://{}", self.address);
        Ok(Client::connect(&url, &kvik_client::Options::default())?)
    }

    /// Ends it in an orderly way.
    pub(crate) fn stop(mut self) -> anyhow::Result<()> {
        // A server that ends does not answer.
        let _ = self.client()?.call(&["SHUTDOWN", "NOSAVE"]);
        self.child.wait()?;
        Ok(())
    }

    /// How often the system has taken a core away from one of its threads.
    pub(crate) fn preempted(&self) -> anyhow::Result<usize> {
        let mut sum = 0;
        for task in fs::read_dir(format!("/proc/{}/task", self.child.id()))? {
            let status = fs::read_to_string(task?.path().join("status"))?;
            let count = status
                .lines()
                .find_map(|line| line.strip_prefix("nonvoluntary_ctxt_switches:"));
            sum += count
                .context("/proc/PID/task has another form")?
                .trim()
                .parse::<usize>()?;
        }
        Ok(sum)
    }

    /// Its resident memory in bytes.
    pub(crate) fn resident(&self) -> anyhow::Result<usize> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kilobytes = line.and_then(|line| line.split_whitespace().next());
        Ok(kilobytes
            .context("/proc/PID/status has another form")?
            .parse::<usize>()?
            * 1024)
    }

    /// CPU time that the server has used since it started, user and system, all its threads.
    pub(crate) fn cpu_us(&self) -> anyhow::Result<f64> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        Ok(
            cpu_ticks(&stat).context("/proc/PID/stat has another form")? as f64 / TICKS_PER_SEC
                * 1e6,
        )
    }

    fn wait_for_version(&mut self) -> anyhow::Result<String> {
        for _ in 0..START_ATTEMPTS {
            if let Some(status) = self.child.try_wait()? {
                bail!("{} ended at once: {status}", self.name);
            }
            if let Ok(info) = info(self.address)
                && !info.contains("loading:1")
            {
                return Ok(version(&info).unwrap_or_default().to_owned());
            }
            thread::sleep(START_PAUSE);
        }
        bail!("{} does not answer", self.name)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Both only fail when it has ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Whether a program is kvik and not a peer: its version line says so.
pub(crate) fn is_kvik(program: &Path) -> anyhow::Result<bool> {
    let output = Command::new(program)
        .arg("--version")
        // kvns has no flags and would serve, if it had an address for that.
        .env("KVNS_HOST", "nowhere")
        .stderr(Stdio::null())
        .output()
        .with_context(|| format!("cannot start {}", program.display()))?;
    Ok(output.stdout.starts_with(b"kvik "))
}

/// Keeps all threads of a process on some cores.
pub(crate) fn pin(pid: u32, cores: &str) -> anyhow::Result<()> {
    let last = thread::available_parallelism()?.get() - 1;
    let cores = if cores.ends_with('-') {
        format!("{cores}{last}")
    } else {
        cores.to_owned()
    };
    let args = [
        "--all-tasks",
        "--cpu-list",
        "--pid",
        &cores,
        &pid.to_string(),
    ];
    let output = Command::new("taskset")
        .args(args)
        .output()
        .context("--pin needs taskset (util-linux)")?;
    if !output.status.success() {
        bail!(
            "taskset: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    Ok(())
}

fn free_port() -> anyhow::Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    Ok(listener.local_addr()?.port())
}

fn info(address: SocketAddr) -> anyhow::Result<String> {
    let options = kvik_client::Options {
        read_timeout: Some(Duration::from_secs(1)),
        ..Default::default()
    };
    let mut client = Client::connect(&format!("redis://{address}"), &options)?;
    let reply = client.call(&["INFO"])?;
    Ok(String::from_utf8_lossy(reply.as_bytes().unwrap_or_default()).into_owned())
}

/// The server's own version, not the one of Redis that it also reports for its clients.
fn version(info: &str) -> Option<&str> {
    let field = |name: &str| info.lines().find_map(|line| line.strip_prefix(name));
    field("kvik_version:")
        .or_else(|| field("valkey_version:"))
        .or_else(|| field("kvns_version:"))
        .or_else(|| field("redis_version:"))
}

/// utime + stime, fields 14 and 15; the program's name before them may hold spaces.
fn cpu_ticks(stat: &str) -> Option<u64> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(user + system)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_time_is_read_behind_a_strange_name() {
        let stat = "42 (a ) b) S 1 2 3 4 5 6 7 8 9 10 700 30 0 0 20 0 1 0 100";
        assert_eq!(cpu_ticks(stat), Some(730));
        assert_eq!(cpu_ticks("42 (a"), None);
    }

    #[test]
    fn a_server_has_its_own_version() {
        assert_eq!(
            version("redis_version:7.2.4\r\nvalkey_version:9.1.2\r\n"),
            Some("9.1.2")
        );
        assert_eq!(
            version("# Server\r\nredis_version:7.0.15\r\n"),
            Some("7.0.15")
        );
        assert_eq!(version(""), None);
    }
}
