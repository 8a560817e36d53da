//! `crates/kvik-ffi/include/kvik.h`, from the functions of that crate.
//!
//! The crate declares what C sees with a handful of types, so its source is read as text: each
//! `extern "C" fn` becomes a prototype under its documentation, and the enum of types becomes one
//! of C. Anything that is not understood is an error, so the header cannot fall behind.

use std::fs;

use anyhow::{Context, bail};

use crate::cargo;

/// The files, in the order in which the header has their functions.
const FILES: [&str; 3] = ["lib.rs", "store.rs", "reply.rs"];

const TOP: &str = "\
/* kvik: the embedded store for C. Written by cargo x docs from crates/kvik-ffi/src.
 *
 * Threads share a store; a session belongs to one thread at a time. What is returned to be freed is
 * freed by the function for it, and by no other. Words and bytes may hold zeros.
 */
#ifndef KVIK_H
#define KVIK_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern \"C\" {
#endif

";

const END: &str = "
#ifdef __cplusplus
}
#endif

#endif
";

/// Types of the crate and their names in C.
const TYPES: [(&str, &str); 13] = [
    ("*mut KvikStore", "kvik_store *"),
    ("*const KvikStore", "const kvik_store *"),
    ("*mut KvikSession", "kvik_session *"),
    ("*mut KvikReply", "kvik_reply *"),
    ("*const KvikReply", "const kvik_reply *"),
    ("*mut *mut KvikReply", "kvik_reply **"),
    ("*const *const u8", "const uint8_t *const *"),
    ("*const u8", "const uint8_t *"),
    ("*mut u8", "uint8_t *"),
    ("*const c_char", "const char *"),
    ("*const usize", "const size_t *"),
    ("*mut usize", "size_t *"),
    ("KvikType", "kvik_type "),
];

/// The header.
pub(crate) fn page() -> anyhow::Result<String> {
    let folder = cargo::root().join("crates/kvik-ffi/src");
    let mut sources = Vec::new();
    for file in FILES {
        let text = fs::read_to_string(folder.join(file)).context(file)?;
        sources.push(text);
    }
    write(&sources)
}

fn write(sources: &[String]) -> anyhow::Result<String> {
    let (mut handles, mut kinds, mut functions) = (String::new(), String::new(), String::new());
    for source in sources {
        let mut docs = Vec::new();
        let mut lines = source.lines();
        while let Some(line) = lines.next() {
            if let Some(doc) = line.strip_prefix("///") {
                docs.push(doc.strip_prefix(' ').unwrap_or(doc).to_owned());
            } else if let Some(name) = line.strip_prefix("pub struct ") {
                let name = snake(name.split(['(', ' ', ';']).next().unwrap_or_default());
                handles += &format!("{}typedef struct {name} {name};\n\n", comment(&docs, ""));
                docs.clear();
            } else if line.starts_with("pub enum ") {
                kinds += &format!("{}typedef enum {{\n", comment(&docs, ""));
                kinds += &variants(lines.by_ref())?;
                kinds += "} kvik_type;\n\n";
                docs.clear();
            } else if line.starts_with("pub ") && line.contains("extern \"C\" fn ") {
                let mut signature = line.trim_end().to_owned();
                while !signature.ends_with('{') {
                    signature += lines.next().context("a function has a body")?.trim();
                }
                functions += &format!("{}{}\n", comment(&docs, ""), prototype(&signature)?);
                if signature.contains("kvik_abi_version") {
                    let version = lines.next().context("the version follows")?.trim();
                    kinds = format!("#define KVIK_ABI_VERSION {version}\n\n{kinds}");
                }
                docs.clear();
            } else if !line.starts_with("#[") && !line.starts_with("//") {
                docs.clear();
            }
        }
    }
    Ok(format!(
        "{TOP}{handles}{kinds}{}{END}",
        functions.trim_end_matches('\n').to_owned() + "\n"
    ))
}

