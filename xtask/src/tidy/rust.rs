//! Rules about one Rust source file: its documentation, its size, its functions' sizes, where
//! `unsafe` stands, and what the lower crates do not do.

use super::Finding;
use super::mask::{is_word, mask};

const FILE_LINES: usize = 1500;
const FUNCTION_LINES: usize = 100;
/// As wide as rustfmt lets code be.
const COMMENT_COLUMNS: usize = 100;

/// Written beside a longer function, with the reason.
const LONG: &str = "// long:";

/// Where `unsafe` may stand. Everywhere else a safe way exists.
const UNSAFE: &[&str] = &[
    "crates/kvik-cli/src/allocator.rs",
    "crates/kvik-cli/src/code_pages.rs",
    "crates/kvik-ffi/benches/",
    "crates/kvik-ffi/src/",
    "crates/kvik-rope/src/incoming.rs",
    "crates/kvik-store/src/raw/",
    "crates/kvik/src/sync/biased",
    "crates/kvik-script/src/calls.rs",
    "crates/kvik-script/src/execution.rs",
    "crates/kvik-script/src/link.rs",
    "crates/kvik-script/src/raise.rs",
    "crates/kvik-script/src/stack.rs",
    "crates/kvik-server/src/net/",
    "crates/kvik-server/src/process.rs",
];

/// Crates whose root says `forbid(unsafe_code)`: they parse what strangers send.
const FORBID_UNSAFE: &[&str] = &[
    "crates/kvik-log/src/lib.rs",
    "crates/kvik-rdb/src/lib.rs",
    "crates/kvik-resp/src/lib.rs",
];

/// What a layer leaves to the layers above.
struct Absence {
    crates: &'static [&'static str],
    names: &'static [&'static str],
    why: &'static str,
}

const ABSENCES: &[Absence] = &[
    Absence {
        crates: &[
            "kvik-rdb",
            "kvik-rope",
            "kvik-resp",
            "kvik-log",
            "kvik-store",
            "kvik-command",
            "kvik",
        ],
        names: &[
            "TcpListener",
            "TcpStream",
            "UdpSocket",
            "UnixListener",
            "UnixStream",
        ],
        why: "nothing below the server opens a socket",
    },
    Absence {
        crates: &[
            "kvik-rdb",
            "kvik-rope",
            "kvik-resp",
            "kvik-log",
            "kvik-store",
            "kvik-command",
        ],
        names: &["Instant", "SystemTime"],
        why: "nothing below the library reads the clock: time is a parameter",
    },
    Absence {
        crates: &[
            "kvik-rdb",
            "kvik-rope",
            "kvik-resp",
            "kvik-store",
            "kvik-command",
            "kvik",
        ],
        names: &["File", "OpenOptions"],
        why: "nothing below the server touches files",
    },
];

pub(super) fn check(path: &str, text: &str, findings: &mut Vec<Finding>) {
    if !text.starts_with("//!") && !path.ends_with("/tests.rs") {
        findings.push(Finding::new(
            path,
            1,
            "a file starts with its documentation (//!)",
        ));
    }
    let lines = text.lines().count();
    if lines > FILE_LINES {
        findings.push(Finding::new(
            path,
            0,
            format!("{lines} lines; a file has at most {FILE_LINES}"),
        ));
    }
    if FORBID_UNSAFE.contains(&path) && !text.contains("#![forbid(unsafe_code)]") {
        findings.push(Finding::new(path, 0, "#![forbid(unsafe_code)] is missing"));
    }
    let code = mask(text);
    unsafe_code(path, &code, findings);
    long_functions(path, text, &code, findings);
    wide_comments(path, text, findings);
    absences(path, &code, findings);
}

fn unsafe_code(path: &str, code: &str, findings: &mut Vec<Finding>) {
    if UNSAFE.iter().any(|allowed| path.starts_with(allowed)) {
        return;
    }
    for (at, _) in words(code).filter(|(_, word)| *word == "unsafe") {
        findings.push(Finding::new(
            path,
            line_of(code, at),
            "unsafe has no place here (xtask/src/tidy/rust.rs lists where)",
        ));
    }
}

fn long_functions(path: &str, text: &str, code: &str, findings: &mut Vec<Finding>) {
    let lines: Vec<&str> = text.lines().collect();
    for (at, _) in words(code).filter(|(_, word)| *word == "fn") {
        let Some(end) = function_end(&code[at..]) else {
            continue;
        };
        let (first, last) = (line_of(code, at), line_of(code, at + end));
        let length = last - first + 1;
        let explained = lines[first.saturating_sub(4)..last]
            .iter()
            .any(|line| line.contains(LONG));
        if length > FUNCTION_LINES && !explained {
            let rule = format!(
                "a function of {length} lines; above {FUNCTION_LINES} it needs a `{LONG} reason`"
            );
            findings.push(Finding::new(path, first, rule));
        }
    }
}

/// Rustfmt leaves comments as they are.
fn wide_comments(path: &str, text: &str, findings: &mut Vec<Finding>) {
    for (index, line) in text.lines().enumerate() {
        let columns = line.chars().count();
        // An address cannot be broken.
        let is_comment = line.trim_start().starts_with("//") && !line.contains("://");
        if is_comment && columns > COMMENT_COLUMNS {
            let rule = format!("{columns} columns; a comment has at most {COMMENT_COLUMNS}");
            findings.push(Finding::new(path, index + 1, rule));
        }
    }
}

