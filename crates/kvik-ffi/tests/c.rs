//! A program in C, compiled with the header and run with the library.

#![expect(
    clippy::unwrap_used,
    reason = "the helpers of a test fail like the test"
)]

use std::path::{Path, PathBuf};
use std::process::Command;

/// Where cargo puts the library: beside the folder of this test.
fn libraries() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    test.ancestors().nth(1).unwrap().to_owned()
}

#[test]
fn a_program_in_c_uses_the_store() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("program");
    let compiler = std::env::var_os("CC").unwrap_or_else(|| "cc".into());
    let compiled = Command::new(&compiler)
        .args(["-std=c11", "-Wall", "-Wextra", "-Werror", "-pthread", "-I"])
        .arg(here.join("include"))
        .arg(here.join("tests/program.c"))
        .arg("-o")
        .arg(&program)
        .arg("-L")
        .arg(libraries())
        .arg("-lkvik_ffi")
        .output();
    let Ok(compiled) = compiled else {
        eprintln!("skipped: there is no {}", compiler.display());
        return;
    };
    let said = String::from_utf8_lossy(&compiled.stderr);
    assert!(compiled.status.success(), "{said}");
    let run = Command::new(&program)
        .arg(folder.path().join("data"))
        .env("LD_LIBRARY_PATH", libraries())
        .env("DYLD_LIBRARY_PATH", libraries())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&run.stderr);
    assert!(run.status.success(), "{said}");
    assert_eq!(run.stdout, b"ok\n");
}
