//! `cargo x wasm`: the library for WebAssembly, run under Node and in a browser.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, bail, ensure};

use crate::cargo;

/// For browsers, and for programs that have files.
const TARGETS: [&str; 2] = ["wasm32-unknown-unknown", "wasm32-wasip1"];
const BROWSERS: [&str; 3] = ["chromium", "google-chrome", "chromium-browser"];
/// Time that the page may believe has passed before it is looked at, in milliseconds.
const PAGE_MS: u32 = 30_000;

#[derive(clap::Args)]
pub(crate) struct Options {
    /// Build for size, as a module ships
    #[arg(long)]
    release: bool,
    /// Write a picture of the page to this file
    #[arg(long, value_name = "PNG")]
    screenshot: Option<PathBuf>,
}

pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    let modules = TARGETS.iter().map(|target| build(target, options.release));
    let modules = modules.collect::<anyhow::Result<Vec<_>>>()?;
    let example = cargo::root().join("examples/wasm");
    if Command::new("node").arg("--version").output().is_err() {
        println!("skipped: Node is not there");
        return Ok(());
    }
    let mut check = Command::new("node");
    check
        .arg("--no-warnings")
        .arg(example.join("check.mjs"))
        .args(&modules);
    let status = check.status().context("cannot start node")?;
    ensure!(status.success(), "the module fails its check");
    let is_there = |name: &&&str| Command::new(name).arg("--version").output().is_ok();
    match BROWSERS.iter().find(is_there) {
        Some(browser) => look(browser, &example, &modules[0], options),
        None => {
            println!("skipped: no browser is there");
            Ok(())
        }
    }
}

/// Builds the module for a target and says how large it is.
fn build(target: &str, release: bool) -> anyhow::Result<PathBuf> {
    let profile = if release { "wasm" } else { "dev" };
    let options = ["--profile", profile, "--package", "kvik-ffi", "--lib"];
    cargo::cargo(&[&["build", "--target", target], &options[..]].concat())?;
    let folder = if release { "wasm" } else { "debug" };
    let module = cargo::target_dir()?.join(target).join(folder);
    let module = module.join("kvik_ffi.wasm");
    let bytes = fs::metadata(&module)?.len();
    println!("{} {:.2} MiB", module.display(), bytes as f64 / 1_048_576.0);
    Ok(module)
}

/// Ends the server with the function that started it.
struct PageServer(Child);

impl Drop for PageServer {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Opens the page in a browser without a window and looks at what it says of itself.
fn look(browser: &str, example: &Path, module: &Path, options: &Options) -> anyhow::Result<()> {
    let mut serve = Command::new("node");
    serve.arg(example.join("serve.mjs")).arg(module).arg("0");
    let mut server = PageServer(serve.stdout(Stdio::piped()).spawn()?);
    let output = server.0.stdout.take().context("the server has an output")?;
    let mut address = String::new();
    BufReader::new(output).read_line(&mut address)?;
    let address = address.trim();
    let profile = tempfile::tempdir()?;
    let open = |what: &str| {
        let mut command = Command::new(browser);
        command
            .args(["--headless", "--no-sandbox", "--disable-gpu", what])
            .arg("--window-size=1100,760")
            .arg(format!("--virtual-time-budget={PAGE_MS}"))
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .arg(address)
            .stderr(Stdio::null());
        command
    };
    let page = open("--dump-dom").output()?;
    let page = String::from_utf8_lossy(&page.stdout);
    if !page.contains("data-state=\"ok\"") {
        bail!("{browser} shows a page that is not as it should be:\n{page}");
    }
    println!("ok: {browser} {address}");
    if let Some(picture) = &options.screenshot {
        let status = open(&format!("--screenshot={}", picture.display())).status()?;
        ensure!(status.success(), "{browser} takes no picture");
    }
    Ok(())
}
