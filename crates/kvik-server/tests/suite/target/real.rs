//! Other servers: the programs that define what Redis means.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::Product;
use super::socket::{SocketConnection, SocketTarget, ask, free_port};

/// A real server as a target, if there is one here.
pub(crate) fn real_server(product: Product) -> Option<SocketTarget> {
    let Some(program) = program(product) else {
        println!("no {product:?} here to compare with");
        return None;
    };
    let process = Process::start(&program, &["--enable-debug-command", "local"]);
    let process = process.expect("a server that starts");
    let version = version(process.port, product).expect("a server that tells its version");
    let version = version.parse().expect("a version");
    Some(SocketTarget::new(
        process.port,
        process,
        product,
        version,
        "",
    ))
}

fn version(port: u16, product: Product) -> Result<String, String> {
    let info = ask(&mut SocketConnection::open(port)?, &["INFO", "server"])?;
    let field = if product == Product::Redis {
        "redis_version:"
    } else {
        "valkey_version:"
    };
    let mut lines = info.as_str().unwrap_or_default().lines();
    let version = lines.find_map(|line| line.strip_prefix(field));
    version
        .map(str::to_owned)
        .ok_or(format!("INFO lacks {field}"))
}

/// A server program on a free port with its own directory; killed when dropped.
struct Process {
    child: Child,
    port: u16,
    _directory: TempDir,
}

impl Process {
    /// Starts `program --port <free> --dir <temporary> --save "" args...` and waits until it answers.
    fn start(program: &Path, args: &[&str]) -> Result<Self, String> {
        let directory = tempfile::tempdir().map_err(|error| error.to_string())?;
        let port = free_port()?;
        let child = Command::new(program)
            .args(["--port", &port.to_string(), "--save", "", "--dir"])
            .arg(directory.path())
            .args(args)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|error| format!("{}: {error}", program.display()))?;
        let process = Self {
            child,
            port,
            _directory: directory,
        };
        process.await_answer()?;
        Ok(process)
    }

    fn await_answer(&self) -> Result<(), String> {
        let deadline = Instant::now() + Duration::from_secs(20);
        while Instant::now() < deadline {
            if let Ok(mut connection) = SocketConnection::open(self.port) {
                return ask(&mut connection, &["PING"]).map(drop);
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Err(format!("nothing answers on port {}", self.port))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The program: named by the environment, or for Redis found in `PATH`.
fn program(product: Product) -> Option<PathBuf> {
    let variable = if product == Product::Redis {
        "KVIK_TEST_REDIS"
    } else {
        "KVIK_TEST_VALKEY"
    };
    if let Some(path) = std::env::var_os(variable) {
        return Some(path.into());
    }
    let name = if product == Product::Redis {
        "redis-server"
    } else {
        "valkey-server"
    };
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|folder| folder.join(name))
        .find(|program| program.is_file())
}