/// The variants of the enum whose first line has been read.
fn variants<'a>(lines: impl Iterator<Item = &'a str>) -> anyhow::Result<String> {
    let (mut text, mut docs) = (String::new(), Vec::new());
    for line in lines.map(str::trim) {
        if line == "}" {
            return Ok(text);
        }
        match (line.strip_prefix("/// "), line.split_once(" = ")) {
            (Some(doc), _) => docs.push(doc.to_owned()),
            (None, Some((name, number))) => {
                let name = name.to_uppercase();
                text += &comment(&docs, "  ");
                text += &format!("  KVIK_{name} = {number}\n");
                docs.clear();
            }
            _ => bail!("'{line}' is no variant with a number"),
        }
    }
    bail!("an enum does not end")
}

/// A declaration in C.
fn prototype(signature: &str) -> anyhow::Result<String> {
    let (_, rest) = signature
        .split_once("extern \"C\" fn ")
        .context("a function")?;
    let (name, rest) = rest.split_once('(').context("arguments")?;
    let (arguments, rest) = rest.split_once(')').context("the end of arguments")?;
    let arguments = arguments.split(',').map(str::trim);
    let mut shown = Vec::new();
    for argument in arguments.filter(|argument| !argument.is_empty()) {
        let (name, kind) = argument
            .split_once(": ")
            .context("an argument has a type")?;
        shown.push(format!("{}{name}", c_type(kind)?));
    }
    if shown.is_empty() {
        shown.push("void".to_owned());
    }
    let result = rest.trim().trim_end_matches('{').trim();
    let result = match result.strip_prefix("-> ") {
        Some(kind) => c_type(kind.trim())?,
        None => "void ",
    };
    Ok(format!("{result}{name}({});\n", shown.join(", ")))
}

fn c_type(kind: &str) -> anyhow::Result<&'static str> {
    let plain = [
        ("c_int", "int "),
        ("i64", "int64_t "),
        ("f64", "double "),
        ("usize", "size_t "),
    ];
    let found = TYPES.iter().chain(&plain).find(|(ours, _)| *ours == kind);
    let (_, name) = found.with_context(|| format!("{kind} has no name in C"))?;
    Ok(name)
}

/// `KvikStore` as `kvik_store`.
fn snake(name: &str) -> String {
    let mut text = String::new();
    for letter in name.chars() {
        if letter.is_uppercase() && !text.is_empty() {
            text.push('_');
        }
        text.extend(letter.to_lowercase());
    }
    text
}

/// Documentation as a comment of C. What is said of safety stays in a paragraph of its own.
fn comment(docs: &[String], indent: &str) -> String {
    let docs: Vec<_> = docs
        .iter()
        .map(|line| {
            line.strip_prefix("# Safety")
                .map_or(line.as_str(), |_| "Contract:")
        })
        .collect();
    match docs[..] {
        [] => String::new(),
        [line] => format!("{indent}/* {line} */\n"),
        [first, ref rest @ ..] => {
            let rest: String = rest
                .iter()
                .map(|line| format!("{indent} * {line}").trim_end().to_owned() + "\n")
                .collect();
            format!("{indent}/* {first}\n{rest}{indent} */\n")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_become_prototypes() {
        let source = "/// A handle.\npub struct KvikStore(Db);\n\n/// Opens.\n///\n/// # Safety\n/// \
                      None.\n#[unsafe(no_mangle)]\npub unsafe extern \"C\" fn kvik_open(\n    path: \
                      *const c_char,\n    error: *mut *mut KvikReply,\n) -> *mut KvikStore {\n}\n";
        let header = write(&[source.to_owned()]).unwrap();
        for part in [
            "/* A handle. */\ntypedef struct kvik_store kvik_store;\n",
            "/* Opens.\n *\n * Contract:\n * None.\n */\n",
            "kvik_store *kvik_open(const char *path, kvik_reply **error);\n",
        ] {
            assert!(header.contains(part), "{header} lacks {part}");
        }
    }

    #[test]
    fn what_is_not_understood_is_an_error() {
        for signature in [
            "pub extern \"C\" fn f(x: String) {",
            "pub extern \"C\" fn f() -> Vec<u8> {",
        ] {
            assert!(prototype(signature).is_err());
        }
    }
}
