//! `cargo x package`: the crates of the library as packages, each built from what is in its own.
//!
//! The manifests say that nothing is published, and cargo then does not look for one crate among
//! the packages of the others. So they are made of a copy of the tree that says otherwise.

use std::fs;
use std::path::Path;

use anyhow::Context;

use crate::cargo;

/// The library, its client, and what they are made of.
const PACKAGES: [&str; 9] = [
    "kvik-float",
    "kvik-rope",
    "kvik-resp",
    "kvik-rdb",
    "kvik-log",
    "kvik-store",
    "kvik-command",
    "kvik",
    "kvik-client",
];

/// What a workspace consists of.
const PARTS: [&str; 4] = ["Cargo.toml", "Cargo.lock", "crates", "xtask"];

/// Lines of manifests by which nothing is published.
const UNPUBLISHED: [&str; 2] = ["publish = false", "publish.workspace = true"];

pub(crate) fn run() -> anyhow::Result<()> {
    let copy = tempfile::tempdir()?;
    for part in PARTS {
        copy_tree(&cargo::root().join(part), &copy.path().join(part))?;
    }
    let manifest = copy.path().join("Cargo.toml");
    let manifest = manifest.to_str().context("the copy's path is text")?;
    let target = cargo::target_dir()?.join("package");
    let target = target.to_str().context("the target's path is text")?;
    let place = ["--manifest-path", manifest, "--target-dir", target];
    let packages = PACKAGES.iter().flat_map(|name| ["--package", name]);
    let words: Vec<_> = ["package", "--locked", "--quiet"]
        .into_iter()
        .chain(place)
        .chain(packages)
        .collect();
    cargo::cargo(&words)?;
    for name in PACKAGES {
        let file = format!("{name}-{}.crate", env!("CARGO_PKG_VERSION"));
        let package = Path::new(target).join("package").join(&file);
        let bytes = fs::metadata(&package).with_context(|| package.display().to_string())?;
        println!("{file} {:.1} KiB", bytes.len() as f64 / 1024.0);
    }
    Ok(())
}

/// Copies a file or a folder; manifests without what keeps them from being published.
fn copy_tree(from: &Path, to: &Path) -> anyhow::Result<()> {
    if !from.is_dir() {
        if from.file_name().is_some_and(|name| name == "Cargo.toml") {
            let text = fs::read_to_string(from)?;
            let kept = text.lines().filter(|line| !UNPUBLISHED.contains(line));
            let kept: String = kept.map(|line| format!("{line}\n")).collect();
            return Ok(fs::write(to, kept)?);
        }
        fs::copy(from, to)?;
        return Ok(());
    }
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        copy_tree(&entry.path(), &to.join(entry.file_name()))?;
    }
    Ok(())
}