/// Tests may do what the code above them may not.
fn absences(path: &str, code: &str, findings: &mut Vec<Finding>) {
    let Some((name, file)) = path
        .strip_prefix("crates/")
        .and_then(|path| path.split_once("/src/"))
    else {
        return;
    };
    if file.ends_with("tests.rs") || file.contains("tests/") {
        return;
    }
    let code = code.split("#[cfg(test)]").next().unwrap_or(code);
    for absence in ABSENCES
        .iter()
        .filter(|absence| absence.crates.contains(&name))
    {
        for (at, word) in words(code).filter(|(_, word)| absence.names.contains(word)) {
            findings.push(Finding::new(
                path,
                line_of(code, at),
                format!("{word}: {}", absence.why),
            ));
        }
    }
}

/// Offset of the brace that ends the function at the start of `code`; none for a type or a
/// declaration without body.
fn function_end(code: &str) -> Option<usize> {
    let (mut round, mut curly) = (0_usize, 0_usize);
    for (at, byte) in code.bytes().enumerate() {
        match byte {
            b'(' | b'[' => round += 1,
            b')' | b']' => round = round.checked_sub(1)?,
            b';' if round == 0 && curly == 0 => return None,
            b'{' => curly += 1,
            b'}' => {
                curly = curly.checked_sub(1)?;
                if curly == 0 && round == 0 {
                    return Some(at);
                }
            }
            _ => {}
        }
    }
    None
}

/// The words of masked code, which is ASCII, with their offsets.
fn words(code: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut at = 0;
    code.split(|letter: char| !is_word(letter as u8))
        .filter_map(move |word| {
            let start = at;
            at += word.len() + 1;
            (!word.is_empty()).then_some((start, word))
        })
}

fn line_of(code: &str, at: usize) -> usize {
    code[..at].bytes().filter(|&byte| byte == b'\n').count() + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(path: &str, text: &str) -> Vec<(usize, String)> {
        let mut findings = Vec::new();
        check(path, &format!("//! Doc.\n{text}"), &mut findings);
        findings
            .into_iter()
            .map(|finding| (finding.line, finding.rule))
            .collect()
    }

    fn function(lines: usize, inside: &str) -> String {
        format!(
            "fn long() -> [u8; 2] {{\n{inside}\n{}}}\n",
            "    let _ = 1;\n".repeat(lines - 3)
        )
    }

    #[test]
    fn unsafe_is_found_outside_its_places() {
        let code = "fn f() {\n    unsafe { g() }\n}\n";
        assert_eq!(rules("crates/kvik/src/lib.rs", code)[0].0, 3);
        assert!(rules("crates/kvik-server/src/net/uring.rs", code).is_empty());
        assert!(
            rules(
                "crates/kvik/src/lib.rs",
                "// unsafe\nconst A: &str = \"unsafe\";\n"
            )
            .is_empty()
        );
    }

    #[test]
    fn a_long_function_needs_a_reason() {
        assert!(rules("a.rs", &function(100, "")).is_empty());
        assert_eq!(rules("a.rs", &function(101, ""))[0].0, 2);
        assert!(rules("a.rs", &function(101, "    // long: one row per option")).is_empty());
    }

    #[test]
    fn braces_in_text_do_not_hide_a_long_function() {
        let inside = "    let _ = (\"}\", '}', r#\"}\"#); // }";
        assert_eq!(rules("a.rs", &function(101, inside)).len(), 1);
    }

    #[test]
    fn function_types_and_declarations_have_no_length() {
        assert_eq!(function_end("fn(u8) -> u8;\n{}"), None);
        assert_eq!(function_end("fn f(a: [u8; 2]);"), None);
    }

    #[test]
    fn a_file_needs_documentation_and_an_end() {
        let mut findings = Vec::new();
        check("a.rs", &"\n".repeat(1501), &mut findings);
        assert_eq!(findings.len(), 2);
    }

    #[test]
    fn a_comment_is_no_wider_than_code() {
        let fits = format!("// {}\n", "\u{e4}".repeat(97));
        assert!(rules("a.rs", &fits).is_empty());
        assert_eq!(rules("a.rs", &format!("/{fits}"))[0].0, 2);
        assert!(rules("a.rs", &format!("// https://{fits}")).is_empty());
    }

    #[test]
    fn the_codecs_forbid_unsafe_code() {
        assert_eq!(rules("crates/kvik-resp/src/lib.rs", "").len(), 1);
        assert!(rules("crates/kvik-resp/src/lib.rs", "#![forbid(unsafe_code)]\n").is_empty());
    }

    #[test]
    fn a_clock_below_the_library_is_found_outside_tests() {
        let code = "use std::time::Instant;\n";
        assert_eq!(rules("crates/kvik-store/src/stripe.rs", code).len(), 1);
        assert!(rules("crates/kvik/src/clock.rs", code).is_empty());
        assert!(
            rules(
                "crates/kvik-store/src/stripe.rs",
                &format!("#[cfg(test)]\nmod tests {{\n{code}}}")
            )
            .is_empty()
        );
    }
}
